//! Runners.

use std::collections::BTreeMap;

use crate::domain::runner::{FenceHolder, HeldBy, NameGoes, Origin, Runner, RunnerPrincipal, RunnerScope};
use minitower_kernel::rusqlite::{Row, params};
use minitower_vocabulary::ids::{RunId, RunnerId, TeamId};
use minitower_vocabulary::time::Timestamp;

use crate::store::events::{RunnerRegistered, RunnerRenamed, RunnersForgotten};
use crate::store::fences;
use minitower_kernel::{At, at, maybe_at};
use minitower_kernel::{Db, StoreError, Tx};

/// What a registration says.
#[derive(Debug, Clone)]
pub struct New {
    /// The runner's name.
    pub name: String,
    /// Whose it is, by the token it registers with.
    pub origin: Origin,
    /// Which environment's runs it serves.
    pub environment: String,
    /// Its labels, a JSON object as text.
    pub labels: Option<String>,
    /// Hash of its new token.
    pub token_hash: [u8; 32],
}

/// What becomes of a registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registration {
    /// The runner is registered.
    Made {
        /// Its id.
        id: RunnerId,
        /// False: it was before, too.
        created: bool,
    },
    /// Another runner has the name and keeps it.
    Held(HeldBy),
}

/// Makes or renews a runner. Its former token is dead from the commit on. Who gets a name that there is: [`Origin::takes_from`].
pub fn register(tx: &Tx<'_>, new: &New, now: Timestamp) -> Result<Registration, StoreError> {
    let New { name, origin, environment, labels, token_hash } = new;
    let mut known =
        tx.one("SELECT id, team_id, pool, bound, token_hash FROM runners WHERE name = ?1", [name], |row| {
            let scope = scope_of(row.get("team_id")?);
            let holder = Origin { scope, pool: row.get("pool")?, bound: row.get("bound")? };
            Ok((RunnerId(row.get("id")?), holder, row.get("token_hash")?))
        })?;
    if let Some((id, holder, token)) = &known {
        match origin.takes_from(holder) {
            NameGoes::Again => {}
            NameGoes::From(team) => {
                make_way(tx, *id, team, *token, name, now)?;
                known = None;
            }
            NameGoes::Not(held_by) => return Ok(Registration::Held(held_by)),
        }
    }
    let former_token = known.as_ref().map(|(_, _, token)| *token);
    let (pool, bound) = (&origin.pool, origin.bound);
    let (id, fresh) = if let Some((id, _, _)) = known {
        tx.execute(
            "UPDATE runners SET environment = ?2, pool = ?3, bound = ?4, labels = ?5, token_hash = ?6, registered_at = ?7,
                                last_seen_at = ?7 WHERE id = ?1",
            params![id.0, environment, pool, bound, labels, token_hash.as_slice(), At(now)],
        )?;
        (id, false)
    } else {
        let team = team_of(origin.scope);
        let id = tx.insert(
            "INSERT INTO runners (name, team_id, environment, pool, bound, labels, token_hash, registered_at, last_seen_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8)",
            params![name, team, environment, pool, bound, labels, token_hash.as_slice(), At(now)],
        )?;
        (RunnerId(id), true)
    };
    tx.emit(RunnerRegistered {
        id,
        scope: origin.scope,
        environment: environment.clone(),
        at: now,
        former_token,
    });
    Ok(Registration::Made { id, created: fresh })
}

/// How many runners a team has, counted up to `most`.
pub fn count(db: &Db, team: TeamId, most: i64) -> Result<i64, StoreError> {
    let counted = db.one(
        "SELECT count(*) AS n FROM (SELECT 1 FROM runners WHERE team_id = ?1 LIMIT ?2)",
        [team.0, most],
        |row| Ok(row.get("n")?),
    )?;
    Ok(counted.unwrap_or(0))
}

/// Takes its name from a team's runner. An idle one is forgotten. One that holds a run keeps it, under a name that no registration can ask for,
/// and gets no other.
fn make_way(
    tx: &Tx<'_>,
    id: RunnerId,
    team: TeamId,
    token: [u8; 32],
    name: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    let busy = tx.one(
        "SELECT 1 FROM run_attempts WHERE runner_id = ?1 AND finished_at IS NULL LIMIT 1",
        [id.0],
        |_| Ok(()),
    )?;
    tracing::warn!(runner_name = name, team_id = team.0, "a pool takes a runner's name from a team");
    if busy.is_none() {
        return delete(tx, &[id], Some(FenceHolder::Team(team)));
    }
    let aside = format!("{name}~{}", id.0);
    tx.execute("UPDATE runners SET name = ?2 WHERE id = ?1", params![id.0, aside])?;
    fences::lift_held(tx, name, FenceHolder::Team(team))?;
    fences::raise(tx, &aside, FenceHolder::Operator, "a pool has its name", now)?;
    tx.emit(RunnerRenamed { token });
    Ok(())
}

