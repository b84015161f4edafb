//! What of a project's folder goes into its archive.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use ignore::WalkBuilder;

use super::PackError;
use crate::path::{check_link_target, normalise};
use crate::shown::shown;
use crate::source::Pattern;
use crate::{Limits, Start, TOWERFILE, Towerfile};

/// The file that names what is left out, with the syntax of `.gitignore`; each folder may have one.
const IGNORE_FILE: &str = ".towerignore";

/// Bytes a tar header takes, long names included, when the size of the whole is estimated.
const HEADER_BYTES: u64 = 3 * 512;

/// What would be packed.
#[derive(Debug, Clone)]
pub struct PackPlan {
    pub(super) root: PathBuf,
    /// The Towerfile, then everything else by path.
    pub entries: Vec<PlannedEntry>,
    /// Bytes of all files.
    pub total_bytes: u64,
    /// What is odd about the plan without making it wrong.
    pub notes: Vec<PlanNote>,
}

/// One file, link or empty folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedEntry {
    /// Relative to the root, `/` between components.
    pub path: String,
    /// What it is.
    pub kind: PlannedKind,
}

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

/// What is odd about a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlanNote {
    /// A pattern of `app.source` selects nothing.
    NothingMatches {
        /// The pattern.
        pattern: String,
    },
    /// Nothing below a folder of `app.import_paths` is packed.
    NothingToImport {
        /// The folder.
        folder: String,
    },
}

impl fmt::Display for PlanNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NothingMatches { pattern } => write!(
                f,
                "app.source has {}, which matches nothing that is packed: correct or remove it",
                shown(pattern)
            ),
            Self::NothingToImport { folder } => write!(
                f,
                "app.import_paths has {}, but nothing below it is packed: correct it, or add it to app.source",
                shown(folder)
            ),
        }
    }
}

/// Decides what of `root` would be packed.
///
/// That is what `app.source` selects and no `.towerignore` leaves out, and always the Towerfile. What is selected but
/// cannot be packed is an error, never left out silently. Links are not followed.
pub fn plan(root: &Path, towerfile: &Towerfile) -> Result<PackPlan, PackError> {
    let patterns = compile(towerfile)?;
    let mut used = vec![false; patterns.len()];
    let mut found = BTreeMap::new();
    let limits = Limits::default();
    for entry in walk(root, patterns.iter().any(Pattern::reaches_hidden)) {
        let entry = entry.map_err(|source| PackError::Walk { root: root.to_owned(), source })?;
        // A wrong line in a .towerignore: the entry is there, but perhaps it should not be.
        if let Some(error) = entry.error() {
            return Err(PackError::Walk { root: root.to_owned(), source: error.clone() });
        }
        let Ok(relative) = entry.path().strip_prefix(root) else { continue };
        // What is not UTF-8 is judged by how it would read, so that it is not passed over when it is asked for.
        let path = relative.to_string_lossy().into_owned();
        let mut selected = false;
        for (pattern, used) in patterns.iter().zip(&mut used) {
            if !path.is_empty() && pattern.matches(&path) {
                selected = true;
                *used = true;
            }
        }
        if !selected {
            continue;
        }
        if relative.to_str().is_none() {
            return Err(PackError::NotUtf8 { path: entry.path().to_owned() });
        }
        if let Some(kind) = look_at(entry.path(), &path)? {
            found.insert(path, kind);
        }
        if found.len() as u64 > limits.entries {
            return Err(too_many(&limits));
        }
    }
    found.remove(TOWERFILE);
    if let Start::Script(script) = &towerfile.start {
        check_script(root, script, &found)?;
    }
    let notes = notes(towerfile, &patterns, &used, &found);
    let first = PlannedEntry { path: TOWERFILE.to_owned(), kind: look_at_towerfile(root)? };
    let others = found.into_iter().map(|(path, kind)| PlannedEntry { path, kind });
    let plan = PackPlan {
        root: root.to_owned(),
        // First, so that it is found soon; a server looks only so far.
        entries: std::iter::once(first).chain(others).collect(),
        total_bytes: 0,
        notes,
    };
    measure(plan, &limits)
}

fn compile(towerfile: &Towerfile) -> Result<Vec<Pattern>, PackError> {
    let compile = |text: &String| {
        Pattern::new(text).map_err(|fault| PackError::Pattern { pattern: text.clone(), fault })
    };
    towerfile.source.iter().map(compile).collect()
}

