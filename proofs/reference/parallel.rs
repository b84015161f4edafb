//! Operations at the same time, and polls that wait: some order of them explains every answer, SQLite holds what that order leaves, and no poll
//! waits while there is a run that it may take.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use minitower_tests::invariants::Witness;
use proptest::prelude::*;
use tokio::sync::{Barrier, mpsc};
use tokio::time::{Instant, timeout};

use crate::config::{Tally, config};
use crate::database::Tables;
use crate::model::Model;
use crate::model::steps::Stage;
use crate::orders::{Asked, World, explain};
use crate::resolve::{Past, resolve};
use crate::steps::{self, Step};
use crate::system::{self, System, runtime};
use crate::vocabulary::{Admin, Answer, Number, Op, PLATFORM, Patience, Shown, Status, Team};

static TALLY: Tally = Tally::new("at the same time");
static WAKE_UPS: Tally = Tally::new("wake-ups");
/// Sequences of the short version.
const CASES: u32 = 30;
/// Rounds of what depends on chance.
const ROUNDS: usize = 60;
/// How long a wake-up and its answer may take.
const WAKE_UP: Duration = Duration::from_secs(2);
/// How long the answer may take after whatever had to be written for it is written.
const GRACE: Duration = Duration::from_secs(1);
/// Pause between two looks at what SQLite holds while no answer comes.
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// Most that is asked at the same time.
const CLIENTS: usize = 5;

/// What has to be met, or nothing is proved.
const MET: &[(&str, &str)] = &[
    ("CreateRun", "Run"),
    ("Poll", "Granted"),
    ("Poll", "Nothing"),
    ("Poll", "Conflict"),
    ("Start", "Held"),
    ("Heartbeat", "Held"),
    ("Logs", "Done"),
    ("Result", "Done"),
    ("Result", "Conflict"),
    ("Release", "Done"),
    ("Cancel", "Run"),
    ("SignOff", "Done"),
    ("Drain", "Drained"),
    ("Undrain", "Drained"),
    ("Register", "Registered"),
    ("Reap", "Done"),
];

/// What is asked at the same time, and what happens before it, while nothing else does.
#[derive(Debug, Clone)]
struct Batch {
    before: Option<Step>,
    steps: Vec<Step>,
}

fn batch() -> impl Strategy<Value = Batch> {
    let patience = || prop_oneof![3 => Just(Patience::Long), 2 => Just(Patience::None)];
    let any_step = prop_oneof![
        22 => steps::create_run(),
        30 => steps::poll(patience()),
        30 => steps::call(),
        5 => Just(Step::Op(Op::Reap)),
        6 => steps::cancel(),
        9 => steps::fence(),
        3 => steps::ended(),
        4 => steps::sign_off(),
        4 => steps::register(),
        1 => steps::forget(),
        1 => steps::registration_tokens(),
        1 => steps::upload(),
        6 => steps::look(),
    ];
    let before = prop_oneof![
        30 => Just(None),
        6 => steps::advance().prop_map(Some),
        1 => any::<bool>().prop_map(|cut| Some(Step::Op(Op::Restart { cut }))),
    ];
    let steps = prop::collection::vec(any_step, 1..=CLIENTS);
    // In every other batch all that concerns a held run concerns the same one.
    let focus = prop::option::of(any::<u8>());
    (before, steps, focus).prop_map(|(before, steps, focus)| {
        let steps = match focus {
            Some(focus) => steps.into_iter().map(|step| step.focused(focus)).collect(),
            None => steps,
        };
        Batch { before, steps }
    })
}

/// Polls that wait, runs of both teams, and little else: what wakes whom.
fn wake_ups() -> impl Strategy<Value = Batch> {
    let step = prop_oneof![
        7 => steps::create_ready_run(),
        14 => steps::long_poll(),
        10 => steps::end(),
        4 => steps::fence(),
        1 => steps::sign_off(),
        1 => steps::cancel(),
    ];
    // One less: polls have more moves than anything else, and orders are many.
    prop::collection::vec(step, 1..CLIENTS).prop_map(|steps| Batch { before: None, steps })
}

