//! The limits of teams: what applies, who sets them, and how much is used.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use minitower_kernel::StoreError;
use minitower_vocabulary::ids::TeamId;
use minitower_vocabulary::limits::LimitName;

use crate::domain::limits::{BadLimit, Defaults, Limits, Rate, Reached, Setting};
use crate::domain::team::TeamPrincipal;
use crate::events::LimitsChanged;
use crate::store::{environments, limits, teams, tokens};
use crate::{Error, Memory, Teams};

/// Teams whose rates are remembered before those that are at rest are forgotten.
const RATES: usize = 10_000;
/// When to try again whoever has too many requests open: they end at their own time.
const OPEN_AGAIN: Duration = Duration::from_secs(1);

/// How much a team has used of some limits.
pub type Used = Vec<(LimitName, u64)>;

/// The limits of teams, in memory: every request and every claim asks.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// Those of a team for which nobody has decided anything. Known from the start on.
    unset: OnceLock<Arc<Limits>>,
    set: RwLock<HashMap<TeamId, Arc<Limits>>>,
    rates: Mutex<HashMap<TeamId, Rate>>,
    open: Mutex<HashMap<(TeamId, LimitName), u64>>,
}

impl Known {
    pub(crate) fn load(&self, defaults: Defaults, settings: Vec<(TeamId, LimitName, Setting)>) {
        let unset = self.unset.get_or_init(|| Arc::new(Limits::new(defaults)));
        let mut set = self.set.write().unwrap_or_else(PoisonError::into_inner);
        for (team, name, setting) in settings {
            let entry = set.entry(team).or_insert_with(|| Arc::clone(unset));
            *entry = Arc::new(entry.with(name, setting));
        }
    }

    pub(crate) fn changed(&self, changed: &LimitsChanged) {
        let mut set = self.set.write().unwrap_or_else(PoisonError::into_inner);
        set.insert(changed.team, Arc::clone(&changed.after));
    }

    fn unset(&self) -> &Arc<Limits> {
        self.unset.get_or_init(|| Arc::new(Limits::new(Defaults::with_storage(None))))
    }

    fn of(&self, team: TeamId) -> Arc<Limits> {
        let set = self.set.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(set.get(&team).unwrap_or_else(|| self.unset()))
    }

    /// One limit of a team, without a copy of the others.
    fn one(&self, team: TeamId, name: LimitName) -> u64 {
        let set = self.set.read().unwrap_or_else(PoisonError::into_inner);
        set.get(&team).map_or_else(|| self.unset().of(name), |limits| limits.of(name))
    }
}

impl Memory {
    /// The limits of a team.
    pub fn limits(&self, team: TeamId) -> Arc<Limits> {
        self.limits.of(team)
    }

    /// One limit of a team.
    pub fn limit(&self, team: TeamId, name: LimitName) -> u64 {
        self.limits.one(team, name)
    }

    /// One limit, as it is for every team, and for those that have another: for whoever keeps it by team.
    pub fn limit_by_team(&self, name: LimitName) -> (i64, Vec<(TeamId, i64)>) {
        let set = self.limits.set.read().unwrap_or_else(PoisonError::into_inner);
        let of_teams = set.iter().map(|(team, limits)| (*team, limits.count(name)));
        (self.limits.unset().count(name), of_teams.collect())
    }
}

/// One of the requests that a team may have open at the same time. Given back when dropped.
#[derive(Debug)]
#[must_use = "it is given back when it is dropped"]
pub struct OpenRequest {
    memory: Memory,
    key: (TeamId, LimitName),
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        let mut open = self.memory.limits.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(n) = open.get_mut(&self.key) {
            *n -= 1;
            if *n == 0 {
                open.remove(&self.key);
            }
        }
    }
}

impl Teams {
    /// The limits of a team.
    pub fn limits(&self, team: TeamId) -> Arc<Limits> {
        self.0.memory.limits(team)
    }

    /// One limit of a team.
    pub fn limit(&self, team: TeamId, name: LimitName) -> u64 {
        self.0.memory.limit(team, name)
    }

    /// One limit, as it is for every team, and for those that have another.
    pub fn limit_by_team(&self, name: LimitName) -> (i64, Vec<(TeamId, i64)>) {
        self.0.memory.limit_by_team(name)
    }

    /// Counts a call of a team; refuses it when the team calls too often.
    pub fn admit(&self, team: TeamId) -> Result<(), Error> {
        let now = self.0.clock.now();
        let known = &self.0.memory.limits;
        let limit = known.one(team, LimitName::RequestsPerSecond);
        let mut rates = known.rates.lock().unwrap_or_else(PoisonError::into_inner);
        if rates.len() >= RATES && !rates.contains_key(&team) {
            rates.retain(|_, rate| !rate.is_at_rest(now));
        }
        rates.entry(team).or_default().take(limit, now).map_err(|retry_after| {
            let reached = Reached { name: LimitName::RequestsPerSecond, limit };
            Error::TooFast { reached, retry_after }
        })
    }

