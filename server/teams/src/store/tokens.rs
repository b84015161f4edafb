//! Team tokens: their hashes.

use crate::domain::team::{Credential, TeamPrincipal};
use minitower_kernel::rusqlite::params;
use minitower_vocabulary::ids::{TeamId, TokenId};
use minitower_vocabulary::statuses::Role;
use minitower_vocabulary::time::Timestamp;

use minitower_kernel::{At, Db, StoreError, Tx};

/// A new token, by its hash.
pub(crate) fn insert(
    tx: &Tx<'_>,
    team: TeamId,
    name: Option<&str>,
    role: Role,
    hash: [u8; 32],
    now: Timestamp,
) -> Result<TokenId, StoreError> {
    tx.insert(
        "INSERT INTO team_tokens (team_id, name, role, token_hash, created_at) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![team.0, name, role.as_str(), hash.as_slice(), At(now)],
    )
    .map(TokenId)
}

/// How many tokens a team has, counted up to `most`.
pub(crate) fn count(db: &Db, team: TeamId, most: i64) -> Result<i64, StoreError> {
    let counted = db.one(
        "SELECT count(*) AS n FROM (SELECT 1 FROM team_tokens INDEXED BY team_tokens_by_team WHERE team_id = ?1 LIMIT ?2)",
        [team.0, most],
        |row| Ok(row.get("n")?),
    )?;
    Ok(counted.unwrap_or(0))
}

/// Whom the token of that hash speaks for.
pub(crate) fn principal(db: &Db, hash: [u8; 32]) -> Result<Option<TeamPrincipal>, StoreError> {
    db.one(
        "SELECT k.id, k.role, t.id AS team_id, t.slug FROM team_tokens k JOIN teams t ON t.id = k.team_id
         WHERE k.token_hash = ?1",
        [hash.as_slice()],
        |row| {
            let role: String = row.get("role")?;
            Ok(TeamPrincipal {
                team_id: TeamId(row.get("team_id")?),
                team_slug: row.get("slug")?,
                credential: Credential::Token {
                    id: TokenId(row.get("id")?),
                    role: Role::parse(&role)
                        .ok_or_else(|| StoreError::Inconsistent(format!("token with role {role:?}")))?,
                },
            })
        },
    )
}