/// A control plane with all that is asked of it, and all that it may be like.
struct Running {
    system: System,
    witness: Witness,
    worlds: Vec<World>,
    /// Everything that was asked and not answered before the present batch.
    asked: BTreeMap<Number, Asked>,
    past: Past,
    number: Number,
    tally: &'static Tally,
    sender: mpsc::UnboundedSender<(Number, Answer)>,
    answers: mpsc::UnboundedReceiver<(Number, Answer)>,
}

impl Running {
    async fn start(tally: &'static Tally) -> Self {
        let (model, past, number) = system::beginning();
        let (sender, answers) = mpsc::unbounded_channel();
        Self {
            system: System::start().await,
            witness: Witness::default(),
            worlds: vec![World { model, open: BTreeMap::new() }],
            asked: BTreeMap::new(),
            past,
            number,
            tally,
            sender,
            answers,
        }
    }

    fn take_number(&mut self) -> Number {
        self.number += 1;
        self.number
    }

    /// Asks all of it at the same time, and waits until nothing can happen any more.
    async fn ask(&mut self, ops: Vec<Op>) {
        let together = Arc::new(Barrier::new(ops.len()));
        for op in ops {
            let number = self.take_number();
            self.asked.insert(number, Asked { op: op.clone(), answer: None });
            for world in &mut self.worlds {
                world.open.insert(number, Stage::Asked);
            }
            let (client, sender) = (self.system.client.clone(), self.sender.clone());
            let together = Arc::clone(&together);
            tokio::spawn(async move {
                together.wait().await;
                // Some come a little later than the others.
                for _ in 0..number % 4 {
                    tokio::task::yield_now().await;
                }
                let answer = client.ask(number, &op).await;
                drop(client);
                let _ = sender.send((number, answer));
            });
        }
        self.settle().await;
        self.witness.look(self.system.database());
    }

    /// Waits until all answers are there that have to come, and keeps the worlds that explain them and what SQLite holds.
    async fn settle(&mut self) {
        let (mut explained, mut searched) = (None, None);
        let mut deadline = Instant::now() + WAKE_UP;
        loop {
            let tables = self.system.tables();
            let attempts = tables.attempts.len();
            // Whoever does not wait is answered whatever the others do: before that there is no need to search.
            if searched != Some(attempts)
                && self.asked.values().all(|asked| asked.answer.is_some() || asked.waits())
            {
                let found = explain(&self.worlds, &self.asked, attempts);
                let expected: Vec<Tables> = found.iter().map(|one| one.world.model.tables()).collect();
                explained = Some((found, expected));
                searched = Some(attempts);
                deadline = Instant::now() + WAKE_UP;
            }
            if let Some((found, expected)) = &explained {
                let fits: Vec<bool> = expected.iter().map(|expected| *expected == tables).collect();
                let fitting = || found.iter().zip(&fits).filter(|(_, fits)| **fits).map(|(one, _)| one);
                if fitting().any(|one| one.world.is_quiet(&self.asked)) {
                    // Those that others become by themselves are found again from these.
                    let first = fitting().filter(|one| !one.before.iter().any(|before| fits[*before]));
                    self.worlds = first.map(|one| one.world.clone()).collect();
                    self.asked.retain(|_, asked| asked.answer.is_none());
                    return;
                }
            }
            let late = Instant::now() >= deadline;
            let first = if late {
                // On a machine that stands still nothing is late: what was to be written before this is written when this is.
                self.system.write_nothing().await;
                timeout(GRACE, self.answers.recv()).await
            } else {
                timeout(LOOK_EVERY, self.answers.recv()).await
            };
            let mut came: Vec<(Number, Answer)> = first.ok().flatten().into_iter().collect();
            while let Ok(next) = self.answers.try_recv() {
                came.push(next);
            }
            if came.is_empty() {
                assert!(!late, "{}", self.failure(&explained.unwrap_or_default().1));
                continue;
            }
            for (number, answer) in came {
                let asked = self.asked.get_mut(&number).unwrap();
                self.tally.operation(&asked.op, &answer);
                self.past.note(number, &asked.op, &answer);
                asked.answer = Some(answer);
            }
            (explained, searched) = (None, None);
            deadline = Instant::now() + WAKE_UP;
        }
    }