    /// Begins a request that stays open: a long poll or a stream. It counts until what this answers is dropped.
    pub fn open_request(&self, team: TeamId, name: LimitName) -> Result<OpenRequest, Error> {
        let memory = &self.0.memory;
        let limits = memory.limits(team);
        let mut open = memory.limits.open.lock().unwrap_or_else(PoisonError::into_inner);
        let n = open.entry((team, name)).or_default();
        match limits.take(name, *n) {
            Ok(()) => {
                *n += 1;
                Ok(OpenRequest { memory: memory.clone(), key: (team, name) })
            }
            Err(reached) => {
                if *n == 0 {
                    open.remove(&(team, name));
                }
                Err(Error::TooFast { reached, retry_after: OPEN_AGAIN })
            }
        }
    }

    /// A team's limits, and how much it has used of those that this subject counts.
    pub async fn limits_and_use(&self, by: &TeamPrincipal) -> Result<(Arc<Limits>, Used), Error> {
        self.used(by.team_id).await
    }

    /// The same of the team of that slug, for the administrator; with the team.
    pub async fn limits_of(&self, slug: &str) -> Result<(TeamId, Arc<Limits>, Used), Error> {
        let team = self.by_slug(slug).await?;
        let (limits, used) = self.used(team).await?;
        Ok((team, limits, used))
    }

    /// An admin of a team chooses within what the administrator allows.
    pub async fn choose_limits(
        &self,
        by: &TeamPrincipal,
        changes: Vec<(LimitName, Option<u64>)>,
    ) -> Result<(), Error> {
        self.set_limits(by.team_id, changes, Limits::choose).await
    }

    /// The administrator says what a team is allowed.
    pub async fn allow_limits(
        &self,
        slug: &str,
        changes: Vec<(LimitName, Option<u64>)>,
    ) -> Result<(), Error> {
        let team = self.by_slug(slug).await?;
        self.set_limits(team, changes, Limits::allow).await
    }

    async fn by_slug(&self, slug: &str) -> Result<TeamId, Error> {
        let wanted = slug.to_owned();
        let found = self.0.store.read(move |db| Ok::<_, Error>(teams::by_slug(db, &wanted)?)).await?;
        found.map(|team| team.id).ok_or_else(|| Error::NoTeam(slug.chars().take(64).collect()))
    }

    /// All of the changes, or none.
    async fn set_limits(
        &self,
        team: TeamId,
        changes: Vec<(LimitName, Option<u64>)>,
        set: fn(Limits, LimitName, Option<u64>) -> Result<Limits, BadLimit>,
    ) -> Result<(), Error> {
        let unset = **self.0.memory.limits.unset();
        self.0
            .store
            .write(move |tx| {
                // Read inside: another command of the batch may have set some.
                let before = limits::of_team(tx, team)?
                    .into_iter()
                    .fold(unset, |limits, (name, setting)| limits.with(name, setting));
                let mut after = before;
                for (name, value) in changes {
                    after = set(after, name, value)?;
                    limits::put(tx, team, name, after.setting(name))?;
                }
                tx.emit(LimitsChanged { team, before: Arc::new(before), after: Arc::new(after) });
                Ok(())
            })
            .await
    }

    async fn used(&self, team: TeamId) -> Result<(Arc<Limits>, Used), Error> {
        let now = self.0.clock.now();
        let count = |n: i64| u64::try_from(n).unwrap_or(0);
        let (tokens, environments) = self
            .0
            .store
            .read(move |db| {
                Ok::<_, StoreError>((
                    tokens::count(db, team, i64::MAX, now)?,
                    environments::count(db, team, i64::MAX)?,
                ))
            })
            .await?;
        let (limits, known) = (self.limits(team), &self.0.memory.limits);
        let mut used =
            vec![(LimitName::Tokens, count(tokens)), (LimitName::Environments, count(environments))];
        let per_second = limits.of(LimitName::RequestsPerSecond);
        let rates = known.rates.lock().unwrap_or_else(PoisonError::into_inner);
        let rate = rates.get(&team).map_or(0, |rate| rate.used(per_second, now));
        used.push((LimitName::RequestsPerSecond, rate));
        let open = known.open.lock().unwrap_or_else(PoisonError::into_inner);
        for name in [LimitName::LongPolls, LimitName::Streams] {
            used.push((name, open.get(&(team, name)).copied().unwrap_or(0)));
        }
        Ok((limits, used))
    }
}
