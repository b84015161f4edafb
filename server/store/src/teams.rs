//! Teams.

use minitower_domain::clock::Timestamp;
use minitower_domain::ids::TeamId;
use minitower_domain::team::Team;
use rusqlite::{Row, params};

use crate::db::At;
use crate::{Db, StoreError, Tx};

/// A new team; [`StoreError::Taken`] when the slug is.
pub fn insert(
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
    Ok(Team { id: TeamId(id), slug: slug.to_owned(), name: name.to_owned() })
}

/// The team of that slug.
pub fn by_slug(db: &Db, slug: &str) -> Result<Option<Team>, StoreError> {
    db.one("SELECT id, slug, name FROM teams WHERE slug = ?1", [slug], read)
}

/// The oldest team: the one bootstrap made, if it was first.
pub fn first(db: &Db) -> Result<Option<Team>, StoreError> {
    db.one("SELECT id, slug, name FROM teams ORDER BY id LIMIT 1", (), read)
}

/// The team of that slug and its password's hash.
pub fn password_hash(db: &Db, slug: &str) -> Result<Option<(Team, Option<String>)>, StoreError> {
    db.one("SELECT id, slug, name, password_hash FROM teams WHERE slug = ?1", [slug], |row| {
        Ok((read(row)?, row.get("password_hash")?))
    })
}

/// Replaces a team's password.
pub fn set_password_hash(tx: &Tx<'_>, id: TeamId, hash: &str) -> Result<(), StoreError> {
    tx.execute("UPDATE teams SET password_hash = ?2 WHERE id = ?1", params![id.0, hash])?;
    Ok(())
}

fn read(row: &Row<'_>) -> Result<Team, StoreError> {
    Ok(Team { id: TeamId(row.get("id")?), slug: row.get("slug")?, name: row.get("name")? })
}
