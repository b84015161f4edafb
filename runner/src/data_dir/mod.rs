//! The runner's folder: one process at a time, private to its user.
//!
//! | path | what |
//! |---|---|
//! | `lock` | held as long as the process lives |
//! | `token` | the runner token and nothing else |
//! | `environment`, `pool`, `labels` | what the token was registered for and with |
//! | `scope` | whose runs it takes |
//! | `instance` | ids of this process and of former ones whose attempt may still be open |
//! | `work/` | workspaces |
//! | `spool/` | undelivered log lines |
//! | `envs/` | prepared Python environments |
//! | `cache/` | caches of installers, a folder per team, and of apps |
//! | `tools/` | uv and Pythons that the runner has fetched |
//! | `trash/` | what is to be removed, and what cannot be |
//! | `../t/` | the temporary folders of all runners' jobs: their paths have to be short |
//!
//! All of these are held open. Where nothing confines it, a job of the same user can take their rights away, or replace them:
//! [`DataDir::mend`] puts that right before the next run.

mod mend;

use std::ffi::{CStr, CString};
use std::fs::{DirBuilder, File, Permissions, TryLockError};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use nix::sys::statvfs::fstatvfs;
use tokio::sync::oneshot;

use crate::error::RunnerError;
use crate::folder::Folder;
use crate::janitor::{Janitor, Outcome};
use crate::short_path;
use mend::{open_lock, open_place, restore_file};

/// The files in the folder whose rights are restored.
const FILES: [&str; 7] = ["lock", "token", "environment", "pool", "labels", "scope", "instance"];
/// Name of the file that is written to see whether one can be.
const PROBE: &str = "probe";
/// What is written into it.
const PROBE_BYTES: [u8; 4096] = [0x6d; 4096];
/// Free bytes and files below which a disk counts as full.
const LEAST_BYTES: u64 = 16 * 1024 * 1024;
const LEAST_FILES: u64 = 256;
/// Most entries that are thrown away of one folder.
const MOST_LEFTOVERS: usize = 100_000;

/// One of the folders in the runner's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// What is to be removed. The first one, since what is in the way of the others goes there.
    Trash,
    /// Workspaces.
    Work,
    /// Undelivered log lines.
    Spool,
    /// Prepared environments.
    Environments,
    /// Caches of installers.
    Cache,
    /// Programs that the runner brings itself.
    Tools,
    /// Temporary folders of jobs, beside the runners' folders.
    Temporary,
}

impl Place {
    const ALL: [Self; 7] =
        [Self::Trash, Self::Work, Self::Spool, Self::Environments, Self::Cache, Self::Tools, Self::Temporary];

    fn name(self) -> &'static str {
        match self {
            Self::Work => "work",
            Self::Spool => "spool",
            Self::Environments => "envs",
            Self::Cache => "cache",
            Self::Tools => "tools",
            Self::Trash => "trash",
            Self::Temporary => "t",
        }
    }
}

/// The runner's folder, locked.
#[derive(Debug)]
pub(crate) struct DataDir {
    base: PathBuf,
    root: PathBuf,
    runner_name: String,
    base_folder: Folder,
    base_mode: u32,
    root_folder: Folder,
    /// In the order of [`Place::ALL`].
    places: Mutex<[Folder; 7]>,
    lock: Mutex<File>,
    janitor: Janitor,
}

/// How much is free on the disk of the runner's folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Room {
    /// Bytes.
    pub(crate) bytes: u64,
    /// Files; `None` where the file system has no bound for them.
    pub(crate) files: Option<u64>,
}

impl Room {
    /// Whether too little is free for anything.
    pub(crate) fn is_full(self) -> bool {
        self.bytes < LEAST_BYTES || self.files.is_some_and(|files| files < LEAST_FILES)
    }
}

