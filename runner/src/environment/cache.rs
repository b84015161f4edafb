//! Prepared environments: found by what is in them, sealed when they are whole, the least recently used out first.

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::time::SystemTime;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::tree;
use crate::clock;
use crate::data_dir::create_private;
use crate::removal::remove_tree;

/// Most environments kept.
const MOST: usize = 50;
/// Most bytes kept, whatever their number.
const MOST_BYTES: u64 = 10 * 1024 * 1024 * 1024;
/// Beside the environment: written when it is whole, touched when it is used.
const SEAL: &str = "seal.json";

/// Environments in a folder, one folder per key.
#[derive(Debug, Clone)]
pub(super) struct Cache {
    folder: PathBuf,
    /// Look before each use whether an environment is as it was sealed.
    suspicious: bool,
    most: usize,
    most_bytes: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Seal {
    bytes: u64,
    /// When it was prepared.
    made: Timestamp,
    /// Digest over names, sizes, inodes and times of change, which nobody but the kernel sets.
    state: String,
}

impl Cache {
    /// A cache in `folder`.
    pub(super) fn new(folder: PathBuf, suspicious: bool) -> Self {
        Self { folder, suspicious, most: MOST, most_bytes: MOST_BYTES }
    }

    /// Where the environment of a key is, or is to be. It cannot be moved: its scripts name it.
    pub(super) fn place(&self, key: &str) -> PathBuf {
        self.folder.join(key).join("env")
    }

    /// When it was prepared, if it is there, whole and unchanged.
    pub(super) async fn find(&self, key: &str) -> Option<Timestamp> {
        let (cache, key) = (self.clone(), key.to_owned());
        let found = blocking(move || {
            let Some(seal) = cache.seal_of(&key) else { return Ok(None) };
            if cache.suspicious && tree::state(&cache.place(&key))?.digest != seal.state {
                tracing::warn!(key, "a prepared environment was changed; preparing it again");
                return Ok(None);
            }
            Ok(cache.place(&key).join("pyvenv.cfg").is_file().then_some(seal.made))
        });
        found.await.unwrap_or_default()
    }

    /// Removes what is there of an environment.
    pub(super) async fn clear(&self, key: &str) -> io::Result<()> {
        let folder = self.folder.join(key);
        blocking(move || {
            remove_tree(&folder)?;
            create_private(&folder)
        })
        .await
    }

    /// Takes all rights to write away, marks the environment as whole, and makes room.
    pub(super) async fn seal(&self, key: &str) -> io::Result<()> {
        let (cache, key) = (self.clone(), key.to_owned());
        blocking(move || {
            let place = cache.place(&key);
            tree::make_read_only(&place)?;
            let state = tree::state(&place)?;
            let seal = Seal { bytes: state.bytes, made: clock::wall(), state: state.digest };
            let seal = serde_json::to_vec(&seal)?;
            let path = cache.folder.join(&key).join(SEAL);
            fs::write(path.with_extension("new"), seal)?;
            fs::rename(path.with_extension("new"), &path)?;
            cache.make_room(&key)
        })
        .await
    }

    /// Remembers that it is used now.
    pub(super) fn touch(&self, key: &str) {
        let path = self.folder.join(key).join(SEAL);
        if let Err(error) = File::options().append(true).open(path).and_then(|file| file.set_modified(now()))
        {
            tracing::warn!(%error, key, "cannot remember the use of a prepared environment");
        }
    }

    fn seal_of(&self, key: &str) -> Option<Seal> {
        serde_json::from_slice(&fs::read(self.folder.join(key).join(SEAL)).ok()?).ok()
    }

    /// Removes the least recently used until the rest is within the bounds; `kept` is about to be used.
    fn make_room(&self, kept: &str) -> io::Result<()> {
        let mut others = Vec::new();
        let mut bytes = self.seal_of(kept).map_or(0, |seal| seal.bytes);
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let key = entry.file_name().to_string_lossy().into_owned();
            if key == kept {
                continue;
            }
            let Some(seal) = self.seal_of(&key) else {
                remove_tree(&entry.path())?;
                continue;
            };
            let used = fs::metadata(entry.path().join(SEAL))?.modified()?;
            bytes += seal.bytes;
            others.push((used, seal.bytes, entry.path()));
        }
        others.sort();
        let mut count = others.len() + 1;
        for (_, size, path) in others {
            if count <= self.most && bytes <= self.most_bytes {
                break;
            }
            tracing::info!(path = %path.display(), "removing the least recently used environment");
            remove_tree(&path)?;
            count -= 1;
            bytes = bytes.saturating_sub(size);
        }
        Ok(())
    }
}

