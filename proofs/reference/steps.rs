//! Random steps. A step says vaguely what is to be done ("the second of those that hold something reports its end"), so that it stays
//! sensible while others around it are left out; [`resolve`](crate::resolve::resolve) makes the operation of it that it means in a state.

use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;

use crate::vocabulary::{Call, ENVIRONMENTS, Ending, How, Op, Patience, Poll, Retry, Status, TTL_MS, Team};

/// Which runner token is shown.
#[derive(Debug, Clone, Copy)]
pub(crate) enum TokenPick {
    Newest,
    Former,
    Part(How),
}

/// Which lease is shown.
#[derive(Debug, Clone, Copy)]
pub(crate) enum LeasePick {
    /// That of an active attempt, by its runner, for its run.
    Active(u8),
    /// One with almost the same token.
    Part(u8, How),
    /// That of any attempt there was.
    Past(u8),
    /// That of an active attempt, by another runner.
    Foreign(u8, u8),
    /// That of an active attempt, for another run.
    OtherRun(u8, u8),
}

/// What a poll says.
#[derive(Debug, Clone, Copy)]
pub(crate) enum PollPick {
    Fresh {
        request: Option<u8>,
        instance: Option<u8>,
        supersedes: Option<u8>,
    },
    /// The poll that its runner's attempt was leased to.
    Again,
    /// By the successor of the process that its runner's attempt was leased to.
    Successor(Option<u8>),
}

/// Something to do; numbers choose among what there is.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// Nothing in it depends on the state.
    Op(Op),
    Poll {
        runner: u8,
        token: TokenPick,
        poll: PollPick,
        start: bool,
        patience: Patience,
    },
    Call {
        token: TokenPick,
        lease: LeasePick,
        call: Call,
    },
    /// Perhaps it names the poll that its attempt was leased to.
    SignOff {
        runner: u8,
        gives_up: bool,
    },
    /// Of a run that is held, if there is one, or of any.
    Cancel {
        run: u8,
        held: bool,
        foreign: bool,
    },
    Register {
        name: u8,
        environment: u8,
        by: u8,
        how: How,
    },
    Fence {
        up: bool,
        by: u8,
        name: u8,
        owner: u8,
    },
    Ended {
        by: u8,
        holder: u8,
        instance: Option<u8>,
    },
    Forget {
        by: u8,
        name: u8,
    },
    DeleteToken {
        which: u8,
        foreign: bool,
    },
    Look {
        what: u8,
        team: Team,
        run: u8,
        after: i64,
    },
}

impl Step {
    /// The same step, but what concerns a run that is held concerns that one.
    pub(crate) fn focused(self, which: u8) -> Self {
        match self {
            Self::Call { token, lease: LeasePick::Active(_), call } => {
                Self::Call { token, lease: LeasePick::Active(which), call }
            }
            Self::Cancel { foreign, .. } => Self::Cancel { run: which, held: true, foreign },
            Self::Ended { by, instance, .. } => Self::Ended { by, holder: which, instance },
            other => other,
        }
    }
}

fn how() -> impl Strategy<Value = How> {
    select(vec![How::WithoutItsEnd, How::WithMoreBehind, How::WithAnotherEnd])
}

fn token() -> impl Strategy<Value = TokenPick> {
    prop_oneof![30 => Just(TokenPick::Newest), 1 => Just(TokenPick::Former), 1 => how().prop_map(TokenPick::Part)]
}

