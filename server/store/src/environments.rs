//! Environments.

use minitower_domain::clock::Timestamp;
use minitower_domain::ids::{EnvironmentId, TeamId};
use minitower_domain::team::Environment;
use rusqlite::params;

use crate::counts::KnownEnvironment;
use crate::db::{At, at};
use crate::effects::Effect;
use crate::{Db, StoreError, Tx};

/// The team's environment of that name, made if there is none; true when it was.
pub fn ensure(
    tx: &Tx<'_>,
    team: TeamId,
    name: &str,
    now: Timestamp,
) -> Result<(EnvironmentId, bool), StoreError> {
    let found = tx.one(
        "SELECT id FROM environments WHERE team_id = ?1 AND name = ?2",
        params![team.0, name],
        |row| Ok(EnvironmentId(row.get("id")?)),
    )?;
    if let Some(id) = found {
        return Ok((id, false));
    }
    let id = EnvironmentId(tx.insert(
        "INSERT INTO environments (team_id, name, created_at) VALUES (?1, ?2, ?3)",
        params![team.0, name, At(now)],
    )?);
    let team = tx
        .one("SELECT slug FROM teams WHERE id = ?1", [team.0], |row| Ok(row.get("slug")?))?
        .ok_or_else(|| StoreError::Inconsistent(format!("no team {team}")))?;
    tx.emit(Effect::EnvironmentMade { team, id, name: name.to_owned() });
    Ok((id, true))
}

/// The team's environment of that name.
pub fn find(db: &Db, team: TeamId, name: &str) -> Result<Option<Environment>, StoreError> {
    db.one(
        "SELECT name, created_at FROM environments WHERE team_id = ?1 AND name = ?2",
        params![team.0, name],
        |row| Ok(Environment { name: row.get("name")?, created_at: at(row, "created_at")? }),
    )
}

/// A team's environments by name, from behind `after` if given: at most `limit`.
pub fn list(db: &Db, team: TeamId, after: Option<&str>, limit: i64) -> Result<Vec<Environment>, StoreError> {
    db.all(
        "SELECT name, created_at FROM environments WHERE team_id = ?1 AND name > ?2 ORDER BY name LIMIT ?3",
        // No name is empty.
        params![team.0, after.unwrap_or_default(), limit],
        |row| Ok(Environment { name: row.get("name")?, created_at: at(row, "created_at")? }),
    )
}

/// All environments of all teams, for the gauges.
pub fn all_known(db: &Db) -> Result<Vec<KnownEnvironment>, StoreError> {
    db.all("SELECT e.id, t.slug, e.name FROM environments e JOIN teams t ON t.id = e.team_id", (), |row| {
        Ok(KnownEnvironment {
            team: row.get("slug")?,
            id: EnvironmentId(row.get("id")?),
            name: row.get("name")?,
        })
    })
}
