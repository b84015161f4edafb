//! Idle runners: each waits in a long poll, and polls again when it was answered that there is nothing.
//!
//! What the server writes meanwhile is seen from outside: the files of its database are looked at all the time.

use std::time::{Duration, Instant};

use super::measure::{Costs, Meter, Phase, Window};
use super::runner::{Runner, WAIT_SECONDS};
use crate::http::{Engine, Key};
use crate::server::DatabaseState;
use crate::stats::per_second;
use crate::{BenchError, Place, Server};

/// Between two looks at the database's files.
const LOOK: Duration = Duration::from_millis(100);
/// For how long nothing may be written before the measurement begins: the first polls of new runners leave a trace.
const QUIET: Duration = Duration::from_secs(1);
/// How long that may take, and how long the server may take to answer beyond the wait.
const LIMIT: Duration = Duration::from_secs(60);

/// What came out of it.
#[derive(Debug)]
pub struct Waiting {
    /// What the window cost.
    pub costs: Costs,
    /// Percent of one core that the server used.
    pub cpu_percent: f64,
    /// Resident memory of the server at its end, in KiB.
    pub resident: u64,
    /// How often the server began to write to its database within the window.
    pub bursts: u64,
    /// Polls that were answered within the window.
    pub polls: u64,
}

impl Waiting {
    /// Polls answered a second.
    pub fn polls_per_second(&self) -> f64 {
        per_second(self.polls, self.costs.length)
    }
}

/// Runners in long polls.
struct Crowd {
    engine: Engine,
    players: Vec<Runner>,
    ready: Vec<Key>,
    answered: u64,
}

impl Crowd {
    fn gather(place: &mut Place, runners: usize) -> Result<Self, BenchError> {
        let tokens = place.runners(runners)?;
        let mut engine = Engine::new(place.address)?;
        let players = Runner::all_polling(&mut engine, &tokens)?;
        Ok(Self { engine, players, ready: Vec::new(), answered: 0 })
    }

    /// Goes on until a moment.
    fn wait(&mut self, until: Instant) -> Result<(), BenchError> {
        while Instant::now() < until {
            self.engine.wait(until, &mut self.ready)?;
            for key in self.ready.iter().copied() {
                let Some(answer) = self.engine.answer(key)? else { continue };
                answer.expect("an idle poll", 204)?;
                if answer.took + Duration::from_secs(1) < Duration::from_secs(WAIT_SECONDS.into()) {
                    return Err(BenchError::Http("an idle poll was answered before its time".to_owned()));
                }
                self.answered += 1;
                self.players[key].poll(&mut self.engine, key)?;
            }
        }
        Ok(())
    }
}

/// Sees when the database is written to.
struct Watch<'a> {
    server: &'a Server,
    seen: DatabaseState,
    changing: bool,
    bursts: u64,
    /// Since when nothing has changed.
    quiet_since: Instant,
}

impl<'a> Watch<'a> {
    fn begin(server: &'a Server) -> Self {
        let seen = server.database_state();
        Self { server, seen, changing: false, bursts: 0, quiet_since: Instant::now() }
    }

    fn look(&mut self) {
        let now = self.server.database_state();
        let changed = now != self.seen;
        self.bursts += u64::from(changed && !self.changing);
        if changed {
            self.quiet_since = Instant::now();
        }
        self.changing = changed;
        self.seen = now;
    }
}

/// Lets that many runners wait.
pub fn waiting(
    place: &mut Place,
    server: &Server,
    runners: usize,
    window: Window,
) -> Result<Waiting, BenchError> {
    let mut crowd = Crowd::gather(place, runners)?;
    let mut watch = Watch::begin(server);
    let deadline = Instant::now() + LIMIT;
    while watch.quiet_since.elapsed() < QUIET {
        if Instant::now() > deadline {
            let what = "an end of what the first polls leave in the database".to_owned();
            return Err(BenchError::Late { what, seconds: LIMIT.as_secs() });
        }
        crowd.wait(Instant::now() + LOOK)?;
        watch.look();
    }
    let mut meter = Meter::start(window, Some(server.pid()));
    let mut phase = Phase::WarmUp;
    let mut before = (0, 0);
    while phase != Phase::Over {
        crowd.wait(meter.next_change().min(Instant::now() + LOOK))?;
        watch.look();
        let next = meter.phase(crowd.engine.requests())?;
        if next != phase && next == Phase::Measured {
            before = (crowd.answered, watch.bursts);
        }
        phase = next;
    }
    let costs = meter.costs();
    let spent = costs.server_cpu.unwrap_or_default();
    Ok(Waiting {
        costs,
        cpu_percent: spent.as_secs_f64() / costs.length.as_secs_f64() * 100.0,
        resident: server.memory()?.resident,
        bursts: watch.bursts - before.1,
        polls: crowd.answered - before.0,
    })
}
