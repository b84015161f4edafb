//! The folder for what is on its way to a backup, and the lock that keeps two backups of one control plane from running at once.

use std::fs::{self, File};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};

use super::BackupError;

/// Its name, in the folder of the objects.
const FOLDER: &str = "backup";
/// The file with the lock.
const LOCK: &str = "lock";

/// The folder. It is empty at the beginning and at the end.
#[derive(Debug)]
pub struct Staging {
    dir: PathBuf,
    _lock: Flock<File>,
}

impl Staging {
    /// Takes the folder for one backup, and removes what one that was killed has left there.
    pub fn take(objects: &Path) -> Result<Self, BackupError> {
        let dir = objects.join(FOLDER);
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir);
        made.map_err(BackupError::file("making", &dir))?;
        let lock = dir.join(LOCK);
        let file = File::options().create(true).append(true).open(&lock);
        let file = file.map_err(BackupError::file("opening", &lock))?;
        let lock = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => lock,
            Err((_, nix::errno::Errno::EWOULDBLOCK)) => return Err(BackupError::Busy),
            Err((_, errno)) => return Err(BackupError::file("locking", &lock)(errno.into())),
        };
        let staging = Self { dir, _lock: lock };
        staging.clear()?;
        Ok(staging)
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Removes all but the lock, and the notes of uploads in parts, which the store of the target gives up.
    fn clear(&self) -> Result<(), BackupError> {
        let entries = fs::read_dir(&self.dir).map_err(BackupError::file("reading", &self.dir))?;
        for entry in entries {
            let entry = entry.map_err(BackupError::file("reading", &self.dir))?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name == LOCK || name.starts_with("parts-") {
                continue;
            }
            fs::remove_file(entry.path()).map_err(BackupError::file("removing", &entry.path()))?;
        }
        Ok(())
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if let Err(error) = self.clear() {
            tracing::warn!(%error, "cannot remove what is left of a backup; the next one does");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_backup_at_a_time_has_the_folder_and_removes_what_a_killed_one_left() {
        let objects = tempfile::tempdir().unwrap();
        let first = Staging::take(objects.path()).unwrap();
        assert!(matches!(Staging::take(objects.path()), Err(BackupError::Busy)));
        let (half, note) = (first.dir().join("minitower.db"), first.dir().join("parts-of-an-upload"));
        drop(first);
        // As a killed one leaves them.
        for left in [&half, &note] {
            fs::write(left, "half").unwrap();
        }
        let second = Staging::take(objects.path()).unwrap();
        assert!(!half.exists() && note.exists(), "the store of the target gives up what the note names");
        fs::write(&half, "half").unwrap();
        drop(second);
        assert!(!half.exists(), "nothing stays");
    }
}
