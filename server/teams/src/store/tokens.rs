//! Team tokens: their hashes.

use crate::domain::people::Person;
use crate::domain::team::{Credential, TeamPrincipal, Token};
use crate::events::TokenRevoked;
use minitower_kernel::rusqlite::{Row, params};
use minitower_vocabulary::ids::{TeamId, TokenId};
use minitower_vocabulary::statuses::Role;
use minitower_vocabulary::time::Timestamp;

use minitower_kernel::{At, Db, StoreError, Tx, at, maybe_at};

/// A new token, by its hash.
pub(crate) fn insert(
    tx: &Tx<'_>,
    team: TeamId,
    name: Option<&str>,
    role: Role,
    hash: [u8; 32],
    now: Timestamp,
    expires_at: Option<Timestamp>,
) -> Result<TokenId, StoreError> {
    tx.insert(
        "INSERT INTO team_tokens (team_id, name, role, token_hash, created_at, expires_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![team.0, name, role.as_str(), hash.as_slice(), At(now), expires_at.map(At)],
    )
    .map(TokenId)
}

/// Notes that a token was made with one of a person, and is that person's.
pub(crate) fn of_person(tx: &Tx<'_>, id: TokenId, person: &Person) -> Result<(), StoreError> {
    let Person { issuer, subject, name } = person;
    let sql = "UPDATE team_tokens SET person = ?2, issuer = ?3, subject = ?4 WHERE id = ?1";
    tx.execute(sql, params![id.0, name, issuer, subject])?;
    Ok(())
}

/// How many tokens a team has that are good, counted up to `most`. Those of people who signed in are bounded by person.
pub(crate) fn count(db: &Db, team: TeamId, most: i64, now: Timestamp) -> Result<i64, StoreError> {
    let counted = db.one(
        "SELECT count(*) AS n FROM (SELECT 1 FROM team_tokens INDEXED BY team_tokens_by_team
             WHERE team_id = ?1 AND (expires_at IS NULL OR expires_at > ?3) AND signed_in = 0 LIMIT ?2)",
        params![team.0, most, At(now)],
        |row| Ok(row.get("n")?),
    )?;
    Ok(counted.unwrap_or(0))
}

/// Whom the token of that hash speaks for.
pub(crate) fn principal(db: &Db, hash: [u8; 32]) -> Result<Option<TeamPrincipal>, StoreError> {
    db.one(
        "SELECT k.id, k.role, k.expires_at, t.id AS team_id, t.slug FROM team_tokens k JOIN teams t ON t.id = k.team_id
         WHERE k.token_hash = ?1",
        [hash.as_slice()],
        |row| {
            Ok(TeamPrincipal {
                team_id: TeamId(row.get("team_id")?),
                team_slug: row.get("slug")?,
                credential: Credential::Token {
                    id: TokenId(row.get("id")?),
                    role: role(row)?,
                    expires_at: maybe_at(row, "expires_at")?,
                },
            })
        },
    )
}

const SELECT: &str =
    "SELECT id, name, role, created_at, last_used_at, expires_at, person, issuer, subject FROM team_tokens ";

/// The team's token of that id.
pub(crate) fn find(db: &Db, team: TeamId, id: TokenId) -> Result<Option<Token>, StoreError> {
    db.one(&format!("{SELECT} WHERE id = ?1 AND team_id = ?2"), [id.0, team.0], read)
}

/// A team's tokens, newest first, from behind `before` if given: at most `limit`.
pub(crate) fn list(
    db: &Db,
    team: TeamId,
    before: Option<TokenId>,
    limit: i64,
) -> Result<Vec<Token>, StoreError> {
    db.all(
        &format!("{SELECT} WHERE team_id = ?1 AND id < ?2 ORDER BY id DESC LIMIT ?3"),
        params![team.0, before.map_or(i64::MAX, |id| id.0), limit],
        read,
    )
}

/// Notes when a token was used.
pub(crate) fn touch(tx: &Tx<'_>, id: TokenId, now: Timestamp) -> Result<(), StoreError> {
    tx.execute("UPDATE team_tokens SET last_used_at = ?2 WHERE id = ?1", params![id.0, At(now)])?;
    Ok(())
}

/// Deletes a team's token; false when the team has none of that id.
pub(crate) fn delete(tx: &Tx<'_>, team: TeamId, id: TokenId) -> Result<bool, StoreError> {
    let hash =
        tx.one("SELECT token_hash FROM team_tokens WHERE id = ?1 AND team_id = ?2", [id.0, team.0], |row| {
            Ok(row.get("token_hash")?)
        })?;
    let Some(hash) = hash else { return Ok(false) };
    tx.execute("DELETE FROM team_tokens WHERE id = ?1", [id.0])?;
    tx.emit(TokenRevoked { hash });
    Ok(true)
}

/// The team's token of that name that was used least recently.
pub(crate) fn least_used(db: &Db, team: TeamId, name: &str) -> Result<Option<TokenId>, StoreError> {
    db.one(
        "SELECT id FROM team_tokens INDEXED BY team_tokens_by_team WHERE team_id = ?1 AND name = ?2
         ORDER BY coalesce(last_used_at, created_at), id LIMIT 1",
        params![team.0, name],
        |row| Ok(TokenId(row.get("id")?)),
    )
}

/// Deletes a team's tokens that expired before then.
pub(crate) fn delete_expired(tx: &Tx<'_>, team: TeamId, before: Timestamp) -> Result<(), StoreError> {
    tx.execute(
        "DELETE FROM team_tokens WHERE team_id = ?1 AND expires_at < ?2",
        params![team.0, At(before)],
    )?;
    Ok(())
}

fn read(row: &Row<'_>) -> Result<Token, StoreError> {
    Ok(Token {
        id: TokenId(row.get("id")?),
        name: row.get("name")?,
        role: role(row)?,
        created_at: at(row, "created_at")?,
        last_used_at: maybe_at(row, "last_used_at")?,
        expires_at: maybe_at(row, "expires_at")?,
        person: person(row)?,
    })
}

/// Whose token it is.
fn person(row: &Row<'_>) -> Result<Option<Person>, StoreError> {
    let parts: (Option<String>, Option<String>, Option<String>) =
        (row.get("person")?, row.get("issuer")?, row.get("subject")?);
    Ok(match parts {
        (Some(name), Some(issuer), Some(subject)) => Some(Person { issuer, subject, name }),
        _ => None,
    })
}

fn role(row: &Row<'_>) -> Result<Role, StoreError> {
    let role: String = row.get("role")?;
    Role::parse(&role).ok_or_else(|| StoreError::Inconsistent(format!("token with role {role:?}")))
}
