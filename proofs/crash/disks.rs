//! Disks of the control plane that are full or broken for a while.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use nix::fcntl::posix_fallocate;
use nix::sys::statvfs::statvfs;

/// The smallest part of a disk, in bytes.
const PAGE: i64 = 4096;

/// A disk that was filled. Dropping it makes room.
#[derive(Debug)]
pub(crate) struct Filled(PathBuf);

impl Filled {
    /// Fills the disk at `folder` to its last page.
    pub(crate) fn fill(folder: &Path) -> Self {
        let filler = folder.join("filler");
        let file = File::create(&filler).unwrap();
        let (mut length, mut most) = (0, i64::MAX);
        loop {
            let found = statvfs(folder).unwrap();
            let free = i64::try_from(found.blocks_available() * found.fragment_size()).unwrap();
            let part = free.min(most);
            if part < PAGE {
                return Self(filler);
            }
            match posix_fallocate(&file, length, part) {
                Ok(()) => length += part,
                // The server was quicker, and there is less by now.
                Err(_) => most = part / 2,
            }
        }
    }
}

impl Drop for Filled {
    fn drop(&mut self) {
        let _gone_with_the_disk = fs::remove_file(&self.0);
    }
}

/// A disk that takes no writes, as the control plane finds by trying. Dropping it mends it.
#[derive(Debug)]
pub(crate) struct Broken(PathBuf);

impl Broken {
    /// Breaks the disk of that database.
    pub(crate) fn break_it(database: &Path) -> Self {
        let probe = PathBuf::from(format!("{}.probe", database.display()));
        // What is no file cannot be written.
        let _not_yet_there = fs::remove_file(&probe);
        // The server may have made it again meanwhile.
        let _next_time = fs::create_dir(&probe);
        Self(probe)
    }
}

impl Drop for Broken {
    fn drop(&mut self) {
        let _never_broken = fs::remove_dir(&self.0);
    }
}
