//! Whose database a file is.
//!
//! Found out before anything is written to it: opening another program's database for writing would already change its header, and
//! migrating it would add our tables. The header answers for our own databases, without a connection. All others are looked at through
//! one that reads and leaves nothing behind.

use std::fs::{File, FileType};
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use crate::{copy, migrate};

/// What `migrations/0010_application_id.sql` writes into the header: the letters `MTwr`.
pub(crate) const APPLICATION_ID: i32 = 0x4D54_7772;
/// The version of the schema that has it first.
const MARKED_SINCE: i32 = 10;
/// Bytes of the header (<https://sqlite.org/fileformat2.html#the_database_header>), and how each begins.
const HEADER: usize = 100;
const MAGIC: &[u8] = b"SQLite format 3\0";
/// How a write-ahead log begins, but for its last bit (<https://sqlite.org/fileformat2.html#the_write_ahead_log>).
const LOG_MAGIC: [u8; 4] = [0x37, 0x7f, 0x06, 0x82];

/// A file that can be opened as the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Identity {
    /// It has nothing in it yet.
    Empty,
    /// It is a database of this program, of this version or another.
    Ours,
}

/// Why a file is not taken for a database of this program.
#[derive(Debug, thiserror::Error)]
pub enum Stranger {
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
    /// It is not a file.
    #[error("it is {0}, not a file")]
    NotAFile(&'static str),
    /// It is not a database.
    #[error("it is not an SQLite database")]
    NotADatabase,
    /// Another program has marked it as its own.
    #[error("it is the database of another program (application id {0:#x})")]
    Marked(i32),
    /// It has this program's mark, but is of no version that had one.
    #[error(
        "it is marked as a MiniTower database, but its schema version is {0}: it was changed, or never filled"
    )]
    Version(i32),
    /// Its tables are not those of any version.
    #[error("its tables are not those of a MiniTower database")]
    Tables,
    /// It has a trigger that is not of its version.
    #[error(
        "it has a trigger that MiniTower has not made, {0:?}, and that would run inside of the server: \
         drop it from a copy of the backup, and restore that"
    )]
    Trigger(String),
    /// Its last bytes are missing.
    #[error("it is cut short: {found} of {expected} bytes")]
    CutShort {
        /// Its bytes.
        found: u64,
        /// Its bytes according to its header.
        expected: u64,
    },
    /// The `-wal` file beside it is not a write-ahead log.
    #[error("the -wal file beside it is damaged")]
    Log,
    /// Its write-ahead log is not there, but the index of that log is.
    #[error("its -wal file is missing: copy it together with the database")]
    LogMissing,
    /// SQLite cannot read it.
    #[error("SQLite cannot read it: {0}")]
    Sqlite(#[from] rusqlite::Error),
}

/// Finds out whose file it is, and changes nothing.
pub(crate) fn identify(path: &Path) -> Result<Identity, Stranger> {
    let Some(header) = Header::read(path)? else { return Ok(Identity::Empty) };
    // The mark and the version stand on the same page: one is not there without the other.
    if header.i32_at(68) == APPLICATION_ID && header.i32_at(60) >= MARKED_SINCE {
        return Ok(Identity::Ours);
    }
    look_into(path, |conn| {
        let pragma = |name: &str| conn.query_row(&format!("PRAGMA {name}"), (), |row| row.get::<_, i32>(0));
        let found = tables(conn)?;
        match (pragma("application_id")?, pragma("user_version")?) {
            (APPLICATION_ID, MARKED_SINCE..) => Ok(Identity::Ours),
            (APPLICATION_ID, version) => Err(Stranger::Version(version)),
            (0, 0) if found.is_empty() => Ok(Identity::Empty),
            (0, version) => {
                let known = usize::try_from(version).ok().and_then(migrate::schema_of).transpose()?;
                let known = known.as_ref().map(tables).transpose()?.unwrap_or_default();
                // Others may have added to it: Litestream keeps tables of its own there.
                let ours = !known.is_empty() && known.iter().all(|table| found.contains(table));
                if ours { Ok(Identity::Ours) } else { Err(Stranger::Tables) }
            }
            (other, _) => Err(Stranger::Marked(other)),
        }
    })
}

/// Refuses a backup of which a part is missing, as far as that can be known: one that SQLite made looks the same as a file that was
/// copied from a running server alone.
pub(crate) fn check_whole(path: &Path) -> Result<(), Stranger> {
    let log = copy::with_suffix(path, "-wal");
    if has_content(&log) {
        let mut magic = [0; 4];
        File::open(&log)?.read_exact(&mut magic)?;
        magic[3] &= !1;
        return if magic == LOG_MAGIC { Ok(()) } else { Err(Stranger::Log) };
    }
    // A clean stop removes both files, and only a server that runs or was killed has one.
    if !log.exists() && copy::with_suffix(path, "-shm").exists() {
        return Err(Stranger::LogMissing);
    }
    let Some(header) = Header::read(path)? else { return Ok(()) };
    let (found, expected) = (std::fs::metadata(path)?.len(), header.bytes().unwrap_or(0));
    if found < expected { Err(Stranger::CutShort { found, expected }) } else { Ok(()) }
}