/// Whom the token of that hash speaks for.
pub fn principal(db: &Db, hash: [u8; 32]) -> Result<Option<RunnerPrincipal>, StoreError> {
    db.one(
        "SELECT id, name, team_id, environment FROM runners WHERE token_hash = ?1",
        [hash.as_slice()],
        |row| {
            Ok(RunnerPrincipal {
                token_hash: hash,
                runner_id: RunnerId(row.get("id")?),
                name: row.get("name")?,
                scope: scope_of(row.get("team_id")?),
                environment: row.get("environment")?,
            })
        },
    )
}

/// The process that polled last under that token, if it named itself. None: the token is dead, or the runner was forgotten.
pub fn instance_under(
    db: &Db,
    id: RunnerId,
    token_hash: [u8; 32],
) -> Result<Option<Option<String>>, StoreError> {
    db.one(
        "SELECT instance_id FROM runners WHERE id = ?1 AND token_hash = ?2",
        params![id.0, token_hash.as_slice()],
        |row| Ok(row.get("instance_id")?),
    )
}

/// Notes the process that polls.
pub fn set_instance(tx: &Tx<'_>, id: RunnerId, instance_id: &str) -> Result<(), StoreError> {
    tx.execute("UPDATE runners SET instance_id = ?2 WHERE id = ?1", params![id.0, instance_id])?;
    Ok(())
}

/// Notes when the runner's last attempt ended.
pub fn set_last_finished(tx: &Tx<'_>, id: RunnerId, when: Timestamp) -> Result<(), StoreError> {
    tx.execute("UPDATE runners SET last_finished_at = ?2 WHERE id = ?1", params![id.0, At(when)])?;
    Ok(())
}

/// Writes down when runners were last heard of.
pub fn touch(tx: &Tx<'_>, seen: &[(RunnerId, Timestamp)]) -> Result<(), StoreError> {
    for (id, when) in seen {
        tx.execute(
            "UPDATE runners SET last_seen_at = ?2 WHERE id = ?1 AND last_seen_at < ?2",
            params![id.0, At(*when)],
        )?;
    }
    Ok(())
}

/// A runner as the memory knows it.
#[derive(Debug, Clone)]
pub struct Known {
    /// Its id.
    pub id: RunnerId,
    /// Whom it serves.
    pub scope: RunnerScope,
    /// Where.
    pub environment: String,
    /// When it was last heard of.
    pub last_seen_at: Timestamp,
    /// Whether it holds a run.
    pub busy: bool,
}

/// All runners, for the memory.
pub fn all_seen(db: &Db) -> Result<Vec<Known>, StoreError> {
    db.all(
        "SELECT r.id, r.team_id, r.environment, r.last_seen_at, EXISTS (
             SELECT 1 FROM run_attempts WHERE runner_id = r.id AND finished_at IS NULL) AS busy FROM runners r",
        (),
        |row| {
            Ok(Known {
                id: RunnerId(row.get("id")?),
                scope: scope_of(row.get("team_id")?),
                environment: row.get("environment")?,
                last_seen_at: at(row, "last_seen_at")?,
                busy: row.get("busy")?,
            })
        },
    )
}

/// Runners that were not heard of since `before` and hold nothing.
pub fn silent_since(db: &Db, before: Timestamp, limit: u32) -> Result<Vec<RunnerId>, StoreError> {
    db.all(
        "SELECT id FROM runners r WHERE last_seen_at < ?1 AND NOT EXISTS (
             SELECT 1 FROM run_attempts WHERE runner_id = r.id AND finished_at IS NULL)
         ORDER BY last_seen_at LIMIT ?2",
        params![At(before), limit],
        |row| Ok(RunnerId(row.get("id")?)),
    )
}

