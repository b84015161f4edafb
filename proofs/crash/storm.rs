//! Random ends and stops of everything, under load.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use minitower_tests::process::{Memory, memory_mib};
use minitower_tests::{Signal, Strangers, wait};
use nix::unistd::Pid;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::bed::{Bed, Serves, State, Unit};
use crate::checker::Breach;
use crate::disks::{Broken, Filled};
use crate::history::{History, Kill};
use crate::ledger::now;
use crate::load::Load;
use crate::processes;

/// Short, so that many leases run out.
const LEASE_TTL: Duration = Duration::from_secs(2);
/// How often the storm looks after itself.
const TICK: Duration = Duration::from_millis(10);
/// Time between two lines of progress.
const PROGRESS: Duration = Duration::from_secs(3);
/// How long a program may take to end on SIGTERM, or to answer after its start.
const ENDS_WITHIN: Duration = Duration::from_secs(30);
/// What is given to the last runs beside the time they need: the runners' longest pauses between two calls are 5 s, by
/// chance up to twice that, and a call takes up to 10 s.
const PATIENCE: Duration = Duration::from_secs(20);

/// How many strangers come.
const STRANGERS: usize = 1000;
/// Most memory of a control plane, strangers included, and of a runner: those of a debug build, about twice a release's.
const SERVER_MIB: u64 = 200;
const RUNNER_MIB: u64 = 100;

/// What may happen to whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    KillServer,
    EndServer,
    KillRunner,
    KillRunnerTree,
    KillRunnerAndSupervisor,
    EndRunner,
    StopRunner,
    KillSupervisor,
    StopSupervisor,
    KillJobProcess,
    FillDisk,
    BreakDisk,
    CrowdServer,
}

/// How often each happens, of the sum.
const FAULTS: [(Fault, u32); 13] = [
    (Fault::KillServer, 7),
    (Fault::EndServer, 2),
    (Fault::KillRunner, 5),
    (Fault::KillRunnerTree, 3),
    (Fault::KillRunnerAndSupervisor, 3),
    (Fault::EndRunner, 2),
    (Fault::StopRunner, 4),
    (Fault::KillSupervisor, 2),
    (Fault::StopSupervisor, 3),
    (Fault::KillJobProcess, 3),
    (Fault::FillDisk, 3),
    (Fault::BreakDisk, 2),
    (Fault::CrowdServer, 3),
];

/// How long a storm lasts: whatever comes first.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Faults.
    pub(crate) cycles: u32,
    /// Time, without what the healing takes.
    pub(crate) time: Duration,
}

/// What is to be healed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heal {
    Server,
    Runner(usize),
    /// A supervisor that was stopped; its runner may have ended it meanwhile.
    Supervisor(Pid),
    /// The control plane's disk.
    Disk,
    /// The strangers hang up.
    Crowd,
}

#[derive(Debug)]
struct Storm {
    bed: Bed,
    rng: StdRng,
    heals: Vec<(Instant, Heal)>,
    /// By when the server has to answer.
    ready_by: Option<Instant>,
    /// By when who was told to end has to have ended.
    end_by: BTreeMap<usize, Instant>,
    struck: BTreeMap<Fault, u32>,
    /// While the control plane's disk is full or broken.
    filled: Option<Filled>,
    broken: Option<Broken>,
    /// While they are there.
    strangers: Option<Strangers>,
}

/// Runs a storm, and yields what came of it.
pub(crate) fn run(seed: u64, limits: Limits) -> Outcome {
    let start = Instant::now();
    let serves = [Serves::Team, Serves::Platform, Serves::Team, Serves::Platform];
    let bed = Bed::start_with_a_disk_to_fill(LEASE_TTL, &serves);
    let load = Load::start(&bed, seed);
    let mut storm = Storm {
        bed,
        rng: StdRng::seed_from_u64(seed),
        heals: Vec::new(),
        ready_by: None,
        end_by: BTreeMap::new(),
        struck: BTreeMap::new(),
        filled: None,
        broken: None,
        strangers: None,
    };
    let begun = Instant::now();
    let mut cycles = 0;
    let (mut next_fault, mut next_line) = (begun, begun);
    while cycles < limits.cycles && begun.elapsed() < limits.time {
        load.assert_alive();
        storm.heal_what_is_due();
        storm.look_after();
        if Instant::now() >= next_fault && storm.strike() {
            cycles += 1;
            next_fault = Instant::now() + storm.random_ms(300..1700);
        }
        if Instant::now() >= next_line {
            println!("crash: cycle {cycles} of {}, {:.0?}; {}", limits.cycles, start.elapsed(), storm.tell());
            storm.assert_ceilings();
            next_line = Instant::now() + PROGRESS;
        }
        wait::pass(TICK);
    }
    // A supervisor that is stopped now stays so: its runner has to make up for it.
    (storm.filled, storm.broken, storm.strangers) = (None, None, None);
    let (struck, lasted) = (storm.struck, begun.elapsed());
    storm.bed.heal();
    load.end();
    let (history, breaches) = storm.bed.settle(PATIENCE);
    Outcome { cycles, struck, lasted, took: start.elapsed(), history, breaches }
}

