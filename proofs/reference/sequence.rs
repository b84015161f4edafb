//! One operation after another: each is answered as the reference answers it, and leaves in SQLite what the reference has.

use std::time::Duration;

use minitower_tests::invariants::Witness;
use proptest::prelude::*;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest};

use crate::config::{Tally, config};
use crate::model::Model;
use crate::resolve::{Past, resolve};
use crate::steps::{self, Step};
use crate::system::{self, SOON, System, runtime};
use crate::vocabulary::{Answer, AttemptRow, Number, Op, PLATFORM, Patience, RunRow, Shown, Status};

static TALLY: Tally = Tally::new("one after another");
/// Operations of a sequence.
const LENGTH: usize = 120;
/// Sequences of the short version.
const CASES: u32 = 60;

/// What has to be met, or nothing is proved.
const MET: &[(&str, &str)] = &[
    ("CreateRun", "Run"),
    ("CreateRun", "NotFound"),
    ("Poll", "Granted"),
    ("Poll", "Nothing"),
    ("Poll", "Conflict"),
    ("Poll", "Unauthorized"),
    ("Poll", "Done"),
    ("Start", "Held"),
    ("Start", "Gone"),
    ("Start", "Unauthorized"),
    ("Heartbeat", "Held"),
    ("Heartbeat", "Gone"),
    ("Logs", "Done"),
    ("Logs", "Gone"),
    ("Result", "Done"),
    ("Result", "Conflict"),
    ("Result", "Gone"),
    ("Release", "Done"),
    ("Release", "Gone"),
    ("Cancel", "Run"),
    ("Cancel", "NotFound"),
    ("SignOff", "Done"),
    ("Drain", "Drained"),
    ("Drain", "NotFound"),
    ("Undrain", "Drained"),
    ("Ended", "Done"),
    ("Ended", "Conflict"),
    ("Register", "Registered"),
    ("Register", "Unauthorized"),
    ("Register", "Conflict"),
    ("Forget", "Done"),
    ("Forget", "Conflict"),
    ("Upload", "Version"),
    ("Reap", "Done"),
    ("Restart", "Done"),
    ("ListRuns", "Runs"),
    ("State", "BackingOff"),
    ("State", "RetryTaken"),
    ("State", "AtLimit"),
];

/// The reference with the operation it carried out last.
#[derive(Clone)]
struct Reference {
    model: Model,
    past: Past,
    number: Number,
    last: Option<(Number, Op, Answer)>,
}

impl std::fmt::Debug for Reference {
    /// Every sequence begins with the same state: a failing one is told by its steps.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the beginning")
    }
}

impl Reference {
    fn carry_out(&mut self, op: Op) {
        let number = self.number;
        self.number += 1;
        let answer = self.model.carry_out(number, &op);
        self.past.note(number, &op, &answer);
        self.last = Some((number, op, answer));
    }
}

struct Operations;

impl ReferenceStateMachine for Operations {
    type State = Reference;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Reference> {
        let (model, past, number) = system::beginning();
        Just(Reference { model, past, number, last: None }).boxed()
    }

    fn transitions(_: &Reference) -> BoxedStrategy<Step> {
        let patience = prop_oneof![14 => Just(Patience::None), 1 => Just(Patience::Vanishes)];
        let restart = any::<bool>().prop_map(|cut| Step::Op(Op::Restart { cut }));
        prop_oneof![
            20 => steps::create_run(),
            24 => steps::poll(patience),
            40 => steps::call(),
            7 => steps::advance(),
            4 => Just(Step::Op(Op::Reap)),
            6 => steps::cancel(),
            6 => steps::fence(),
            3 => steps::ended(),
            3 => steps::sign_off(),
            4 => steps::register(),
            1 => steps::forget(),
            2 => steps::registration_tokens(),
            1 => steps::upload(),
            1 => steps::create_app(),
            1 => restart,
            10 => steps::look(),
        ]
        .boxed()
    }

