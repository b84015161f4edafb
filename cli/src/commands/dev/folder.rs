//! The folder of `minitower dev`, which holds all its data.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::error::DevError;
use crate::settings::Environment;

/// The control plane's part.
const CONTROL_PLANE: &str = "control-plane";
/// Keeps Git away.
const IGNORE: &str = ".gitignore";
/// The folder of `--here`, in the current one.
const HERE: &str = "./.minitower";
/// What the folder of a runner has, and that of a control plane never has.
const LOCK: &str = "lock";

/// The folder of a `minitower dev` that names none: in the user's data, wherever it was started.
pub(super) fn usual(environment: &Environment) -> Result<PathBuf, DevError> {
    // A relative one counts as unset (<https://specifications.freedesktop.org/basedir-spec/latest/>).
    let data = environment.xdg_data_home.as_ref().map(PathBuf::from).filter(|path| path.is_absolute());
    let data = data.or_else(|| Some(Path::new(environment.home.as_ref()?).join(".local/share")));
    data.map(|data| data.join("minitower/dev")).ok_or(DevError::NoHome)
}

/// The folder of `--here`.
pub(super) fn here() -> PathBuf {
    PathBuf::from(HERE)
}

/// Whether a `minitower dev` has kept its data in the current folder.
pub(super) fn is_here() -> bool {
    Path::new(HERE).join(CONTROL_PLANE).is_dir()
}

/// The folder, all of whose parts exist. What was made for it goes again, unless it is kept.
pub(super) struct Folder {
    root: PathBuf,
    given: PathBuf,
    /// What did not exist before, in the order in which it was made.
    made: Vec<PathBuf>,
}

impl Folder {
    /// Creates what is missing.
    pub(super) fn prepare(given: &Path) -> Result<Self, DevError> {
        let unusable = |source| DevError::Folder { folder: given.to_owned(), source };
        let root = std::path::absolute(given).map_err(unusable)?;
        let mut folder = Self { root, given: given.to_owned(), made: Vec::new() };
        for path in [folder.control_plane(), folder.runner()] {
            if path.join(LOCK).exists() {
                return Err(DevError::RunnersFolder { path });
            }
        }
        folder.make().map_err(unusable)?;
        Ok(folder)
    }

    fn make(&mut self) -> io::Result<()> {
        for path in [self.root.clone(), self.control_plane(), self.runner()] {
            let missing = path.ancestors().take_while(|path| !path.exists()).map(Path::to_owned);
            let missing: Vec<_> = missing.collect();
            self.made.extend(missing.into_iter().rev());
            DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        }
        // It may be inside a project, but it does not belong to the project's files.
        let ignore = self.root.join(IGNORE);
        if !ignore.exists() {
            self.made.push(ignore.clone());
        }
        std::fs::write(ignore, "*\n")
    }

    /// Keeps what was made: there will be data in it.
    pub(super) fn keep(&mut self) {
        self.made.clear();
    }

    /// The control plane's own part.
    pub(super) fn control_plane(&self) -> PathBuf {
        self.root.join(CONTROL_PLANE)
    }

    /// The database.
    pub(super) fn database(&self) -> PathBuf {
        self.control_plane().join("minitower.db")
    }

    /// The archives.
    pub(super) fn objects(&self) -> PathBuf {
        self.control_plane().join("objects")
    }

    /// The runner's part.
    pub(super) fn runner(&self) -> PathBuf {
        self.root.join("runner")
    }

    /// As it was given, for people.
    pub(super) fn given(&self) -> &Path {
        &self.given
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What somebody has put something into stays, and so do the folders around it.
        for path in self.made.iter().rev() {
            let _ = if path.is_dir() { std::fs::remove_dir(path) } else { std::fs::remove_file(path) };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::failure::Failure;

    #[test]
    fn the_folder_is_private_and_ignored_by_git() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("data");
        for _again in 0..2 {
            let mut folder = Folder::prepare(&path).unwrap();
            folder.keep();
            assert!(folder.control_plane().is_dir() && folder.runner().is_dir());
        }
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(std::fs::read_to_string(path.join(".gitignore")).unwrap(), "*\n");
    }

    #[test]
    fn a_folder_that_is_not_kept_leaves_what_was_there_before_and_what_others_put_there() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a/b");
        drop(Folder::prepare(&path).unwrap());
        assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 0);

        let folder = Folder::prepare(&path).unwrap();
        std::fs::write(folder.database(), "data").unwrap();
        drop(folder);
        assert!(path.join("control-plane/minitower.db").is_file() && !path.join("runner").exists());

        drop(Folder::prepare(&path).unwrap());
        assert!(path.join("control-plane/minitower.db").is_file());
    }

    #[test]
    fn the_usual_folder_is_in_the_users_data() {
        let environment = |xdg: Option<&str>, home: Option<&str>| Environment {
            xdg_data_home: xdg.map(str::to_owned),
            home: home.map(str::to_owned),
            ..Environment::default()
        };
        let told = |xdg, home| usual(&environment(xdg, home)).ok();
        assert_eq!(told(None, Some("/h")).unwrap(), Path::new("/h/.local/share/minitower/dev"));
        assert_eq!(told(Some("/x"), Some("/h")).unwrap(), Path::new("/x/minitower/dev"));
        assert_eq!(told(Some("x"), Some("/h")).unwrap(), Path::new("/h/.local/share/minitower/dev"));
        assert_eq!(told(None, None), None);
    }

    #[test]
    fn the_folder_of_a_runner_is_left_alone() {
        for name in ["control-plane", "runner"] {
            let base = tempfile::tempdir().unwrap();
            std::fs::create_dir(base.path().join(name)).unwrap();
            std::fs::write(base.path().join(name).join("lock"), "").unwrap();
            let failure = Failure::from(Folder::prepare(base.path()).err().unwrap()).to_string();
            assert!(failure.contains(name) && failure.contains("--data-dir"), "{failure}");
            assert!(!base.path().join(".gitignore").exists());
        }
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let failure = Failure::from(Folder::prepare(&file.path().join("x")).err().unwrap());
        assert!(failure.to_string().contains("--data-dir"), "{failure}");
    }
}
