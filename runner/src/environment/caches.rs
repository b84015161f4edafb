//! The installers' caches: a folder per team, within a bound, the least recently used team's out first.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sha2::{Digest, Sha256};

use super::tree;
use crate::data_dir::create_private;
use crate::hex;
use crate::removal::remove_tree;

/// Most bytes of all of them.
const MOST_BYTES: u64 = 5 * 1024 * 1024 * 1024;
/// In a team's folder: touched when it is used.
const USED: &str = "used";

/// The caches of all teams.
#[derive(Debug, Clone)]
pub(super) struct Caches {
    folder: PathBuf,
    most_bytes: u64,
}

impl Caches {
    /// Caches below `folder`.
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder, most_bytes: MOST_BYTES }
    }

    /// The folder of a team, there and in use.
    pub(super) fn of(&self, team: &str) -> io::Result<PathBuf> {
        let folder = self.folder.join(hex::encode(&Sha256::digest(team)[..8]));
        for installer in ["uv", "pip"] {
            create_private(&folder.join(installer))?;
        }
        File::create(folder.join(USED))?;
        Ok(folder)
    }

    /// Removes the least recently used until the rest is within the bound: `kept` last, but also when it alone is too large.
    pub(super) fn make_room(&self, kept: &Path) -> io::Result<()> {
        let mut all = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            let used = fs::symlink_metadata(path.join(USED)).and_then(|it| it.modified());
            all.push((path == kept, used.unwrap_or(SystemTime::UNIX_EPOCH), tree::state(&path)?.bytes, path));
        }
        all.sort();
        let mut bytes: u64 = all.iter().map(|(_, _, bytes, _)| bytes).sum();
        for (_, _, size, path) in all {
            if bytes <= self.most_bytes {
                break;
            }
            tracing::info!(path = %path.display(), "removing the least recently used cache");
            remove_tree(&path)?;
            bytes = bytes.saturating_sub(size);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn teams_have_folders_of_their_own_and_the_oldest_goes_first() {
        let folder = tempfile::tempdir().unwrap();
        let mut caches = Caches::new(folder.path().to_owned());
        let places: Vec<_> = ["a", "b", "c"].map(|team| caches.of(team).unwrap()).into();
        for (age, place) in [30, 20, 10].into_iter().zip(&places) {
            fs::write(place.join("uv/wheel"), vec![1; 100_000]).unwrap();
            let used = File::options().write(true).open(place.join(USED)).unwrap();
            used.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 - age)).unwrap();
        }
        caches.most_bytes = 250_000;
        caches.make_room(&places[2]).unwrap();
        assert!(!places[0].exists() && places[1].exists() && places[2].exists());
        caches.most_bytes = 1;
        caches.make_room(&places[2]).unwrap();
        assert!(!places[1].exists() && !places[2].exists());
    }
}
