//! Folders that outlive runs: a cache per control plane, team and app, for the app to use as it likes.

use std::ffi::{CStr, CString};
use std::fs;
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use data_encoding::HEXLOWER;
use minitower_client::wire::runner::Lease;
use sha2::{Digest, Sha256};

use crate::data_dir::{DataDir, Place};
use crate::folder::Folder;

/// Bytes of all caches.
const MOST_BYTES: u64 = 10 * 1024 * 1024 * 1024;
/// How many caches are kept.
const MOST: usize = 50;
/// Files and folders of a cache beyond which nobody counts its bytes: it is removed instead.
const MOST_ENTRIES: usize = 1_000_000;
/// Most entries of the folder of caches that are looked at.
const MOST_KNOWN: usize = 10_000;
/// In the runner's folder for caches of all kinds: those of apps.
const APPS: &str = "apps";
/// End of the name of the file that tells when a cache was last used, and how large it was then.
const STAMP: &str = ".used";
/// Longest text of such a file.
const MOST_STAMP_BYTES: u64 = 32;

/// The caches of a runner, with a stamp beside each. Without namespaces a job can take rights away from all of them, so that they
/// come back from the top on before anything is used.
#[derive(Debug)]
pub(super) struct AppCaches {
    data_dir: Arc<DataDir>,
    /// Tells control planes apart: the ids of their teams and apps are the same numbers.
    server: String,
    most_bytes: u64,
    most: usize,
}

impl AppCaches {
    /// The caches in the runner's folder, for runs of the control plane at `server_url`.
    pub(super) fn new(data_dir: Arc<DataDir>, server_url: &str) -> Self {
        let server = HEXLOWER.encode(&Sha256::digest(server_url.trim_end_matches('/'))[..4]);
        Self { data_dir, server, most_bytes: MOST_BYTES, most: MOST }
    }

    /// The cache of a run's team and app; made when there is none.
    pub(super) fn open(&self, lease: &Lease) -> io::Result<AppCache> {
        // An app's id is unique over all teams; the team's is there for people, and for the day an app moves.
        let server = &self.server;
        let name = match lease.team_id {
            Some(team) => format!("{server}-team-{team}-app-{}", lease.app_id),
            None => format!("{server}-app-{}", lease.app_id),
        };
        let apps = self.apps()?;
        apps.claim(&name)?;
        self.stamp(&apps, &name, 0)?;
        Ok(AppCache { path: self.data_dir.cache().join(APPS).join(&name), name })
    }

    /// Measures a cache that was used, and throws away the least recently used ones that are too many or too large together: they
    /// are out of the way when this returns, and removed later.
    pub(super) fn settle(&self, used: &AppCache) -> io::Result<()> {
        let apps = self.apps()?;
        let bytes = self.measure(&apps, &used.name);
        self.stamp(&apps, &used.name, bytes)?;
        let mut all = self.known(&apps)?;
        all.sort_by_key(|known| std::cmp::Reverse(known.used));
        let mut total = 0_u64;
        for (count, Known { name, bytes, .. }) in all.iter().enumerate() {
            total = total.saturating_add(*bytes);
            if count < self.most && total <= self.most_bytes {
                continue;
            }
            // What a too large one leaves free is there for the others.
            total = total.saturating_sub(*bytes);
            tracing::info!(cache = name, bytes, "removing a cache that is not used or too large");
            self.discard(&apps, &CString::new(name.as_str())?)?;
            self.discard(&apps, &CString::new(format!("{name}{STAMP}"))?)?;
        }
        Ok(())
    }

    /// Bytes of a cache, also of one that is closed; more than there may be when they cannot be told.
    fn measure(&self, apps: &Folder, name: &str) -> u64 {
        let path = self.data_dir.cache().join(APPS).join(name);
        apps.claim(name).ok().and_then(|_| size(&path, MOST_ENTRIES)).unwrap_or(u64::MAX)
    }

    fn apps(&self) -> io::Result<Folder> {
        self.data_dir.folder(Place::Cache).claim(APPS)
    }

