//! The files that a job may read and write, enforced by Landlock (landlock(7)) as far as the running kernel supports it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreated, RulesetCreatedAttr, RulesetError, Scope,
};
use serde::{Deserialize, Serialize};

use super::devices;
use super::mounting::TEMPORARY;

/// The newest kernel interface whose rules we know; older kernels enforce what they can. Six adds that signals do
/// not leave the sandbox, so that a job cannot kill its supervisor.
const KNOWN: ABI = ABI::V6;
/// Most entries of one folder that are let through one by one; see [`Sandbox::hidden`].
const MAX_ENTRIES: usize = 10_000;
/// Devices without harm, and shared memory, which Python's `multiprocessing` needs.
const DEVICES: [&str; 9] = [
    "/dev/null",
    "/dev/zero",
    "/dev/full",
    "/dev/random",
    "/dev/urandom",
    "/dev/tty",
    "/dev/ptmx",
    "/dev/pts",
    "/dev/shm",
];

/// What a job may read and write. Everything that is not hidden may be read and executed.
///
/// Kept by Landlock, and where the job has a mount namespace of its own by that, too: see `mounts`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sandbox {
    /// Files and folders, with all that is below them, that may not be read. In a mount namespace they are covered. Else there is
    /// Landlock alone, which can only allow: every neighbour of the way there is allowed instead, so that a folder *above* a hidden
    /// one cannot be listed, and what is made in it later cannot be read.
    pub(crate) hidden: Vec<PathBuf>,
    /// Exceptions below hidden folders.
    pub(crate) readable: Vec<PathBuf>,
    /// Folders that may be written; everything else may not.
    pub(crate) writable: Vec<PathBuf>,
    /// The folder that stands for `/tmp` where a job has a view of its own of the file system; may be written.
    pub(crate) temporary: Option<PathBuf>,
    /// What the machine's `/tmp` holds when the job starts may be read, too.
    pub(crate) shared_tmp: bool,
}

/// Why a job could not be confined.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SandboxError {
    /// The kernel refused a rule.
    #[error("cannot confine the job")]
    Rules(#[from] RulesetError),
    /// What is hidden cannot be found.
    #[error("cannot confine the job")]
    Hidden(#[source] io::Error),
    /// A folder that the rules speak of cannot be read.
    #[error("cannot confine the job: {}", path.display())]
    Path {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Whether this kernel has Landlock, and it is switched on.
pub(crate) fn is_enforced() -> bool {
    Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(ABI::V1))
        .and_then(Ruleset::create)
        .is_ok()
}

impl Sandbox {
    /// Lets what the operator names in variables that are passed on be read although it lies in `/tmp`: certificates, folders of
    /// packages, programs.
    pub(crate) fn allow_named<'v>(&mut self, values: impl IntoIterator<Item = &'v str>) {
        let is_hidden = |path: &Path| {
            self.hidden.iter().any(|hidden| path.starts_with(hidden) || hidden.starts_with(path))
        };
        let paths = values
            .into_iter()
            // Lists, and URLs with `file:`.
            .flat_map(|value| value.split([':', ',', ' ', '\n']))
            .map(Path::new)
            .filter(|path| path.starts_with(TEMPORARY) && path.components().count() > 2)
            .filter_map(|path| path.canonicalize().ok())
            .filter(|path| !is_hidden(path))
            .collect::<Vec<_>>();
        self.readable.extend(paths);
    }

    /// Confines the calling process and all it will start; where the kernel has no Landlock, nothing happens.
    /// `covered`: what is hidden is out of sight already, by mounts.
    pub(super) fn enforce(&self, covered: bool) -> Result<(), SandboxError> {
        let mut rules = Ruleset::default()
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessFs::from_all(KNOWN))?
            .scope(Scope::from_all(KNOWN))?
            .create()?;
        let open = if covered { vec![PathBuf::from("/")] } else { self.openly_readable()? };
        for path in open.iter().chain(&self.readable) {
            rules = allow(rules, path, AccessFs::from_read(KNOWN))?;
        }
        for path in self.writable.iter().chain(&self.temporary) {
            rules = allow(rules, path, AccessFs::from_all(KNOWN))?;
        }
        let devices = DEVICES.map(PathBuf::from).into_iter().chain(devices::processors());
        for device in devices.filter(|path| path.exists()) {
            rules = allow(rules, &device, AccessFs::from_all(KNOWN))?;
        }
        rules.restrict_self()?;
        Ok(())
    }

    /// Where the hidden files and folders that exist really lie.
    pub(super) fn real_hidden(&self) -> io::Result<Vec<PathBuf>> {
        let mut hidden = Vec::new();
        for path in &self.hidden {
            match path.canonicalize() {
                Ok(path) => hidden.push(path),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    return Err(io::Error::new(error.kind(), format!("{}: {error}", path.display())));
                }
            }
        }
        Ok(hidden)
    }

    /// Everything but what is hidden and what leads there.
    fn openly_readable(&self) -> Result<Vec<PathBuf>, SandboxError> {
        let hidden = self.real_hidden().map_err(SandboxError::Hidden)?;
        let mut open = Vec::new();
        let mut to_visit = vec![PathBuf::from("/")];
        while let Some(path) = to_visit.pop() {
            if hidden.contains(&path) {
                continue;
            }
            if !hidden.iter().any(|hidden| hidden.starts_with(&path)) {
                open.push(path);
                continue;
            }
            let entries =
                fs::read_dir(&path).map_err(|source| SandboxError::Path { path: path.clone(), source })?;
            to_visit.extend(entries.flatten().take(MAX_ENTRIES).map(|entry| entry.path()));
        }
        Ok(open)
    }
}