impl DataDir {
    /// Makes the folder when it is missing, and locks it for the life of this value.
    pub(crate) fn open(base: &Path, runner_name: &str) -> Result<Self, RunnerError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| RunnerError::DataDir { path, source }
        };
        let (base, base_folder) = open_base(base).map_err(failed(base))?;
        let base_mode = base_folder.status().map_err(failed(&base))?.st_mode & 0o7777;
        let root = base.join(runner_name);
        let root_folder = base_folder.make_or_enter(runner_name).map_err(failed(&root))?;
        let file = |name: &str| root.join(name);
        for name in FILES {
            restore_file(&root_folder, name).map_err(failed(&file(name)))?;
        }
        let lock = open_lock(&root_folder).map_err(failed(&file("lock")))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(RunnerError::Locked { path: root }),
            Err(TryLockError::Error(source)) => return Err(failed(&file("lock"))(source)),
        }
        let mut places = Vec::new();
        for place in Place::ALL {
            let above = if place == Place::Temporary { &base_folder } else { &root_folder };
            places.push(open_place(above, place).map_err(failed(&file(place.name())))?);
        }
        let places: [Folder; 7] =
            places.try_into().map_err(|_| RunnerError::Internal("a folder is missing".to_owned()))?;
        let trash = places[Place::Trash as usize].clone();
        let janitor = Janitor::start(trash, root.join("trash")).map_err(failed(&root))?;
        Ok(Self {
            base,
            root,
            runner_name: runner_name.to_owned(),
            base_folder,
            base_mode,
            root_folder,
            places: Mutex::new(places),
            lock: Mutex::new(lock),
            janitor,
        })
    }

    /// The folder of all runners of this machine's user: jobs may not read it.
    pub(crate) fn base(&self) -> &Path {
        &self.base
    }

    /// Workspaces, one folder per attempt.
    pub(crate) fn work(&self) -> PathBuf {
        self.root.join(Place::Work.name())
    }

    /// Undelivered log lines.
    pub(crate) fn spool(&self) -> PathBuf {
        self.root.join(Place::Spool.name())
    }

    /// Prepared Python environments.
    pub(crate) fn environments(&self) -> PathBuf {
        self.root.join(Place::Environments.name())
    }

    /// Caches of installers.
    pub(crate) fn cache(&self) -> PathBuf {
        self.root.join(Place::Cache.name())
    }

    /// Programs that the runner brings itself: uv, Pythons.
    pub(crate) fn tools(&self) -> PathBuf {
        self.root.join(Place::Tools.name())
    }

    /// One of the folders, held open.
    pub(crate) fn folder(&self, place: Place) -> Folder {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)[place as usize].clone()
    }

    /// Name and path of an attempt's temporary folder: short, since the paths of sockets in it must be.
    pub(crate) fn temporary(&self, attempt: &str) -> (CString, PathBuf) {
        let name = short_path::name(&self.runner_name, attempt);
        let path = self.base.join(Place::Temporary.name()).join(name.to_string_lossy().as_ref());
        (name, path)
    }

    /// Who removes what is thrown away.
    pub(crate) fn janitor(&self) -> &Janitor {
        &self.janitor
    }

    /// Throws an entry of a folder away: it is gone from there when this returns, and removed later.
    pub(crate) fn discard(&self, place: Place, name: &CStr) -> io::Result<oneshot::Receiver<Outcome>> {
        self.janitor.discard(&self.folder(place), name)
    }

    /// Throws away what a former process of this folder left. What cannot be moved stays, and is told.
    pub(crate) fn discard_leftovers(&self) {
        for place in [Place::Work, Place::Spool] {
            let names = match self.folder(place).names(MOST_LEFTOVERS) {
                Ok(names) => names,
                Err(error) => {
                    tracing::error!(%error, folder = place.name(), "cannot read what a former process left");
                    continue;
                }
            };
            for name in names {
                if place == Place::Work
                    && let Some(attempt) = name.to_str().ok().filter(|name| is_number(name))
                {
                    self.discard_leftover(Place::Temporary, &self.temporary(attempt).0);
                }
                self.discard_leftover(place, &name);
            }
        }
    }

    fn discard_leftover(&self, place: Place, name: &CStr) {
        match self.discard(place, name) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => {
                let name = name.to_string_lossy();
                tracing::error!(%error, folder = place.name(), %name, "cannot move away what a former process left");
            }
        }
    }

    /// How much is free.
    pub(crate) fn room(&self) -> io::Result<Room> {
        let found = fstatvfs(&self.root_folder)?;
        let files = (found.files() > 0).then(|| found.files_available());
        Ok(Room { bytes: found.blocks_available().saturating_mul(found.fragment_size()), files })
    }

    /// Writes a small file, reads it back and removes it: whether the folder can be used.
    pub(crate) fn probe(&self) -> io::Result<()> {
        self.root_folder.remove_file(PROBE)?;
        let written = self.root_folder.write_new(PROBE, &PROBE_BYTES).map(drop);
        let read = written.and_then(|()| {
            let mut bytes = Vec::new();
            self.root_folder.open_file(PROBE)?.read_to_end(&mut bytes)?;
            if bytes == PROBE_BYTES {
                Ok(())
            } else {
                Err(io::Error::other("a file reads other than written"))
            }
        });
        read.and(self.root_folder.remove_file(PROBE))
    }

    /// Reads one of the small files; `None` when it is missing or empty.
    pub(crate) fn read(&self, name: &str) -> io::Result<Option<String>> {
        let mut text = String::new();
        match self.root_folder.open_file(name).and_then(|mut file| file.read_to_string(&mut text)) {
            Ok(_) => Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes one of the small files, mode 0600, whole or not at all.
    pub(crate) fn write(&self, name: &str, text: &str) -> io::Result<()> {
        let new = format!("{name}.new");
        self.root_folder.remove_file(&new)?;
        self.root_folder.write_new(new.as_str(), text.as_bytes())?.sync_all()?;
        self.root_folder.rename(&new, name)
    }

    /// Removes one of the small files, if it is there.
    pub(crate) fn remove(&self, name: &str) -> io::Result<()> {
        self.root_folder.remove_file(name)
    }
}

fn is_number(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_digit())
}

