//! Why a project cannot be packed.

use std::io;
use std::path::PathBuf;

use crate::near::shown;
use crate::path::{LinkFault, PathFault};

/// Why a project cannot be packed. Each message names the file, the reason and the way out.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// A file cannot be read.
    #[error("cannot read {}; make it readable, or leave it out with .towerignore", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A folder cannot be looked through.
    #[error(
        "cannot look through the folder {}; make it readable, or leave it out with .towerignore",
        path.display()
    )]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The project's folder cannot be looked through.
    #[error("cannot look through the project's folder {}", root.display())]
    Root {
        /// Which.
        root: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line of a `.towerignore` is wrong.
    #[error("{}, line {line}: correct the line", path.display())]
    IgnoreFile {
        /// The file.
        path: PathBuf,
        /// Counted from 1; 0 where all lines together are too much.
        line: usize,
        /// Why.
        source: ignore::Error,
    },
    /// The archive cannot be written.
    #[error("cannot write the archive")]
    Write(#[source] io::Error),
    /// A pattern of `app.source` is wrong. Does not happen with a parsed Towerfile.
    #[error("app.source = {}: {fault}", shown(pattern))]
    Pattern {
        /// The pattern.
        pattern: String,
        /// The rule.
        fault: crate::source::PatternFault,
    },
    /// The Towerfile is missing, or a link or folder.
    #[error("{} is not a regular file: write one with `minitower init`", path.display())]
    NoTowerfile {
        /// Where it should be.
        path: PathBuf,
    },
    /// The script is not among the files that would be packed.
    #[error("the script {} {reason}", shown(script))]
    Script {
        /// `app.script`.
        script: String,
        /// What is wrong with it and the way out.
        reason: String,
    },
    /// A name is not UTF-8.
    #[error("the name of {} is not UTF-8: rename it, or leave it out with .towerignore", path.display())]
    NotUtf8 {
        /// The file.
        path: PathBuf,
    },
    /// A path is too long.
    #[error("the path {} {fault}: shorten it, or leave it out with .towerignore", shown(path))]
    Path {
        /// The path.
        path: String,
        /// The rule.
        fault: PathFault,
    },
    /// A symbolic link points out of the project.
    #[error(
        "the link {} cannot be packed: its target {} {fault}; link inside the project, copy the target into it, \
         or leave the link out with .towerignore",
        shown(path),
        shown(target)
    )]
    Link {
        /// The link.
        path: String,
        /// Its target.
        target: String,
        /// The rule.
        fault: LinkFault,
    },
    /// A socket, a device or a named pipe.
    #[error("{} is {what} and cannot be packed: remove it, or leave it out with .towerignore", shown(path))]
    Special {
        /// The file.
        path: String,
        /// What it is.
        what: &'static str,
    },
    /// A file changed between planning and packing.
    #[error("{} changed while it was being packed: try again when nothing writes to it", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// More than a runner would unpack.
    #[error("the project has more than {limit} {what}: leave some out with app.source or .towerignore")]
    TooMuch {
        /// The limit.
        limit: u64,
        /// Of what.
        what: &'static str,
    },
}