    /// Why nothing fits.
    fn failure(&self, expected: &[Tables]) -> String {
        let tables = self.system.tables();
        let mut text = format!("asked at the same time: {:#?}\n", self.asked);
        match expected.first() {
            None => text.push_str("no order explains these answers"),
            Some(expected) => match tables.difference(expected) {
                Some(difference) => text.push_str(&difference),
                None => text.push_str("an operation has to be answered and is not: a wake-up was lost"),
            },
        }
        text
    }

    /// The state, or one of those that it may be.
    fn model(&self) -> &Model {
        &self.worlds[0].model
    }

    /// Lets what has been asked come as far as it will without anything else being asked.
    async fn pause(&self) {
        self.system.write_nothing().await;
        tokio::time::sleep(LOOK_EVERY).await;
    }

    /// The names of the runners that hold a run.
    fn holders(&self) -> Vec<&str> {
        let active = self.model().all_attempts().filter(|(attempt, _)| attempt.status.is_active());
        active.map(|(attempt, _)| attempt.runner_name.as_str()).collect()
    }

    /// Ends every run there is: those that are held well, those that wait by a cancel.
    async fn clear(&mut self) {
        let held: Vec<Op> = self
            .model()
            .all_attempts()
            .filter(|(a, _)| a.status.is_active())
            .map(|(a, token)| {
                let runner = Shown::whole(self.model().runners[&a.runner_name].token);
                Op::Call { runner, run: a.run, lease: Shown::whole(*token), call: steps::done() }
            })
            .collect();
        let queued: Vec<Op> = self
            .model()
            .runs
            .iter()
            .filter(|run| run.status == Status::Queued)
            .map(|run| Op::Cancel { team: run.team, run: run.id })
            .collect();
        for op in held.into_iter().chain(queued) {
            self.ask(vec![op]).await;
        }
    }

    /// The server ends: every poll that waits is answered.
    async fn begin_stop(&mut self) {
        self.system.begin_stop();
        for world in &mut self.worlds {
            world.model.stopping = true;
        }
        self.settle().await;
        assert!(self.asked.is_empty(), "still open at the end: {:?}", self.asked);
    }

    async fn restart(mut self, cut: bool) -> Self {
        self.begin_stop().await;
        self.system = self.system.restart(cut).await;
        let number = self.take_number();
        for world in &mut self.worlds {
            world.model.carry_out(number, &Op::Restart { cut });
        }
        self
    }
}

async fn sequence(batches: Vec<Batch>, tally: &'static Tally) {
    tally.sequence();
    let mut running = Running::start(tally).await;
    for batch in batches {
        match batch.before {
            Some(Step::Op(Op::Restart { cut })) => running = running.restart(cut).await,
            Some(Step::Op(alone)) => running.ask(vec![alone]).await,
            _ => {}
        }
        let meant = |step| resolve(step, running.model(), &running.past);
        let ops = batch.steps.iter().map(meant).collect();
        running.ask(ops).await;
    }
    for last in [Op::Gauges, Op::Summary { team: 0 }, Op::Summary { team: 1 }] {
        running.ask(vec![last]).await;
    }
    running.begin_stop().await;
    running.system.stop().await;
}

proptest! {
    #![proptest_config(config(CASES))]

    fn sequences(batches in prop::collection::vec(batch(), 1..30)) {
        runtime().block_on(sequence(batches, &TALLY));
    }

    fn sequences_of_wake_ups(batches in prop::collection::vec(wake_ups(), 1..30)) {
        runtime().block_on(sequence(batches, &WAKE_UPS));
    }
}

#[test]
fn some_order_explains_what_was_asked_at_the_same_time_and_no_poll_waits_in_vain() {
    sequences();
    TALLY.tell(MET);
}

#[test]
fn a_run_of_either_team_is_taken_at_once_while_a_poll_that_may_take_it_waits() {
    sequences_of_wake_ups();
    let met = [("CreateRun", "Run"), ("Poll", "Granted"), ("Poll", "Nothing"), ("Drain", "Drained")];
    WAKE_UPS.tell(&met);
}

