//! Idle runners: each waits in a long poll, and polls again when it was answered that there is nothing.

use std::time::{Duration, Instant};

use super::measure::{Costs, Meter, Phase, Window};
use super::runner::{Runner, WAIT_SECONDS};
use crate::http::Engine;
use crate::stats::per_second;
use crate::{BenchError, Place, process};

/// How long the server may take to answer beyond the wait.
const LIMIT: Duration = Duration::from_secs(30);

/// What came out of it.
#[derive(Debug)]
pub struct Waiting {
    /// What the window cost.
    pub costs: Costs,
    /// Percent of one core that the server used.
    pub cpu_percent: f64,
    /// Resident memory of the server at its end, in KiB.
    pub resident: u64,
    /// Commits of the server within the window.
    pub commits: u64,
    /// Polls that were answered within the window.
    pub polls: u64,
}

/// Lets that many runners wait.
pub fn waiting(
    place: &mut Place,
    server: u32,
    runners: usize,
    window: Window,
) -> Result<Waiting, BenchError> {
    let tokens = place.runners(runners)?;
    let mut engine = Engine::new(place.address)?;
    let mut players = Vec::new();
    for (number, token) in tokens.iter().enumerate() {
        let key = engine.connect()?;
        let mut runner = Runner::new(number, token);
        runner.poll(&mut engine, key)?;
        players.push(runner);
    }
    let mut meter = Meter::start(window, Some(server));
    let (mut polls, mut commits_before, mut measuring) = (0, 0, false);
    let mut ready = Vec::new();
    let deadline = Instant::now() + window.warm_up + window.length + LIMIT;
    loop {
        if Instant::now() > deadline {
            return Err(BenchError::Late { what: "the end".to_owned(), seconds: LIMIT.as_secs() });
        }
        let phase = meter.phase(engine.requests())?;
        if phase == Phase::Over {
            break;
        }
        if phase == Phase::Measured && !measuring {
            measuring = true;
            commits_before = commits(place)?;
        }
        engine.wait(meter.next_change(), &mut ready)?;
        for key in ready.iter().copied() {
            let Some(answer) = engine.answer(key)? else { continue };
            answer.expect("an idle poll", 204)?;
            if answer.took + Duration::from_secs(1) < Duration::from_secs(WAIT_SECONDS.into()) {
                return Err(BenchError::Http("an idle poll was answered before its time".to_owned()));
            }
            polls += u64::from(measuring);
            players[key].poll(&mut engine, key)?;
        }
    }
    let costs = meter.costs();
    let spent = costs.server_cpu.unwrap_or_default();
    Ok(Waiting {
        costs,
        cpu_percent: spent.as_secs_f64() / costs.length.as_secs_f64() * 100.0,
        resident: process::memory(server)?.resident,
        commits: commits(place)? - commits_before,
        polls,
    })
}

impl Waiting {
    /// Polls answered a second.
    pub fn polls_per_second(&self) -> f64 {
        per_second(self.polls, self.costs.length)
    }
}

/// How many commits the server has made, as it counts itself.
fn commits(place: &mut Place) -> Result<u64, BenchError> {
    place.metric("minitower_db_write_batch_size_count")
}