/// A run to be made.
pub(crate) fn create_run() -> impl Strategy<Value = Step> {
    let app = prop_oneof![20 => Just("jobs"), 2 => Just("more"), 1 => Just("none")];
    let environment = prop_oneof![4 => Just(ENVIRONMENTS[0]), 1 => Just(ENVIRONMENTS[1])];
    let version = prop_oneof![8 => Just(None), 1 => (1..4_i64).prop_map(Some)];
    let priority = prop_oneof![6 => Just(None), 1 => (-1..=1_i64).prop_map(Some)];
    let retries = prop_oneof![
        1 => of(0..3_i64).prop_map(|max_retries| (max_retries, None)),
        1 => retry().prop_map(|retry| (None, Some(retry))),
    ];
    (0..2_usize, app, version, priority, retries, environment, of(0..3_u8)).prop_map(
        |(team, app, version, priority, (max_retries, retry), environment, input)| {
            let (app, environment) = (app.to_owned(), environment.to_owned());
            Step::Op(Op::CreateRun { team, app, version, priority, max_retries, retry, environment, input })
        },
    )
}

fn retry() -> impl Strategy<Value = Retry> {
    let on =
        prop_oneof![4 => Just([true; 3]), 1 => Just([true, false, false]), 1 => Just([false, true, true])];
    (1..5_i64, on, 0..3_i64).prop_map(|(max_attempts, [failed, timeout, lost], backoff)| Retry {
        max_attempts,
        failed,
        timeout,
        lost,
        backoff,
    })
}

/// A run that will be queued.
pub(crate) fn create_ready_run() -> impl Strategy<Value = Step> {
    (0..2_usize, prop::option::of(-1..=1_i64)).prop_map(|(team, priority)| {
        Step::Op(Op::CreateRun {
            team,
            app: "jobs".to_owned(),
            version: None,
            priority,
            max_retries: None,
            retry: None,
            environment: ENVIRONMENTS[0].to_owned(),
            input: None,
        })
    })
}

/// A poll that waits for work, and says nothing of itself.
pub(crate) fn long_poll() -> impl Strategy<Value = Step> {
    let poll = PollPick::Fresh { request: None, instance: None, supersedes: None };
    let patience = Patience::Long;
    (0..4_u8, any::<bool>()).prop_map(move |(runner, start)| Step::Poll {
        runner,
        token: TokenPick::Newest,
        poll,
        start,
        patience,
    })
}

/// A job that was leased ends well.
pub(crate) fn end() -> impl Strategy<Value = Step> {
    any::<u8>().prop_map(|which| Step::Call {
        token: TokenPick::Newest,
        lease: LeasePick::Active(which),
        call: done(),
    })
}

/// A poll of such patience.
pub(crate) fn poll(patience: impl Strategy<Value = Patience>) -> impl Strategy<Value = Step> {
    let fresh = (of(0..3_u8), of(0..3_u8), prop_oneof![6 => Just(None), 1 => (0..3_u8).prop_map(Some)])
        .prop_map(|(request, instance, supersedes)| PollPick::Fresh { request, instance, supersedes });
    let pick = prop_oneof![
        8 => fresh, 1 => Just(PollPick::Again), 1 => of(0..3_u8).prop_map(PollPick::Successor)
    ];
    (0..5_u8, token(), pick, any::<bool>(), patience).prop_map(|(runner, token, poll, start, patience)| {
        Step::Poll { runner, token, poll, start, patience }
    })
}

/// A call under a lease.
pub(crate) fn call() -> impl Strategy<Value = Step> {
    let lease = prop_oneof![
        24 => any::<u8>().prop_map(LeasePick::Active),
        2 => (any::<u8>(), how()).prop_map(|(which, how)| LeasePick::Part(which, how)),
        5 => any::<u8>().prop_map(LeasePick::Past),
        1 => (any::<u8>(), 0..5_u8).prop_map(|(which, runner)| LeasePick::Foreign(which, runner)),
        1 => (any::<u8>(), any::<u8>()).prop_map(|(which, run)| LeasePick::OtherRun(which, run)),
    ];
    let logs = (1..5_i64, 0..5_i64, 0..3_u8).prop_map(|(from, n, text)| Call::Logs(from, from + n, text));
    let call = prop_oneof![
        5 => Just(Call::Start), 3 => Just(Call::Heartbeat), 5 => logs, 6 => result(), 2 => Just(Call::Release),
        1 => Just(Call::Artifact),
    ];
    (token(), lease, call).prop_map(|(token, lease, call)| Step::Call { token, lease, call })
}

