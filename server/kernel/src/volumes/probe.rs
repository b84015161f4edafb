//! Tries whether a volume still reads and writes. Every call may block for ever, so it runs on a thread that nobody waits for without a
//! deadline.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::fcntl::{Flock, PosixFadviseAdvice, posix_fadvise};
use nix::sys::statvfs::statvfs;

use crate::volumes::space::{Holds, Space};
use crate::{copy, files};

/// What is read at a time: a page of the database.
const PAGE: u64 = 4096;
/// Where the database's header has the number of its unused pages.
const FREE_PAGES_AT: u64 = 36;

/// A volume, by the file or folder on it that matters.
#[derive(Debug)]
pub(crate) struct Probe {
    holds: Holds,
    /// The database file, or the folder of the objects.
    target: PathBuf,
    /// Its device and inode when the probe was made.
    identity: (u64, u64),
    /// What is written to.
    file: PathBuf,
    /// The open database. It must never be opened and closed again: closing any descriptor of a file gives up the locks that SQLite
    /// holds on it in this process.
    database: Option<Arc<Flock<File>>>,
    tries: u64,
}

/// What a probe found wrong.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    /// The file system refused.
    #[error("{doing} on the volume of the {} failed: {source}", .holds.as_str())]
    Io { holds: Holds, doing: &'static str, source: io::Error },
    /// The files that the process has open are no longer those at their path.
    #[error("{} was moved away or replaced while the server runs", .0.display())]
    Replaced(PathBuf),
}

/// What a volume says of its room.
pub(crate) fn space(holds: Holds, path: &Path) -> io::Result<Space> {
    let folder = if path.is_dir() { path } else { path.parent().unwrap_or(path) };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let found = statvfs(folder)?;
    let unit = found.fragment_size();
    let (free, total) = (found.blocks_available() * unit, found.blocks() * unit);
    Ok(Space { holds, free, owed: 0, total, reusable: 0 })
}

impl Probe {
    /// Of the volume of the database at `path`, which is open.
    pub(crate) fn of_database(path: &Path, open: Arc<Flock<File>>) -> io::Result<Self> {
        Self::new(Holds::Database, path, copy::with_suffix(path, ".probe"), Some(open))
    }

    /// Of the volume of the objects' folder.
    pub(crate) fn of_objects(folder: &Path) -> io::Result<Self> {
        Self::new(Holds::Objects, folder, folder.join("probe"), None)
    }

    fn new(
        holds: Holds,
        target: &Path,
        file: PathBuf,
        database: Option<Arc<Flock<File>>>,
    ) -> io::Result<Self> {
        let found = std::fs::metadata(target)?;
        let identity = (found.dev(), found.ino());
        Ok(Self { holds, target: target.to_owned(), identity, file, database, tries: 0 })
    }

    /// Whether both are on one volume.
    pub(crate) fn is_beside(&self, other: &Self) -> bool {
        self.identity.0 == other.identity.0
    }

    /// Writes, syncs and reads, and answers how much room there is.
    pub(crate) fn run(&mut self) -> Result<Space, Trouble> {
        let holds = self.holds;
        let failed = |doing| move |source| Trouble::Io { holds, doing, source };
        let found = std::fs::metadata(&self.target).map_err(failed("looking at the files"))?;
        if (found.dev(), found.ino()) != self.identity {
            return Err(Trouble::Replaced(self.target.clone()));
        }
        files::unless_used_up(self.write()).map_err(failed("writing"))?;
        files::unless_used_up(self.read(found.len())).map_err(failed("reading"))?;
        self.tries += 1;
        self.space()
    }

    /// How much room there is.
    pub(crate) fn space(&self) -> Result<Space, Trouble> {
        let failed = |source| Trouble::Io { holds: self.holds, doing: "asking for room", source };
        let space = space(self.holds, &self.target).map_err(failed)?;
        let reusable = self.reusable().map_err(failed)?;
        Ok(Space { reusable, ..space })
    }

