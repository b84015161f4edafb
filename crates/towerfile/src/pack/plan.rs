//! What of a project's folder goes into its archive.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::error::PackError;
use super::notes::{PlanNote, notes};
use super::script::check_script;
use super::select::{PlannedKind, Selected, kind_of, select, too_many};
use crate::source::Pattern;
use crate::{Limits, Start, TOWERFILE, Towerfile};

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
    /// The Towerfile's text where it is not that of the folder.
    pub(super) towerfile: Option<String>,
}

impl PackPlan {
    /// Packs another text as the Towerfile than the folder has.
    #[must_use]
    pub fn with_towerfile(mut self, text: String) -> Self {
        if let Some(PlannedKind::File { bytes, .. }) = self.entries.first_mut().map(|entry| &mut entry.kind) {
            self.total_bytes = self.total_bytes - *bytes + text.len() as u64;
            *bytes = text.len() as u64;
        }
        self.towerfile = Some(text);
        self
    }
}

/// One file, link or empty folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedEntry {
    /// Relative to the root, `/` between components.
    pub path: String,
    /// What it is.
    pub kind: PlannedKind,
}

/// Decides what of `root` would be packed.
///
/// That is what `app.source` selects; without it, everything. Never the folders `.git` and `.minitower`, virtual environments,
/// `__pycache__`, `*.pyc` and what a `.gitignore` leaves out, unless a pattern names it (see [`crate::source`]) or a
/// line of a `.towerignore` brings it back; never what a `.towerignore` leaves out; always the Towerfile. What is
/// selected but cannot be packed is an error. Links are not followed.
pub fn plan(root: &Path, towerfile: &Towerfile) -> Result<PackPlan, PackError> {
    fs::read_dir(root).map_err(|source| PackError::Root { root: root.to_owned(), source })?;
    let patterns = compile(towerfile)?;
    let limits = Limits::default();
    let Selected { mut found, used } = select(root, towerfile, &patterns, &limits)?;
    found.remove(TOWERFILE);
    let mut notes = notes(towerfile, &patterns, &used, &found);
    if let Start::Script(script) = &towerfile.start {
        notes.extend(check_script(root, script, &found)?);
    }
    let first = PlannedEntry { path: TOWERFILE.to_owned(), kind: look_at_towerfile(root)? };
    let others = found.into_iter().map(|(path, kind)| PlannedEntry { path, kind });
    let plan = PackPlan {
        root: root.to_owned(),
        // First, so that it is found soon; a server looks only so far.
        entries: std::iter::once(first).chain(others).collect(),
        total_bytes: 0,
        notes,
        towerfile: None,
    };
    measure(plan, &limits)
}

fn compile(towerfile: &Towerfile) -> Result<Vec<Pattern>, PackError> {
    let compile = |text: &String| {
        Pattern::new(text).map_err(|fault| PackError::Pattern { pattern: text.clone(), fault })
    };
    towerfile.source.iter().map(compile).collect()
}

fn look_at_towerfile(root: &Path) -> Result<PlannedKind, PackError> {
    let path = root.join(TOWERFILE);
    let found = fs::symlink_metadata(&path).ok().filter(fs::Metadata::is_file);
    let kind = found.map(|metadata| kind_of(&path, TOWERFILE, &metadata)).transpose()?;
    kind.ok_or(PackError::NoTowerfile { path })
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