    fn apply(mut state: Reference, step: &Step) -> Reference {
        let op = resolve(step, &state.model, &state.past);
        state.carry_out(op);
        state
    }
}

struct Running {
    system: System,
    witness: Witness,
}

impl Running {
    /// Carries out the reference's last operation, and compares.
    async fn follow(mut self, reference: &Reference) -> Self {
        let (number, op, expected) = reference.last.clone().unwrap();
        let answer = if let Op::Restart { cut } = op {
            self.system = self.system.restart(cut).await;
            Answer::Done
        } else {
            self.system.client.ask(number, &op).await
        };
        assert_eq!(answer, expected, "the answer to {op:?}");
        TALLY.operation(&op, &answer);
        for run in &reference.model.runs {
            TALLY.state("BackingOff", run.not_before.is_some());
            let failed = |(attempt, _): &(AttemptRow, Number)| {
                attempt.run == run.id && attempt.status == Status::Failed
            };
            TALLY.state("RetryTaken", run.status.is_active() && reference.model.all_attempts().any(failed));
        }
        let waits = |run: &RunRow| run.status == Status::Queued && reference.model.is_at_limit(run.team);
        TALLY.state("AtLimit", reference.model.runs.iter().any(|run| waits(run)));
        let vanished = matches!(&op, Op::Poll { patience: Patience::Vanishes, .. });
        self.compare(&reference.model, if vanished { SOON } else { Duration::ZERO }, &op).await;
        self.witness.look(self.system.database());
        self
    }

    /// Asserts that SQLite holds what the reference has, after `limit` at the latest.
    async fn compare(&self, model: &Model, limit: Duration, op: &Op) {
        let (expected, deadline) = (model.tables(), tokio::time::Instant::now() + limit);
        loop {
            let Some(difference) = self.system.tables().difference(&expected) else { return };
            assert!(tokio::time::Instant::now() < deadline, "after {op:?}:\n{difference}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

impl StateMachineTest for Operations {
    type SystemUnderTest = Running;
    type Reference = Self;

    fn init_test(reference: &Reference) -> Running {
        TALLY.sequence();
        runtime().block_on(async {
            let running = Running { system: System::start().await, witness: Witness::default() };
            let beginning = Op::Restart { cut: false };
            running.compare(&reference.model, Duration::ZERO, &beginning).await;
            running
        })
    }

    fn apply(running: Running, reference: &Reference, _: Step) -> Running {
        runtime().block_on(running.follow(reference))
    }

    /// What is left in the queue comes in its order, and the counts are right at the end.
    fn teardown(mut running: Running, mut reference: Reference) {
        runtime().block_on(async {
            for environment in ["default", "gpu"] {
                let (name, environment) = (format!("last-of-{environment}"), environment.to_owned());
                let token = Shown::whole(PLATFORM);
                let runner = Shown::whole(reference.number);
                reference.carry_out(Op::Register { token, name, environment });
                running = running.follow(&reference).await;
                loop {
                    let (poll, patience) = (steps::plain_poll(), Patience::None);
                    let lease = Shown::whole(reference.number);
                    reference.carry_out(Op::Poll { runner, poll, patience });
                    let run = match &reference.last {
                        Some((.., Answer::Granted { run, .. })) => *run,
                        _ => break,
                    };
                    running = running.follow(&reference).await;
                    reference.carry_out(Op::Call { runner, run, lease, call: steps::done() });
                    running = running.follow(&reference).await;
                }
                running = running.follow(&reference).await;
            }
            for op in [Op::Gauges, Op::Summary { team: 0 }, Op::Summary { team: 1 }] {
                reference.carry_out(op);
                running = running.follow(&reference).await;
            }
            running.system.stop().await;
        });
    }
}

proptest! {
    #![proptest_config(config(CASES))]

    fn sequences((first, steps, seen) in Operations::sequential_strategy(LENGTH)) {
        Operations::test_sequential(config(CASES), first, steps, seen);
    }
}

#[test]
fn what_the_database_holds_after_each_operation_is_what_the_reference_has() {
    sequences();
    TALLY.tell(MET);
}
