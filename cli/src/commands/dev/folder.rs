//! The folder of `minitower dev`, which holds all its data.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::error::DevError;

/// The folder, all of whose parts exist.
pub(super) struct Folder {
    root: PathBuf,
    given: PathBuf,
}

impl Folder {
    /// Creates what is missing.
    pub(super) fn prepare(given: &Path) -> Result<Self, DevError> {
        let unusable = |source| DevError::Folder { folder: given.to_owned(), source };
        let folder = Self { root: std::path::absolute(given).map_err(unusable)?, given: given.to_owned() };
        folder.make().map_err(unusable)?;
        Ok(folder)
    }

    fn make(&self) -> io::Result<()> {
        for path in [&self.root, &self.control_plane(), &self.runner()] {
            DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        }
        // It may be inside a project, but it does not belong to the project's files.
        std::fs::write(self.root.join(".gitignore"), "*\n")
    }

    /// The control plane's own part.
    pub(super) fn control_plane(&self) -> PathBuf {
        self.root.join("control-plane")
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
            let folder = Folder::prepare(&path).unwrap();
            assert!(folder.control_plane().is_dir() && folder.runner().is_dir());
        }
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(std::fs::read_to_string(path.join(".gitignore")).unwrap(), "*\n");
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let failure = Failure::from(Folder::prepare(&file.path().join("x")).err().unwrap());
        assert!(failure.to_string().contains("--data-dir"), "{failure}");
    }
}
