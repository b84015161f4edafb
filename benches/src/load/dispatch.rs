//! From a run's creation to its lease, with idle runners that wait in long polls.
//!
//! One run at a time: the next is created a fixed pause after the former has ended, so that nothing waits but the runners.

use std::thread;
use std::time::{Duration, Instant};

use super::creates::BODY;
use super::runner::{Runner, Step};
use crate::http::{Engine, Key, request};
use crate::place::{APP, Summary};
use crate::stats::Samples;
use crate::{BenchError, Place};

/// Between the end of a run and the next create.
const PAUSE: Duration = Duration::from_millis(5);
/// How long a run may take.
const LIMIT: Duration = Duration::from_secs(20);
/// First runs that are not measured.
const WARM_UP: usize = 20;

/// What came out of it.
#[derive(Debug, Default)]
pub struct Dispatch {
    /// From the create's sending until the lease has reached a runner.
    pub from_request: Samples,
    /// From the create's answer until then; nothing when the lease came first.
    pub from_answer: Samples,
    /// From the create's sending to its answer.
    pub create: Samples,
}

/// What is known of the run on its way.
#[derive(Debug, Default)]
struct OnItsWay {
    answered: Option<Instant>,
    leased: Option<Instant>,
    ended: bool,
}

/// Creates that many runs for that many idle runners.
pub fn dispatch(place: &mut Place, runners: usize, count: usize) -> Result<Dispatch, BenchError> {
    let before = place.summary()?.ended;
    let tokens = place.runners(runners)?;
    let create = request::json("POST", &format!("/api/v1/apps/{APP}/runs"), &place.token, BODY);
    let mut engine = Engine::new(place.address)?;
    let mut players = Runner::all_polling(&mut engine, &tokens)?;
    let creator = engine.connect()?;
    let mut found = Dispatch::default();
    for number in 0..WARM_UP + count {
        thread::sleep(PAUSE);
        let sent = Instant::now();
        engine.send(creator, &create)?;
        let run = one(&mut engine, &mut players, creator)?;
        if let (Some(answered), Some(leased), true) = (run.answered, run.leased, number >= WARM_UP) {
            found.create.push(answered - sent);
            found.from_request.push(leased - sent);
            found.from_answer.push(leased.saturating_duration_since(answered));
        }
    }
    Summary::check("runs that ended", (WARM_UP + count) as u64, place.summary()?.ended - before)?;
    Ok(found)
}

/// Follows a run until it has ended.
fn one(engine: &mut Engine, players: &mut [Runner], creator: Key) -> Result<OnItsWay, BenchError> {
    let mut run = OnItsWay::default();
    let mut ready = Vec::new();
    let deadline = Instant::now() + LIMIT;
    while !(run.ended && run.answered.is_some()) {
        if Instant::now() > deadline {
            return Err(BenchError::Late { what: "the end of a run".to_owned(), seconds: LIMIT.as_secs() });
        }
        engine.wait(deadline, &mut ready)?;
        for key in ready.iter().copied() {
            let Some(answer) = engine.answer(key)? else { continue };
            if key == creator {
                answer.expect("a create", 201)?;
                run.answered = Some(Instant::now());
                continue;
            }
            let player = &mut players[key];
            if player.step == Step::Lease && answer.status == 204 {
                player.poll(engine, key)?;
                continue;
            }
            player.take(&answer)?;
            match player.step {
                Step::Lease => run.leased = Some(Instant::now()),
                Step::Result => run.ended = true,
                Step::Idle | Step::Start | Step::Logs => {}
            }
            player.advance(engine, key)?;
        }
    }
    Ok(run)
}
