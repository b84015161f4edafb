//! Environments.

use crate::domain::team::Environment;
use crate::events::EnvironmentMade;
use minitower_kernel::rusqlite::params;
use minitower_vocabulary::ids::{EnvironmentId, TeamId};
use minitower_vocabulary::time::Timestamp;

use minitower_kernel::{At, Db, StoreError, Tx, at};

/// An environment, known even where nothing ever ran.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownEnvironment {
    /// Its team.
    pub team: TeamId,
    /// Its id.
    pub id: EnvironmentId,
    /// Its name.
    pub name: String,
}

/// The id of the team's environment of that name.
pub(crate) fn id(db: &Db, team: TeamId, name: &str) -> Result<Option<EnvironmentId>, StoreError> {
    db.one("SELECT id FROM environments WHERE team_id = ?1 AND name = ?2", params![team.0, name], |row| {
        Ok(EnvironmentId(row.get("id")?))
    })
}

/// How many environments a team has, counted up to `most`.
pub(crate) fn count(db: &Db, team: TeamId, most: i64) -> Result<i64, StoreError> {
    let counted = db.one(
        "SELECT count(*) AS n FROM (SELECT 1 FROM environments WHERE team_id = ?1 LIMIT ?2)",
        [team.0, most],
        |row| Ok(row.get("n")?),
    )?;
    Ok(counted.unwrap_or(0))
}

/// A new environment of a team.
pub(crate) fn insert(
    tx: &Tx<'_>,
    team: TeamId,
    name: &str,
    now: Timestamp,
) -> Result<EnvironmentId, StoreError> {
    let id = EnvironmentId(tx.insert(
        "INSERT INTO environments (team_id, name, created_at) VALUES (?1, ?2, ?3)",
        params![team.0, name, At(now)],
    )?);
    tx.emit(EnvironmentMade { team, id, name: name.to_owned() });
    Ok(id)
}

/// The team's environment of that name.
pub(crate) fn find(db: &Db, team: TeamId, name: &str) -> Result<Option<Environment>, StoreError> {
    db.one(
        "SELECT name, created_at FROM environments WHERE team_id = ?1 AND name = ?2",
        params![team.0, name],
        |row| Ok(Environment { name: row.get("name")?, created_at: at(row, "created_at")? }),
    )
}

/// A team's environments by name, from behind `after` if given: at most `limit`.
pub(crate) fn list(
    db: &Db,
    team: TeamId,
    after: Option<&str>,
    limit: i64,
) -> Result<Vec<Environment>, StoreError> {
    db.all(
        "SELECT name, created_at FROM environments WHERE team_id = ?1 AND name > ?2 ORDER BY name LIMIT ?3",
        // No name is empty.
        params![team.0, after.unwrap_or_default(), limit],
        |row| Ok(Environment { name: row.get("name")?, created_at: at(row, "created_at")? }),
    )
}

/// All environments of all teams, for the gauges.
pub(crate) fn all_known(db: &Db) -> Result<Vec<KnownEnvironment>, StoreError> {
    db.all("SELECT id, team_id, name FROM environments", (), |row| {
        Ok(KnownEnvironment {
            team: TeamId(row.get("team_id")?),
            id: EnvironmentId(row.get("id")?),
            name: row.get("name")?,
        })
    })
}
