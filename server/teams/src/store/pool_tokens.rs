//! The registration tokens of pools: their hashes, and what they are bound to.

use minitower_kernel::rusqlite::{Row, params};
use minitower_kernel::{At, Db, StoreError, Tx};
use minitower_vocabulary::ids::{PoolTokenId, TeamId};
use minitower_vocabulary::time::Timestamp;

use crate::domain::pool::{Binding, PoolName};

/// How long a token is good for after a newer one of its pool was used: until then the kubelets have renewed the files in which pods find
/// theirs, which takes them a minute or two.
const GRACE_MS: i64 = 10 * 60 * 1000;
/// A pool has at most this many, besides the newest that was used: those whose making was never answered are among them.
const KEPT: i64 = 4;

/// A pool's token, without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PoolToken {
    /// Its id.
    pub(crate) id: PoolTokenId,
    /// What it is bound to.
    pub(crate) binding: Binding,
}

/// A new token. The former ones stay for now: the answer with the new one may be lost.
pub(crate) fn insert(
    tx: &Tx<'_>,
    binding: &Binding,
    hash: [u8; 32],
    now: Timestamp,
) -> Result<PoolTokenId, StoreError> {
    let id = tx.insert(
        "INSERT INTO pool_tokens (pool, environment, team_id, token_hash, created_at) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![
            binding.pool.as_str(),
            binding.environment,
            binding.team.map(|team| team.0),
            hash.as_slice(),
            At(now)
        ],
    )?;
    tx.execute(
        "DELETE FROM pool_tokens WHERE pool = ?1 AND (valid_until <= ?2 OR (
             id NOT IN (SELECT id FROM pool_tokens WHERE pool = ?1 ORDER BY id DESC LIMIT ?3)
             AND id IS NOT (SELECT max(id) FROM pool_tokens WHERE pool = ?1 AND last_used_at IS NOT NULL)))",
        params![binding.pool.as_str(), At(now), KEPT],
    )?;
    Ok(PoolTokenId(id))
}

/// The token of that hash, if it is still good.
pub(crate) fn find(db: &Db, hash: [u8; 32], now: Timestamp) -> Result<Option<PoolToken>, StoreError> {
    db.one(
        "SELECT id, pool, environment, team_id FROM pool_tokens
         WHERE token_hash = ?1 AND (valid_until IS NULL OR valid_until > ?2)",
        params![hash.as_slice(), At(now)],
        read,
    )
}

/// The token of that id, if it is still good.
pub(crate) fn get(db: &Db, id: PoolTokenId, now: Timestamp) -> Result<Option<PoolToken>, StoreError> {
    db.one(
        "SELECT id, pool, environment, team_id FROM pool_tokens
         WHERE id = ?1 AND (valid_until IS NULL OR valid_until > ?2)",
        params![id.0, At(now)],
        read,
    )
}

/// Notes that a runner registered with it. From now on, the pool's former ones are good for a while only.
pub(crate) fn touch(tx: &Tx<'_>, token: &PoolToken, now: Timestamp) -> Result<(), StoreError> {
    tx.execute("UPDATE pool_tokens SET last_used_at = ?2 WHERE id = ?1", params![token.id.0, At(now)])?;
    tx.execute(
        "UPDATE pool_tokens SET valid_until = ?3 WHERE pool = ?1 AND id < ?2 AND valid_until IS NULL",
        params![token.binding.pool.as_str(), token.id.0, At(Timestamp(now.0.saturating_add(GRACE_MS)))],
    )?;
    Ok(())
}

/// Deletes all of a pool; false when it has none. Runners that registered with them keep their own tokens.
pub(crate) fn delete(tx: &Tx<'_>, pool: &PoolName) -> Result<bool, StoreError> {
    Ok(tx.execute("DELETE FROM pool_tokens WHERE pool = ?1", [pool.as_str()])? > 0)
}

fn read(row: &Row<'_>) -> Result<PoolToken, StoreError> {
    Ok(PoolToken {
        id: PoolTokenId(row.get("id")?),
        binding: Binding {
            pool: PoolName::kept(row.get("pool")?),
            environment: row.get("environment")?,
            team: row.get::<_, Option<i64>>("team_id")?.map(TeamId),
        },
    })
}
