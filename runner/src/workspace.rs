//! The folder of one attempt: everything a job may write.

use std::io;
use std::path::{Path, PathBuf};

use crate::data_dir::{create_private, remove_tree};

/// One attempt's folder.
#[derive(Debug)]
pub(crate) struct Workspace {
    root: PathBuf,
}

impl Workspace {
    /// Makes the folder below `work`, empty.
    pub(crate) fn create(work: &Path, attempt_id: i64) -> io::Result<Self> {
        let workspace = Self { root: work.join(attempt_id.to_string()) };
        remove_tree(&workspace.root)?;
        for folder in [workspace.source(), workspace.home(), workspace.temporary(), workspace.artifacts()] {
            create_private(&folder)?;
        }
        Ok(workspace)
    }

    /// All of it.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The unpacked archive; where the job starts.
    pub(crate) fn source(&self) -> PathBuf {
        self.root.join("source")
    }

    /// The job's home folder.
    pub(crate) fn home(&self) -> PathBuf {
        self.root.join("home")
    }

    /// The job's folder for temporary files.
    pub(crate) fn temporary(&self) -> PathBuf {
        self.root.join("tmp")
    }

    /// The run's own Python environment.
    pub(crate) fn venv(&self) -> PathBuf {
        self.root.join("venv")
    }

    /// The downloaded archive.
    pub(crate) fn archive(&self) -> PathBuf {
        self.root.join("archive.tar.gz")
    }

    /// The run's input as JSON.
    pub(crate) fn input(&self) -> PathBuf {
        self.root.join("input.json")
    }

    /// Where the job may write its output.
    pub(crate) fn output(&self) -> PathBuf {
        self.root.join("output.json")
    }

    /// Where the job may leave files that are kept.
    pub(crate) fn artifacts(&self) -> PathBuf {
        self.root.join("artifacts")
    }

    /// Removes the folder.
    pub(crate) fn remove(&self) -> io::Result<()> {
        remove_tree(&self.root)
    }
}
