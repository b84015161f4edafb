//! The secrets of teams and their keys, all of them encrypted.

use minitower_kernel::rusqlite::params;
use minitower_kernel::{At, Db, StoreError, Tx, at};
use minitower_vocabulary::ids::{EnvironmentId, TeamId};
use minitower_vocabulary::time::Timestamp;

use crate::domain::secret::Secret;
use crate::seal::KeyId;

/// Which key the keys of teams are encrypted with; none: there was no secret yet.
pub(crate) fn master(db: &Db) -> Result<Option<KeyId>, StoreError> {
    db.one("SELECT key_id FROM master_keys", (), |row| Ok(row.get("key_id")?))
}

/// Says which key that is from now on.
pub(crate) fn set_master(tx: &Tx<'_>, id: KeyId) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO master_keys (only_one, key_id) VALUES (1, ?1) ON CONFLICT (only_one) DO UPDATE SET key_id = excluded.key_id",
        [id.as_slice()],
    )?;
    Ok(())
}

/// The encrypted key of a team.
pub(crate) fn team_key(db: &Db, team: TeamId) -> Result<Option<Vec<u8>>, StoreError> {
    db.one("SELECT wrapped FROM team_keys WHERE team_id = ?1", [team.0], |row| Ok(row.get("wrapped")?))
}

/// The encrypted keys of all teams.
pub(crate) fn team_keys(db: &Db) -> Result<Vec<(TeamId, Vec<u8>)>, StoreError> {
    db.all("SELECT team_id, wrapped FROM team_keys", (), |row| {
        Ok((TeamId(row.get("team_id")?), row.get("wrapped")?))
    })
}

/// Keeps the encrypted key of a team, in place of a former one.
pub(crate) fn set_team_key(tx: &Tx<'_>, team: TeamId, wrapped: &[u8]) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO team_keys (team_id, wrapped) VALUES (?1, ?2) ON CONFLICT (team_id) DO UPDATE SET wrapped = excluded.wrapped",
        params![team.0, wrapped],
    )?;
    Ok(())
}

/// Whether there is any secret, whosever it is.
pub(crate) fn any(db: &Db) -> Result<bool, StoreError> {
    Ok(db.one("SELECT 1 AS found FROM team_secrets LIMIT 1", (), |_| Ok(()))?.is_some())
}

/// Deletes all secrets and all keys; how many secrets there were.
pub(crate) fn delete_all(tx: &Tx<'_>) -> Result<usize, StoreError> {
    let deleted = tx.execute("DELETE FROM team_secrets", ())?;
    tx.execute("DELETE FROM team_keys", ())?;
    tx.execute("DELETE FROM master_keys", ())?;
    Ok(deleted)
}

/// The encrypted value of a secret.
pub(crate) fn sealed(db: &Db, environment: EnvironmentId, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
    db.one(
        "SELECT sealed FROM team_secrets WHERE environment_id = ?1 AND name = ?2",
        params![environment.0, name],
        |row| Ok(row.get("sealed")?),
    )
}

/// How many secrets an environment has.
pub(crate) fn count(db: &Db, environment: EnvironmentId) -> Result<usize, StoreError> {
    let counted =
        db.one("SELECT count(*) AS n FROM team_secrets WHERE environment_id = ?1", [environment.0], |row| {
            Ok(row.get::<_, i64>("n")?)
        })?;
    Ok(usize::try_from(counted.unwrap_or(0)).unwrap_or(usize::MAX))
}

/// How many secrets a team has in all its environments.
pub(crate) fn count_of_team(db: &Db, team: TeamId) -> Result<usize, StoreError> {
    let counted = db.one(
        "SELECT count(*) AS n FROM environments e JOIN team_secrets s ON s.environment_id = e.id WHERE e.team_id = ?1",
        [team.0],
        |row| Ok(row.get::<_, i64>("n")?),
    )?;
    Ok(usize::try_from(counted.unwrap_or(0)).unwrap_or(usize::MAX))
}

/// Keeps a secret, in place of a former one of that name.
pub(crate) fn put(
    tx: &Tx<'_>,
    (environment, name): (EnvironmentId, &str),
    sealed: &[u8],
    now: Timestamp,
) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO team_secrets (environment_id, name, sealed, updated_at) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (environment_id, name) DO UPDATE SET sealed = excluded.sealed, updated_at = excluded.updated_at",
        params![environment.0, name, sealed, At(now)],
    )?;
    Ok(())
}

/// Deletes a secret; false when there is none of that name.
pub(crate) fn delete(tx: &Tx<'_>, environment: EnvironmentId, name: &str) -> Result<bool, StoreError> {
    let deleted = tx.execute(
        "DELETE FROM team_secrets WHERE environment_id = ?1 AND name = ?2",
        params![environment.0, name],
    )?;
    Ok(deleted > 0)
}

/// An environment's secrets by name, from behind `after` if given: at most `limit`.
pub(crate) fn list(
    db: &Db,
    environment: EnvironmentId,
    after: Option<&str>,
    limit: i64,
) -> Result<Vec<Secret>, StoreError> {
    db.all(
        "SELECT name, updated_at FROM team_secrets WHERE environment_id = ?1 AND name > ?2 ORDER BY name LIMIT ?3",
        // No name is empty.
        params![environment.0, after.unwrap_or_default(), limit],
        |row| Ok(Secret { name: row.get("name")?, updated_at: at(row, "updated_at")? }),
    )
}
