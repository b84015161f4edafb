//! The reference: what a control plane has to do, in plain maps, written once more from the protocol's tables and sharing no rule with the program.
//!
//! Here is the state; [`steps`] says which moves an operation makes, [`protocol`] what becomes of runs and attempts, [`lists`] what is told of
//! them. Nothing in here may call the program's own deciding functions.

mod lists;
mod protocol;
pub(crate) mod steps;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::vocabulary::{
    AttemptRow, BEGIN_MS, How, MOST_ACTIVE, Number, PLATFORM, RunRow, Shown, Status, TEAM_REGISTRATION, Team,
};

/// The state of a control plane. Copies share what they have in common: the search for an order makes many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Model {
    /// Milliseconds.
    pub(crate) now: i64,
    /// The versions' retries by team and slug, the first version first.
    pub(crate) apps: Arc<BTreeMap<(Team, String), Vec<i64>>>,
    pub(crate) environments: Arc<BTreeSet<(Team, String)>>,
    /// The teams' registration tokens: whose, and whether bootstrap made it.
    pub(crate) registration_tokens: Arc<BTreeMap<Number, (Team, bool)>>,
    pub(crate) runners: Arc<BTreeMap<String, Runner>>,
    last_runner: i64,
    /// Runner's name, holder (0: the operator, else the team's id), owner.
    pub(crate) fences: Arc<BTreeSet<(String, i64, String)>>,
    /// The run of id n is the one before place n.
    pub(crate) runs: Vec<Arc<RunRow>>,
    /// The same for attempts; with the operation that answered the valid lease token.
    pub(crate) attempts: Vec<Arc<(AttemptRow, Number)>>,
    /// The teams that had a lease since the server's start, by environment: the one that had its last longest ago comes first.
    served: Arc<BTreeMap<String, Vec<Team>>>,
    logs: Arc<BTreeMap<(i64, i64), String>>,
    /// Each runner's newest poll, or whatever ended its right to claim.
    newest: BTreeMap<i64, Number>,
    /// The server is about to end.
    pub(crate) stopping: bool,
}

/// Whose runs a runner serves; none: every team's.
pub(crate) type Scope = Option<Team>;

/// Of what differs most: equality decides.
impl Hash for Model {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.now.hash(state);
        for run in &self.runs {
            (run.status, run.retry_count, run.priority, run.not_before).hash(state);
        }
        for (attempt, token) in self.all_attempts() {
            (attempt.run, attempt.status, attempt.expires, token).hash(state);
        }
        (&self.newest, self.logs.len(), self.fences.len(), self.runners.len()).hash(state);
    }
}

/// A registered runner.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Runner {
    pub(crate) id: i64,
    pub(crate) team: Scope,
    pub(crate) environment: String,
    /// The operation that answered its token.
    pub(crate) token: Number,
    pub(crate) instance: Option<String>,
}

/// A runner as its token was understood when a call began.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Principal {
    pub(crate) id: i64,
    pub(crate) name: String,
    pub(crate) team: Scope,
    pub(crate) environment: String,
}

impl Model {
    /// Two teams with their registration tokens, and nothing else.
    pub(crate) fn new() -> Self {
        Self {
            now: BEGIN_MS,
            apps: Arc::default(),
            environments: Arc::default(),
            registration_tokens: Arc::new(
                TEAM_REGISTRATION.into_iter().zip([(0, true), (1, true)]).collect(),
            ),
            runners: Arc::default(),
            last_runner: 0,
            fences: Arc::default(),
            runs: Vec::new(),
            attempts: Vec::new(),
            served: Arc::default(),
            logs: Arc::default(),
            newest: BTreeMap::new(),
            stopping: false,
        }
    }

    /// Whom a registration token registers runners for.
    fn registers_for(&self, token: Shown) -> Option<Scope> {
        match token {
            Shown { how: How::Whole, of: PLATFORM } => Some(None),
            Shown { how: How::Whole, of } => self.registration_tokens.get(&of).map(|(team, _)| Some(*team)),
            _ => None,
        }
    }

    /// Whom a runner token speaks for.
    fn authenticate(&self, token: Shown) -> Option<Principal> {
        let valid = |runner: &&Runner| token == Shown::whole(runner.token);
        let (name, runner) = self.runners.iter().find(|(_, runner)| valid(runner))?;
        Some(Principal {
            id: runner.id,
            name: name.clone(),
            team: runner.team,
            environment: runner.environment.clone(),
        })
    }

