//! The Pythons of this machine, and which of them runs a project.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use minitower_towerfile::python;
use pep440_rs::{Version, VersionSpecifiers};

use super::interpreter::{Interpreter, ProgramError, stamp};
use super::variables::Variables;

/// A Python that a file asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Demand {
    /// What asks: `requires-python of pyproject.toml`.
    pub(super) by: String,
    /// What it asks for: `>=3.12`.
    pub(super) specifier: String,
}

/// Why no Python runs a project.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum InterpreterError {
    /// A demand that nobody can read.
    #[error("{by}: `{specifier}` is not a version specifier such as `>=3.12`: {reason}")]
    Specifier {
        /// What asks.
        by: String,
        /// What it asks for.
        specifier: String,
        /// What is wrong with it.
        reason: String,
    },
    /// There is none at all.
    #[error("{0}; set MINITOWER_PYTHON_BIN of the runner to a Python 3.8 or newer")]
    None(String),
    /// None of those here fits.
    #[error("no Python on this runner matches: {asked}; found: {here}; {way_out}")]
    Unfit {
        /// What is asked for, by what.
        asked: String,
        /// Versions and paths.
        here: String,
        /// What to do.
        way_out: &'static str,
    },
}

/// What to do about a missing Python.
pub(super) const WAY_OUT: &str = "install such a Python on the runner (on its PATH, or named by MINITOWER_PYTHON_BIN), or set \
     MINITOWER_PYTHON_DOWNLOADS=true there";

/// What has to hold of a Python.
#[derive(Debug, Default)]
pub(super) struct Demands {
    asked: Vec<Demand>,
    specifiers: Vec<VersionSpecifiers>,
}

impl Demands {
    /// Reads the demands.
    pub(super) fn read(asked: &[Demand]) -> Result<Self, InterpreterError> {
        let specifiers = asked.iter().map(|demand| {
            python::specifiers(&demand.specifier).map_err(|error| InterpreterError::Specifier {
                by: demand.by.clone(),
                specifier: demand.specifier.clone(),
                reason: error.to_string().lines().next().unwrap_or_default().to_owned(),
            })
        });
        Ok(Self { specifiers: specifiers.collect::<Result<_, _>>()?, asked: asked.to_vec() })
    }

    /// Whether this version will do.
    fn accept(&self, version: &str) -> bool {
        Version::from_str(version)
            .is_ok_and(|version| self.specifiers.iter().all(|specifier| specifier.contains(&version)))
    }

    /// All of it as one specifier.
    pub(super) fn joined(&self) -> String {
        let all: Vec<String> = self.specifiers.iter().map(ToString::to_string).collect();
        all.join(",")
    }

    /// The error when none of those here fits.
    pub(super) fn unfit(&self, here: &[Interpreter], way_out: &'static str) -> InterpreterError {
        let asked: Vec<_> =
            self.asked.iter().map(|demand| format!("{} is `{}`", demand.by, demand.specifier)).collect();
        let here: BTreeSet<_> =
            here.iter().map(|it| format!("{} ({})", it.version, it.executable.display())).collect();
        let here = here.into_iter().collect::<Vec<_>>().join(", ");
        InterpreterError::Unfit { asked: asked.join(", "), here, way_out }
    }

    /// The first of `configured` that fits, else the newest of `others`.
    pub(super) fn choose<'i>(
        &self,
        configured: &'i [Interpreter],
        others: &'i [Interpreter],
    ) -> Option<&'i Interpreter> {
        let fitting = |interpreter: &&Interpreter| self.accept(&interpreter.version);
        let newest = |interpreter: &&Interpreter| Version::from_str(&interpreter.version).ok();
        configured.iter().find(fitting).or_else(|| others.iter().filter(fitting).max_by_key(newest))
    }
}

/// All that the runner knows of its Pythons: each is asked once, and again when its program changes.
#[derive(Debug)]
pub(super) struct Interpreters {
    configured: Vec<String>,
    path: String,
    /// Where downloaded ones lie.
    managed: PathBuf,
    variables: Variables,
    known: BTreeMap<PathBuf, (String, Result<Interpreter, ProgramError>)>,
}

impl Interpreters {
    /// Those of a list such as `python3.12,/opt/python/bin/python3`, then those on `PATH` and below `managed`.
    pub(super) fn new(configured: &str, managed: PathBuf, variables: Variables) -> Self {
        let path = variables.get("PATH").cloned().unwrap_or_default();
        let configured =
            configured.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
        Self { configured: configured.collect(), path, managed, variables, known: BTreeMap::new() }
    }

