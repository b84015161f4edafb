//! A backup becomes the database.
//!
//! Between the backup and now runners have gone on: leases in it may have ended, and ids it would give out next have been given out. So every
//! lease token in it is void, every active lease gets its full length again (nobody can extend it, so its run is queued again when it runs out),
//! and the id sequences move on. A run that ended after the backup may run again.

use std::path::{Path, PathBuf};
use std::time::Duration;

use minitower_domain::attempt::AttemptState;
use minitower_domain::clock::Timestamp;
use minitower_domain::ids::RunId;
use minitower_domain::lease;

use crate::db::Lock;
use crate::{Db, OpenError, StoreError, Tx, attempts, migrate};

/// How far the id sequences move on: more ids than are given out between two backups.
const SEQUENCE_STEP: i64 = 1_000_000;
/// Attempts changed at a time.
const BATCH: i64 = 1000;

/// Makes a database at `path`, where there must be none, of the one at `backup`, which stays as it is.
pub fn restore(path: &Path, backup: &Path, lease_ttl: Duration, now: Timestamp) -> Result<(), OpenError> {
    let failed =
        |reason: String| OpenError::Restore { path: path.to_owned(), backup: backup.to_owned(), reason };
    if path.exists() {
        return Err(failed(
            "there is a database already: move it away, with its -wal and -shm files".to_owned(),
        ));
    }
    // A log that another database left here would be read as this one's.
    if std::fs::metadata(with_suffix(path, "-wal")).is_ok_and(|wal| wal.len() > 0) {
        return Err(failed("the former database's -wal file is still there: move it away too".to_owned()));
    }
    let part = with_suffix(path, ".restoring");
    let parts = [part.clone(), with_suffix(&part, "-wal"), with_suffix(&part, "-shm")];
    for left in parts.into_iter().chain([with_suffix(path, "-wal"), with_suffix(path, "-shm")]) {
        match std::fs::remove_file(&left) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(failed(e.to_string())),
            _ => {}
        }
    }
    copy(backup, &part).map_err(failed)?;
    // Nobody else restores to the same place meanwhile.
    let lock = Lock::take(&part)?;
    let mut db = Db::open_writer(&part)?;
    migrate::run(&mut db, &part)?;
    void_leases(&db, lease_ttl, now).map_err(|e| failed(e.to_string()))?;
    // Closing folds the write-ahead log in: one file is left to rename.
    drop(db);
    std::fs::rename(&part, path).map_err(|e| failed(e.to_string()))?;
    drop(lock);
    Ok(())
}

fn copy(backup: &Path, part: &Path) -> Result<(), String> {
    let source = Db::open_reader(backup).map_err(|e| e.to_string())?;
    let verdict: String = source
        .conn
        .query_row("PRAGMA quick_check(1)", (), |row| row.get(0))
        .map_err(|e| format!("the backup cannot be read: {e}"))?;
    if verdict != "ok" {
        return Err(format!("the backup is damaged: {verdict}"));
    }
    // VACUUM INTO counts as a write, though it only reads the source.
    source.conn.execute_batch("PRAGMA query_only = OFF").map_err(|e| e.to_string())?;
    let name = part.to_str().ok_or("the database's path is not UTF-8")?;
    source.conn.execute("VACUUM INTO ?1", [name]).map(|_| ()).map_err(|e| e.to_string())
}

fn void_leases(db: &Db, ttl: Duration, now: Timestamp) -> Result<(), StoreError> {
    db.conn.execute_batch("BEGIN IMMEDIATE")?;
    let tx = Tx::new(db);
    let mut last = RunId(0);
    loop {
        let batch = attempts::active(&tx, last, BATCH)?;
        let Some(newest) = batch.last() else { break };
        last = newest.run_id;
        for attempt in &batch {
            let state: AttemptState = lease::after_restart(&attempt.state, ttl, now);
            attempts::save(&tx, attempt, state)?;
            tx.execute(
                "UPDATE run_attempts SET lease_token_hash = randomblob(32), api_token_hash = NULL WHERE id = ?1",
                [attempt.id.0],
            )?;
        }
    }
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

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