    /// Bytes of the database's unused pages, as its header has them (<https://sqlite.org/fileformat2.html#the_database_header>): those that were
    /// free when the write-ahead log was last folded into it.
    fn reusable(&self) -> io::Result<u64> {
        let Some(database) = &self.database else { return Ok(0) };
        let mut pages = [0; 4];
        match database.read_exact_at(&mut pages, FREE_PAGES_AT) {
            // It holds nothing yet.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
            read => read.map(|()| u64::from(u32::from_be_bytes(pages)) * PAGE),
        }
    }

    /// Overwrites a block that is allocated, so that a full disk does not matter.
    fn write(&self) -> io::Result<()> {
        let written = || {
            let file =
                File::options().write(true).create(true).truncate(false).mode(0o600).open(&self.file)?;
            file.write_all_at(&[0; 512], 0)?;
            file.sync_data()
        };
        match written() {
            // Of this the free space tells.
            Err(error)
                if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) =>
            {
                Ok(())
            }
            done => done,
        }
    }

    /// Reads a page from the disk and not from the page cache: of the database another one each time, so that its file is looked through
    /// bit by bit.
    fn read(&self, length: u64) -> io::Result<()> {
        if let Some(database) = &self.database {
            let pages = (length / PAGE).max(1);
            // A stride that is coprime to nearly every number of pages.
            return read_at(database, self.tries.wrapping_mul(7919) % pages * PAGE);
        }
        match File::open(&self.file) {
            // A full volume had no room for it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            opened => read_at(&opened?, 0),
        }
    }
}

fn read_at(file: &File, at: u64) -> io::Result<()> {
    let (offset, length) = (i64::try_from(at).unwrap_or(0), PAGE.cast_signed());
    posix_fadvise(file, offset, length, PosixFadviseAdvice::POSIX_FADV_DONTNEED)?;
    let mut page = [0; 512];
    file.read_at(&mut page, at).map(|_| ())
}

#[cfg(test)]
mod tests {
    use nix::fcntl::FlockArg;

    use super::*;

    /// A database that is open, and what probes it.
    fn probe(folder: &Path) -> (PathBuf, Probe) {
        let path = folder.join("m.db");
        std::fs::write(&path, vec![0; 12_288]).unwrap();
        let open = Flock::lock(File::open(&path).unwrap(), FlockArg::LockExclusive).unwrap();
        (path.clone(), Probe::of_database(&path, Arc::new(open)).unwrap())
    }

    #[test]
    fn a_volume_that_works_tells_its_room_and_a_file_that_was_replaced_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let (path, mut probe) = probe(folder.path());
        for _ in 0..4 {
            let space = probe.run().unwrap();
            assert!(space.total > space.free && space.free > 0, "{space}");
        }
        std::fs::rename(&path, folder.path().join("moved")).unwrap();
        assert!(matches!(probe.run(), Err(Trouble::Io { .. })));
        std::fs::write(&path, "another").unwrap();
        assert!(matches!(probe.run(), Err(Trouble::Replaced(_))));
    }

    #[test]
    fn a_write_that_fails_is_trouble() {
        let folder = tempfile::tempdir().unwrap();
        let (_, mut probe) = probe(folder.path());
        // It cannot be opened for writing, whoever runs this.
        std::fs::create_dir(folder.path().join("m.db.probe")).unwrap();
        let trouble = probe.run().unwrap_err().to_string();
        assert!(trouble.starts_with("writing on the volume of the database failed: "), "{trouble}");
    }

    #[test]
    fn a_sync_that_fails_is_trouble_and_a_full_disk_is_told_by_its_room_alone() {
        for (device, trouble) in [("/dev/null", true), ("/dev/full", false)] {
            let folder = tempfile::tempdir().unwrap();
            let (_, mut probe) = probe(folder.path());
            // One cannot be synced, and the other has no room.
            std::os::unix::fs::symlink(device, folder.path().join("m.db.probe")).unwrap();
            assert_eq!(probe.run().is_err(), trouble, "{device}");
        }
    }

    #[test]
    fn the_volume_of_objects_is_written_to_and_read() {
        let folder = tempfile::tempdir().unwrap();
        let mut probe = Probe::of_objects(folder.path()).unwrap();
        assert_eq!(probe.run().unwrap().holds, Holds::Objects);
        assert!(folder.path().join("probe").exists());
    }
}