impl Storm {
    fn random_ms(&mut self, range: std::ops::Range<u64>) -> Duration {
        Duration::from_millis(self.rng.random_range(range))
    }

    /// How long something stays down: not at all, for a moment, or for longer than a lease.
    fn outage(&mut self) -> Duration {
        match self.rng.random_range(0..10) {
            0..4 => Duration::ZERO,
            4..8 => self.random_ms(50..1000),
            _ => LEASE_TTL + self.random_ms(200..2000),
        }
    }

    fn heal_in(&mut self, pause: Duration, heal: Heal) {
        self.heals.push((Instant::now() + pause, heal));
    }

    fn heal_what_is_due(&mut self) {
        let now = Instant::now();
        let due: Vec<Heal> = self.heals.extract_if(.., |(at, _)| *at <= now).map(|(_, heal)| heal).collect();
        for heal in due {
            self.heal(heal);
        }
    }

    fn heal(&mut self, heal: Heal) {
        let (unit, place) = match heal {
            Heal::Supervisor(pid) => return processes::resume(pid),
            Heal::Disk => {
                (self.filled, self.broken) = (None, None);
                return;
            }
            Heal::Crowd => return self.strangers = None,
            Heal::Server => (&mut self.bed.server, usize::MAX),
            Heal::Runner(index) => (&mut self.bed.runners[index], index),
        };
        if unit.state == State::Ending && !unit.has_ended(&self.bed.ledger) {
            let by = self.end_by.entry(place).or_insert_with(|| Instant::now() + ENDS_WITHIN);
            assert!(Instant::now() < *by, "{} does not end on SIGTERM", unit.name);
            self.heal_in(TICK * 5, heal);
            return;
        }
        self.end_by.remove(&place);
        match (unit.state, heal) {
            (State::Stopped, _) => unit.signal(Signal::SIGCONT, State::Up),
            (State::Down, Heal::Runner(_)) => unit.start(),
            (State::Down, Heal::Server) => {
                self.bed.start_server_unready();
                self.ready_by = Some(Instant::now() + ENDS_WITHIN);
            }
            (state, _) => unreachable!("{} is {state:?} and to be healed", unit.name),
        }
    }

    /// Nobody ends unasked, and the server answers soon after its start; then the database is looked at.
    fn look_after(&mut self) {
        self.bed.server.assert_alive();
        self.bed.runners.iter_mut().for_each(crate::bed::Unit::assert_alive);
        if let Some(by) = self.ready_by {
            if self.bed.server.state != State::Up {
                self.ready_by = None;
            } else if self.bed.is_ready() {
                self.bed.look();
                self.ready_by = None;
            } else {
                assert!(Instant::now() < by, "the server does not answer after its start");
            }
        }
    }

    /// Whatever comes, nobody needs much memory.
    fn assert_ceilings(&mut self) {
        let assert = |unit: &mut Unit, most: u64| {
            if unit.state == State::Up {
                let peak = memory_mib(unit.program().pid(), Memory::Peak);
                assert!(peak <= most, "{} has taken {peak} MiB of {most}", unit.name);
            }
        };
        assert(&mut self.bed.server, SERVER_MIB);
        self.bed.runners.iter_mut().for_each(|runner| assert(runner, RUNNER_MIB));
    }

    /// Does one random thing; `false` when what was drawn is not possible now.
    fn strike(&mut self) -> bool {
        let sum = FAULTS.iter().map(|(_, weight)| weight).sum();
        let mut drawn = self.rng.random_range(0..sum);
        let fault = FAULTS.iter().find(|(_, weight)| {
            let found = drawn < *weight;
            drawn = drawn.saturating_sub(*weight);
            found
        });
        let fault = fault.expect("less than the sum was drawn").0;
        let index = self.rng.random_range(0..self.bed.runners.len());
        let struck = match fault {
            Fault::KillServer | Fault::EndServer => self.strike_server(fault),
            Fault::KillSupervisor | Fault::StopSupervisor | Fault::KillJobProcess => {
                self.strike_job(fault, index)
            }
            Fault::FillDisk | Fault::BreakDisk => self.strike_disk(fault),
            Fault::CrowdServer => self.crowd_server(),
            _ => self.strike_runner(fault, index),
        };
        if struck {
            *self.struck.entry(fault).or_default() += 1;
        }
        struck
    }

    fn strike_server(&mut self, fault: Fault) -> bool {
        let server = &mut self.bed.server;
        if server.state != State::Up {
            return false;
        }
        if fault == Fault::KillServer {
            server.kill();
        } else {
            server.signal(Signal::SIGTERM, State::Ending);
        }
        let outage = self.outage();
        self.heal_in(outage, Heal::Server);
        true
    }

