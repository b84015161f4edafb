//! What other subjects may do with environments inside their own transactions.

use minitower_kernel::{StoreError, Tx};
use minitower_vocabulary::ids::{EnvironmentId, TeamId};
use minitower_vocabulary::time::Timestamp;

use crate::store::environments;

/// The team's environment of that name, made if there is none; true when it was made. The name has been checked.
pub fn ensure(
    tx: &Tx<'_>,
    team: TeamId,
    name: &str,
    now: Timestamp,
) -> Result<(EnvironmentId, bool), StoreError> {
    environments::ensure(tx, team, name, now)
}
