//! Which moves an operation makes. Most make one; those that read before they write, and polls, make several, and others may come between them.

use std::sync::Arc;

use super::protocol::Claimed;
use super::{Model, Principal, Runner, Scope};
use crate::vocabulary::{Admin, Answer, EndedBy, No, Number, Op, Patience, RunRow, Status};

/// How far an operation has come.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Stage {
    /// It was asked and did nothing yet.
    Asked,
    /// The runner's token was understood.
    Known(Principal),
    /// The registration token was understood.
    May(Scope),
    /// The version of a new run is known: its number and its retries.
    Resolved(i64, i64),
    /// A poll is its runner's newest, and has not looked for work yet.
    Entered(Principal),
    /// A poll found nothing, and waits.
    Waiting(Principal),
    /// A newer poll of its runner, or a sign-off, took this poll's place.
    Overtaken(Principal),
    /// A runner that signed off gets nothing any more, and still has what it held.
    Left(Principal),
    /// It was answered so, but the answer has not arrived yet.
    Unheard(Answer),
}

/// What an operation's move leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Next {
    Answer(Answer),
    Stage(Stage),
}

fn refused(no: No) -> Next {
    Next::Answer(Answer::Refused(no))
}

const DONE: Next = Next::Answer(Answer::Done);

impl Model {
    /// Carries out an operation that nothing comes between.
    pub(crate) fn carry_out(&mut self, number: Number, op: &Op) -> Answer {
        let mut stage = Stage::Asked;
        loop {
            // The last possibility is the one that holds when nobody waits.
            let (after, next) = self.moves(number, op, &stage).pop().unwrap();
            *self = after;
            match next {
                Next::Answer(answer) => return answer,
                Next::Stage(next) => stage = next,
            }
        }
    }

    /// Everything that an operation's next move may be: the state after it, and where it leads. None: it cannot move.
    pub(crate) fn moves(&self, number: Number, op: &Op, stage: &Stage) -> Vec<(Self, Next)> {
        let mut after = self.clone();
        let next = match (op, stage) {
            (Op::Poll { .. }, Stage::Entered(_) | Stage::Waiting(_)) => return self.poll(number, op, stage),
            (
                Op::Poll { runner, .. } | Op::Call { runner, .. } | Op::SignOff { runner, .. },
                Stage::Asked,
            ) => match self.authenticate(*runner) {
                Some(principal) => Next::Stage(Stage::Known(principal)),
                None => refused(No::Unauthorized),
            },
            (Op::Poll { .. }, Stage::Known(by)) => {
                after.newest.insert(by.id, number);
                Next::Stage(Stage::Entered(by.clone()))
            }
            (Op::Poll { .. }, Stage::Overtaken(by)) => Next::Answer(match after.active_of_runner(by.id) {
                Some(_) => Answer::Refused(No::Conflict),
                None => Answer::Nothing,
            }),
            (Op::Call { run, lease, call, .. }, Stage::Known(by)) => {
                Next::Answer(after.call(by, *run, *lease, call))
            }
            (Op::SignOff { .. }, Stage::Known(by)) => {
                after.newest.insert(by.id, number);
                Next::Stage(Stage::Left(by.clone()))
            }
            (Op::SignOff { given_up, .. }, Stage::Left(by)) => {
                after.give_back(by.id, given_up.as_ref());
                DONE
            }
            (Op::Register { token, .. }, Stage::Asked) => match self.registers_for(*token) {
                Some(scope) => Next::Stage(Stage::May(scope)),
                None => refused(No::Unauthorized),
            },
            (Op::Register { name, environment, .. }, Stage::May(scope)) => {
                Next::Answer(after.register(number, *scope, name, environment))
            }
            (Op::CreateRun { team, app, version, .. }, Stage::Asked) => {
                match self.apps.get(&(*team, app.clone())).map(|versions| (versions, version)) {
                    None => refused(No::NotFound),
                    Some((versions, None)) => match versions.last() {
                        Some(retries) => {
                            Next::Stage(Stage::Resolved(i64::try_from(versions.len()).unwrap(), *retries))
                        }
                        None => refused(No::Unversioned),
                    },
                    Some((versions, Some(number))) => match versions.get(super::place(*number)) {
                        Some(retries) => Next::Stage(Stage::Resolved(*number, *retries)),
                        None => refused(No::NotFound),
                    },
                }
            }
            (Op::CreateRun { .. }, Stage::Resolved(version, retries)) => {
                Next::Answer(after.create_run(op, *version, *retries))
            }
            (op, _) => Next::Answer(after.at_once(number, op)),
        };
        vec![(after, next)]
    }