fn result() -> impl Strategy<Value = Call> {
    let status =
        select(vec![Status::Completed, Status::Completed, Status::Failed, Status::Failed, Status::Cancelled]);
    (status, 0..2_i64, any::<bool>(), any::<bool>()).prop_map(|(status, exit_code, message, timeout)| {
        let message = message.then(|| "it went wrong".to_owned());
        Call::Result(Ending { status, exit_code, message, timeout })
    })
}

pub(crate) fn cancel() -> impl Strategy<Value = Step> {
    (any::<u8>(), any::<bool>(), prop::bool::weighted(0.1)).prop_map(|(run, held, foreign)| Step::Cancel {
        run,
        held,
        foreign,
    })
}

pub(crate) fn sign_off() -> impl Strategy<Value = Step> {
    (0..5_u8, any::<bool>()).prop_map(|(runner, gives_up)| Step::SignOff { runner, gives_up })
}

pub(crate) fn fence() -> impl Strategy<Value = Step> {
    (any::<bool>(), 0..6_u8, 0..5_u8, 0..2_u8).prop_map(|(up, by, name, owner)| Step::Fence {
        up,
        by,
        name,
        owner,
    })
}

pub(crate) fn register() -> impl Strategy<Value = Step> {
    let how = prop_oneof![8 => Just(How::Whole), 1 => how()];
    let environment = prop_oneof![4 => Just(0), 1 => Just(1)];
    (0..5_u8, environment, any::<u8>(), how).prop_map(|(name, environment, by, how)| Step::Register {
        name,
        environment,
        by,
        how,
    })
}

pub(crate) fn forget() -> impl Strategy<Value = Step> {
    (0..6_u8, 0..5_u8).prop_map(|(by, name)| Step::Forget { by, name })
}

pub(crate) fn ended() -> impl Strategy<Value = Step> {
    (0..6_u8, any::<u8>(), of(0..3_u8)).prop_map(|(by, holder, instance)| Step::Ended {
        by,
        holder,
        instance,
    })
}

pub(crate) fn look() -> impl Strategy<Value = Step> {
    (0..7_u8, 0..2_usize, any::<u8>(), 0..4_i64).prop_map(|(what, team, run, after)| Step::Look {
        what,
        team,
        run,
        after,
    })
}

/// Registration tokens made, made anew and deleted.
pub(crate) fn registration_tokens() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (0..2_usize).prop_map(|team| Step::Op(Op::NewRegistrationToken { team })),
        2 => (any::<u8>(), prop::bool::weighted(0.2))
            .prop_map(|(which, foreign)| Step::DeleteToken { which, foreign }),
        1 => Just(Step::Op(Op::Bootstrap)),
    ]
}

pub(crate) fn upload() -> impl Strategy<Value = Step> {
    let app = prop_oneof![4 => Just("jobs"), 2 => Just("more"), 1 => Just("none")];
    (0..2_usize, app, 0..3_i64)
        .prop_map(|(team, app, max_retries)| Step::Op(Op::Upload { team, app: app.to_owned(), max_retries }))
}

pub(crate) fn create_app() -> impl Strategy<Value = Step> {
    (0..2_usize, select(vec!["jobs", "more"]))
        .prop_map(|(team, slug)| Step::Op(Op::CreateApp { team, slug: slug.to_owned() }))
}

pub(crate) fn advance() -> impl Strategy<Value = Step> {
    select(vec![1, 2, 1_000, 20_000, 40_000, TTL_MS - 1, TTL_MS]).prop_map(|by| Step::Op(Op::Advance(by)))
}

/// A poll that says nothing of itself.
pub(crate) fn plain_poll() -> Poll {
    Poll::default()
}

/// The end of a job that went well.
pub(crate) fn done() -> Call {
    Call::Result(Ending { status: Status::Completed, exit_code: 0, message: None, timeout: false })
}
