//! A backup becomes the database.
//!
//! Between the backup and now runners have gone on: leases in it may have ended, and ids it would give out next have been given out. So every
//! lease token in it is void, every active lease gets its full length again (nobody can extend it, so its run is queued again when it runs out),
//! and the id sequences move on. A run that ended after the backup may run again.

use std::io;
use std::path::{Path, PathBuf};

use crate::check::{self, Verdict};
use crate::db::Lock;
use crate::events::Subscribers;
use crate::identity::{self, Identity};
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
    // A log that another database left here would be read as this one's, and its journal be rolled back into this one.
    for left in ["-wal", "-journal"] {
        if std::fs::metadata(copy::with_suffix(path, left)).is_ok_and(|file| file.len() > 0) {
            return Err(failed(RestoreError::FormerLog(left)));
        }
    }
    let source = whole_and_ours(backup).map_err(failed)?;
    for left in ["-wal", "-shm", "-journal"] {
        copy::remove(&copy::with_suffix(path, left)).map_err(|e| failed(e.into()))?;
    }
    let part = Part(copy::with_suffix(path, ".restoring"));
    part.remove().map_err(|e| failed(e.into()))?;
    copy::copy(&source.db, &part.0).map_err(|e| failed(e.into()))?;
    drop(source);
    // Nobody else restores to the same place meanwhile.
    let lock = Lock::take(&part.0)?;
    let mut db = Db::open_writer(&part.0)?;
    migrate::run(&mut db, &part.0, migrate::Before::Nothing)?;
    move_on(&db, revive).map_err(|e| failed(e.into()))?;
    // Closing folds the write-ahead log in: one file is left to rename.
    drop(db);
    std::fs::rename(&part.0, path).map_err(|e| failed(e.into()))?;
    drop(lock);
    Ok(())
}

/// The database while it is made. What is left of it goes when it is dropped: after it was renamed, nothing is.
struct Part(PathBuf);

impl Part {
    fn remove(&self) -> io::Result<()> {
        ["", "-wal", "-shm", "-journal"]
            .iter()
            .try_for_each(|end| copy::remove(&copy::with_suffix(&self.0, end)))
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if let Err(error) = self.remove() {
            tracing::warn!(%error, path = %self.0.display(), "cannot remove what is left of a restore");
        }
    }
}

/// A backup that was checked, open for reading.
struct Backup {
    db: Db,
    /// The index of its write-ahead log, if it was made by reading it here.
    index: Option<PathBuf>,
}

impl Drop for Backup {
    fn drop(&mut self) {
        if let Some(index) = &self.index
            && let Err(error) = copy::remove(index)
        {
            tracing::warn!(%error, path = %index.display(), "cannot remove what reading the backup has left");
        }
    }
}

/// Opens the backup, with its write-ahead log if there is one, once it is known to be a whole database of this program.
fn whole_and_ours(backup: &Path) -> Result<Backup, RestoreError> {
    if !backup.exists() {
        return Err(RestoreError::Absent);
    }
    identity::check_whole(backup)?;
    if identity::identify(backup)? == Identity::Empty {
        return Err(RestoreError::Empty);
    }
    if identity::may_lack_its_log(backup) {
        tracing::warn!(
            backup = %backup.display(),
            "there is no -wal file beside the backup: if it was copied from a running server, its last changes are missing"
        );
    }
    let index = copy::with_suffix(backup, "-shm");
    let index = (!index.exists()).then_some(index);
    let conn = identity::open_untouched(backup).map_err(RestoreError::Read)?;
    let opened = Backup { db: Db::of(conn), index };
    match check::integrity(&opened.db.conn).map_err(RestoreError::Read)? {
        Verdict::Damaged(verdict) => Err(RestoreError::Damaged { verdict }),
        Verdict::Whole | Verdict::SoFar => {
            identity::check_triggers(&opened.db.conn)?;
            Ok(opened)
        }
    }
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