/// Refuses a database with a trigger that is not of its version. Others may add tables to it, but a trigger changes what our statements do.
pub(crate) fn check_triggers(conn: &Connection) -> Result<(), Stranger> {
    let version: i32 = conn.query_row("PRAGMA user_version", (), |row| row.get(0))?;
    // What a newer version has is not known here, and it is refused as that.
    let Some(known) = usize::try_from(version).ok().and_then(migrate::schema_of) else { return Ok(()) };
    let known = triggers(&known?)?;
    let foreign = triggers(conn)?.into_iter().find(|trigger| !known.contains(trigger));
    foreign.map_or(Ok(()), |(name, _)| Err(Stranger::Trigger(name)))
}

/// The triggers of a database, with their text: what they do.
fn triggers(conn: &Connection) -> rusqlite::Result<Vec<(String, Option<String>)>> {
    let mut triggers = conn.prepare("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'")?;
    triggers.query_map((), |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

/// Whether the file may be that of a running server, copied without its write-ahead log. Copies that SQLite or Litestream made look the
/// same.
pub(crate) fn may_lack_its_log(path: &Path) -> bool {
    let in_wal_mode = matches!(Header::read(path), Ok(Some(Header(header))) if header[18] == 2);
    in_wal_mode && !has_content(&copy::with_suffix(path, "-wal"))
}

/// Opens a database for reading alone, with what its write-ahead log holds. Where there is no log, the medium may be read-only.
pub(crate) fn open_untouched(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    if has_content(&copy::with_suffix(path, "-wal")) {
        return Connection::open_with_flags(path, flags);
    }
    Connection::open_with_flags(uri(path), flags | OpenFlags::SQLITE_OPEN_URI)
}

/// Runs `look` on an untouched database, and removes the index that reading its log may have made.
fn look_into<T>(path: &Path, look: impl FnOnce(&Connection) -> Result<T, Stranger>) -> Result<T, Stranger> {
    let index = copy::with_suffix(path, "-shm");
    let was_there = index.exists();
    let looked = open_untouched(path).map_err(Stranger::from).and_then(|conn| look(&conn));
    if !was_there {
        copy::remove(&index)?;
    }
    looked
}

fn tables(conn: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut names =
        conn.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")?;
    let names = names.query_map((), |row| row.get(0))?;
    names.collect()
}

fn has_content(file: &Path) -> bool {
    std::fs::metadata(file).is_ok_and(|file| file.len() > 0)
}

/// The path as SQLite's URI of a file that nobody changes (<https://sqlite.org/uri.html>).
fn uri(path: &Path) -> String {
    use std::fmt::Write as _;
    let mut uri = "file:".to_owned();
    for &byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"/._-~".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(uri, "%{byte:02x}");
        }
    }
    uri.push_str("?immutable=1");
    uri
}

fn is_a_file(kind: FileType) -> Result<(), Stranger> {
    Err(Stranger::NotAFile(match kind {
        kind if kind.is_file() => return Ok(()),
        kind if kind.is_dir() => "a folder",
        kind if kind.is_fifo() => "a named pipe",
        kind if kind.is_socket() => "a socket",
        kind if kind.is_char_device() || kind.is_block_device() => "a device",
        _ => "something else",
    }))
}

/// The first bytes of a database.
struct Header([u8; HEADER]);

