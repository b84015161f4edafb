//! What a random step means in a state: which operation, by whom, with which of the secrets that were answered so far.

use std::collections::BTreeMap;

use crate::model::Model;
use crate::steps::{LeasePick, PollPick, Step, TokenPick};
use crate::vocabulary::{
    Admin, Answer, AttemptRow, ENVIRONMENTS, Number, Op, PLATFORM, Poll, Shown, Status, TEAM_REGISTRATION,
    Team,
};

/// Names of runners.
const RUNNERS: [&str; 5] = ["r0", "r1", "r2", "r3", "r4"];

/// The secrets that were answered so far, valid or not.
#[derive(Debug, Clone, Default)]
pub(crate) struct Past {
    runners: BTreeMap<String, Vec<Number>>,
    /// With the runner and the run.
    leases: Vec<(Number, String, i64)>,
    /// With the team.
    registrations: Vec<(Number, Team)>,
}

impl Past {
    /// Notes what an operation was answered.
    pub(crate) fn note(&mut self, number: Number, op: &Op, answer: &Answer) {
        match (op, answer) {
            (Op::Register { name, .. }, Answer::Registered { .. }) => {
                self.runners.entry(name.clone()).or_default().push(number);
            }
            (Op::Poll { runner, .. }, Answer::Granted { run, .. }) => {
                let of = self.runners.iter().find(|(_, tokens)| tokens.contains(&runner.of));
                self.leases.push((number, of.unwrap().0.clone(), *run));
            }
            (Op::NewRegistrationToken { team }, Answer::Done) => self.registrations.push((number, *team)),
            _ => {}
        }
    }
}

/// What a step means in a state.
pub(crate) fn resolve(step: &Step, model: &Model, past: &Past) -> Op {
    let name = |n: u8| RUNNERS[usize::from(n) % RUNNERS.len()];
    let token = |name: &str, pick: TokenPick| {
        let newest = past.runners[name].last().copied().unwrap();
        match pick {
            TokenPick::Newest => Shown::whole(newest),
            TokenPick::Former => Shown::whole(past.runners[name][0]),
            TokenPick::Part(how) => Shown { of: newest, how },
        }
    };
    let run = |n: u8| i64::from(n) % (i64::try_from(model.runs.len()).unwrap() + 1) + 1;
    match step {
        Step::Op(op) => op.clone(),
        Step::Poll { runner, token: pick, poll, start, patience } => {
            let name = name(*runner);
            let poll = Poll { start: *start, ..poll_of(model, name, *poll) };
            Op::Poll { runner: token(name, *pick), poll, patience: *patience }
        }
        Step::Call { token: pick, lease, call } => {
            let Some((runner, run, lease)) = lease_of(model, past, *lease) else {
                return Op::ListRunners { by: Admin::Operator };
            };
            Op::Call { runner: token(&runner, *pick), run, lease, call: call.clone() }
        }
        Step::SignOff { runner, gives_up } => {
            let name = name(*runner);
            let given_up = held_by(model, name).and_then(|held| held.request.clone());
            Op::SignOff { runner: token(name, TokenPick::Newest), given_up: given_up.filter(|_| *gives_up) }
        }
        Step::Cancel { run: n, held, foreign } => {
            let active = lease_of(model, past, LeasePick::Active(*n)).filter(|_| *held);
            let run = active.map_or_else(|| run(*n), |(_, run, _)| run);
            let team = model.runs.get(usize::try_from(run - 1).unwrap()).map_or(0, |run| run.team);
            Op::Cancel { team: if *foreign { 1 - team } else { team }, run }
        }
        Step::Register { name: n, environment, by, how } => {
            let name = name(*n);
            let fitting = match model.runners.get(name).map(|runner| runner.team) {
                Some(None) => PLATFORM,
                // The newest of the team, which may have been deleted, or the one that the team was made with.
                Some(Some(team)) => {
                    let own = past.registrations.iter().rev().find(|(_, of)| *of == team);
                    own.map_or(TEAM_REGISTRATION[team], |(number, _)| *number)
                }
                None => [PLATFORM, 1, 2][usize::from(*by) % 3],
            };
            let known = past.registrations.iter().map(|(number, _)| *number);
            let any: Vec<Number> = [PLATFORM, 1, 2].into_iter().chain(known).collect();
            let of = if by % 3 == 0 { any[usize::from(*by) % any.len()] } else { fitting };
            let environment = ENVIRONMENTS[usize::from(*environment)].to_owned();
            Op::Register { token: Shown { of, how: *how }, name: name.to_owned(), environment }
        }
        Step::Fence { up, by, name: n, owner } => {
            // To be lifted: one that is up, as a rule.
            let up_now = model.fences.iter().nth(usize::from(*n) % model.fences.len().max(1));
            match (up, up_now) {
                (false, Some((name, holder, owner))) if *by != 0 => {
                    let by = match usize::try_from(*holder).unwrap() {
                        0 => Admin::Operator,
                        team => Admin::Team(team - 1),
                    };
                    Op::Undrain { by, name: name.clone(), owner: owner.clone() }
                }
                _ => {
                    let (name, owner) =
                        (name(*n).to_owned(), ["pool", "person"][usize::from(*owner)].to_owned());
                    let by = admin(*by);
                    if *up { Op::Drain { by, name, owner } } else { Op::Undrain { by, name, owner } }
                }
            }
        }
        Step::Ended { by, holder, instance } => {
            let held: Vec<_> = model.all_attempts().filter(|(a, _)| a.status.is_active()).collect();
            let held = held.get(usize::from(*holder) % held.len().max(1)).map(|(attempt, _)| attempt);
            let name = held.map_or_else(|| name(*holder).to_owned(), |attempt| attempt.runner_name.clone());
            let own = held.and_then(|attempt| attempt.instance.clone());
            let other = || format!("i{}", instance.unwrap_or(0));
            let instance = if instance.is_none() { own.unwrap_or_else(other) } else { other() };
            Op::Ended { by: admin(*by), name, instance }
        }
        Step::Forget { by, name: n } => Op::Forget { by: admin(*by), name: name(*n).to_owned() },
        Step::DeleteToken { which, foreign } => {
            match past.registrations.get(usize::from(*which) % past.registrations.len().max(1)) {
                Some((number, team)) => {
                    let team = if *foreign { 1 - team } else { *team };
                    Op::DeleteRegistrationToken { team, token: *number }
                }
                None => Op::Bootstrap,
            }
        }
        Step::Look { what, team, run: n, after } => match what {
            0 => Op::ShowRun { team: *team, run: run(*n) },
            1 => Op::Attempts { team: *team, run: run(*n) },
            2 => Op::Logs { team: *team, run: run(*n), after: *after },
            3 => Op::ListRunners { by: admin(*n % 6) },
            4 => Op::Summary { team: *team },
            5 => Op::Gauges,
            _ => list_of(*team, run(*n), *n, *after),
        },
    }
}

