//! Runs that have ended, many of them, and the calls of a run's life beside them, one by one.

use std::thread;
use std::time::{Duration, Instant};

use super::creates::BODY;
use super::lifecycles::{Shape, lifecycles};
use super::measure::Window;
use super::runner::{Runner, Step};
use crate::http::{Engine, request};
use crate::place::{APP, Summary};
use crate::stats::Samples;
use crate::{BenchError, Place};

/// Runners that fill a database.
const RUNNERS: usize = 128;
/// The longest round of filling: so many may be too many at its end.
const ROUND: Duration = Duration::from_secs(5);
/// How long the logs of runs that ended may take to leave the database.
const LEAVING: Duration = Duration::from_secs(1800);
/// Logs are looked for once a minute. When nothing has changed for so long, all have left.
const STEADY: Duration = Duration::from_secs(75);
/// Between two looks at that.
const LOOK: Duration = Duration::from_secs(1);

/// Lets at least so many runs live, each with ten lines of log, as fast as they can. Answers how many have ended.
pub fn make_ended(place: &mut Place, count: u64) -> Result<u64, BenchError> {
    let mut round = Duration::from_millis(300);
    loop {
        let ended = place.summary()?.ended;
        if ended >= count {
            return Ok(ended);
        }
        let window = Window { warm_up: Duration::ZERO, length: round };
        let found = lifecycles(place, None, Shape::of(RUNNERS), window)?;
        let each = round.as_secs_f64() / f64::from(u32::try_from(found.total.max(1)).unwrap_or(u32::MAX));
        let missing = count.saturating_sub(ended + found.total);
        let left = each * f64::from(u32::try_from(missing).unwrap_or(u32::MAX));
        round = Duration::from_secs_f64(left).clamp(Duration::from_millis(100), ROUND);
    }
}

/// Waits until the logs of runs that have ended have left the database.
pub fn until_packed(place: &mut Place) -> Result<(), BenchError> {
    let began = Instant::now();
    let (mut last, mut since) = (0, Instant::now());
    while began.elapsed() < LEAVING {
        let packed = place.metric("minitower_log_segment_bytes")?;
        if packed != last {
            (last, since) = (packed, Instant::now());
        } else if packed > 0 && since.elapsed() >= STEADY {
            return Ok(());
        }
        thread::sleep(LOOK);
    }
    Err(BenchError::Late { what: "the packing of the logs".to_owned(), seconds: LEAVING.as_secs() })
}

/// From each request to its answer, one call at a time.
#[derive(Debug, Default)]
pub struct Lives {
    /// `POST /apps/{app}/runs`.
    pub create: Samples,
    /// `POST /runs/lease`, which starts the run.
    pub lease: Samples,
    /// `POST /runs/{run}/result`, with the lines.
    pub result: Samples,
}

impl Lives {
    /// With their names.
    pub fn named(&self) -> [(&'static str, &Samples); 3] {
        [("create", &self.create), ("lease", &self.lease), ("result", &self.result)]
    }
}

/// Creates a run, polls, and reports, so many times.
pub fn lives(place: &mut Place, count: usize) -> Result<Lives, BenchError> {
    let before = place.summary()?.ended;
    let token = place.runners(1)?.remove(0);
    let create = request::json("POST", &format!("/api/v1/apps/{APP}/runs"), &place.token, BODY);
    let mut engine = Engine::new(place.address)?;
    let key = engine.connect()?;
    let mut runner = Runner::new(0, &token);
    let mut found = Lives::default();
    for _ in 0..count {
        engine.send(key, &create)?;
        let made = engine.await_answer(key)?;
        made.expect("a create", 201)?;
        found.create.push(made.took);
        loop {
            runner.advance(&mut engine, key)?;
            let answer = engine.await_answer(key)?;
            runner.take(&answer)?;
            match runner.step {
                Step::Lease => found.lease.push(answer.took),
                Step::Result => {
                    found.result.push(answer.took);
                    break;
                }
                Step::Idle | Step::Start | Step::Logs => {}
            }
        }
    }
    Summary::check("runs that ended", count as u64, place.summary()?.ended - before)?;
    Ok(found)
}