/// Makes the folder of all runners when it is missing, and yields its real path: rules about paths are written with those.
fn open_base(base: &Path) -> io::Result<(PathBuf, Folder)> {
    DirBuilder::new().recursive(true).mode(0o700).create(base)?;
    let mode = base.metadata()?.permissions().mode();
    if mode & 0o700 != 0o700 {
        // A job may have done that; where the folder is not ours, opening it says what is wrong.
        let _not_ours = std::fs::set_permissions(base, Permissions::from_mode(mode | 0o700));
    }
    let base = base.canonicalize()?;
    let folder = Folder::open(&base)?;
    Ok((base, folder))
}

/// Makes a folder that only its user may enter.
pub(crate) fn create_private(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    std::fs::set_permissions(path, Permissions::from_mode(0o700))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn a_second_process_is_refused_as_long_as_the_first_lives() {
        let base = tempfile::tempdir().unwrap();
        let first = DataDir::open(base.path(), "r").unwrap();
        let error = DataDir::open(base.path(), "r").unwrap_err();
        assert!(matches!(error, RunnerError::Locked { .. }), "{error}");
        DataDir::open(base.path(), "other").unwrap();
        drop(first);
        DataDir::open(base.path(), "r").unwrap();
    }

    #[test]
    fn small_files_are_private_and_hold_only_their_text() {
        let base = tempfile::tempdir().unwrap();
        let data_dir = DataDir::open(base.path(), "r").unwrap();
        assert_eq!(data_dir.read("token").unwrap(), None);
        data_dir.write("token", "mtr_x").unwrap();
        assert_eq!(data_dir.read("token").unwrap().as_deref(), Some("mtr_x"));
        let path = base.path().join("r/token");
        assert_eq!(fs::read(&path).unwrap(), b"mtr_x");
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(&base.path().join("r/work")), 0o700);
        data_dir.remove("token").unwrap();
        data_dir.remove("token").unwrap();
        assert_eq!(data_dir.read("token").unwrap(), None);
    }

    #[test]
    fn rights_come_back_before_the_next_run_and_at_the_next_start() {
        let base = tempfile::tempdir().unwrap();
        let data_dir = DataDir::open(base.path(), "r").unwrap();
        data_dir.write("token", "mtr_x").unwrap();
        let root = base.path().join("r");
        let take = || {
            for (name, wrong) in [
                ("work", 0o000),
                ("envs", 0o000),
                ("trash", 0o100),
                ("token", 0o000),
                ("lock", 0o666),
                (".", 0o777),
            ] {
                fs::set_permissions(root.join(name), Permissions::from_mode(wrong)).unwrap();
            }
            fs::set_permissions(base.path().join("t"), Permissions::from_mode(0o1777)).unwrap();
        };
        let are_back = || {
            let folders = ["work", "envs", "trash", "."].map(|name| mode(&root.join(name)));
            let files = ["token", "lock"].map(|name| mode(&root.join(name)));
            (folders, files, mode(&base.path().join("t"))) == ([0o700; 4], [0o600; 2], 0o700)
        };
        assert_eq!(data_dir.mend().unwrap(), Vec::<String>::new());
        take();
        let mended = data_dir.mend().unwrap();
        assert_eq!(mended.len(), 7, "{mended:?}");
        assert!(mended.iter().any(|line| line.ends_with("work had mode 0000")), "{mended:?}");
        assert!(are_back());
        take();
        fs::set_permissions(base.path(), Permissions::from_mode(0o000)).unwrap();
        drop(data_dir);
        let data_dir = DataDir::open(base.path(), "r").unwrap();
        assert!(are_back());
        assert_eq!(data_dir.read("token").unwrap().as_deref(), Some("mtr_x"));
    }

    #[test]
    fn what_was_replaced_is_made_anew() {
        let base = tempfile::tempdir().unwrap();
        let data_dir = DataDir::open(base.path(), "r").unwrap();
        let root = base.path().join("r");
        let victim = base.path().join("victim");
        fs::create_dir(&victim).unwrap();
        fs::write(victim.join("file"), "whole").unwrap();
        fs::rename(root.join("work"), root.join("w2")).unwrap();
        std::os::unix::fs::symlink(&victim, root.join("work")).unwrap();
        fs::remove_dir(root.join("spool")).unwrap();
        fs::remove_dir_all(root.join("trash")).unwrap();
        fs::remove_file(root.join("lock")).unwrap();
        let mended = data_dir.mend().unwrap();
        assert_eq!(mended.len(), 4, "{mended:?}");
        for name in ["work", "spool", "trash"] {
            assert!(fs::symlink_metadata(root.join(name)).unwrap().is_dir(), "{name}");
        }
        assert_eq!(fs::read(victim.join("file")).unwrap(), b"whole");
        assert!(matches!(DataDir::open(base.path(), "r"), Err(RunnerError::Locked { .. })));
        assert_eq!(data_dir.mend().unwrap(), Vec::<String>::new());
        data_dir.probe().unwrap();
        fs::rename(&root, base.path().join("elsewhere")).unwrap();
        assert!(data_dir.mend().is_err());
    }

    #[test]
    fn what_a_former_process_left_is_thrown_away() {
        let base = tempfile::tempdir().unwrap();
        let data_dir = DataDir::open(base.path(), "r").unwrap();
        let root = base.path().join("r");
        let (_, temporary) = data_dir.temporary("7");
        let others = base.path().join("t/0123abcd");
        for folder in [&root.join("work/7/source"), &root.join("spool/7"), &temporary.join("x"), &others] {
            fs::create_dir_all(folder).unwrap();
        }
        drop(data_dir);
        let data_dir = DataDir::open(base.path(), "r").unwrap();
        data_dir.discard_leftovers();
        assert!(!temporary.exists() && others.exists());
        for place in ["work", "spool"] {
            assert_eq!(fs::read_dir(root.join(place)).unwrap().count(), 0, "{place}");
        }
    }
}
