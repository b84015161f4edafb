//! Folders that outlive runs: a cache per team and app, for the app to use as it likes.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use minitower_client::wire::runner::Lease;
use nix::fcntl::OFlag;

use crate::data_dir::create_private;
use crate::removal::remove_tree;

/// Bytes of all caches.
const MOST_BYTES: u64 = 10 * 1024 * 1024 * 1024;
/// How many caches are kept.
const MOST: usize = 50;
/// Files and folders of a cache beyond which nobody counts its bytes: it is removed instead.
const MOST_ENTRIES: usize = 1_000_000;

/// The caches of a runner. Beside each stands a file that tells when it was last used, and how large it was then.
#[derive(Debug)]
pub(super) struct AppCaches {
    folder: PathBuf,
    most_bytes: u64,
    most: usize,
}

impl AppCaches {
    /// Caches below `folder`.
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder, most_bytes: MOST_BYTES, most: MOST }
    }

    /// The cache of a run's team and app; made when there is none.
    pub(super) fn open(&self, lease: &Lease) -> io::Result<AppCache> {
        // An app's id is unique over all teams; the team's is there for people, and for the day an app moves.
        let name = match lease.team_id {
            Some(team) => format!("team-{team}-app-{}", lease.app_id),
            None => format!("app-{}", lease.app_id),
        };
        create_private(&self.folder)?;
        let cache =
            AppCache { path: self.folder.join(&name), stamp: self.folder.join(format!("{name}.used")) };
        // A former job may have taken rights away from what was its own.
        if open_folder(&cache.path).is_err() {
            remove_tree(&cache.path)?;
            create_private(&cache.path)?;
        }
        open_folder(&cache.path)?.set_permissions(fs::Permissions::from_mode(0o700))?;
        fs::write(&cache.stamp, "0")?;
        Ok(cache)
    }

    /// Measures a cache that was used, and removes the least recently used ones that are too many or too large together.
    pub(super) fn settle(&self, used: &AppCache) -> io::Result<()> {
        let bytes = size(&used.path, MOST_ENTRIES).unwrap_or(u64::MAX);
        fs::write(&used.stamp, bytes.to_string())?;
        let mut all = self.known()?;
        all.sort_by_key(|(_, _, used)| std::cmp::Reverse(*used));
        let mut total = 0_u64;
        for (count, (stamp, bytes, _)) in all.iter().enumerate() {
            total = total.saturating_add(*bytes);
            if count < self.most && total <= self.most_bytes {
                continue;
            }
            // What a too large one leaves free is there for the others.
            total = total.saturating_sub(*bytes);
            let path = stamp.with_extension("");
            tracing::info!(cache = %path.display(), bytes, "removing a cache that is not used or too large");
            remove_tree(&path)?;
            fs::remove_file(stamp)?;
        }
        Ok(())
    }

    /// Every stamp, with the cache's size and when it was last used.
    fn known(&self) -> io::Result<Vec<(PathBuf, u64, SystemTime)>> {
        let mut known = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let path = entry.path();
            if path.extension().is_some_and(|extension| extension == "used") {
                let bytes = fs::read_to_string(&path)?.trim().parse().unwrap_or(0);
                known.push((path, bytes, entry.metadata()?.modified()?));
            }
        }
        Ok(known)
    }
}

/// The cache of one app.
#[derive(Debug, Clone)]
pub(super) struct AppCache {
    pub(super) path: PathBuf,
    stamp: PathBuf,
}

/// Opens a folder, never one that a link leads to.
fn open_folder(path: &Path) -> io::Result<File> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_DIRECTORY;
    File::options().read(true).custom_flags(flags.bits()).open(path)
}

