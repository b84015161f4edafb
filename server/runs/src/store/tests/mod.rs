//! The store on a real SQLite file.

mod lists;
mod queue;

use minitower_kernel::{StoreError, Tx};
use minitower_vocabulary::ids::TeamId;

/// A team, made beside the subject that owns teams.
fn team(tx: &Tx<'_>, slug: &str) -> Result<TeamId, StoreError> {
    tx.insert("INSERT INTO teams (slug, name, created_at) VALUES (?1, ?1, 0)", [slug]).map(TeamId)
}
