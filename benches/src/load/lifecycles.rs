//! Whole lives of runs: create, lease and start by a long poll, result with one batch of log lines. Of a server that does not start runs by
//! a poll: `start` and the lines in calls of their own.
//!
//! Each runner makes its next call as soon as the former is answered (a closed loop). A few more clients create runs as long as fewer than
//! a bounded number of them wait to be leased, so that the queue is never empty and never grows: the creates are as many as the results.

use std::time::{Duration, Instant};

use super::creates::BODY;
use super::measure::{Costs, Meter, Phase, Window};
use super::runner::{Runner, Step};
use crate::http::{Engine, Key, request};
use crate::place::{APP, Summary};
use crate::stats::Samples;
use crate::{BenchError, Place};

/// How long the last runs may take to end.
const LIMIT: Duration = Duration::from_secs(60);

/// How the load is put together.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Runners, each with one run at a time.
    pub runners: usize,
    /// Clients that create runs.
    pub creators: usize,
    /// Most runs of this load that wait to be leased.
    pub backlog: u64,
    /// Whether runs wait that are not of this load; then the end is not waited for until all have ended.
    pub deep: bool,
    /// Whether the server removes runs that have ended meanwhile; then its counter of ended runs is asked in place of the runs that there
    /// are.
    pub forgets: bool,
}

impl Shape {
    /// For so many runners: as many clients that create, and twice as many runs that wait. A run takes a runner two calls and a client one,
    /// so the clients keep up even when lease traffic is served before creates.
    pub fn of(runners: usize) -> Self {
        Self { runners, creators: runners, backlog: 2 * runners as u64, deep: false, forgets: false }
    }
}

/// What came out of it.
#[derive(Debug)]
pub struct Lifecycles {
    /// Runs that ended within the window.
    pub measured: u64,
    /// All runs that ended.
    pub total: u64,
    /// Runs that ended in each whole second of the window.
    pub by_second: Vec<u64>,
    /// From each request to its answer, within the window, by call.
    pub calls: Calls,
    /// What the window cost.
    pub costs: Costs,
}

/// Samples by call.
#[derive(Debug, Default)]
pub struct Calls {
    /// `POST /apps/{app}/runs`.
    pub create: Samples,
    /// `POST /runs/lease`: with a queue that is never empty, no waiting for work.
    pub lease: Samples,
    /// `POST /runs/{run}/start`; none when the poll starts the run.
    pub start: Samples,
    /// `POST /runs/{run}/logs`; none when the lines go with the result.
    pub logs: Samples,
    /// `POST /runs/{run}/result`.
    pub result: Samples,
    /// All of a runner's calls for one run, from the poll's sending to the result's answer.
    pub life: Samples,
}

impl Calls {
    /// With their names.
    pub fn named(&self) -> [(&'static str, &Samples); 6] {
        [
            ("create", &self.create),
            ("lease", &self.lease),
            ("start", &self.start),
            ("logs", &self.logs),
            ("result", &self.result),
            ("life", &self.life),
        ]
    }
}

struct Load<'a> {
    engine: Engine,
    shape: Shape,
    create: &'a [u8],
    runners: Vec<Runner>,
    /// Creators that have nothing on their way.
    resting: Vec<Key>,
    /// Creates sent.
    sent: u64,
    leased: u64,
    ended: u64,
    /// No new runs, and no new polls of a deep queue.
    closing: bool,
    phase: Phase,
    measured_from: Instant,
    found: Lifecycles,
}