    /// Writes a stamp anew: nobody knows what a job made of the former one.
    fn stamp(&self, apps: &Folder, name: &str, bytes: u64) -> io::Result<()> {
        let stamp = format!("{name}{STAMP}");
        self.discard(apps, &CString::new(stamp.as_str())?)?;
        apps.write_new(stamp.as_str(), bytes.to_string().as_bytes()).map(drop)
    }

    /// Throws an entry away, if it is there. A file goes at once, a folder whenever the janitor has time.
    fn discard(&self, apps: &Folder, name: &CStr) -> io::Result<()> {
        if apps.remove_file(&name.to_string_lossy()).is_ok() {
            return Ok(());
        }
        match self.data_dir.janitor().discard(apps, name) {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Every cache. One whose stamp is gone or cannot be read counts as the oldest.
    fn known(&self, apps: &Folder) -> io::Result<Vec<Known>> {
        let mut known = Vec::new();
        for name in apps.names(MOST_KNOWN)? {
            let Ok(name) = name.into_string() else { continue };
            if name.ends_with(STAMP) {
                continue;
            }
            let (bytes, used) = read_stamp(apps, &name)
                .unwrap_or_else(|_| (self.measure(apps, &name), SystemTime::UNIX_EPOCH));
            known.push(Known { name, bytes, used });
        }
        Ok(known)
    }
}

/// What is known of a cache.
#[derive(Debug)]
struct Known {
    name: String,
    bytes: u64,
    used: SystemTime,
}

fn read_stamp(apps: &Folder, name: &str) -> io::Result<(u64, SystemTime)> {
    let file = apps.open_file(format!("{name}{STAMP}").as_str())?;
    let used = file.metadata()?.modified()?;
    let mut text = String::new();
    file.take(MOST_STAMP_BYTES).read_to_string(&mut text)?;
    Ok((text.trim().parse().map_err(io::Error::other)?, used))
}

/// The cache of one app.
#[derive(Debug, Clone)]
pub(super) struct AppCache {
    pub(super) path: PathBuf,
    name: String,
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
    use std::fs::{File, Permissions};
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::PermissionsExt;

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
        let data_dir = Arc::new(DataDir::open(folder, "r").unwrap());
        let caches = AppCaches::new(data_dir, "http://one.example");
        AppCaches { most_bytes: 1024 * 1024, most: 3, ..caches }
    }

    fn stamp(cache: &AppCache) -> PathBuf {
        PathBuf::from(format!("{}{STAMP}", cache.path.display()))
    }

    fn used_before(cache: &AppCache, seconds: u64) {
        let stamp = File::options().write(true).open(stamp(cache)).unwrap();
        let then = stamp.metadata().unwrap().modified().unwrap() - std::time::Duration::from_secs(seconds);
        stamp.set_modified(then).unwrap();
    }

    fn close(path: &Path) {
        fs::set_permissions(path, Permissions::from_mode(0o000)).unwrap();
    }

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().mode() & 0o777
    }

