//! Walks through a project's folder and selects what is packed. What is not selected is never opened.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::error::PackError;
use super::ignored::{IgnoreFiles, Verdict};
use crate::path::{check_link_target, normalise};
use crate::source::Pattern;
use crate::{Limits, Start, Towerfile};

/// What is packed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlannedKind {
    /// A regular file.
    File {
        /// Its length.
        bytes: u64,
        /// Its owner may execute it.
        executable: bool,
    },
    /// A symbolic link.
    Symlink {
        /// Where it points.
        target: String,
    },
    /// A folder with nothing in it; others are implied by their files.
    EmptyFolder,
}

/// What is selected, and which patterns selected anything.
pub(super) struct Selected {
    pub(super) found: BTreeMap<String, PlannedKind>,
    pub(super) used: Vec<bool>,
}

/// A folder that is to be looked through.
struct Folder {
    /// Relative to the root; the root itself is empty.
    path: String,
    depth: usize,
    /// It is left out itself; only what is named below it counts.
    only_named: bool,
}

struct Walk<'p> {
    root: &'p Path,
    absolute: PathBuf,
    patterns: &'p [Pattern],
    script: Option<&'p str>,
    ignore_files: IgnoreFiles,
    selected: Selected,
    waiting: Vec<Folder>,
}

/// Selects what of `root` is packed.
pub(super) fn select(
    root: &Path,
    towerfile: &Towerfile,
    patterns: &[Pattern],
    limits: &Limits,
) -> Result<Selected, PackError> {
    let script = match &towerfile.start {
        Start::Script(script) => Some(script.as_str()),
        Start::Module(_) => None,
    };
    let mut walk = Walk {
        root,
        absolute: root.canonicalize().unwrap_or_else(|_| root.to_owned()),
        patterns,
        script,
        ignore_files: IgnoreFiles::above(root)?,
        selected: Selected { found: BTreeMap::new(), used: vec![false; patterns.len()] },
        waiting: vec![Folder { path: String::new(), depth: 1, only_named: false }],
    };
    // Depth first, so that the ignore files that count are those of the folders above.
    while let Some(folder) = walk.waiting.pop() {
        walk.look_through(&folder)?;
        if walk.selected.found.len() as u64 > limits.entries {
            return Err(too_many(limits));
        }
    }
    Ok(walk.selected)
}

impl Walk<'_> {
    fn look_through(&mut self, folder: &Folder) -> Result<(), PackError> {
        let here = self.root.join(&folder.path);
        let absolute =
            if folder.path.is_empty() { self.absolute.clone() } else { self.absolute.join(&folder.path) };
        let unreadable = |source| PackError::Folder { path: here.clone(), source };
        let entries = fs::read_dir(&here).map_err(unreadable)?;
        self.ignore_files.enter(&here, &absolute, folder.depth)?;
        let mut empty = true;
        for entry in entries {
            let entry = entry.map_err(unreadable)?;
            empty = false;
            self.look_at(folder, &here, &absolute, &entry.file_name())?;
        }
        // The root is always there.
        if empty && !folder.only_named && !folder.path.is_empty() && self.selects(&folder.path) {
            check_path(&folder.path)?;
            self.selected.found.insert(folder.path.clone(), PlannedKind::EmptyFolder);
        }
        Ok(())
    }

    fn look_at(
        &mut self,
        folder: &Folder,
        here: &Path,
        absolute: &Path,
        name: &std::ffi::OsStr,
    ) -> Result<(), PackError> {
        // What is not UTF-8 is judged by how it would read, so that it is not passed over when it is asked for.
        let shown = name.to_string_lossy();
        let path =
            if folder.path.is_empty() { shown.into_owned() } else { format!("{}/{shown}", folder.path) };
        let file = here.join(name);
        let metadata = match fs::symlink_metadata(&file) {
            Ok(metadata) => metadata,
            // It may be gone by now, or in a folder that lets nobody look: no matter, unless it is wanted.
            Err(_) if !self.selects(&path) => return Ok(()),
            Err(source) => return Err(PackError::Read { path: file, source }),
        };
        let verdict = self.ignore_files.judge(&absolute.join(name), metadata.is_dir(), metadata.is_symlink());
        if verdict == Verdict::Refused {
            return Ok(());
        }
        let left_out = (folder.only_named || verdict == Verdict::LeftOut) && !self.names(&path);
        if metadata.is_dir() {
            let wanted = if left_out { self.leads_below(&path) } else { self.reaches_below(&path) };
            if wanted {
                if name.to_str().is_none() {
                    return Err(PackError::NotUtf8 { path: file });
                }
                self.waiting.push(Folder { path, depth: folder.depth + 1, only_named: left_out });
            }
            return Ok(());
        }
        if left_out || !self.selects(&path) {
            return Ok(());
        }
        if name.to_str().is_none() {
            return Err(PackError::NotUtf8 { path: file });
        }
        let kind = kind_of(&file, &path, &metadata)?;
        self.selected.found.insert(path, kind);
        Ok(())
    }

    fn selects(&mut self, path: &str) -> bool {
        let mut selected = self.patterns.is_empty();
        for (pattern, used) in self.patterns.iter().zip(&mut self.selected.used) {
            if pattern.matches(path) {
                selected = true;
                *used = true;
            }
        }
        selected
    }

    fn reaches_below(&self, folder: &str) -> bool {
        self.patterns.is_empty() || self.patterns.iter().any(|pattern| pattern.reaches_below(folder))
    }

    fn names(&self, path: &str) -> bool {
        self.script == Some(path) || self.patterns.iter().any(|pattern| pattern.names(path))
    }

    fn leads_below(&self, folder: &str) -> bool {
        let script = self.script.and_then(|script| script.strip_prefix(folder));
        script.is_some_and(|rest| rest.starts_with('/'))
            || self.patterns.iter().any(|pattern| pattern.leads_below(folder))
    }
}

fn check_path(path: &str) -> Result<(), PackError> {
    normalise(path).map(drop).map_err(|fault| PackError::Path { path: path.to_owned(), fault })
}

/// What is at `file`, which is not a folder.
pub(super) fn kind_of(file: &Path, path: &str, metadata: &fs::Metadata) -> Result<PlannedKind, PackError> {
    check_path(path)?;
    let kind = metadata.file_type();
    let special = |what| PackError::Special { path: path.to_owned(), what };
    if kind.is_file() {
        let executable = metadata.permissions().mode() & 0o100 != 0;
        Ok(PlannedKind::File { bytes: metadata.len(), executable })
    } else if kind.is_symlink() {
        let target =
            fs::read_link(file).map_err(|source| PackError::Read { path: file.to_owned(), source })?;
        let Some(target) = target.to_str() else { return Err(PackError::NotUtf8 { path: target }) };
        check_link_target(path, target).map_err(|fault| PackError::Link {
            path: path.to_owned(),
            target: target.to_owned(),
            fault,
        })?;
        Ok(PlannedKind::Symlink { target: target.to_owned() })
    } else if kind.is_socket() {
        Err(special("a socket"))
    } else if kind.is_fifo() {
        Err(special("a named pipe"))
    } else {
        Err(special("a device"))
    }
}

pub(super) fn too_many(limits: &Limits) -> PackError {
    PackError::TooMuch { limit: limits.entries, what: "files and folders" }
}
