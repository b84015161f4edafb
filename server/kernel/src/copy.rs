//! A whole copy of a database, in a file of its own.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::{CopyError, Db};

/// Copies the database to `target`, and replaces what is there: a copy that was cut short. Only its owner may read it, as the database itself.
/// A copy that fails leaves nothing behind.
pub(crate) fn copy(db: &Db, target: &Path) -> Result<(), CopyError> {
    let path = || target.to_owned();
    let name = target.to_str().ok_or_else(|| CopyError::Name(path()))?;
    remove(target).map_err(|source| CopyError::Replace { path: path(), source })?;
    // VACUUM INTO fills an empty file and leaves its mode alone; one that it makes itself, everybody may read.
    let made = File::options().write(true).create_new(true).mode(0o600).open(target);
    made.map_err(|source| CopyError::Make { path: path(), source })?;
    db.conn.execute("VACUUM INTO ?1", [name]).map(|_| ()).map_err(|source| {
        // A full disk would stay full.
        for left in [target.to_owned(), with_suffix(target, "-journal")] {
            if let Err(error) = remove(&left) {
                tracing::warn!(%error, path = %left.display(), "cannot remove what is left of a copy");
            }
        }
        CopyError::Fill { path: path(), source }
    })
}

/// The file beside `path` whose name ends so.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Removes a file, if it is there.
pub(crate) fn remove(file: &Path) -> io::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_copy_is_whole_and_its_owners_alone_and_replaces_a_cut_one() {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open_writer(&folder.path().join("m.db")).unwrap();
        db.conn.execute_batch("CREATE TABLE t (n); INSERT INTO t VALUES (1)").unwrap();
        let target = folder.path().join("copy.db");
        fs::write(&target, "cut short").unwrap();
        copy(&db, &target).unwrap();
        assert_eq!(fs::metadata(&target).unwrap().permissions().mode() & 0o777, 0o600);
        let copied = Db::open_reader(&target).unwrap();
        let n: i64 = copied.conn.query_row("SELECT count(*) FROM t", (), |row| row.get(0)).unwrap();
        assert_eq!(n, 1);
    }

    #[test]
    fn a_copy_that_fails_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open_writer(&folder.path().join("m.db")).unwrap();
        db.conn.execute_batch("CREATE TABLE t (n); INSERT INTO t VALUES (1)").unwrap();
        // Damaged: what is read of it is no database.
        drop(db);
        let mut bytes = fs::read(folder.path().join("m.db")).unwrap();
        let page = bytes.len() - 4096;
        bytes[page..].fill(7);
        fs::write(folder.path().join("m.db"), bytes).unwrap();
        let db = Db::open_reader(&folder.path().join("m.db")).unwrap();
        db.conn.execute_batch("PRAGMA query_only = OFF").unwrap();
        let target = folder.path().join("copy.db");
        let error = copy(&db, &target).unwrap_err().to_string();
        assert!(error.contains("copy.db"), "{error}");
        assert!(!target.exists() && !with_suffix(&target, "-journal").exists());
    }
}