impl Header {
    /// None: the file is not there or has no bytes.
    fn read(path: &Path) -> Result<Option<Self>, Stranger> {
        // Looked at before it is opened: to open a pipe would wait for whoever writes to it.
        match std::fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            found => is_a_file(found?.file_type())?,
        }
        let file = File::open(path)?;
        let mut bytes = Vec::with_capacity(HEADER);
        file.take(HEADER as u64).read_to_end(&mut bytes)?;
        if bytes.is_empty() {
            return Ok(None);
        }
        match <[u8; HEADER]>::try_from(bytes) {
            Ok(header) if header.starts_with(MAGIC) => Ok(Some(Self(header))),
            _ => Err(Stranger::NotADatabase),
        }
    }

    fn i32_at(&self, at: usize) -> i32 {
        let mut four = [0; 4];
        four.copy_from_slice(&self.0[at..at + 4]);
        i32::from_be_bytes(four)
    }

    /// How long the file says that it is; none: the program that wrote it last did not write that down.
    fn bytes(&self) -> Option<u64> {
        let page = match u16::from_be_bytes([self.0[16], self.0[17]]) {
            1 => 65_536,
            size => u64::from(size),
        };
        let pages = u64::try_from(self.i32_at(28)).ok()?;
        (self.i32_at(24) == self.i32_at(92)).then_some(page * pages)
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::Db;

    /// A database with that SQL in it, closed in order.
    fn made(folder: &Path, sql: &str) -> PathBuf {
        let path = folder.join("m.db");
        Connection::open(&path).unwrap().execute_batch(sql).unwrap();
        path
    }

    #[test]
    fn databases_of_every_version_are_ours_and_are_not_changed() {
        for version in 1..=migrate::LATEST {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("odd ?#%name.db");
            let mut db = Db::open_writer(&path).unwrap();
            migrate::to(&mut db, version);
            assert_eq!(identify(&path).unwrap(), Identity::Ours, "version {version}, all of it in the log");
            db.conn.execute_batch("CREATE TABLE _litestream_seq (id)").unwrap();
            drop(db);
            let before = std::fs::read(&path).unwrap();
            assert_eq!(identify(&path).unwrap(), Identity::Ours, "version {version}");
            assert_eq!(std::fs::read(&path).unwrap(), before);
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
        }
    }

    #[test]
    fn a_trigger_that_is_not_of_its_version_is_told() {
        let folder = tempfile::tempdir().unwrap();
        for version in 1..=migrate::LATEST {
            // As it was made in one go, and as a server migrates it.
            let path = folder.path().join(format!("{version}.db"));
            let mut db = Db::open_writer(&path).unwrap();
            migrate::to(&mut db, version);
            check_triggers(&db.conn).unwrap();
            migrate::run(&mut db, &path, migrate::Before::Nothing).unwrap();
            check_triggers(&db.conn).unwrap();
            db.batch("CREATE TRIGGER evil AFTER INSERT ON runs BEGIN SELECT 1; END").unwrap();
            assert!(matches!(check_triggers(&db.conn), Err(Stranger::Trigger(name)) if name == "evil"));
            db.batch(
                "DROP TRIGGER evil; DROP TRIGGER ended_runs_are_final;
                 CREATE TRIGGER ended_runs_are_final AFTER INSERT ON runs BEGIN SELECT 1; END",
            )
            .unwrap();
            assert!(matches!(check_triggers(&db.conn), Err(Stranger::Trigger(_))), "only its name is ours");
        }
    }

    #[test]
    fn what_is_not_ours_is_told_by_what_it_is() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(identify(&folder.path().join("absent")).unwrap(), Identity::Empty);
        assert_eq!(identify(&made(folder.path(), "VACUUM")).unwrap(), Identity::Empty);
        for sql in [
            "CREATE TABLE t (a)",
            "CREATE TABLE teams (a); PRAGMA user_version = 1",
            "CREATE TABLE t (a); PRAGMA user_version = 900",
        ] {
            let folder = tempfile::tempdir().unwrap();
            assert!(matches!(identify(&made(folder.path(), sql)), Err(Stranger::Tables)), "{sql}");
        }
        let marked = made(folder.path(), "CREATE TABLE t (a); PRAGMA application_id = 77");
        assert!(matches!(identify(&marked), Err(Stranger::Marked(77))));
        for junk in [&b"no database"[..], &[0; 4096]] {
            std::fs::write(folder.path().join("junk"), junk).unwrap();
            assert!(matches!(identify(&folder.path().join("junk")), Err(Stranger::NotADatabase)));
        }
    }

    #[test]
    fn what_is_marked_as_ours_and_is_of_no_version_is_not_ours() {
        for (version, filled) in [(0, false), (0, true), (9, true)] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("m.db");
            let mut db = Db::open_writer(&path).unwrap();
            if filled {
                migrate::to(&mut db, migrate::LATEST);
            }
            let marks = format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {version}");
            db.conn.execute_batch(&marks).unwrap();
            assert!(
                matches!(identify(&path), Err(Stranger::Version(found)) if found == version),
                "{version} in the log"
            );
            drop(db);
            assert!(
                matches!(identify(&path), Err(Stranger::Version(found)) if found == version),
                "{version}"
            );
        }
    }

    #[test]
    fn what_is_not_a_file_is_told_and_never_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let (pipe, socket) = (folder.path().join("pipe"), folder.path().join("socket"));
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let _socket = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        for (path, kind) in [
            (folder.path(), "a folder"),
            (&pipe, "a named pipe"),
            (&socket, "a socket"),
            (Path::new("/dev/zero"), "a device"),
        ] {
            assert!(matches!(identify(path), Err(Stranger::NotAFile(found)) if found == kind), "{kind}");
            assert!(matches!(check_whole(path), Err(Stranger::NotAFile(found)) if found == kind), "{kind}");
        }
    }

    #[test]
    fn a_copy_of_which_a_part_is_missing_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = made(folder.path(), "CREATE TABLE t (a); INSERT INTO t VALUES (zeroblob(20000))");
        check_whole(&path).unwrap();
        let (log, index) = (copy::with_suffix(&path, "-wal"), copy::with_suffix(&path, "-shm"));
        std::fs::write(&index, "an index").unwrap();
        assert!(matches!(check_whole(&path), Err(Stranger::LogMissing)));
        std::fs::write(&log, "").unwrap();
        check_whole(&path).unwrap();
        std::fs::write(&log, "of something else").unwrap();
        assert!(matches!(check_whole(&path), Err(Stranger::Log)));
        std::fs::remove_file(&log).unwrap();
        std::fs::remove_file(&index).unwrap();
        File::options().write(true).open(&path).unwrap().set_len(9000).unwrap();
        assert!(matches!(check_whole(&path), Err(Stranger::CutShort { found: 9000, .. })));
    }
}
