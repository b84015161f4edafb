//! A backup becomes the database.
//!
//! Between the backup and now runners have gone on: leases in it may have ended, and ids it would give out next have been given out. So every
//! lease token in it is void, every active lease gets its full length again (nobody can extend it, so its run is queued again when it runs out),
//! and the id sequences move on. A run that ended after the backup may run again.

use std::path::Path;

use crate::db::Lock;
use crate::events::Subscribers;
use crate::{Db, OpenError, RestoreError, StoreError, Tx, copy, migrate};

/// How far the id sequences move on: more ids than are given out between two backups.
const SEQUENCE_STEP: i64 = 1_000_000;

/// Makes a database at `path`, where there must be none, of the one at `backup`, which stays as it is.
///
/// `revive` puts right what the subjects keep in it and must not be as it was: it runs in the transaction that moves the id sequences on.
pub fn restore(
    path: &Path,
    backup: &Path,
    revive: impl FnOnce(&Tx<'_>) -> Result<(), StoreError>,
) -> Result<(), OpenError> {
    let failed = |source: RestoreError| OpenError::Restore {
        path: path.to_owned(),
        backup: backup.to_owned(),
        source: Box::new(source),
    };
    if path.exists() {
        return Err(failed(RestoreError::Exists));
    }
    // A log that another database left here would be read as this one's.
    if std::fs::metadata(copy::with_suffix(path, "-wal")).is_ok_and(|wal| wal.len() > 0) {
        return Err(failed(RestoreError::FormerLog));
    }
    let part = copy::with_suffix(path, ".restoring");
    let parts = [part.clone(), copy::with_suffix(&part, "-wal"), copy::with_suffix(&part, "-shm")];
    for left in parts.into_iter().chain([copy::with_suffix(path, "-wal"), copy::with_suffix(path, "-shm")]) {
        copy::remove(&left).map_err(|e| failed(e.into()))?;
    }
    copy_of(backup, &part).map_err(failed)?;
    // Nobody else restores to the same place meanwhile.
    let lock = Lock::take(&part)?;
    let mut db = Db::open_writer(&part)?;
    migrate::run(&mut db, &part, migrate::Before::Nothing)?;
    move_on(&db, revive).map_err(|e| failed(e.into()))?;
    // Closing folds the write-ahead log in: one file is left to rename.
    drop(db);
    std::fs::rename(&part, path).map_err(|e| failed(e.into()))?;
    drop(lock);
    Ok(())
}

fn copy_of(backup: &Path, part: &Path) -> Result<(), RestoreError> {
    let source = Db::open_reader(backup)?;
    let verdict: String =
        source.conn.query_row("PRAGMA quick_check(1)", (), |row| row.get(0)).map_err(RestoreError::Read)?;
    if verdict != "ok" {
        return Err(RestoreError::Damaged { verdict });
    }
    // VACUUM INTO counts as a write, though it only reads the source.
    source.conn.execute_batch("PRAGMA query_only = OFF").map_err(RestoreError::Read)?;
    Ok(copy::copy(&source, part)?)
}

fn move_on(db: &Db, revive: impl FnOnce(&Tx<'_>) -> Result<(), StoreError>) -> Result<(), StoreError> {
    db.conn.execute_batch("BEGIN IMMEDIATE")?;
    let nobody = Subscribers::default();
    let tx = Tx::new(db, &nobody);
    revive(&tx)?;
    // A table that was still empty has no sequence yet, but may have given out ids since.
    tx.execute(
        "INSERT INTO sqlite_sequence (name, seq)
         SELECT name, 0 FROM sqlite_schema WHERE type = 'table' AND sql LIKE '%AUTOINCREMENT%'
             AND name NOT IN (SELECT name FROM sqlite_sequence)",
        (),
    )?;
    tx.execute("UPDATE sqlite_sequence SET seq = seq + ?1", [SEQUENCE_STEP])?;
    db.conn.execute_batch("COMMIT")?;
    Ok(())
}