    #[test]
    fn a_cache_is_the_teams_and_the_apps_own_and_outlives_runs() {
        let folder = tempfile::tempdir().unwrap();
        let caches = caches(folder.path());
        let first = caches.open(&lease(Some(1), 1)).unwrap();
        fs::write(first.path.join("model"), "weights").unwrap();
        caches.settle(&first).unwrap();
        let model = |caches: &AppCaches| {
            fs::read_to_string(caches.open(&lease(Some(1), 1)).unwrap().path.join("model"))
        };
        assert_eq!(model(&caches).unwrap(), "weights");
        for other in [lease(Some(1), 2), lease(Some(2), 1), lease(None, 1)] {
            assert!(fs::read_dir(caches.open(&other).unwrap().path).unwrap().next().is_none());
        }
        let of = |url| AppCaches::new(Arc::clone(&caches.data_dir), url);
        assert_eq!(model(&of("http://two.example")).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(model(&of("http://one.example/")).unwrap(), "weights");
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
        assert!(!stamp(&made[0]).exists());
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

    #[tokio::test]
    async fn what_is_too_large_goes_into_the_trash_and_is_removed_there() {
        let folder = tempfile::tempdir().unwrap();
        let caches = caches(folder.path());
        let cache = caches.open(&lease(Some(1), 1)).unwrap();
        let deep: PathBuf = (0..200).map(|_| "d").collect();
        fs::create_dir_all(cache.path.join(deep)).unwrap();
        fs::write(cache.path.join("large"), vec![1; 2_000_000]).unwrap();
        let held = File::open(&cache.path).unwrap();
        caches.settle(&cache).unwrap();
        assert!(!cache.path.exists() && !stamp(&cache).exists());
        caches.data_dir.janitor().caught_up(0).await;
        // The system knows the last path of what was removed.
        let last = fs::read_link(format!("/proc/self/fd/{}", held.as_raw_fd())).unwrap();
        let last = last.to_string_lossy();
        assert!(last.contains("/trash/") && last.ends_with("(deleted)"), "{last}");
    }

    #[test]
    fn rights_that_a_job_took_come_back_from_the_top_on() {
        let folder = tempfile::tempdir().unwrap();
        let caches = caches(folder.path());
        let cache = caches.open(&lease(Some(1), 1)).unwrap();
        let other = caches.open(&lease(Some(1), 2)).unwrap();
        fs::write(cache.path.join("model"), "weights").unwrap();
        let apps = cache.path.parent().unwrap();
        for path in [&stamp(&cache), &stamp(&other), &cache.path, &other.path, apps] {
            close(path);
        }
        let again = caches.open(&lease(Some(1), 1)).unwrap();
        assert_eq!((mode(apps), mode(&cache.path), mode(&stamp(&cache))), (0o700, 0o700, 0o600));
        assert_eq!(fs::read_to_string(cache.path.join("model")).unwrap(), "weights");
        for path in [&stamp(&cache), &cache.path, apps] {
            close(path);
        }
        caches.settle(&again).unwrap();
        assert!(cache.path.join("model").exists());
    }

    #[test]
    fn a_stamp_that_tells_nothing_counts_as_the_oldest() {
        let folder = tempfile::tempdir().unwrap();
        let caches = caches(folder.path());
        let made: Vec<AppCache> = (1..=4).map(|app| caches.open(&lease(Some(1), app)).unwrap()).collect();
        for (cache, seconds) in made.iter().zip([40, 30, 20, 10]) {
            used_before(cache, seconds);
        }
        fs::write(stamp(&made[2]), "many").unwrap();
        caches.settle(&made[3]).unwrap();
        let left: Vec<_> = made.iter().map(|cache| cache.path.exists()).collect();
        assert_eq!(left, [true, true, false, true]);
        // Nor does a folder in its place, or none at all, keep a cache for ever.
        fs::remove_file(stamp(&made[1])).unwrap();
        fs::create_dir_all(stamp(&made[1]).join("deep")).unwrap();
        fs::remove_file(stamp(&made[0])).unwrap();
        caches.open(&lease(Some(1), 5)).unwrap();
        caches.settle(&made[3]).unwrap();
        let left: Vec<_> = made.iter().map(|cache| cache.path.exists()).collect();
        assert_eq!(left.iter().filter(|left| **left).count(), 2, "{left:?}");
        assert!(caches.open(&lease(Some(1), 2)).is_ok() && stamp(&made[1]).is_file());
    }

    #[test]
    fn a_cache_whose_job_made_it_something_else_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let caches = caches(folder.path());
        let cache = caches.open(&lease(Some(1), 1)).unwrap();
        fs::remove_dir(&cache.path).unwrap();
        let elsewhere = folder.path().join("elsewhere");
        fs::create_dir(&elsewhere).unwrap();
        fs::set_permissions(&elsewhere, Permissions::from_mode(0o755)).unwrap();
        std::os::unix::fs::symlink(&elsewhere, &cache.path).unwrap();
        caches.open(&lease(Some(1), 1)).unwrap();
        assert!(fs::symlink_metadata(&cache.path).unwrap().is_dir());
        assert_eq!(mode(&elsewhere), 0o755, "nothing was followed");
    }
}
