//! Leases one by one, beside whatever waits in the queue.

use std::time::Duration;

use super::creates::BODY;
use super::runner::{Runner, Step};
use crate::http::{Engine, Key, request};
use crate::place::{APP, Summary};
use crate::stats::Samples;
use crate::{BenchError, Place};

/// The app whose runs get secrets.
const SECRETIVE: &str = "bench-secretive";

/// Creates a run, polls, starts, and reports, so many times, one call at a time. Yields how long the polls took.
///
/// Each poll finds work: the run made before it, or one that waited longer, of whatever team.
pub fn leases(place: &mut Place, count: usize) -> Result<Samples, BenchError> {
    let mut lives = Lives::begin(place)?;
    let create = create_of(APP, &place.token);
    let mut samples = Samples::default();
    for _ in 0..count {
        samples.push(lives.one(&create)?);
    }
    lives.check(place)?;
    Ok(samples)
}

/// The same of two apps in turn: one that gets no secrets, and one that gets so many.
pub fn leases_with_secrets(
    place: &mut Place,
    count: usize,
    secrets: usize,
) -> Result<(Samples, Samples), BenchError> {
    place.app_with_secrets(SECRETIVE, secrets)?;
    let mut lives = Lives::begin(place)?;
    let (plain, secretive) = (create_of(APP, &place.token), create_of(SECRETIVE, &place.token));
    let (mut without, mut with) = (Samples::default(), Samples::default());
    for number in 0..count {
        // Neither always comes first.
        if number % 2 == 0 {
            without.push(lives.one(&plain)?);
        }
        with.push(lives.one(&secretive)?);
        if number % 2 == 1 {
            without.push(lives.one(&plain)?);
        }
    }
    lives.check(place)?;
    Ok((without, with))
}

fn create_of(app: &str, token: &str) -> Vec<u8> {
    request::json("POST", &format!("/api/v1/apps/{app}/runs"), token, BODY)
}

/// One client and one runner.
struct Lives {
    engine: Engine,
    key: Key,
    runner: Runner,
    lived: u64,
    ended_before: u64,
}

impl Lives {
    fn begin(place: &mut Place) -> Result<Self, BenchError> {
        let ended_before = ended(place)?;
        let token = place.runners(1)?.remove(0);
        let mut engine = Engine::new(place.address)?;
        let key = engine.connect()?;
        Ok(Self { engine, key, runner: Runner::new(0, &token), lived: 0, ended_before })
    }

    /// Creates a run and lets one live; how long the poll took.
    fn one(&mut self, create: &[u8]) -> Result<Duration, BenchError> {
        let Self { engine, key, runner, .. } = self;
        engine.send(*key, create)?;
        engine.await_answer(*key)?.expect("a create", 201)?;
        let mut took = Duration::ZERO;
        loop {
            runner.advance(engine, *key)?;
            let answer = engine.await_answer(*key)?;
            runner.take(&answer)?;
            match runner.step {
                Step::Lease => took = answer.took,
                Step::Result => break,
                Step::Idle | Step::Start | Step::Logs => {}
            }
        }
        self.lived += 1;
        Ok(took)
    }

    fn check(&self, place: &mut Place) -> Result<(), BenchError> {
        Summary::check("runs that ended", self.lived, ended(place)? - self.ended_before)
    }
}

/// Runs of all teams that have ended since the server's start.
fn ended(place: &mut Place) -> Result<u64, BenchError> {
    place.metric("minitower_runs_completed_total")
}