fn allow(
    rules: RulesetCreated,
    path: &Path,
    access: BitFlags<AccessFs>,
) -> Result<RulesetCreated, SandboxError> {
    // A link needs no rule: its target has its own. A path that vanished meanwhile needs none either.
    let Ok(metadata) = fs::symlink_metadata(path) else { return Ok(rules) };
    if metadata.is_symlink() {
        return Ok(rules);
    }
    let access = if metadata.is_dir() { access } else { access & AccessFs::from_file(KNOWN) };
    match PathFd::new(path) {
        Ok(descriptor) => Ok(rules.add_rule(PathBeneath::new(descriptor, access))?),
        Err(_) => Ok(rules),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_operator_names_in_tmp_may_be_read_unless_it_is_hidden() {
        let root = tempfile::tempdir_in(TEMPORARY).unwrap();
        let base = root.path().canonicalize().unwrap();
        for folder in ["data/run", "wheels", "bin"] {
            fs::create_dir_all(base.join(folder)).unwrap();
        }
        let named = |folder: &str| base.join(folder).display().to_string();
        let mut sandbox = Sandbox { hidden: vec![base.join("data")], ..Sandbox::default() };
        let values = [
            format!("file://{}", named("wheels")),
            format!("/usr/bin:{}", named("bin")),
            named("data/run"),
            base.display().to_string(),
            TEMPORARY.to_owned(),
            named("missing"),
        ];
        sandbox.allow_named(values.iter().map(String::as_str));
        assert_eq!(sandbox.readable, [base.join("wheels"), base.join("bin")]);
    }

    #[test]
    fn all_but_the_hidden_and_the_way_there_is_open() {
        let root = tempfile::tempdir().unwrap();
        let base = root.path().canonicalize().unwrap();
        for folder in ["data/run", "other"] {
            fs::create_dir_all(base.join(folder)).unwrap();
        }
        fs::write(base.join("secret"), "x").unwrap();
        let sandbox = Sandbox {
            hidden: vec![base.join("data"), base.join("secret"), base.join("missing")],
            ..Sandbox::default()
        };
        let open = sandbox.openly_readable().unwrap();
        assert!(open.contains(&base.join("other")));
        assert!(open.contains(&PathBuf::from("/usr")));
        assert!(!open.iter().any(|path| path.starts_with(base.join("data"))));
        assert!(!open.iter().any(|path| base.join("data").starts_with(path)), "{open:?}");
        assert!(!open.contains(&base.join("secret")));
    }
}
