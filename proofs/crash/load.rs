//! Clients that keep the control plane busy from threads of their own until they are told to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use minitower_tests::Http;
use minitower_tests::server::OPERATOR_TOKEN;
use minitower_tests::wait;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;

use crate::bed::Bed;
use crate::history::Fence;
use crate::ledger::{Client, Ledger, Terms, now};
use crate::plan::{APPS, Plan};

/// Runs of a team that may wait for a runner before no more are asked for.
const MOST_QUEUED: i64 = 6;
/// How long a fence that is to be lifted may find no server.
const LIFTED_WITHIN: Duration = Duration::from_secs(30);

/// The clients' threads. Dropping it tells them to stop.
#[derive(Debug)]
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    /// For each of two teams one that asks for jobs and one that cancels, reads and deploys; for the third
    /// one that asks for runs nobody serves; and one that fences and unfences runners.
    pub(crate) fn start(bed: &Bed, seed: u64) -> Self {
        let mut load = Self { stop: Arc::default(), threads: Vec::new() };
        for (client, n) in bed.clients[..2].iter().zip(0..) {
            load.add(seed + 10 * n + 1, client, ask_for_jobs);
            load.add(seed + 10 * n + 2, client, meddle);
        }
        load.add(seed + 3, &bed.clients[2], ask_in_vain);
        let names: Vec<String> = bed.runners.iter().map(|unit| unit.name.clone()).collect();
        let http = bed.http.clone();
        load.add(seed + 4, &bed.clients[0], move |client, rng, stop| {
            fence(&http, &client.ledger, &names, rng, stop);
        });
        load
    }

    fn add(
        &mut self,
        seed: u64,
        client: &Client,
        work: impl Fn(&Client, &mut StdRng, &AtomicBool) + Send + 'static,
    ) {
        let (client, stop) = (client.clone(), Arc::clone(&self.stop));
        self.threads.push(thread::spawn(move || work(&client, &mut StdRng::seed_from_u64(seed), &stop)));
    }

    /// Stops them and waits for them; the control plane has to run, or they cannot leave it as they should.
    pub(crate) fn end(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            if let Err(panic) = thread.join() {
                std::panic::resume_unwind(panic);
            }
        }
    }

    /// Panics when one of them has.
    pub(crate) fn assert_alive(&self) {
        assert!(!self.threads.iter().any(JoinHandle::is_finished), "a client has died");
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Lets a random time pass between two requests.
fn pause(rng: &mut StdRng, milliseconds: std::ops::Range<u64>) {
    wait::pass(Duration::from_millis(rng.random_range(milliseconds)));
}

fn ask_for_jobs(client: &Client, rng: &mut StdRng, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        let summary = client.ledger.send(&client.team.get("/runs/summary"), 200);
        let queued = summary.and_then(|summary| summary["queued_runs"].as_i64()).unwrap_or_default();
        if queued < MOST_QUEUED {
            let terms = Terms { priority: rng.random_range(-3..4), max_retries: rng.random_range(0..4) };
            let app = APPS[rng.random_range(0..APPS.len())];
            client.create(app, "default", Plan::random(rng), terms);
        }
        pause(rng, 20..150);
    }
}

fn ask_in_vain(client: &Client, rng: &mut StdRng, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        let run = client.create(APPS[0], "nowhere", Plan::lasting(0), Terms::default());
        pause(rng, 5..80);
        match run {
            Some(run) if rng.random_bool(0.95) => {
                client.cancel(run);
            }
            Some(_) => {}
            // The server is away.
            None => pause(rng, 50..300),
        }
    }
}

fn meddle(client: &Client, rng: &mut StdRng, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        pause(rng, 10..120);
        let Some(run) = some_run(client, rng) else { continue };
        match rng.random_range(0..100) {
            0..12 => {
                client.cancel(run);
            }
            12..50 => {
                client.read(run);
            }
            50..85 => client.read_log(run),
            85..98 => client.list(),
            _ => {
                client.deploy(APPS[rng.random_range(0..APPS.len())]);
            }
        }
    }
}

/// One of the team's last runs, as its own list says.
fn some_run(client: &Client, rng: &mut StdRng) -> Option<i64> {
    let newest = client.team.get("/runs?limit=8");
    let page = client.ledger.send(&newest, 200)?;
    let runs = page["runs"].as_array()?;
    let run = &runs.get(rng.random_range(0..runs.len().max(1)))?["run_id"];
    run.as_i64()
}

fn fence(http: &Http, ledger: &Ledger, names: &[String], rng: &mut StdRng, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        pause(rng, 500..3000);
        let runner = &names[rng.random_range(0..names.len())];
        let path = format!("/api/v1/admin/runners/{runner}/drain");
        let ask = |method: &str| {
            let request = http.request(method, &path).bearer(OPERATOR_TOKEN).json(json!({"owner": "storm"}));
            ledger.send(&request, 200).is_some()
        };
        let answered = ask("POST");
        let from = now();
        pause(rng, 200..1500);
        let until = now();
        // It may hold although nobody heard so.
        wait::until("the fence is lifted", LIFTED_WITHIN, || ask("DELETE").then_some(()));
        if answered {
            ledger.with(|history| history.fences.push(Fence { runner: runner.clone(), from, until }));
        }
    }
}
