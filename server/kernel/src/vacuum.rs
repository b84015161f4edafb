//! Giving room that the database does not use any more back to the volume.

use std::path::Path;

use crate::db::Lock;
use crate::{Db, OpenError, copy, identity, migrate};

/// What it came to: bytes of the file before and after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vacuumed {
    /// Before.
    pub before: u64,
    /// After.
    pub after: u64,
}

/// Writes the database anew without its unused pages. No server may have it open. SQLite writes a copy to its temporary folder first.
pub fn vacuum(path: &Path) -> Result<Vacuumed, OpenError> {
    migrate::assert_sqlite_version()?;
    let cannot = |source| OpenError::Io { path: path.to_owned(), source };
    // It would make one.
    std::fs::metadata(path).map_err(cannot)?;
    let lock = Lock::take(path)?;
    let stranger = |source| OpenError::Stranger { path: path.to_owned(), source };
    identity::identify(path).map_err(stranger)?;
    let db = Db::open_writer(path)?;
    let bytes = || std::fs::metadata(path).map(|file| file.len()).map_err(cannot);
    let refused = |source| OpenError::Sqlite { path: path.to_owned(), source };
    // The file is as long as it is once the log is folded in.
    db.conn.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").map_err(refused)?;
    let before = bytes()?;
    db.conn
        .execute_batch("PRAGMA synchronous = FULL; VACUUM; PRAGMA wal_checkpoint(TRUNCATE)")
        .map_err(refused)?;
    let after = bytes()?;
    drop(db);
    copy::remove(&copy::with_suffix(path, "-wal")).map_err(cannot)?;
    drop(lock);
    Ok(Vacuumed { before, after })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::Subscribers;
    use crate::{Hooks, Store};

    fn open(path: &Path) -> Store {
        let hooks = Hooks { batch: Box::new(|_| {}), fatal: Box::new(|why| panic!("{why}")) };
        Store::open(path, Subscribers::default(), hooks).unwrap()
    }

    #[tokio::test]
    async fn room_that_is_not_used_is_given_back_and_what_is_there_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.db");
        let missing = vacuum(&path).unwrap_err();
        assert!(!path.exists(), "{missing}");
        let store = open(&path);
        assert!(matches!(vacuum(&path), Err(OpenError::InUse(_))), "a server has it");
        store.close().await.unwrap();
        drop(store);
        let db = Db::open_writer(&path).unwrap();
        db.conn
            .execute_batch(
                "CREATE TABLE t (n); INSERT INTO t VALUES (zeroblob(4000000)), ('kept'); DELETE FROM t WHERE n <> 'kept'",
            )
            .unwrap();
        drop(db);
        let Vacuumed { before, after } = vacuum(&path).unwrap();
        assert!(before > 4_000_000 && after < before - 3_900_000, "{before} {after}");
        let db = Db::open_writer(&path).unwrap();
        let kept: String = db.conn.query_row("SELECT n FROM t", [], |row| row.get(0)).unwrap();
        assert_eq!(kept, "kept");
        drop(db);
        drop(open(&path));
    }
}
