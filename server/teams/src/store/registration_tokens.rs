//! The registration tokens of teams: their hashes.

use crate::domain::team::RegistrationToken;
use minitower_kernel::rusqlite::params;
use minitower_vocabulary::ids::{RegistrationTokenId, TeamId};
use minitower_vocabulary::time::Timestamp;

use minitower_kernel::{At, Db, StoreError, Tx, at, maybe_at};

/// A new token. One made by bootstrap replaces the former one of bootstrap.
pub(crate) fn insert(
    tx: &Tx<'_>,
    team: TeamId,
    hash: [u8; 32],
    bootstrap: bool,
    now: Timestamp,
) -> Result<RegistrationTokenId, StoreError> {
    if bootstrap {
        tx.execute("DELETE FROM registration_tokens WHERE team_id = ?1 AND bootstrap = 1", [team.0])?;
    }
    tx.insert(
        "INSERT INTO registration_tokens (team_id, bootstrap, token_hash, created_at) VALUES (?1, ?2, ?3, ?4)",
        params![team.0, bootstrap, hash.as_slice(), At(now)],
    )
    .map(RegistrationTokenId)
}

/// The token of that hash and its team.
pub(crate) fn find(db: &Db, hash: [u8; 32]) -> Result<Option<(RegistrationTokenId, TeamId)>, StoreError> {
    db.one("SELECT id, team_id FROM registration_tokens WHERE token_hash = ?1", [hash.as_slice()], |row| {
        Ok((RegistrationTokenId(row.get("id")?), TeamId(row.get("team_id")?)))
    })
}

/// Notes that a runner registered with it.
pub(crate) fn touch(tx: &Tx<'_>, id: RegistrationTokenId, now: Timestamp) -> Result<(), StoreError> {
    tx.execute("UPDATE registration_tokens SET last_used_at = ?2 WHERE id = ?1", params![id.0, At(now)])?;
    Ok(())
}

/// A team's tokens, newest first, from behind `before` if given: at most `limit`.
pub(crate) fn list(
    db: &Db,
    team: TeamId,
    before: Option<RegistrationTokenId>,
    limit: i64,
) -> Result<Vec<RegistrationToken>, StoreError> {
    db.all(
        "SELECT id, created_at, last_used_at FROM registration_tokens WHERE team_id = ?1 AND id < ?2
         ORDER BY id DESC LIMIT ?3",
        params![team.0, before.map_or(i64::MAX, |id| id.0), limit],
        |row| {
            Ok(RegistrationToken {
                id: RegistrationTokenId(row.get("id")?),
                created_at: at(row, "created_at")?,
                last_used_at: maybe_at(row, "last_used_at")?,
            })
        },
    )
}

/// Deletes one; false when the team has none of that id. Runners that registered with it keep their own tokens.
pub(crate) fn delete(tx: &Tx<'_>, team: TeamId, id: RegistrationTokenId) -> Result<bool, StoreError> {
    let n =
        tx.execute("DELETE FROM registration_tokens WHERE id = ?1 AND team_id = ?2", params![id.0, team.0])?;
    Ok(n > 0)
}