    /// Whatever the server is doing: it may be started on such a disk.
    fn strike_disk(&mut self, fault: Fault) -> bool {
        if self.filled.is_some() || self.broken.is_some() {
            return false;
        }
        if fault == Fault::BreakDisk {
            self.broken = Some(Broken::break_it(&self.bed.database()));
        } else if let Some(disk) = self.bed.servers_disk() {
            self.filled = Some(Filled::fill(&disk));
        } else {
            return false;
        }
        // Longer than it takes to be found, and often than a lease.
        let outage = self.random_ms(1000..6000);
        self.heal_in(outage, Heal::Disk);
        true
    }

    /// Strangers take all connections that they can get, while teams and runners go on.
    fn crowd_server(&mut self) -> bool {
        if self.strangers.is_some() || self.bed.server.state != State::Up {
            return false;
        }
        self.strangers = Some(Strangers::come(self.bed.port, STRANGERS));
        let outage = self.random_ms(1000..6000);
        self.heal_in(outage, Heal::Crowd);
        true
    }

    fn strike_runner(&mut self, fault: Fault, index: usize) -> bool {
        let unit = &mut self.bed.runners[index];
        if unit.state != State::Up {
            return false;
        }
        match fault {
            Fault::KillRunnerTree => processes::kill_tree(unit.program()),
            Fault::KillRunnerAndSupervisor => processes::kill_with_supervisors(unit.program()),
            Fault::EndRunner => unit.signal(Signal::SIGTERM, State::Ending),
            Fault::StopRunner => unit.signal(Signal::SIGSTOP, State::Stopped),
            _ => unit.kill(),
        }
        if unit.program().ended().is_some() {
            unit.state = State::Down;
        }
        let outage = match fault {
            // What a job has started beside itself lives until the next start of the runner: nobody else is left to know of it.
            Fault::KillRunnerAndSupervisor => Duration::ZERO,
            Fault::StopRunner => self.random_ms(200..4000),
            _ => self.outage(),
        };
        self.heal_in(outage, Heal::Runner(index));
        true
    }

    fn strike_job(&mut self, fault: Fault, index: usize) -> bool {
        let unit = &mut self.bed.runners[index];
        if unit.state != State::Up {
            return false;
        }
        let runner = unit.program().pid();
        let found = match fault {
            Fault::KillSupervisor | Fault::StopSupervisor => processes::children(runner),
            _ => processes::jobs(runner),
        };
        let Some(pid) = found.get(self.rng.random_range(0..found.len().max(1))) else { return false };
        let kill = Kill { runner: unit.name.clone(), at: now() };
        self.bed.ledger.with(|history| history.kills.push(kill));
        if fault == Fault::StopSupervisor {
            processes::stop(*pid);
            // Often for longer than a lease: whoever else knows the deadline has to end the job.
            let outage = self.random_ms(200..5000);
            self.heal_in(outage, Heal::Supervisor(*pid));
        } else {
            processes::end(*pid);
        }
        true
    }

    fn tell(&self) -> String {
        let down = self.bed.runners.iter().filter(|unit| unit.state != State::Up).count();
        self.bed.ledger.with(|history| {
            format!(
                "{} runs created, {} cancels, {} reads of ends, server {:?}, {down} runners down or stopped",
                history.asked.len(),
                history.cancels.len(),
                history.ends_seen.len(),
                self.bed.server.state,
            )
        })
    }
}

/// What came of a storm.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Faults.
    pub(crate) cycles: u32,
    /// What did not hold.
    pub(crate) breaches: Vec<Breach>,
    /// What is known of it.
    pub(crate) history: History,
    struck: BTreeMap<Fault, u32>,
    lasted: Duration,
    took: Duration,
}

impl Outcome {
    /// What a person wants to know of it.
    pub(crate) fn report(&self) -> String {
        let mut text = format!(
            "{} cycles in {:.0?} ({:.0?} with start, healing and checks)\nfaults: {:?}\n",
            self.cycles, self.lasted, self.took, self.struck
        );
        let history = &self.history;
        let mut runs: BTreeMap<&str, u32> = BTreeMap::new();
        let mut attempts: BTreeMap<&str, u32> = BTreeMap::new();
        for run in &history.runs {
            *runs.entry(&run.status).or_default() += 1;
            for attempt in &run.attempts {
                *attempts.entry(&attempt.status).or_default() += 1;
            }
        }
        let unheard = history.asked.iter().filter(|asked| asked.run.is_none()).count();
        let lines: usize = history.runs.iter().map(|run| run.log.len()).sum();
        let _ = writeln!(
            text,
            "runs: {} asked for, {unheard} of them without an answer; {} there: {runs:?}\nattempts: {attempts:?}; \
             {} processes of jobs seen\n{} cancels, {} uploads, {} fences and {} reads of ends were acknowledged; \
             {lines} log lines kept",
            history.asked.len(),
            history.runs.len(),
            history.lives.len(),
            history.cancels.len(),
            history.deployed.len(),
            history.fences.len(),
            history.ends_seen.len(),
        );
        text
    }
}