/// A list of runs with some of the filters, chosen by the bits of a number.
fn list_of(team: Team, run: i64, bits: u8, after: i64) -> Op {
    let bit = |n: u8| bits >> n & 1 == 1;
    Op::ListRuns {
        team,
        app: bit(0).then(|| if bit(5) { "more" } else { "jobs" }.to_owned()),
        status: bit(1).then_some(Status::ALL[usize::from(bits >> 5)]),
        environment: bit(2).then(|| ENVIRONMENTS[usize::from(bit(6))].to_owned()),
        before: bit(3).then_some(run),
        limit: after + 1,
        offset: if bit(4) { after } else { 0 },
    }
}

fn admin(n: u8) -> Admin {
    match n {
        4 => Admin::Team(0),
        5 => Admin::Team(1),
        _ => Admin::Operator,
    }
}

/// What a runner holds.
fn held_by<'m>(model: &'m Model, runner: &str) -> Option<&'m AttemptRow> {
    let runner = model.runners.get(runner)?;
    model.active_of_runner(runner.id).map(|(attempt, _)| attempt)
}

fn poll_of(model: &Model, runner: &str, pick: PollPick) -> Poll {
    let held = held_by(model, runner);
    let instance = |n: Option<u8>| n.map(|n| format!("i{n}"));
    match pick {
        PollPick::Fresh { request, instance: own, supersedes } => Poll {
            request: request.map(|n| format!("q{n}")),
            instance: instance(own),
            supersedes: instance(supersedes),
            start: false,
        },
        PollPick::Again => Poll {
            request: held.and_then(|attempt| attempt.request.clone()),
            instance: held.and_then(|attempt| attempt.instance.clone()),
            supersedes: None,
            start: false,
        },
        PollPick::Successor(own) => Poll {
            request: None,
            instance: instance(own),
            supersedes: held.and_then(|attempt| attempt.instance.clone()),
            start: false,
        },
    }
}

/// Runner's name, run and lease token of such a lease; none: there is no such yet.
fn lease_of(model: &Model, past: &Past, pick: LeasePick) -> Option<(String, i64, Shown)> {
    let active = |which: u8| {
        let active: Vec<_> = model.all_attempts().filter(|(a, _)| a.status.is_active()).collect();
        let (attempt, token) = active.get(usize::from(which) % active.len().max(1))?;
        Some((attempt.runner_name.clone(), attempt.run, Shown::whole(*token)))
    };
    let any = |which: u8| {
        let (number, runner, run) = past.leases.get(usize::from(which) % past.leases.len().max(1))?;
        Some((runner.clone(), *run, Shown::whole(*number)))
    };
    match pick {
        LeasePick::Active(which) => active(which).or_else(|| any(which)),
        LeasePick::Part(which, how) => {
            let (runner, run, lease) = active(which)?;
            Some((runner, run, Shown { how, ..lease }))
        }
        LeasePick::Past(which) => any(which),
        LeasePick::Foreign(which, other) => {
            let (_, run, lease) = active(which)?;
            Some((RUNNERS[usize::from(other)].to_owned(), run, lease))
        }
        LeasePick::OtherRun(which, other) => {
            let (runner, _, lease) = active(which)?;
            Some((runner, i64::from(other) % 8 + 1, lease))
        }
    }
}