fn wait_for_work(runner: Number) -> Op {
    let (runner, poll) = (Shown::whole(runner), steps::plain_poll());
    Op::Poll { runner, poll, patience: Patience::Long }
}

fn create(team: Team, priority: i64) -> Op {
    Op::CreateRun {
        team,
        app: "jobs".to_owned(),
        version: None,
        priority: Some(priority),
        max_retries: None,
        retry: None,
        environment: "default".to_owned(),
        input: None,
    }
}

/// The first run wakes the platform's runner, which takes the second: that is further ahead in the queue at first, and then its team is the one
/// that did not have the last lease.
#[test]
fn a_poll_woken_for_one_teams_run_that_takes_anothers_leaves_no_poll_waiting_in_vain() {
    runtime().block_on(async {
        let mut running = Running::start(&WAKE_UPS).await;
        // Which of them is written first, and whether the claim comes between them, is left to chance.
        for _ in 0..ROUNDS {
            let [platform, of_a_team] = ["r0", "r3"].map(|name| running.model().runners[name].token);
            running.ask(vec![wait_for_work(platform)]).await;
            running.ask(vec![wait_for_work(of_a_team)]).await;
            running.ask(vec![create(1, 0), create(0, 1)]).await;
            running.clear().await;
            running.ask(vec![Op::SignOff { runner: Shown::whole(of_a_team), given_up: None }]).await;
        }
        running.begin_stop().await;
        running.system.stop().await;
    });
}

/// A run that is written between a poll's look at the queue and its wait finds nobody waiting.
#[test]
fn a_run_that_becomes_ready_while_a_poll_looks_is_taken_by_it() {
    runtime().block_on(async {
        let mut running = Running::start(&WAKE_UPS).await;
        for _ in 0..ROUNDS {
            let platform = running.model().runners["r0"].token;
            running.ask(vec![wait_for_work(platform), create(0, 0)]).await;
            running.clear().await;
        }
        running.begin_stop().await;
        running.system.stop().await;
    });
}

/// The fence is there before the run that wakes the poll that came first. Whether that poll waits by then cannot be seen from here: once in so many
/// rounds it does.
#[test]
fn a_poll_fenced_while_it_waits_gets_no_run_and_the_next_one_does() {
    runtime().block_on(async {
        let mut running = Running::start(&WAKE_UPS).await;
        let [fenced, next] = ["r0", "r1"].map(|name| running.model().runners[name].token);
        let fence = || ("r0".to_owned(), "somebody".to_owned());
        for _ in 0..ROUNDS {
            running.ask(vec![wait_for_work(fenced)]).await;
            running.ask(vec![wait_for_work(next)]).await;
            running.pause().await;
            let (name, owner) = fence();
            running.ask(vec![Op::Drain { by: Admin::Operator, name, owner }]).await;
            running.ask(vec![create(0, 0)]).await;
            assert_eq!(running.holders(), ["r1"], "the runners that hold a run");
            running.clear().await;
            let (name, owner) = fence();
            running.ask(vec![Op::Undrain { by: Admin::Operator, name, owner }]).await;
        }
        running.begin_stop().await;
        running.system.stop().await;
    });
}

#[test]
fn a_poll_whose_token_is_replaced_while_it_waits_ends_and_gets_no_run() {
    runtime().block_on(async {
        let mut running = Running::start(&WAKE_UPS).await;
        for _ in 0..ROUNDS {
            let former = running.model().runners["r0"].token;
            running.ask(vec![wait_for_work(former)]).await;
            running.pause().await;
            let (name, environment) = ("r0".to_owned(), "default".to_owned());
            running.ask(vec![Op::Register { token: Shown::whole(PLATFORM), name, environment }]).await;
            assert!(running.asked.is_empty(), "still waits: {:?}", running.asked);
            running.ask(vec![create(0, 0)]).await;
            assert_eq!(running.holders(), [""; 0], "the runners that hold a run");
            running.clear().await;
        }
        running.begin_stop().await;
        running.system.stop().await;
    });
}
