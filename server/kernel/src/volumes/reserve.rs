//! Room that is kept for lease traffic: a file of allocated blocks beside the database, given up when the volume is full.
//!
//! A heartbeat changes rows that are there, so what it needs is room in the write-ahead log, until that is folded into the database and
//! used again from its start. The log may hold pages that the database does not have yet, so folding it takes as much room as it has: at most
//! two thirds of the reserve ([`Reserve::log_pages`]). The rest, 16 MiB, carries the heartbeats of any number of runners and the results of
//! some thousand runs, which add up to a few kilobytes each. A small volume keeps a twentieth.
//!
//! It is given up in four steps, because another program that fills the volume may take what becomes free before the database does.

use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use nix::fcntl::posix_fallocate;

use crate::copy;
use crate::volumes::probe;
use crate::volumes::space::Holds;

const MOST: u64 = 48 << 20;
/// Bytes of a page of the database (<https://sqlite.org/pragma.html#pragma_page_size>).
const PAGE: u64 = 4096;
/// The log is never folded more often than after so many pages, about one commit with a large body.
const LEAST_PAGES: u64 = 64;
const SHARE: u64 = 20;
const STEPS: u64 = 4;
/// Less than this is not worth a file.
const LEAST: u64 = 64 << 10;

/// The file. Its own length says how much is left of it.
#[derive(Debug)]
pub(crate) struct Reserve {
    database: PathBuf,
    path: PathBuf,
    /// Whether it was said that it cannot be made.
    told: AtomicBool,
}

impl Reserve {
    /// Of the database at `path`.
    pub(crate) fn of(path: &Path) -> Self {
        let (database, path) = (path.to_owned(), copy::with_suffix(path, ".reserve"));
        Self { database, path, told: AtomicBool::new(false) }
    }

    /// Bytes that it should have on a volume of that size.
    pub(crate) fn wanted(total: u64) -> u64 {
        let size = (total / SHARE).min(MOST);
        if size < LEAST { 0 } else { size }
    }

    /// How many pages of the write-ahead log may wait to be folded into the database: what this reserve has room for.
    pub(crate) fn log_pages(total: u64) -> u32 {
        let pages = (Self::wanted(total) / 3 * 2 / PAGE).max(LEAST_PAGES);
        u32::try_from(pages).unwrap_or(u32::MAX)
    }

    /// Bytes that it has.
    pub(crate) fn bytes(&self) -> u64 {
        std::fs::metadata(&self.path).map_or(0, |file| if file.is_file() { file.len() } else { 0 })
    }

    /// Gives up the next part, and answers how many bytes that was.
    pub(crate) fn give_up(&self, total: u64) -> io::Result<u64> {
        let bytes = self.bytes();
        if bytes == 0 {
            return Ok(0);
        }
        let left = bytes.saturating_sub((Self::wanted(total) / STEPS).max(LEAST));
        File::options().write(true).open(&self.path)?.set_len(left)?;
        Ok(bytes - left)
    }

    /// Makes it, and answers whether it need not be waited for: it is whole, or this file system allocates nothing ahead.
    pub(crate) fn make_or_do_without(&self, bytes: u64) -> bool {
        match self.make(bytes) {
            Ok(()) => true,
            Err(error)
                if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) =>
            {
                false
            }
            Err(error) => {
                if !self.told.swap(true, Ordering::Relaxed) {
                    tracing::warn!(%error, "there is no reserve for lease traffic: it cannot be allocated");
                }
                true
            }
        }
    }

    /// Makes it as large as it should be. What cannot be had is given back at once.
    pub(crate) fn make(&self, bytes: u64) -> io::Result<()> {
        if self.bytes() >= bytes {
            return Ok(());
        }
        let mut options = File::options();
        let file = options.write(true).create(true).truncate(false).mode(0o600).open(&self.path)?;
        let before = file.metadata()?.len();
        let length = i64::try_from(bytes).map_err(io::Error::other)?;
        posix_fallocate(&file, 0, length).map_err(|errno| {
            // A part may have been allocated. If even this fails, the file says itself how large it is.
            let _ = file.set_len(before);
            io::Error::from(errno)
        })?;
        // Whoever deleted the database's folder meanwhile would find this in it.
        if self.database.try_exists()? { Ok(()) } else { std::fs::remove_file(&self.path) }
    }
}

/// Before the database is opened: a volume that is full has no room for the index of the write-ahead log.
pub(crate) fn make_room_to_open(path: &Path) {
    let reserve = Reserve::of(path);
    if reserve.bytes() == 0 {
        return;
    }
    let Ok(space) = probe::space(Holds::Database, path) else { return };
    if space.free >= space.beside_reserve() / 2 {
        return;
    }
    match reserve.give_up(space.total) {
        Ok(bytes) => tracing::warn!(%space, bytes, "gave up a part of the reserve to open the database"),
        Err(error) => tracing::warn!(%error, "could not give up the reserve"),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn it_holds_blocks_and_gives_them_up_step_by_step() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.db");
        let (reserve, total) = (Reserve::of(&path), 1 << 40);
        assert_eq!(reserve.give_up(total).unwrap(), 0, "there is none");
        reserve.make(Reserve::wanted(total)).unwrap();
        assert_eq!(reserve.bytes(), 0, "there is no database");
        std::fs::write(&path, "").unwrap();
        reserve.make(Reserve::wanted(total)).unwrap();
        let blocks = || std::fs::metadata(folder.path().join("m.db.reserve")).unwrap().blocks() * 512;
        assert!(blocks() >= MOST, "{}", blocks());
        for left in [36, 24, 12, 0] {
            assert_eq!(reserve.give_up(total).unwrap(), 12 << 20);
            assert_eq!(reserve.bytes(), left << 20);
        }
        assert_eq!(blocks(), 0);
        reserve.make(Reserve::wanted(total)).unwrap();
        assert_eq!(reserve.bytes(), MOST);
    }

    #[test]
    fn a_small_volume_keeps_a_twentieth_and_a_tiny_one_nothing() {
        assert_eq!(Reserve::wanted(20 << 20), 1 << 20);
        assert_eq!(Reserve::wanted(1 << 20), 0);
    }

    #[test]
    fn the_log_never_holds_more_than_the_reserve_has_room_for() {
        assert_eq!(Reserve::log_pages(1 << 40), 8192);
        assert_eq!(Reserve::log_pages(20 << 20), 170);
        assert_eq!(Reserve::log_pages(0), 64);
    }
}
