//! The installers' caches: a folder per team, within a bound, the least recently used team's out first.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use super::tree;
use crate::folder::Folder;
use crate::removal::remove_entry;

/// Most bytes of all of them.
const MOST_BYTES: u64 = 5 * 1024 * 1024 * 1024;
/// In a team's folder: touched when it is used.
const USED: &str = "used";

/// In the folder of all caches: those of installers.
const INSTALLERS: &str = "installers";

/// The caches of all teams.
#[derive(Debug, Clone)]
pub(super) struct Caches {
    base: PathBuf,
    /// Look before each use whether a job has closed anything in there.
    suspicious: bool,
    most_bytes: u64,
}

impl Caches {
    /// Caches below `base`, the runner's folder for caches of all kinds.
    pub(super) fn new(base: PathBuf, suspicious: bool) -> Self {
        Self { base, suspicious, most_bytes: MOST_BYTES }
    }

    /// The folder of a team, there and in use. Where a job took rights away, they come back from the top on.
    pub(super) fn of(&self, team: &str) -> io::Result<PathBuf> {
        let name = HEXLOWER.encode(&Sha256::digest(team)[..8]);
        let installers = self.installers()?;
        let mut folder = installers.claim(&name)?;
        for installer in ["uv", "pip"] {
            folder.claim(installer)?;
        }
        if self.suspicious && !tree::is_open(&self.base.join(INSTALLERS).join(&name)) {
            tracing::warn!(
                cache = name,
                "permissions are missing in an installer's cache; starting a new one"
            );
            remove_entry(installers.as_fd(), &CString::new(name.as_str())?)?;
            folder = installers.claim(&name)?;
        }
        for installer in ["uv", "pip"] {
            folder.claim(installer)?;
        }
        folder.replace(USED, b"")?;
        Ok(self.base.join(INSTALLERS).join(name))
    }

    /// The folder that all of them lie in.
    pub(super) fn path(&self) -> &Path {
        &self.base
    }

    fn installers(&self) -> io::Result<Folder> {
        Folder::open(&self.base)?.claim(INSTALLERS)
    }

    /// Removes the least recently used until the rest is within the bound: `kept` last, but also when it alone is too large.
    pub(super) fn make_room(&self, kept: &Path) -> io::Result<()> {
        let folder = self.installers()?;
        let mut all = Vec::new();
        for entry in fs::read_dir(self.base.join(INSTALLERS))? {
            let path = entry?.path();
            let used = fs::symlink_metadata(path.join(USED)).and_then(|it| it.modified());
            all.push(match (used, tree::state(&path)) {
                (Ok(used), Ok(state)) => (path == kept, used, state.bytes, path),
                // Somebody has taken its rights away, so its size cannot be bounded: it is removed first.
                _ => (false, SystemTime::UNIX_EPOCH, u64::MAX, path),
            });
        }
        all.sort();
        let mut bytes = all.iter().fold(0_u128, |sum, (_, _, bytes, _)| sum + u128::from(*bytes));
        for (_, _, size, path) in all {
            if bytes <= u128::from(self.most_bytes) {
                break;
            }
            tracing::info!(path = %path.display(), "removing the least recently used cache");
            let name = path.file_name().unwrap_or_default();
            remove_entry(folder.as_fd(), &CString::new(name.as_encoded_bytes())?)?;
            bytes = bytes.saturating_sub(u128::from(size));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{File, Permissions};
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::time::Duration;

    use super::*;

    #[test]
    fn rights_that_a_job_took_come_back_from_the_top_on() {
        let folder = tempfile::tempdir().unwrap();
        let caches = Caches::new(folder.path().to_owned(), false);
        let place = caches.of("a").unwrap();
        fs::write(place.join("uv/wheel"), "kept").unwrap();
        let closed = [place.join(USED), place.join("uv"), place.clone(), folder.path().join(INSTALLERS)];
        for path in &closed {
            fs::set_permissions(path, Permissions::from_mode(0o000)).unwrap();
        }
        assert_eq!(caches.of("a").unwrap(), place);
        for path in &closed[1..] {
            assert_eq!(fs::metadata(path).unwrap().mode() & 0o777, 0o700, "{}", path.display());
        }
        assert_eq!(fs::read_to_string(place.join("uv/wheel")).unwrap(), "kept");
        let outside = folder.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::remove_dir_all(&place).unwrap();
        std::os::unix::fs::symlink(&outside, &place).unwrap();
        caches.of("a").unwrap();
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0, "no link is followed");
        caches.make_room(&place).unwrap();
        assert!(place.exists());
    }

    #[test]
    fn a_cache_that_was_closed_within_is_begun_anew_where_jobs_can_reach_it() {
        for (suspicious, closed, kept) in [
            (false, "uv/wheels", true),
            (true, "uv/wheels", false),
            (true, "uv/wheels/wheel", false),
            (true, "uv", true),
            (true, "", true),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let caches = Caches::new(folder.path().to_owned(), suspicious);
            let place = caches.of("a").unwrap();
            fs::create_dir(place.join("uv/wheels")).unwrap();
            fs::write(place.join("uv/wheels/wheel"), "").unwrap();
            fs::set_permissions(place.join(closed), Permissions::from_mode(0o000)).unwrap();
            caches.of("a").unwrap();
            assert_eq!(fs::symlink_metadata(place.join("uv/wheels")).is_ok(), kept, "{closed:?}");
            assert!(place.join("uv").is_dir() && place.join("pip").is_dir());
        }
    }

    #[test]
    fn teams_have_folders_of_their_own_and_the_oldest_goes_first() {
        let folder = tempfile::tempdir().unwrap();
        let mut caches = Caches::new(folder.path().to_owned(), false);
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
