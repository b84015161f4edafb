//! The folder itself: opening and locking it, its places, and throwing away what lies there.

use std::ffi::{CStr, CString};
use std::fs::{File, TryLockError};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use tokio::sync::oneshot;

use super::places::{FILES, Place, open_base, open_lock, open_place, restore_file, temporary_name};
use crate::error::RunnerError;
use crate::folder::Folder;
use crate::janitor::{Janitor, Outcome};

/// What a control plane has in its folder, and a runner never has.
const DATABASE: &str = "minitower.db";

/// Most entries that are thrown away of one folder.
const MOST_LEFTOVERS: usize = 100_000;

/// The runner's folder, locked.
#[derive(Debug)]
pub(crate) struct DataDir {
    pub(super) base: PathBuf,
    pub(super) root: PathBuf,
    pub(super) runner_name: String,
    pub(super) base_folder: Folder,
    pub(super) base_mode: u32,
    pub(super) root_folder: Folder,
    /// In the order of [`Place::ALL`].
    pub(super) places: Mutex<[Folder; 7]>,
    pub(super) lock: Mutex<File>,
    pub(super) janitor: Janitor,
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
        // `minitower dev --here` in the home folder has a folder `control-plane` below `.minitower`, too.
        if root.join(DATABASE).symlink_metadata().is_ok() {
            return Err(RunnerError::ControlPlanes { path: root });
        }
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
            places.try_into().map_err(|_| failed(&root)(io::Error::other("a folder is missing")))?;
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
        let name = temporary_name(&self.runner_name, attempt);
        let path = self.base.join(Place::Temporary.name()).join(name.to_string_lossy().as_ref());
        (name, path)
    }

    /// The janitor, who removes what is thrown away.
    pub(crate) fn janitor(&self) -> &Janitor {
        &self.janitor
    }

    /// Throws an entry of a folder away: it is gone from there when this returns, and removed later.
    pub(crate) fn discard(&self, place: Place, name: &CStr) -> io::Result<oneshot::Receiver<Outcome>> {
        self.janitor.discard(&self.folder(place), name)
    }

    /// Throws away the leftovers of a former process of this folder. What cannot be moved stays, and the log says so.
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
}

fn is_number(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_folder_of_a_control_plane_is_left_alone() {
        let base = tempfile::tempdir().unwrap();
        let folder = base.path().join("control-plane");
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("minitower.db"), "").unwrap();
        let error = DataDir::open(base.path(), "control-plane").unwrap_err();
        assert!(matches!(&error, RunnerError::ControlPlanes { path } if *path == folder), "{error}");
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1, "nothing was made there");
        assert!(DataDir::open(base.path(), "r").is_ok());
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