#[expect(clippy::disallowed_methods, reason = "a file's time of use; only the order matters")]
fn now() -> SystemTime {
    SystemTime::now()
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::time::Duration;

    use super::*;

    async fn is_ready(cache: &Cache, key: &str) -> bool {
        cache.find(key).await.is_some()
    }

    async fn fill(cache: &Cache, key: &str) {
        cache.clear(key).await.unwrap();
        fs::create_dir_all(cache.place(key).join("lib")).unwrap();
        fs::write(cache.place(key).join("pyvenv.cfg"), "").unwrap();
        fs::write(cache.place(key).join("lib/x.py"), "x = 1").unwrap();
        cache.seal(key).await.unwrap();
    }

    #[tokio::test]
    async fn rights_that_a_job_took_are_noticed_and_the_environment_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path().to_owned(), true);
        for closed in ["", SEAL, "env", "env/lib", "env/lib/x.py"] {
            fill(&cache, "k").await;
            assert!(is_ready(&cache, "k").await);
            let path = folder.path().join("k").join(closed);
            fs::set_permissions(&path, Permissions::from_mode(0o000)).unwrap();
            let mode = fs::symlink_metadata(&path).unwrap().mode() & 0o777;
            assert_eq!(mode, 0, "{closed}");
            // Root reads a seal and enters a folder of any mode.
            let outside_the_tree = !closed.starts_with("env") && nix::unistd::Uid::effective().is_root();
            assert_eq!(is_ready(&cache, "k").await, outside_the_tree, "{closed:?}");
        }
        fill(&cache, "k").await;
        assert!(is_ready(&cache, "k").await);
    }

    fn used(cache: &Cache, key: &str, seconds_ago: u64) {
        let file = File::options().append(true).open(cache.folder.join(key).join(SEAL)).unwrap();
        file.set_modified(now() - Duration::from_secs(seconds_ago)).unwrap();
    }

    #[tokio::test]
    async fn an_environment_is_ready_only_when_sealed_and_then_read_only() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path().to_owned(), false);
        assert!(!is_ready(&cache, "k").await);
        fs::create_dir_all(cache.place("k")).unwrap();
        assert!(!is_ready(&cache, "k").await);
        fill(&cache, "k").await;
        assert!(is_ready(&cache, "k").await);
        for path in ["lib", "lib/x.py"] {
            let mode = fs::metadata(cache.place("k").join(path)).unwrap().mode();
            assert_eq!(mode & 0o222, 0, "{path}");
        }
        cache.clear("k").await.unwrap();
        assert!(!is_ready(&cache, "k").await);
    }

    #[tokio::test]
    async fn a_changed_environment_is_noticed_although_size_and_time_were_put_back() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path().to_owned(), true);
        fill(&cache, "k").await;
        assert!(is_ready(&cache, "k").await);
        let path = cache.place("k").join("lib/x.py");
        let modified = fs::metadata(&path).unwrap().modified().unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        fs::write(&path, "x = 2").unwrap();
        File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o444)).unwrap();
        assert!(!is_ready(&cache, "k").await);
    }

    #[tokio::test]
    async fn the_least_recently_used_goes_first() {
        let folder = tempfile::tempdir().unwrap();
        let mut cache = Cache::new(folder.path().to_owned(), false);
        cache.most = 2;
        fill(&cache, "a").await;
        used(&cache, "a", 10);
        fill(&cache, "b").await;
        used(&cache, "b", 20);
        fill(&cache, "c").await;
        assert!(is_ready(&cache, "a").await);
        assert!(!is_ready(&cache, "b").await);
        assert!(is_ready(&cache, "c").await);
        cache.most_bytes = 1;
        fill(&cache, "d").await;
        assert!(is_ready(&cache, "d").await, "what is about to be used stays, however large");
        assert!(!is_ready(&cache, "a").await && !is_ready(&cache, "c").await);
    }
}
