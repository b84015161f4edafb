//! What a project needs, as its files say.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::files::FileError;
use super::interpreters::Demand;
use super::references::References;
use super::requirement;

/// What is to be installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum What {
    /// Nothing.
    Nothing,
    /// `requirements.txt`.
    RequirementsTxt,
    /// Requirements that a file lists.
    List(Vec<String>),
    /// What `pyproject.toml` lists, with its settings of `[tool.uv]`.
    PyProject,
    /// What the script's header lists, with its settings of `[tool.uv]`.
    Script(String),
    /// The project itself, with what its build says.
    Project,
    /// `uv.lock`; `checked_online`: whether it fits cannot be told without building something.
    UvLock { checked_online: bool },
    /// `pylock.toml`.
    Pylock,
}

/// What a project needs.
#[derive(Debug, Clone)]
pub(super) struct Needs {
    /// What is to be installed.
    pub(super) what: What,
    /// The file that decided.
    pub(super) decided_by: String,
    /// Lines for the run's log.
    pub(super) notes: Vec<String>,
    /// Which Pythons may run it.
    pub(super) pythons: Vec<Demand>,
    /// Why the environment is nobody else's, if so.
    pub(super) private: Option<String>,
    /// Whether something is installed where it lies, so that the environment is this run's alone.
    pub(super) editable: bool,
    /// Whether the same text may mean other versions later.
    pub(super) unpinned: bool,
    /// Packages that are asked for in one version.
    pub(super) pinned: BTreeSet<String>,
    /// What only uv understands, if there is such a thing.
    pub(super) only_uv: Option<String>,
    /// Variables that the files refer to.
    pub(super) references: References,
    /// Options for uv's command line.
    pub(super) uv_options: Vec<String>,
    /// Everything that was read but the script and the Towerfile: path and decoded text.
    pub(super) files: BTreeMap<PathBuf, String>,
    /// When its author asked for everything anew.
    pub(super) refreshed: Option<String>,
    /// What is left to install of a project that cannot be built but says what it needs.
    pub(super) unbuilt: Option<What>,
}

impl Needs {
    /// What a project needs of which nothing else is known.
    pub(super) fn new(what: What, decided_by: &str) -> Self {
        Self {
            what,
            decided_by: decided_by.to_owned(),
            notes: Vec::new(),
            pythons: Vec::new(),
            private: None,
            editable: false,
            unpinned: true,
            pinned: BTreeSet::new(),
            only_uv: None,
            references: References::default(),
            uv_options: Vec::new(),
            files: BTreeMap::new(),
            refreshed: None,
            unbuilt: None,
        }
    }

    /// The same without the project itself, if its dependencies are known without a build.
    pub(super) fn without_project(&self) -> Option<Self> {
        self.unbuilt.clone().map(|what| Self { what, unbuilt: None, ..self.clone() })
    }

    /// What a list of requirements asks for.
    pub(super) fn list(requirements: &[String], decided_by: &str) -> Result<Self, FileError> {
        if let Some(odd) = requirements.iter().find(|requirement| !requirement::is_plain(requirement)) {
            return Err(FileError::new(decided_by, format!("{odd:?} is not a requirement (PEP 508)")));
        }
        let what = if requirements.is_empty() { What::Nothing } else { What::List(requirements.to_vec()) };
        let mut needs = Self::new(what, decided_by);
        needs.unpinned = !requirements.iter().all(|requirement| requirement::is_pinned(requirement));
        let pinned = requirements.iter().filter(|requirement| requirement::is_pinned(requirement));
        needs.pinned = pinned.map(|requirement| requirement::name(requirement)).collect();
        if requirements.iter().any(|text| requirement::origin(text) != requirement::Origin::Index) {
            needs.private = Some(format!("{decided_by} names an address or a file"));
        }
        Ok(needs)
    }
}