    fn poll(&self, number: Number, op: &Op, stage: &Stage) -> Vec<(Self, Next)> {
        let Op::Poll { runner, poll, patience } = op else { unreachable!("{op:?} is no poll") };
        let (Stage::Entered(by) | Stage::Waiting(by)) = stage else { unreachable!("{stage:?}") };
        let entered = matches!(stage, Stage::Entered(_));
        let nothing = Next::Answer(Answer::Nothing);
        let mut ends = Vec::new();
        if self.newest.get(&by.id) != Some(&number) {
            ends.push((self.clone(), Next::Stage(Stage::Overtaken(by.clone()))));
        }
        // The token is looked at once more after the poll has entered; later its death merely ends the poll.
        if entered && self.authenticate(*runner).is_none() {
            ends.push((self.clone(), refused(No::Unauthorized)));
        }
        if !ends.is_empty() {
            return ends;
        }
        let mut after = self.clone();
        let claimed = after.claim(by, poll, number);
        match (claimed, patience) {
            (Claimed::Granted(answer), patience) => match (*answer, patience) {
                (Answer::Granted { attempt, .. }, Patience::Vanishes) => {
                    after.forget_start(attempt);
                    after.release(attempt);
                    vec![(after, DONE)]
                }
                (answer, _) => vec![(after, Next::Answer(answer))],
            },
            (Claimed::Busy, _) => vec![(after, refused(No::Conflict))],
            (Claimed::Nothing, _) if entered => vec![(after, Next::Stage(Stage::Waiting(by.clone())))],
            // Whoever does not wait may still look more than once.
            (Claimed::Nothing, Patience::None | Patience::Vanishes) => vec![(after, nothing)],
            (Claimed::Nothing, Patience::Long) if self.stopping => vec![(after, nothing)],
            (Claimed::Nothing, Patience::Long) => Vec::new(),
        }
    }

    /// An operation of one move.
    fn at_once(&mut self, number: Number, op: &Op) -> Answer {
        match op {
            Op::CreateApp { team, slug } => {
                let key = (*team, slug.clone());
                if self.apps.contains_key(&key) {
                    return Answer::Refused(No::SlugTaken);
                }
                Arc::make_mut(&mut self.apps).insert(key, Vec::new());
                Answer::Done
            }
            Op::Upload { team, app, max_retries } => {
                match Arc::make_mut(&mut self.apps).get_mut(&(*team, app.clone())) {
                    None => Answer::Refused(No::NotFound),
                    Some(versions) => {
                        versions.push(*max_retries);
                        Answer::Version(i64::try_from(versions.len()).unwrap())
                    }
                }
            }
            Op::Cancel { team, run } => {
                if self.run_of_team(*team, *run).is_none() {
                    return Answer::Refused(No::NotFound);
                }
                self.cancel(*run);
                Answer::Run(Box::new(self.run(*run).clone()))
            }
            Op::NewRegistrationToken { team } => {
                Arc::make_mut(&mut self.registration_tokens).insert(number, (*team, false));
                Answer::Done
            }
            Op::DeleteRegistrationToken { team, token } => {
                let own = self.registration_tokens.get(token).is_some_and(|(of, _)| of == team);
                if !own {
                    return Answer::Refused(No::NotFound);
                }
                Arc::make_mut(&mut self.registration_tokens).remove(token);
                Answer::Done
            }
            Op::Bootstrap => {
                Arc::make_mut(&mut self.registration_tokens).retain(|_, of| *of != (0, true));
                Arc::make_mut(&mut self.registration_tokens).insert(number, (0, true));
                Answer::Done
            }
            Op::Drain { by, name, owner } => self.fence(*by, name, owner, true),
            Op::Undrain { by, name, owner } => self.fence(*by, name, owner, false),
            Op::Ended { by, name, instance } => {
                let Some(runner) = self.own_runner(*by, name) else { return Answer::Refused(No::NotFound) };
                match self.active_of_runner(runner.id).map(|(a, _)| (a.id, &a.instance)) {
                    Some((attempt, Some(held))) if held == instance => {
                        self.lose(attempt, EndedBy::ProcessEnd, ENDED);
                        Answer::Done
                    }
                    _ => Answer::Refused(No::Conflict),
                }
            }
            Op::Forget { by, name } => self.forget(*by, name),
            Op::Advance(by) => {
                self.now += by;
                Answer::Done
            }
            Op::Reap => {
                self.reap();
                Answer::Done
            }
            Op::Restart { .. } => {
                self.restart();
                Answer::Done
            }
            read => self.list(read),
        }
    }