    /// The one that the list prefers, or the first other that fits. Nothing is asked that need not be.
    pub(super) async fn find(&mut self, demands: &Demands) -> Result<Interpreter, InterpreterError> {
        let mut configured = Vec::new();
        let mut trouble = Vec::new();
        for name in self.configured.clone() {
            match self.ask(&name).await {
                Ok(interpreter) if demands.accept(&interpreter.version) => return Ok(interpreter),
                Ok(interpreter) => configured.push(interpreter),
                Err(reason) => trouble.push(format!("{name}: {reason}")),
            }
        }
        if demands.specifiers.is_empty() && !trouble.is_empty() {
            // Nothing else was asked for, so that a wrong setting does not go unnoticed.
            return Err(InterpreterError::None(trouble.join("; ")));
        }
        let mut others = Vec::new();
        for program in self.others() {
            others.extend(self.ask(&program.to_string_lossy()).await.ok());
        }
        if let Some(chosen) = demands.choose(&configured, &others) {
            return Ok(chosen.clone());
        }
        configured.extend(others);
        if configured.is_empty() {
            return Err(InterpreterError::None(trouble.join("; ")));
        }
        Err(demands.unfit(&configured, WAY_OUT))
    }

    /// The Python that the list names first, for the runner's own purposes.
    pub(super) async fn preferred(&mut self) -> Result<Interpreter, InterpreterError> {
        self.find(&Demands::default()).await
    }

    /// The versions of all that answer.
    pub(super) async fn versions(&mut self) -> Vec<String> {
        let mut others = self.others();
        // `/bin/python3`, `/usr/bin/python3` and `python3.11` are often one.
        let mut known = BTreeSet::new();
        others.retain(|program| known.insert(behind_links(program)));
        let others = others.into_iter().map(|program| program.to_string_lossy().into_owned());
        let mut versions = Vec::new();
        for name in self.configured.clone().into_iter().chain(others) {
            versions.extend(self.ask(&name).await.ok().map(|interpreter| interpreter.version));
        }
        versions
    }

    async fn ask(&mut self, name: &str) -> Result<Interpreter, ProgramError> {
        let program = if name.contains('/') { PathBuf::from(name) } else { on_path(name, &self.path)? };
        let stamp = stamp(&program)?;
        if let Some((then, known)) = self.known.get(&program)
            && *then == stamp
            && known.as_ref().map_or(true, Interpreter::is_unchanged)
        {
            return known.clone();
        }
        let answer = Interpreter::ask(&program, &self.variables).await;
        if let Ok(interpreter) = &answer {
            tracing::debug!(python = %interpreter.executable.display(), version = interpreter.version, "interpreter");
        }
        self.known.insert(program, (stamp, answer.clone()));
        answer
    }

    /// `python3`, `python3.N` on the path, and the downloaded ones.
    fn others(&self) -> Vec<PathBuf> {
        let mut programs = BTreeSet::new();
        for folder in std::env::split_paths(&self.path).filter(|folder| folder.is_absolute()) {
            let entries = fs::read_dir(&folder).into_iter().flatten().flatten();
            let named = entries.filter(|entry| entry.file_name().to_str().is_some_and(is_python));
            programs.extend(named.map(|entry| entry.path()).filter(|path| path.is_file()));
        }
        let managed = fs::read_dir(&self.managed).into_iter().flatten().flatten();
        programs.extend(managed.map(|entry| entry.path().join("bin/python3")).filter(|path| path.is_file()));
        programs.into_iter().collect()
    }
}

/// Whether this is how a Python 3 is called: `python3`, `python3.12`.
pub(crate) fn is_python(name: &str) -> bool {
    match name.strip_prefix("python") {
        Some("" | "3") => true,
        Some(version) => version
            .strip_prefix("3.")
            .is_some_and(|minor| !minor.is_empty() && minor.chars().all(|c| c.is_ascii_digit())),
        None => false,
    }
}

/// The Python that a link leads to. One that leads elsewhere is left as it is: such programs go by the name they are called by.
fn behind_links(program: &Path) -> PathBuf {
    let target = program.canonicalize().ok();
    let python =
        target.filter(|target| target.file_name().and_then(|name| name.to_str()).is_some_and(is_python));
    python.unwrap_or_else(|| program.to_owned())
}

fn on_path(name: &str, path: &str) -> Result<PathBuf, ProgramError> {
    std::env::split_paths(path)
        .map(|folder| folder.join(name))
        .find(|program| is_program(program))
        .ok_or(ProgramError::NotOnPath)
}

