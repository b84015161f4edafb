//! Fences: names of runners that nothing is leased to, and who holds them there.

use crate::domain::runner::FenceHolder;
use minitower_kernel::rusqlite::params;
use minitower_vocabulary::ids::RunnerId;
use minitower_vocabulary::time::Timestamp;

use crate::store::events::Unfenced;
use minitower_kernel::At;
use minitower_kernel::{Db, StoreError, Tx};

/// Puts a fence up; the same again changes nothing.
pub fn raise(
    tx: &Tx<'_>,
    runner_name: &str,
    holder: FenceHolder,
    owner: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO runner_fences (runner_name, holder_team_id, owner, created_at) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
        params![runner_name, holder_id(holder), owner, At(now)],
    )?;
    Ok(())
}

/// Takes a fence down; one that is not held changes nothing.
pub fn lift(tx: &Tx<'_>, runner_name: &str, holder: FenceHolder, owner: &str) -> Result<(), StoreError> {
    let lifted = tx.execute(
        "DELETE FROM runner_fences WHERE runner_name = ?1 AND holder_team_id = ?2 AND owner = ?3",
        params![runner_name, holder_id(holder), owner],
    )?;
    if lifted > 0 && !any(tx, runner_name)? {
        tx.emit(Unfenced { runner_name: runner_name.to_owned() });
    }
    Ok(())
}

/// Takes down every fence that one holder has on a name.
pub fn lift_held(tx: &Tx<'_>, runner_name: &str, holder: FenceHolder) -> Result<(), StoreError> {
    tx.execute(
        "DELETE FROM runner_fences WHERE runner_name = ?1 AND holder_team_id = ?2",
        params![runner_name, holder_id(holder)],
    )?;
    Ok(())
}

/// Takes down every fence on a name that is not registered; how many there were.
pub fn lift_all(tx: &Tx<'_>, runner_name: &str) -> Result<usize, StoreError> {
    tx.execute("DELETE FROM runner_fences WHERE runner_name = ?1", [runner_name])
}

/// Whether anybody holds a fence on that name.
pub fn any(db: &Db, runner_name: &str) -> Result<bool, StoreError> {
    let found =
        db.one("SELECT 1 FROM runner_fences WHERE runner_name = ?1 LIMIT 1", [runner_name], |_| Ok(()))?;
    Ok(found.is_some())
}

/// Runners with a fence on their name: at most so many.
pub fn fenced_runners(db: &Db, limit: i64) -> Result<Vec<RunnerId>, StoreError> {
    db.all(
        "SELECT DISTINCT r.id FROM runner_fences f JOIN runners r ON r.name = f.runner_name LIMIT ?1",
        [limit],
        |row| Ok(RunnerId(row.get("id")?)),
    )
}

/// Whether that holder has a fence on the name.
pub fn is_held(db: &Db, runner_name: &str, holder: FenceHolder) -> Result<bool, StoreError> {
    let found = db.one(
        "SELECT 1 FROM runner_fences WHERE runner_name = ?1 AND holder_team_id = ?2 LIMIT 1",
        params![runner_name, holder_id(holder)],
        |_| Ok(()),
    )?;
    Ok(found.is_some())
}

pub(crate) const fn holder_id(holder: FenceHolder) -> i64 {
    match holder {
        FenceHolder::Operator => 0,
        FenceHolder::Team(team) => team.0,
    }
}