fn walk(root: &Path, hidden: bool) -> ignore::Walk {
    WalkBuilder::new(root)
        .standard_filters(false)
        .follow_links(false)
        .add_custom_ignore_filename(IGNORE_FILE)
        // Version control and virtual environments are large, and no pattern could select anything there.
        .filter_entry(move |entry| {
            hidden || entry.depth() == 0 || !entry.file_name().as_encoded_bytes().starts_with(b".")
        })
        .build()
}

/// What is at `file`, or `None` for a folder that has something in it.
fn look_at(file: &Path, path: &str) -> Result<Option<PlannedKind>, PackError> {
    let read_error = |source| PackError::Read { path: file.to_owned(), source };
    normalise(path).map_err(|fault| PackError::Path { path: path.to_owned(), fault })?;
    let metadata = fs::symlink_metadata(file).map_err(read_error)?;
    let kind = metadata.file_type();
    let special = |what| PackError::Special { path: path.to_owned(), what };
    if kind.is_file() {
        let executable = metadata.permissions().mode() & 0o100 != 0;
        Ok(Some(PlannedKind::File { bytes: metadata.len(), executable }))
    } else if kind.is_dir() {
        let empty = fs::read_dir(file).map_err(read_error)?.next().is_none();
        Ok(empty.then_some(PlannedKind::EmptyFolder))
    } else if kind.is_symlink() {
        let target = fs::read_link(file).map_err(read_error)?;
        let Some(target) = target.to_str() else { return Err(PackError::NotUtf8 { path: target }) };
        check_link_target(path, target).map_err(|fault| PackError::Link {
            path: path.to_owned(),
            target: target.to_owned(),
            fault,
        })?;
        Ok(Some(PlannedKind::Symlink { target: target.to_owned() }))
    } else if kind.is_socket() {
        Err(special("a socket"))
    } else if kind.is_fifo() {
        Err(special("a named pipe"))
    } else {
        Err(special("a device"))
    }
}

fn look_at_towerfile(root: &Path) -> Result<PlannedKind, PackError> {
    let path = root.join(TOWERFILE);
    match look_at(&path, TOWERFILE) {
        Ok(Some(kind @ PlannedKind::File { .. })) => Ok(kind),
        Err(error @ PackError::Read { .. }) if path.exists() => Err(error),
        _ => Err(PackError::NoTowerfile { path }),
    }
}

fn check_script(root: &Path, script: &str, found: &BTreeMap<String, PlannedKind>) -> Result<(), PackError> {
    let reason = match found.get(script) {
        Some(PlannedKind::File { .. }) => return Ok(()),
        Some(_) => "is no regular file: name the file itself in app.script",
        None if root.join(script).symlink_metadata().is_ok() => {
            "is left out: take it out of .towerignore, and see that app.source selects it"
        }
        None => "does not exist: correct app.script, or create the file",
    };
    Err(PackError::Script { script: script.to_owned(), reason })
}

fn notes(
    towerfile: &Towerfile,
    patterns: &[Pattern],
    used: &[bool],
    found: &BTreeMap<String, PlannedKind>,
) -> Vec<PlanNote> {
    let unused = patterns.iter().zip(used).filter(|(_, used)| !**used);
    let unused = unused.map(|(pattern, _)| PlanNote::NothingMatches { pattern: pattern.as_str().to_owned() });
    let lost = towerfile.import_paths.iter().filter(|folder| {
        let below = format!("{folder}/");
        let linked = matches!(found.get(*folder), Some(PlannedKind::Symlink { .. }));
        let next = found.range(below.clone()..).next();
        *folder != "." && !linked && next.is_none_or(|(path, _)| !path.starts_with(&below))
    });
    unused.chain(lost.map(|folder| PlanNote::NothingToImport { folder: folder.clone() })).collect()
}

/// Adds up the plan and compares it with what a runner would unpack.
fn measure(mut plan: PackPlan, limits: &Limits) -> Result<PackPlan, PackError> {
    let mut folders = HashSet::new();
    for entry in &plan.entries {
        if let PlannedKind::File { bytes, .. } = entry.kind {
            plan.total_bytes = plan.total_bytes.saturating_add(bytes);
        }
        let above =
            Path::new(&entry.path).ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty());
        folders.extend(above);
    }
    let entries = plan.entries.len() as u64;
    if entries + folders.len() as u64 > limits.entries {
        return Err(too_many(limits));
    }
    if plan.total_bytes.saturating_add(entries * HEADER_BYTES) > limits.total_bytes {
        return Err(PackError::TooMuch { limit: limits.total_bytes, what: "bytes" });
    }
    Ok(plan)
}

fn too_many(limits: &Limits) -> PackError {
    PackError::TooMuch { limit: limits.entries, what: "files and folders" }
}
