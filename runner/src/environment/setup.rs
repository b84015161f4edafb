//! Where an installer works: folders of its own in the run's workspace, made before it starts and gone after it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::needs::{Needs, What};
use super::{text, tree};
use crate::data_dir::create_private;
use crate::removal::remove_tree;

/// The folders of one installation.
#[derive(Debug, Clone)]
pub(super) struct Setup {
    root: PathBuf,
}

impl Setup {
    /// Makes them at `root`, empty but for what is to be installed by name: `needs` in files that every installer can read.
    pub(super) fn create(root: PathBuf, needs: &Needs) -> io::Result<Self> {
        remove_tree(&root)?;
        let setup = Self { root };
        for folder in [setup.temporary(), setup.home(), setup.stage(), setup.cache(), setup.answers()] {
            create_private(&folder)?;
        }
        for (file, contents) in &needs.files {
            Self::write(&setup.stage().join(file), contents)?;
        }
        setup.write_list(needs)?;
        Ok(setup)
    }

    /// Writes down what is needed of [`What::List`].
    pub(super) fn write_list(&self, needs: &Needs) -> io::Result<()> {
        match &needs.what {
            What::List(requirements) => Self::write(&self.list(), &(requirements.join("\n") + "\n")),
            _ => Ok(()),
        }
    }

    /// Copies the project, so that what builds it may write there.
    pub(super) fn copy_project(&self, source: &Path, needs: &Needs) -> io::Result<()> {
        remove_tree(&self.project())?;
        tree::copy(source, &self.project())?;
        for (file, contents) in &needs.files {
            let target = self.project().join(file);
            // A link would lead the text elsewhere.
            if fs::symlink_metadata(&target).is_ok_and(|metadata| metadata.is_file()) {
                Self::write(&target, contents)?;
            }
        }
        Ok(())
    }

    fn write(path: &Path, contents: &str) -> io::Result<()> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(path, text::as_utf8(contents))
    }

    /// All of it.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// For temporary files.
    pub(super) fn temporary(&self) -> PathBuf {
        self.root.join("tmp")
    }

    /// The installer's home.
    pub(super) fn home(&self) -> PathBuf {
        self.root.join("home")
    }

    /// The files that name what is to be installed, and nothing else.
    pub(super) fn stage(&self) -> PathBuf {
        self.root.join("stage")
    }

    /// The list of requirements that do not come from a file of their own.
    pub(super) fn list(&self) -> PathBuf {
        self.root.join("stage/listed.txt")
    }

    /// A copy of the project.
    pub(super) fn project(&self) -> PathBuf {
        self.root.join("project")
    }

    /// A cache to throw away.
    pub(super) fn cache(&self) -> PathBuf {
        self.root.join("cache")
    }

    /// Where programs leave answers for the runner.
    pub(super) fn answers(&self) -> PathBuf {
        self.root.join("answers")
    }

    /// Removes the folders.
    pub(super) fn remove(&self) -> io::Result<()> {
        remove_tree(&self.root)
    }
}
