//! The control plane's pod is taken away again and again while somebody creates runs.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use minitower_tests::{Http, wait};
use rand::RngExt as _;
use serde_json::json;

use crate::harness::report::{self, Row};
use crate::harness::{Bed, SYSTEM, Scene, bed, kubectl, short};

const DEPLOYMENT: &str = "deployment/minitower";
/// The longest that a create may wait, with its repetitions.
const WORST: Duration = Duration::from_secs(5);
/// How long one try of a client takes, and its pause before the next one.
const TRY: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(100);
/// How long the Deployment may take to be whole again.
const WHOLE: Duration = Duration::from_secs(60);

#[test]
fn no_create_waits_long_or_is_made_twice_while_the_control_plane_is_taken_away() {
    let Some(bed) = bed() else { return };
    let kills = if short() { 6 } else { 50 };
    let scene = Scene::new(bed, "server-killed");
    let stop = AtomicBool::new(false);
    let made = thread::scope(|scope| {
        let client = scope.spawn(|| create(&scene, &stop));
        for number in 0..kills {
            wait::pass(Duration::from_millis(rand::rng().random_range(500..2500)));
            take_away(number % 2 == 0);
        }
        wait::pass(WORST);
        stop.store(true, Ordering::Relaxed);
        client.join().expect("the client ends")
    });
    let waited = made.iter().map(|(_, waited)| *waited).max().expect("some runs were made");
    report::keep(
        "4-server-killed",
        &[Row {
            what: "longest create while the control plane's pod is deleted".to_owned(),
            target: format!("≤ {WORST:?}"),
            measured: format!("{:.1} s", waited.as_secs_f64()),
            holds: Some(waited <= WORST),
            how: format!(
                "{kills} deletions, every other one by force; {} creates one after another",
                made.len()
            ),
        }],
    );
    // Builds for development start slowly, and machines are busy.
    assert!(waited <= 2 * WORST, "a create waited {waited:.1?}");
    let ids: BTreeSet<i64> = made.iter().map(|(run, _)| *run).collect();
    assert_eq!(ids.len(), made.len(), "two creates have made the same run");
    let there: BTreeSet<i64> = scene.runs().iter().filter_map(|run| run["run_id"].as_i64()).collect();
    assert_eq!(there, ids, "each create has made one run");
}

/// Creates one run after another, each with a key, until it is told to stop; their ids, and how long each took.
fn create(scene: &Scene, stop: &AtomicBool) -> Vec<(i64, Duration)> {
    let Bed { http, team, .. } = scene.bed;
    let http = Http::keeping(http.base(), TRY);
    let mut made = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let begun = Instant::now();
        let key = format!("{}-{}", scene.name, made.len());
        let id = loop {
            let request = http.post(&format!("/api/v1/apps/{}/runs", scene.name)).bearer(&team.token);
            let body = json!({"environment": scene.environment("nobody")});
            match request.header("Idempotency-Key", &key).json(body).try_send() {
                Ok(answer) if answer.status == 201 => {
                    break answer.json()["run_id"].as_i64().expect("an id");
                }
                Ok(answer) => assert!(answer.status >= 500, "{}: {}", answer.status, answer.text()),
                Err(_) => {}
            }
            wait::pass(PAUSE);
        };
        made.push((id, begun.elapsed()));
        wait::pass(PAUSE);
    }
    made
}

/// Deletes the pod, at once or with its grace, and waits until there is another that is ready.
fn take_away(at_once: bool) {
    let pods = kubectl::json(&["get", "pods", "-n", SYSTEM, "-l", "app.kubernetes.io/name=minitowerd"]);
    let pod = pods["items"][0]["metadata"]["name"].as_str().expect("the control plane has a pod").to_owned();
    let how: &[&str] = if at_once { &["--grace-period=0", "--force"] } else { &[] };
    kubectl::run(&[&["delete", "pod", &pod, "-n", SYSTEM, "--wait=true"], how].concat());
    kubectl::run(&[
        "rollout",
        "status",
        DEPLOYMENT,
        "-n",
        SYSTEM,
        &format!("--timeout={}s", WHOLE.as_secs()),
    ]);
}