impl Load<'_> {
    /// Sends creates as long as the backlog has room.
    fn create(&mut self) -> Result<(), BenchError> {
        while !self.closing && self.sent < self.leased + self.shape.backlog {
            let Some(key) = self.resting.pop() else { return Ok(()) };
            self.engine.send(key, self.create)?;
            self.sent += 1;
        }
        Ok(())
    }

    /// Sends a runner's next call.
    fn advance(&mut self, key: Key) -> Result<(), BenchError> {
        let runner = &mut self.runners[key];
        if self.closing && self.shape.deep && runner.step == Step::Result {
            runner.step = Step::Idle;
            return Ok(());
        }
        runner.advance(&mut self.engine, key)
    }

    fn answered(&mut self, key: Key) -> Result<(), BenchError> {
        let measured = self.phase == Phase::Measured;
        let calls = &mut self.found.calls;
        let Some(answer) = self.engine.answer(key)? else { return Ok(()) };
        if key >= self.runners.len() {
            answer.expect("a create", 201)?;
            if measured {
                calls.create.push(answer.took);
            }
            self.resting.push(key);
            return self.create();
        }
        let runner = &mut self.runners[key];
        if runner.step == Step::Lease && answer.status == 204 {
            // Nothing came within the wait.
            return runner.poll(&mut self.engine, key);
        }
        runner.take(&answer)?;
        if measured {
            match runner.step {
                Step::Idle => {}
                Step::Lease => calls.lease.push(answer.took),
                Step::Start => calls.start.push(answer.took),
                Step::Logs => calls.logs.push(answer.took),
                Step::Result => calls.result.push(answer.took),
            }
        }
        match runner.step {
            Step::Lease => {
                self.leased += 1;
                self.create()?;
            }
            Step::Result => {
                self.ended += 1;
                if measured {
                    calls.life.push(runner.began.elapsed());
                    self.found.measured += 1;
                    let second = self.measured_from.elapsed().as_secs();
                    let second = usize::try_from(second).unwrap_or_default();
                    self.found.by_second.resize(self.found.by_second.len().max(second + 1), 0);
                    self.found.by_second[second] += 1;
                }
            }
            Step::Idle | Step::Start | Step::Logs => {}
        }
        self.advance(key)
    }

    /// Whether all that has begun has ended.
    fn is_done(&self) -> bool {
        let at_rest = self.resting.len() == self.shape.creators;
        if self.shape.deep {
            at_rest && self.runners.iter().all(|runner| runner.step == Step::Idle)
        } else {
            at_rest && self.ended == self.sent
        }
    }
}

/// How many runs have ended.
fn ended(place: &mut Place, shape: Shape) -> Result<u64, BenchError> {
    if shape.forgets { place.metric("minitower_runs_completed_total") } else { Ok(place.summary()?.ended) }
}

/// Lets runs live.
pub fn lifecycles(
    place: &mut Place,
    server: Option<u32>,
    shape: Shape,
    window: Window,
) -> Result<Lifecycles, BenchError> {
    let before = ended(place, shape)?;
    let tokens = place.runners(shape.runners)?;
    let create = request::json("POST", &format!("/api/v1/apps/{APP}/runs"), &place.token, BODY);
    let mut engine = Engine::new(place.address)?;
    let mut runners = Vec::new();
    for (number, token) in tokens.iter().enumerate() {
        engine.connect()?;
        runners.push(Runner::new(number, token));
    }
    let resting = (0..shape.creators).map(|_| engine.connect()).collect::<Result<Vec<Key>, _>>()?;
    let found = Lifecycles {
        measured: 0,
        total: 0,
        by_second: Vec::new(),
        calls: Calls::default(),
        costs: Costs::default(),
    };
    let mut meter = Meter::start(window, server);
    let mut load = Load {
        engine,
        shape,
        create: &create,
        runners,
        resting,
        sent: 0,
        leased: 0,
        ended: 0,
        closing: false,
        phase: Phase::WarmUp,
        measured_from: Instant::now(),
        found,
    };
    load.create()?;
    for key in 0..load.runners.len() {
        load.advance(key)?;
    }
    let deadline = Instant::now() + window.warm_up + window.length + LIMIT;
    let mut ready = Vec::new();
    while !(load.closing && load.is_done()) {
        if Instant::now() > deadline {
            return Err(BenchError::Late { what: "the last result".to_owned(), seconds: LIMIT.as_secs() });
        }
        let phase = meter.phase(load.engine.requests())?;
        if phase != load.phase {
            load.phase = phase;
            load.measured_from = Instant::now();
            load.closing = phase == Phase::Over;
            continue;
        }
        load.engine.wait(meter.next_change(), &mut ready)?;
        for key in ready.iter().copied() {
            load.answered(key)?;
        }
    }
    Summary::check("runs that ended", load.ended, ended(place, shape)? - before)?;
    Ok(Lifecycles { total: load.ended, costs: meter.costs(), ..load.found })
}