/// Forgets runners and the fences on their names, those of `holder` or all; past attempts keep the name.
pub fn delete(tx: &Tx<'_>, ids: &[RunnerId], holder: Option<FenceHolder>) -> Result<(), StoreError> {
    let mut forgotten = Vec::with_capacity(ids.len());
    for id in ids {
        let token =
            tx.one("SELECT token_hash FROM runners WHERE id = ?1", [id.0], |row| Ok(row.get("token_hash")?))?;
        forgotten.extend(token.map(|token| (*id, token)));
        tx.execute(
            "DELETE FROM runner_fences
             WHERE runner_name = (SELECT name FROM runners WHERE id = ?1) AND (?2 IS NULL OR holder_team_id = ?2)",
            params![id.0, holder.map(fences::holder_id)],
        )?;
        tx.execute("DELETE FROM runners WHERE id = ?1", [id.0])?;
    }
    tx.emit(RunnersForgotten(forgotten));
    Ok(())
}

// Longer labels, of runners that registered before they were refused, are not read: whoever may register could otherwise make the list longer than its readers take.
const SELECT: &str = "SELECT r.id, r.name, r.team_id, r.environment, r.pool, \
     CASE WHEN octet_length(r.labels) <= 512 THEN r.labels END AS labels, r.instance_id, r.registered_at, r.last_seen_at, \
     a.run_id, a.started_at, a.leased_at, \
     r.last_finished_at, \
     EXISTS (SELECT 1 FROM runner_fences f WHERE f.runner_name = r.name) AS draining \
     FROM runners r LEFT JOIN run_attempts a INDEXED BY one_active_attempt_per_runner \
     ON a.runner_id = r.id AND a.finished_at IS NULL ";

/// Which runners to list.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Platform runners and this team's; none: all.
    pub visible_to: Option<TeamId>,
    /// Only of this pool.
    pub pool: Option<String>,
    /// Only of this environment.
    pub environment: Option<String>,
    /// Only names after this one.
    pub after: Option<String>,
    /// At most so many.
    pub limit: i64,
}

/// Runners by name.
pub fn list(db: &Db, filter: &Filter) -> Result<Vec<Runner>, StoreError> {
    db.all(
        &statement(filter),
        params![filter.visible_to.map(|t| t.0), filter.pool, filter.environment, filter.after, filter.limit],
        read,
    )
}

/// That of a list. Two, so that the runners of a pool are found by an index, however many others there are.
pub(super) fn statement(filter: &Filter) -> String {
    let pool = if filter.pool.is_some() { "r.pool = ?2" } else { "?2 IS NULL" };
    format!(
        "{SELECT} WHERE (?1 IS NULL OR r.team_id IS NULL OR r.team_id = ?1) AND {pool}
             AND (?3 IS NULL OR r.environment = ?3) AND r.name > coalesce(?4, '') ORDER BY r.name LIMIT ?5"
    )
}

/// The runner of that name.
pub fn by_name(db: &Db, name: &str) -> Result<Option<Runner>, StoreError> {
    db.one(&format!("{SELECT} WHERE r.name = ?1"), [name], read)
}

fn read(row: &Row<'_>) -> Result<Runner, StoreError> {
    let labels = match row.get::<_, Option<String>>("labels")? {
        Some(json) => serde_json::from_str(&json)
            .map_err(|error| StoreError::Inconsistent(format!("labels of a runner: {error}")))?,
        None => BTreeMap::new(),
    };
    let run_id = row.get::<_, Option<i64>>("run_id")?.map(RunId);
    let registered_at = at(row, "registered_at")?;
    let idle_since = match run_id {
        Some(_) => None,
        None => Some(
            maybe_at(row, "last_finished_at")?.map_or(registered_at, |finished| finished.max(registered_at)),
        ),
    };
    let attempt_started_at = match run_id {
        Some(_) => maybe_at(row, "started_at")?.or(maybe_at(row, "leased_at")?),
        None => None,
    };
    Ok(Runner {
        id: RunnerId(row.get("id")?),
        name: row.get("name")?,
        scope: scope_of(row.get("team_id")?),
        environment: row.get("environment")?,
        pool: row.get("pool")?,
        labels,
        instance_id: row.get("instance_id")?,
        last_seen_at: at(row, "last_seen_at")?,
        idle_since,
        run_id,
        attempt_started_at,
        draining: row.get("draining")?,
    })
}

fn team_of(scope: RunnerScope) -> Option<i64> {
    match scope {
        RunnerScope::Platform => None,
        RunnerScope::Team(team) => Some(team.0),
    }
}

fn scope_of(team: Option<i64>) -> RunnerScope {
    team.map_or(RunnerScope::Platform, |id| RunnerScope::Team(TeamId(id)))
}
