//! Tokens of people who signed in through the identity provider.

use minitower_kernel::rusqlite::params;
use minitower_kernel::{At, Db, StoreError, Tx, at};
use minitower_vocabulary::ids::{TeamId, TokenId};
use minitower_vocabulary::statuses::Role;
use minitower_vocabulary::time::Timestamp;

use crate::domain::people::{KnownToken, Person};
use crate::secrets::TokenHash;

/// The tokens of a person in a team that came from signing in.
pub(crate) fn tokens(db: &Db, team: TeamId, person: &Person) -> Result<Vec<KnownToken>, StoreError> {
    db.all(
        "SELECT id, token_hash, expires_at, coalesce(last_used_at, created_at) AS used_at
         FROM team_tokens INDEXED BY team_tokens_by_person
         WHERE team_id = ?1 AND issuer = ?2 AND subject = ?3 AND signed_in = 1",
        params![team.0, person.issuer, person.subject],
        |row| {
            Ok(KnownToken {
                id: TokenId(row.get("id")?),
                hash: row.get("token_hash")?,
                expires_at: at(row, "expires_at")?,
                used_at: at(row, "used_at")?,
            })
        },
    )
}

/// A new token of a person who signed in, by its hash.
pub(crate) fn insert(
    tx: &Tx<'_>,
    team: TeamId,
    person: &Person,
    (role, hash): (Role, TokenHash),
    (now, expires_at): (Timestamp, Timestamp),
) -> Result<TokenId, StoreError> {
    let Person { issuer, subject, name } = person;
    tx.insert(
        "INSERT INTO team_tokens (team_id, name, role, token_hash, created_at, expires_at, person, issuer, subject, signed_in)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?2, ?7, ?8, 1)",
        params![team.0, name, role.as_str(), hash.as_slice(), At(now), At(expires_at), issuer, subject],
    )
    .map(TokenId)
}