/// Whether there is a file that may be executed.
pub(crate) fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn demands(specifiers: &[&str]) -> Demands {
        let asked: Vec<_> = specifiers
            .iter()
            .map(|specifier| Demand { by: "x".to_owned(), specifier: (*specifier).to_owned() })
            .collect();
        Demands::read(&asked).unwrap()
    }

    #[rstest]
    #[case(&[], &["3.9.1"], &["3.12.0"], Some("3.9.1"))]
    #[case(&[">=3.10"], &["3.9.1"], &["3.10.9", "3.12.0", "3.11.4"], Some("3.12.0"))]
    #[case(&[">=3.10"], &["3.9.1", "3.11.0", "3.10.0"], &["3.12.0"], Some("3.11.0"))]
    #[case(&[">=3.8", "<3.12"], &["3.12.1"], &["3.9.1", "3.10.20", "3.10.3"], Some("3.10.20"))]
    #[case(&["~=3.10"], &["3.9.1"], &["3.10.0"], Some("3.10.0"))]
    #[case(&["==3.11.*"], &["3.12.0"], &["3.11.7"], Some("3.11.7"))]
    #[case(&["3.11"], &["3.12.0"], &["3.11.7"], Some("3.11.7"))]
    #[case(&["3.11.7"], &["3.11.6"], &["3.11.7"], Some("3.11.7"))]
    #[case(&["3.11.*"], &["3.1.0"], &["3.11.7"], Some("3.11.7"))]
    #[case(&[">=3.8,!=3.11.*"], &["3.11.7"], &["3.10.1"], Some("3.10.1"))]
    #[case(&[">=3.99"], &["3.11.7"], &["3.12.1"], None)]
    #[case(&[">=3.11", "<3.11"], &["3.11.7"], &["3.10.1"], None)]
    fn the_first_of_the_list_that_fits_else_the_newest(
        #[case] specifiers: &[&str],
        #[case] configured: &[&str],
        #[case] others: &[&str],
        #[case] chosen: Option<&str>,
    ) {
        let all = |versions: &[&str]| -> Vec<_> {
            versions.iter().map(|version| Interpreter::of(version, "/usr/bin/python3")).collect()
        };
        let (configured, others) = (all(configured), all(others));
        let found = demands(specifiers).choose(&configured, &others).map(|it| it.version.as_str());
        assert_eq!(found, chosen);
    }

    #[test]
    fn what_does_not_fit_is_told_with_what_is_here() {
        let asked =
            Demand { by: "requires-python of pyproject.toml".to_owned(), specifier: ">=3.99".to_owned() };
        let demands = Demands::read(&[asked]).unwrap();
        let text = demands.unfit(&[Interpreter::of("3.11.7", "/usr/bin/python3.11")], WAY_OUT).to_string();
        for words in [
            "requires-python of pyproject.toml is `>=3.99`",
            "3.11.7 (/usr/bin/python3.11)",
            "MINITOWER_PYTHON_BIN",
        ] {
            assert!(text.contains(words), "{text}");
        }
        let asked = Demand { by: "app.python".to_owned(), specifier: "^3.8".to_owned() };
        let error = Demands::read(&[asked]).unwrap_err().to_string();
        assert!(error.contains("app.python: `^3.8`"), "{error}");
    }

    #[test]
    fn links_to_a_python_are_that_python_and_links_to_a_shim_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let link = |name: &str, target: &str| {
            std::os::unix::fs::symlink(target, root.join(name)).unwrap();
            behind_links(&root.join(name))
        };
        fs::write(root.join("python3.11"), "").unwrap();
        fs::write(root.join("shim"), "").unwrap();
        assert_eq!(link("python3", "python3.11"), root.join("python3.11"));
        assert_eq!(link("python", "python3"), root.join("python3.11"));
        assert_eq!(link("python3.12", "shim"), root.join("python3.12"));
    }

    #[test]
    fn names_of_pythons() {
        for name in ["python", "python3", "python3.8", "python3.12"] {
            assert!(is_python(name), "{name}");
        }
        for name in ["python2", "python3.", "python3.12-config", "python3.x", "pypy3", "ipython"] {
            assert!(!is_python(name), "{name}");
        }
    }

    #[tokio::test]
    async fn a_program_is_asked_once_and_again_when_it_changes() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("python3.9");
        let count = folder.path().join("count");
        let script =
            |reason: &str| format!("#!/bin/sh\necho x >>{}\necho {reason} >&2\nexit 1\n", count.display());
        write_program(&program, &script("first"));
        let variables = Variables::from([("PATH".to_owned(), "/usr/bin:/bin".to_owned())]);
        let name = program.display().to_string();
        let mut interpreters = Interpreters::new(&name, folder.path().join("none"), variables);
        for _ in 0..2 {
            assert_eq!(interpreters.ask(&name).await.unwrap_err().to_string(), "first");
        }
        assert_eq!(fs::read_to_string(&count).unwrap().lines().count(), 1);
        fs::remove_file(&program).unwrap();
        write_program(&program, &script("second time"));
        assert_eq!(interpreters.ask(&name).await.unwrap_err().to_string(), "second time");
    }

    /// Another process writes it: what this one holds open for writing, another test's child may hold too, and then it cannot be executed.
    fn write_program(path: &Path, text: &str) {
        let plain = path.with_extension("txt");
        fs::write(&plain, text).unwrap();
        let install = std::process::Command::new("install").args(["-m", "755"]).args([&plain, path]).status();
        assert!(install.unwrap().success());
    }
}
