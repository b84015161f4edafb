//! Teams.

use crate::domain::team::Team;
use crate::events::TeamMade;
use minitower_kernel::rusqlite::{Row, params};
use minitower_vocabulary::ids::TeamId;
use minitower_vocabulary::time::Timestamp;

use minitower_kernel::{At, Db, StoreError, Tx};

/// A new team; [`StoreError::Taken`] when the slug is.
pub(crate) fn insert(
    tx: &Tx<'_>,
    slug: &str,
    name: &str,
    password_hash: Option<&str>,
    now: Timestamp,
) -> Result<Team, StoreError> {
    let id = tx.insert(
        "INSERT INTO teams (slug, name, password_hash, created_at) VALUES (?1, ?2, ?3, ?4)",
        params![slug, name, password_hash, At(now)],
    )?;
    tx.emit(TeamMade { id: TeamId(id), slug: slug.to_owned() });
    Ok(Team { id: TeamId(id), slug: slug.to_owned(), name: name.to_owned() })
}

/// The id and slug of every team.
pub(crate) fn all(db: &Db) -> Result<Vec<(TeamId, String)>, StoreError> {
    db.all("SELECT id, slug FROM teams", (), |row| Ok((TeamId(row.get("id")?), row.get("slug")?)))
}

/// The team of that slug.
pub(crate) fn by_slug(db: &Db, slug: &str) -> Result<Option<Team>, StoreError> {
    db.one("SELECT id, slug, name FROM teams WHERE slug = ?1", [slug], read)
}

/// The oldest team: the one bootstrap made, if it was first.
pub(crate) fn first(db: &Db) -> Result<Option<Team>, StoreError> {
    db.one("SELECT id, slug, name FROM teams ORDER BY id LIMIT 1", (), read)
}

/// The team of that slug and its password's hash.
pub(crate) fn password_hash(db: &Db, slug: &str) -> Result<Option<(Team, Option<String>)>, StoreError> {
    db.one("SELECT id, slug, name, password_hash FROM teams WHERE slug = ?1", [slug], |row| {
        Ok((read(row)?, row.get("password_hash")?))
    })
}

/// Replaces a team's password.
pub(crate) fn set_password_hash(tx: &Tx<'_>, id: TeamId, hash: &str) -> Result<(), StoreError> {
    tx.execute("UPDATE teams SET password_hash = ?2 WHERE id = ?1", params![id.0, hash])?;
    Ok(())
}

fn read(row: &Row<'_>) -> Result<Team, StoreError> {
    Ok(Team { id: TeamId(row.get("id")?), slug: row.get("slug")?, name: row.get("name")? })
}
