//! What other subjects may do with environments inside their own transactions.

use minitower_kernel::{Db, StoreError, Tx};
use minitower_vocabulary::ids::{EnvironmentId, TeamId};
use minitower_vocabulary::limits::LimitName;
use minitower_vocabulary::time::Timestamp;

use crate::Error;
use crate::limits::Limits;
use crate::store::environments;

/// The team's environment of that name, made if there is none and the team may have one more; true when it was made. The name has been
/// checked.
pub fn ensure(
    tx: &Tx<'_>,
    (team, limits): (TeamId, &Limits),
    name: &str,
    now: Timestamp,
) -> Result<(EnvironmentId, bool), Error> {
    if let Some(id) = environments::id(tx, team, name)? {
        return Ok((id, false));
    }
    let most = limits.count(LimitName::Environments);
    limits.take(LimitName::Environments, environments::count(tx, team, most)?.unsigned_abs())?;
    Ok((environments::insert(tx, team, name, now)?, true))
}

/// Whether the team has an environment of that name.
pub fn exists(db: &Db, team: TeamId, name: &str) -> Result<bool, StoreError> {
    Ok(environments::id(db, team, name)?.is_some())
}
