//! The inner layer: one pass over an archive that hands out only what every rule allows.

use std::io::Read;

use super::members::{Member, MemberKind, Members};
use super::tree::{Leaf, Tree};
use super::{ArchiveError, Limits};
use crate::path::{LinkFault, PathFault, check_link_target, normalise};

/// An entry that may be there.
#[derive(Debug)]
pub(super) struct Entry {
    /// A normal path; only that of a folder may be the root's, which is empty.
    pub(super) path: String,
    pub(super) kind: EntryKind,
}

#[derive(Debug)]
pub(super) enum EntryKind {
    File {
        bytes: u64,
        executable: bool,
        /// A former file or link at this path is to be removed.
        replaces: bool,
    },
    Folder,
    Symlink {
        target: String,
        replaces: bool,
    },
    HardLink {
        /// The normal path of a regular file before it.
        target: String,
        replaces: bool,
    },
}

/// Walks over an archive.
pub(super) struct Walk<R> {
    members: Members<R>,
    tree: Tree,
}

impl<R: Read> Walk<R> {
    pub(super) fn new(source: R, limits: &Limits) -> Self {
        Self { members: Members::new(source, limits), tree: Tree::new(limits.entries) }
    }

    /// The next entry, or `None` when the archive is over and whole.
    pub(super) fn next(&mut self) -> Result<Option<Entry>, ArchiveError> {
        let Some(Member { name, kind }) = self.members.next()? else { return Ok(None) };
        let path = normalise(&name).map_err(|fault| ArchiveError::Path { name: name.clone(), fault })?;
        if path.is_empty() && !matches!(kind, MemberKind::Folder) {
            return Err(ArchiveError::Path { name, fault: PathFault::Empty });
        }
        let kind = match kind {
            MemberKind::Folder => {
                self.tree.add_folder(&path)?;
                EntryKind::Folder
            }
            MemberKind::File { bytes, executable } => {
                let replaces = self.tree.add_leaf(&path, Leaf::File)?;
                EntryKind::File { bytes, executable, replaces }
            }
            MemberKind::Symlink { target } => {
                if let Err(fault) = check_link_target(&path, &target) {
                    return Err(ArchiveError::Link { name, target, fault });
                }
                let replaces = self.tree.add_leaf(&path, Leaf::Link(&target))?;
                EntryKind::Symlink { target, replaces }
            }
            MemberKind::HardLink { target } => {
                let normal = match normalise(&target) {
                    Ok(normal) => normal,
                    Err(fault) => {
                        return Err(ArchiveError::Link { name, target, fault: LinkFault::Path(fault) });
                    }
                };
                if normal == path || !self.tree.is_file(&normal) {
                    return Err(ArchiveError::HardLink { name, target });
                }
                let replaces = self.tree.add_leaf(&path, Leaf::File)?;
                EntryKind::HardLink { target: normal, replaces }
            }
        };
        Ok(Some(Entry { path, kind }))
    }

    /// Reads some of the current file; 0 at its end.
    pub(super) fn read(&mut self, into: &mut [u8]) -> Result<usize, ArchiveError> {
        self.members.read(into)
    }

    /// What the entries added up to.
    pub(super) fn into_tree(self) -> Tree {
        self.tree
    }
}