    fn register(&mut self, number: Number, scope: Scope, name: &str, environment: &str) -> Answer {
        let known = self.runners.get(name);
        if known.is_some_and(|runner| runner.team != scope) {
            return Answer::Refused(No::Conflict);
        }
        // A pod's name, fenced in advance.
        let of_operator =
            |fence: &(String, i64, String)| fence.0 == name && fence.1 == holder(Admin::Operator);
        if known.is_none() && scope.is_some() && self.fences.iter().any(of_operator) {
            return Answer::Refused(No::Conflict);
        }
        let created = known.is_none();
        let id = known.map_or(self.last_runner + 1, |runner| runner.id);
        let instance = known.and_then(|runner| runner.instance.clone());
        self.last_runner = self.last_runner.max(id);
        if let Some(team) = scope {
            Arc::make_mut(&mut self.environments).insert((team, environment.to_owned()));
        }
        let runner = Runner { id, team: scope, environment: environment.to_owned(), token: number, instance };
        Arc::make_mut(&mut self.runners).insert(name.to_owned(), runner);
        // What waits under the former token gets nothing any more.
        self.newest.insert(id, number);
        Answer::Registered { id, created }
    }

    fn create_run(&mut self, op: &Op, version: i64, retries: i64) -> Answer {
        let Op::CreateRun { team, app, priority, max_retries, retry, environment, input, .. } = op else {
            unreachable!("{op:?} makes no run")
        };
        Arc::make_mut(&mut self.environments).insert((*team, environment.clone()));
        let of_app = self.runs.iter().filter(|run| run.team == *team && run.app == *app).count();
        let run = RunRow {
            id: i64::try_from(self.runs.len()).unwrap() + 1,
            team: *team,
            app: app.clone(),
            number: i64::try_from(of_app).unwrap() + 1,
            version,
            environment: environment.clone(),
            input: input.map(|n| format!("{{\"n\":{n}}}")),
            priority: priority.unwrap_or(0),
            max_retries: retry.map(|retry| retry.max_attempts - 1).or(*max_retries).unwrap_or(retries),
            retry: *retry,
            not_before: None,
            retry_count: 0,
            status: Status::Queued,
            cancel_requested: false,
            runner: None,
            exit_code: None,
            message: None,
            created_at: self.now,
            queued_at: self.now,
            started_at: None,
            finished_at: None,
        };
        self.runs.push(Arc::new(run.clone()));
        Answer::Run(Box::new(run))
    }

    /// The runner of that name, if the caller may change it.
    fn own_runner(&self, by: Admin, name: &str) -> Option<&Runner> {
        self.runners.get(name).filter(|runner| match by {
            Admin::Operator => true,
            Admin::Team(team) => runner.team == Some(team),
        })
    }

    fn fence(&mut self, by: Admin, name: &str, owner: &str, up: bool) -> Answer {
        if by != Admin::Operator && self.own_runner(by, name).is_none() {
            return Answer::Refused(No::NotFound);
        }
        let fence = (name.to_owned(), holder(by), owner.to_owned());
        if up {
            Arc::make_mut(&mut self.fences).insert(fence);
        } else {
            Arc::make_mut(&mut self.fences).remove(&fence);
        }
        let held = self.runners.get(name).and_then(|runner| self.active_of_runner(runner.id));
        Answer::Drained { run: held.map(|(a, _)| a.run), draining: self.is_fenced(name) }
    }

    fn forget(&mut self, by: Admin, name: &str) -> Answer {
        let Some(id) = self.own_runner(by, name).map(|runner| runner.id) else {
            let fences = self.fences.len();
            if by == Admin::Operator {
                // A name that never registered: its fences are all there is.
                Arc::make_mut(&mut self.fences).retain(|(fenced, ..)| fenced != name);
            }
            let lifted = self.fences.len() < fences;
            return if lifted { Answer::Done } else { Answer::Refused(No::NotFound) };
        };
        if self.active_of_runner(id).is_some() {
            return Answer::Refused(No::Conflict);
        }
        Arc::make_mut(&mut self.runners).remove(name);
        // A team takes its own fences with it, not the operator's.
        Arc::make_mut(&mut self.fences).retain(|(fenced, holder_id, _)| {
            fenced != name || (by != Admin::Operator && *holder_id != holder(by))
        });
        self.newest.remove(&id);
        Answer::Done
    }
}

/// What is said of a process that has ended.
pub(crate) const ENDED: &str = "OOMKilled";

fn holder(by: Admin) -> i64 {
    match by {
        Admin::Operator => 0,
        Admin::Team(team) => i64::try_from(team).unwrap() + 1,
    }
}
