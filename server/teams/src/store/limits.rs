//! The limits of teams, as far as they differ from the defaults.

use minitower_kernel::rusqlite::{Row, params};
use minitower_kernel::{Db, StoreError, Tx};
use minitower_vocabulary::ids::TeamId;
use minitower_vocabulary::limits::LimitName;

use crate::domain::limits::Setting;

/// What is stored of the limits of all teams.
pub(crate) fn all(db: &Db) -> Result<Vec<(TeamId, LimitName, Setting)>, StoreError> {
    let rows = db.all("SELECT team_id, name, allowed, chosen FROM team_limits", (), |row| {
        Ok((TeamId(row.get("team_id")?), read(row)?))
    })?;
    Ok(rows.into_iter().filter_map(|(team, (name, setting))| Some((team, name?, setting))).collect())
}

/// What is stored of the limits of one team.
pub(crate) fn of_team(db: &Db, team: TeamId) -> Result<Vec<(LimitName, Setting)>, StoreError> {
    let rows =
        db.all("SELECT name, allowed, chosen FROM team_limits WHERE team_id = ?1", [team.0], |row| {
            read(row)
        })?;
    Ok(rows.into_iter().filter_map(|(name, setting)| Some((name?, setting))).collect())
}

/// The name, unless a newer version of the program made it, and the setting.
fn read(row: &Row<'_>) -> Result<(Option<LimitName>, Setting), StoreError> {
    let name: String = row.get("name")?;
    let count = |column: &str| row.get::<_, Option<i64>>(column).map(|n| n.map(i64::unsigned_abs));
    Ok((LimitName::parse(&name), Setting { allowed: count("allowed")?, chosen: count("chosen")? }))
}

/// Stores one limit of a team.
pub(crate) fn put(tx: &Tx<'_>, team: TeamId, name: LimitName, setting: Setting) -> Result<(), StoreError> {
    let signed = |n: Option<u64>| n.map(|n| i64::try_from(n).unwrap_or(i64::MAX));
    let Setting { allowed, chosen } = setting;
    if setting == Setting::default() {
        tx.execute(
            "DELETE FROM team_limits WHERE team_id = ?1 AND name = ?2",
            params![team.0, name.as_str()],
        )?;
    } else {
        tx.execute(
            "INSERT INTO team_limits (team_id, name, allowed, chosen) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT DO UPDATE SET allowed = excluded.allowed, chosen = excluded.chosen",
            params![team.0, name.as_str(), signed(allowed), signed(chosen)],
        )?;
    }
    Ok(())
}
