//! The runner's folder: one process at a time, private to its user.
//!
//! | path | what |
//! |---|---|
//! | `lock` | held as long as the process lives |
//! | `token` | the runner token and nothing else |
//! | `environment`, `pool` | what the token was registered for |
//! | `instance` | ids of this process and of former ones whose attempt may still be open |
//! | `work/` | workspaces |
//! | `spool/` | undelivered log lines |
//! | `envs/` | prepared Python environments |
//! | `cache/` | caches of installers, a folder per team |
//! | `tools/` | uv and Pythons that the runner has fetched |

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::error::RunnerError;

/// The runner's folder, locked.
#[derive(Debug)]
pub(crate) struct DataDir {
    base: PathBuf,
    root: PathBuf,
    _lock: File,
}

impl DataDir {
    /// Makes the folder when it is missing, and locks it for the life of this value.
    pub(crate) fn open(base: &Path, runner_name: &str) -> Result<Self, RunnerError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| RunnerError::DataDir { path, source }
        };
        let root = base.join(runner_name);
        create_private(&root).map_err(failed(&root))?;
        // Rules about paths are written with the real ones.
        let base = base.canonicalize().map_err(failed(base))?;
        let root = root.canonicalize().map_err(failed(&root))?;
        let path = root.join("lock");
        let lock =
            OpenOptions::new().create(true).append(true).mode(0o600).open(&path).map_err(failed(&path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(RunnerError::Locked { path: root }),
            Err(TryLockError::Error(source)) => return Err(RunnerError::DataDir { path, source }),
        }
        let data_dir = Self { base, root, _lock: lock };
        for folder in
            [data_dir.work(), data_dir.spool(), data_dir.environments(), data_dir.cache(), data_dir.tools()]
        {
            create_private(&folder).map_err(failed(&folder))?;
        }
        Ok(data_dir)
    }

    /// The folder of all runners of this machine's user: jobs may not read it.
    pub(crate) fn base(&self) -> &Path {
        &self.base
    }

    /// Workspaces, one folder per attempt.
    pub(crate) fn work(&self) -> PathBuf {
        self.root.join("work")
    }

    /// Undelivered log lines.
    pub(crate) fn spool(&self) -> PathBuf {
        self.root.join("spool")
    }

    /// Prepared Python environments.
    pub(crate) fn environments(&self) -> PathBuf {
        self.root.join("envs")
    }

    /// Caches of installers.
    pub(crate) fn cache(&self) -> PathBuf {
        self.root.join("cache")
    }

    /// Programs that the runner brings itself: uv, Pythons.
    pub(crate) fn tools(&self) -> PathBuf {
        self.root.join("tools")
    }

    /// Reads one of the small files; `None` when it is missing or empty.
    pub(crate) fn read(&self, name: &str) -> io::Result<Option<String>> {
        match fs::read_to_string(self.root.join(name)) {
            Ok(text) => Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes one of the small files, mode 0600, whole or not at all.
    pub(crate) fn write(&self, name: &str, text: &str) -> io::Result<()> {
        let path = self.root.join(name);
        let new = self.root.join(format!("{name}.new"));
        let mut file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&new)?;
        file.set_permissions(Permissions::from_mode(0o600))?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(new, path)
    }

    /// Removes one of the small files, if it is there.
    pub(crate) fn remove(&self, name: &str) -> io::Result<()> {
        match fs::remove_file(self.root.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// Makes a folder that only its user may enter.
pub(crate) fn create_private(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o700))
}

/// Removes a tree a job has worked in: it may have taken its own rights away.
pub(crate) fn remove_tree(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            make_removable(path)?;
            fs::remove_dir_all(path)
        }
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn make_removable(path: &Path) -> io::Result<()> {
    let mut folders = vec![path.to_owned()];
    while let Some(folder) = folders.pop() {
        fs::set_permissions(&folder, Permissions::from_mode(0o700))?;
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(base.path().join("r/work")).unwrap().permissions().mode() & 0o777, 0o700);
        data_dir.remove("token").unwrap();
        data_dir.remove("token").unwrap();
        assert_eq!(data_dir.read("token").unwrap(), None);
    }

    #[test]
    fn a_tree_without_rights_is_removed() {
        let base = tempfile::tempdir().unwrap();
        let tree = base.path().join("tree");
        fs::create_dir_all(tree.join("a/b")).unwrap();
        fs::set_permissions(tree.join("a"), Permissions::from_mode(0o000)).unwrap();
        remove_tree(&tree).unwrap();
        assert!(!tree.exists());
        remove_tree(&tree).unwrap();
    }
}