    pub(crate) fn run(&self, id: i64) -> &RunRow {
        &self.runs[place(id)]
    }

    fn run_mut(&mut self, id: i64) -> &mut RunRow {
        Arc::make_mut(&mut self.runs[place(id)])
    }

    fn run_of_team(&self, team: Team, id: i64) -> Option<&RunRow> {
        self.runs.iter().map(Arc::as_ref).find(|run| run.id == id && run.team == team)
    }

    fn attempt_mut(&mut self, id: i64) -> &mut AttemptRow {
        &mut Arc::make_mut(&mut self.attempts[place(id)]).0
    }

    /// The attempt that a runner holds, with the operation that answered its lease token.
    pub(crate) fn active_of_runner(&self, runner: i64) -> Option<&(AttemptRow, Number)> {
        self.all_attempts().find(|(a, _)| a.runner == Some(runner) && a.status.is_active())
    }

    pub(crate) fn active_of_run(&self, run: i64) -> Option<&(AttemptRow, Number)> {
        self.all_attempts().find(|(a, _)| a.run == run && a.status.is_active())
    }

    /// All attempts, each with the operation that answered its lease token.
    pub(crate) fn all_attempts(&self) -> impl Iterator<Item = &(AttemptRow, Number)> {
        self.attempts.iter().map(Arc::as_ref)
    }

    pub(crate) fn is_fenced(&self, name: &str) -> bool {
        self.fences.iter().any(|(fenced, ..)| fenced == name)
    }

    /// Ready runs of an environment in the order of the queue.
    fn queue(&self, environment: &str) -> Vec<&RunRow> {
        let ready = |run: &&RunRow| {
            run.status == Status::Queued && run.not_before.is_none() && run.environment == environment
        };
        let mut queue: Vec<&RunRow> = self.runs.iter().map(Arc::as_ref).filter(ready).collect();
        queue.sort_by_key(|run| (std::cmp::Reverse(run.priority), run.queued_at, run.id));
        queue
    }

    /// Whether a team has as many active runs as it may, over all environments.
    pub(crate) fn is_at_limit(&self, team: Team) -> bool {
        self.room(team) == 0
    }

    /// How many more active runs a team may have.
    fn room(&self, team: Team) -> usize {
        let own = self.runs.iter().filter(|run| run.team == team && run.status.is_active());
        MOST_ACTIVE[team] - own.count()
    }

    /// The first ready run that a runner may take: of the team with the fewest active runs there among those that may have more, and among
    /// several of those of one that had no lease yet, or else of the one whose last lease is longest ago, the first in the order of the queue.
    pub(crate) fn first_for(&self, runner: &Principal) -> Option<i64> {
        let active = |team: Team| {
            let held = |run: &&RunRow| run.team == team && run.environment == runner.environment;
            self.runs.iter().map(Arc::as_ref).filter(held).filter(|run| run.status.is_active()).count()
        };
        let own = |run: &&&RunRow| runner.team.is_none_or(|team| team == run.team);
        self.queue(&runner.environment)
            .into_iter()
            .filter(|run| own(&run) && !self.is_at_limit(run.team))
            .min_by_key(|run| (active(run.team), self.last_served(&runner.environment, run.team)))
            .map(|run| run.id)
    }

    /// How late a team had its last lease in an environment; none: it had none since the server's start.
    fn last_served(&self, environment: &str, team: Team) -> Option<usize> {
        self.served.get(environment)?.iter().position(|of| *of == team)
    }

    /// A team has a lease in an environment.
    fn serve(&mut self, environment: &str, team: Team) {
        let served = Arc::make_mut(&mut self.served).entry(environment.to_owned()).or_default();
        served.retain(|of| *of != team);
        served.push(team);
    }

    /// Forgets which polls came last, but for those that are still open: nothing else can tell the difference.
    pub(crate) fn forget_answered_polls(&mut self, open: impl Fn(Number) -> bool) {
        self.newest.retain(|_, number| open(*number));
    }
}

fn place(id: i64) -> usize {
    usize::try_from(id - 1).unwrap()
}