/// Bytes that a tree takes on disk; `None` when that cannot be told.
fn size(path: &Path, most_entries: usize) -> Option<u64> {
    let (mut bytes, mut entries, mut folders) = (0, 0, vec![path.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).ok()? {
            // Links are not followed by this.
            let (entry, metadata) =
                entry.and_then(|entry| entry.metadata().map(|data| (entry, data))).ok()?;
            entries += 1;
            bytes += metadata.blocks() * 512;
            if metadata.is_dir() {
                folders.push(entry.path());
            }
            if entries > most_entries {
                return None;
            }
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn lease(team: Option<i64>, app: i64) -> Lease {
        serde_json::from_value(json!({
            "run_id": 7, "run_no": 1, "app_id": app, "app_slug": "hello", "version_no": 1, "entrypoint": "main.py",
            "attempt_id": 9, "attempt_no": 1, "lease_token": "secret", "lease_expires_at": "2030-01-01T00:00:00Z",
            "team_id": team,
        }))
        .unwrap()
    }

    fn caches(folder: &Path) -> AppCaches {
        AppCaches { folder: folder.join("apps"), most_bytes: 1024 * 1024, most: 3 }
    }

    fn used_before(cache: &AppCache, seconds: u64) {
        let stamp = File::options().write(true).open(&cache.stamp).unwrap();
        let then = stamp.metadata().unwrap().modified().unwrap() - std::time::Duration::from_secs(seconds);
        stamp.set_modified(then).unwrap();
    }

    #[test]
    fn a_cache_is_the_teams_and_the_apps_own_and_outlives_runs() {
        let folder = tempfile::tempdir().unwrap();
        let caches = caches(folder.path());
        let first = caches.open(&lease(Some(1), 1)).unwrap();
        fs::write(first.path.join("model"), "weights").unwrap();
        caches.settle(&first).unwrap();
        assert_eq!(
            fs::read_to_string(caches.open(&lease(Some(1), 1)).unwrap().path.join("model")).unwrap(),
            "weights"
        );
        for other in [lease(Some(1), 2), lease(Some(2), 1), lease(None, 1)] {
            assert!(fs::read_dir(caches.open(&other).unwrap().path).unwrap().next().is_none());
        }
    }

    #[test]
    fn the_least_recently_used_go_when_they_are_too_many_or_too_large() {
        let folder = tempfile::tempdir().unwrap();
        let caches = caches(folder.path());
        let made: Vec<AppCache> = (1..=5).map(|app| caches.open(&lease(Some(1), app)).unwrap()).collect();
        for (cache, seconds) in made.iter().zip([50, 40, 30, 20, 10]) {
            used_before(cache, seconds);
        }
        caches.settle(&made[4]).unwrap();
        let left = |made: &[AppCache]| made.iter().map(|cache| cache.path.exists()).collect::<Vec<_>>();
        assert_eq!(left(&made), [false, false, true, true, true]);
        fs::write(made[3].path.join("large"), vec![1; 900_000]).unwrap();
        caches.settle(&made[3]).unwrap();
        used_before(&made[3], 5);
        fs::write(made[4].path.join("large"), vec![1; 900_000]).unwrap();
        caches.settle(&made[4]).unwrap();
        assert_eq!(left(&made), [false, false, true, false, true]);
        fs::write(made[4].path.join("larger"), vec![1; 900_000]).unwrap();
        caches.settle(&made[4]).unwrap();
        assert_eq!(left(&made), [false, false, true, false, false], "too large by itself");
    }

    #[test]
    fn a_cache_whose_job_made_it_something_else_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let caches = caches(folder.path());
        let cache = caches.open(&lease(Some(1), 1)).unwrap();
        fs::set_permissions(&cache.path, fs::Permissions::from_mode(0o000)).unwrap();
        caches.open(&lease(Some(1), 1)).unwrap();
        assert_eq!(fs::metadata(&cache.path).unwrap().mode() & 0o777, 0o700);
        fs::remove_dir(&cache.path).unwrap();
        let elsewhere = folder.path().join("elsewhere");
        fs::create_dir(&elsewhere).unwrap();
        fs::set_permissions(&elsewhere, fs::Permissions::from_mode(0o755)).unwrap();
        std::os::unix::fs::symlink(&elsewhere, &cache.path).unwrap();
        caches.open(&lease(Some(1), 1)).unwrap();
        assert!(fs::symlink_metadata(&cache.path).unwrap().is_dir());
        assert_eq!(fs::metadata(&elsewhere).unwrap().mode() & 0o777, 0o755, "nothing was followed");
    }
}
