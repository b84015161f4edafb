//! Leases one by one, beside whatever waits in the queue.

use super::creates::BODY;
use super::runner::{Runner, Step};
use crate::http::{Engine, Key, request};
use crate::place::{APP, Summary};
use crate::stats::Samples;
use crate::{BenchError, Place};

/// Creates a run, polls, starts, and reports, so many times, one call at a time. Yields how long the polls took.
///
/// Each poll finds work: the run made before it, or one that waited longer, of whatever team.
pub fn leases(place: &mut Place, count: usize) -> Result<Samples, BenchError> {
    let before = ended(place)?;
    let token = place.runners(1)?.remove(0);
    let create = request::json("POST", &format!("/api/v1/apps/{APP}/runs"), &place.token, BODY);
    let mut engine = Engine::new(place.address)?;
    let key: Key = engine.connect()?;
    let mut runner = Runner::new(0, &token);
    let mut samples = Samples::default();
    for _ in 0..count {
        engine.send(key, &create)?;
        engine.await_answer(key)?.expect("a create", 201)?;
        loop {
            runner.advance(&mut engine, key)?;
            let answer = engine.await_answer(key)?;
            runner.take(&answer)?;
            match runner.step {
                Step::Lease => samples.push(answer.took),
                Step::Result => break,
                Step::Idle | Step::Start | Step::Logs => {}
            }
        }
    }
    Summary::check("runs that ended", count as u64, ended(place)? - before)?;
    Ok(samples)
}

/// Runs of all teams that have ended since the server's start.
fn ended(place: &mut Place) -> Result<u64, BenchError> {
    place.metric("minitower_runs_completed_total")
}
