//! What there is to know about one Python.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use super::variables::Variables;

/// How long the interpreter may take to answer; the first start after boot reads it from disk.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// Asks the interpreter about itself. `venv` has been the name of a scheme since Python 3.11; Debian changes the
/// default one. Debian also moves the wheel of pip.
const QUESTION: &str = r#"
import glob, importlib.util, json, os, sys, sysconfig
scheme = "venv" if "venv" in sysconfig.get_scheme_names() else "posix_prefix"
def place(name):
    return sysconfig.get_path(name, scheme, {"base": "", "platbase": ""}).lstrip("/")
try:
    from importlib.metadata import version
    pip = version("pip")
except Exception:
    pip = None
ensurepip = importlib.util.find_spec("ensurepip")
home = importlib.util.find_spec("pip")
if home is not None and home.origin:
    home = os.path.dirname(os.path.dirname(home.origin))
else:
    beside = os.path.dirname(ensurepip.origin) if ensurepip else "/usr/share/python-wheels"
    wheels = glob.glob(beside + "/_bundled/pip-*.whl") + glob.glob("/usr/share/python-wheels/pip-*.whl")
    home = wheels[0] if wheels else None
print(json.dumps({
    "executable": os.path.abspath(getattr(sys, "_base_executable", None) or sys.executable),
    "prefix": sys.base_prefix,
    "version": "%d.%d.%d" % sys.version_info[:3],
    "identity": sys.version + " " + sysconfig.get_platform() + " " + (sysconfig.get_config_var("SOABI") or ""),
    "purelib": place("purelib"),
    "platlib": place("platlib"),
    "pip": pip,
    "pip_home": home,
    "ensurepip": ensurepip is not None,
}))
"#;

/// Why a program of the machine cannot be used. It is remembered with the program, so it is cheap to clone.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum ProgramError {
    /// There is none of that name.
    #[error("it is not on the runner's PATH")]
    NotOnPath,
    /// It cannot be started, or its file cannot be looked at or moved.
    #[error("{0}")]
    Io(#[source] Arc<io::Error>),
    /// It does not answer in time.
    #[error("no answer within {0:?}")]
    Silent(Duration),
    /// It failed, with these last words.
    #[error("{0}")]
    Failed(String),
    /// It is no Python.
    #[error("it gave an unexpected answer: {0}")]
    Answer(#[source] Arc<serde_json::Error>),
    /// It is no uv.
    #[error("it does not answer `--version` as uv does")]
    NoUv,
    /// It is an older uv than is needed.
    #[error("version {version} is older than {}.{}", oldest.0, oldest.1)]
    OldUv {
        /// Its version.
        version: String,
        /// The first two numbers of the oldest one that will do.
        oldest: (u32, u32),
    },
}

impl From<io::Error> for ProgramError {
    fn from(error: io::Error) -> Self {
        Self::Io(Arc::new(error))
    }
}

/// A Python interpreter.
#[derive(Debug, Clone)]
pub(super) struct Interpreter {
    /// The base interpreter, also when the configured one belongs to a virtual environment.
    pub(super) executable: PathBuf,
    /// Where its library lies.
    pub(super) prefix: PathBuf,
    /// Such as `3.11.7`.
    pub(super) version: String,
    /// Everything that decides whether an installed package fits.
    pub(super) identity: String,
    /// Where packages lie below an environment, such as `lib/python3.11/site-packages`.
    pub(super) purelib: PathBuf,
    /// The same for compiled packages; `lib64/…` on Fedora and its kin.
    pub(super) platlib: PathBuf,
    /// Version of its own pip.
    pub(super) pip: Option<String>,
    /// What to put on the path to import pip: a folder, or a wheel.
    pub(super) pip_home: Option<PathBuf>,
    /// Whether it can install a pip.
    pub(super) ensurepip: bool,
    stamp: String,
}

#[derive(Deserialize)]
struct Answer {
    executable: PathBuf,
    prefix: PathBuf,
    version: String,
    identity: String,
    purelib: PathBuf,
    platlib: PathBuf,
    pip: Option<String>,
    pip_home: Option<PathBuf>,
    ensurepip: bool,
}

impl Interpreter {
    /// Asks the program `python`. It gets `variables` and nothing else of the runner's environment.
    pub(super) async fn ask(python: &Path, variables: &Variables) -> Result<Self, ProgramError> {
        let mut command = tokio::process::Command::new(python);
        command.args(["-I", "-c", QUESTION]).stdin(Stdio::null()).kill_on_drop(true).env_clear();
        command.current_dir("/").envs(variables);
        let output = tokio::time::timeout(ANSWER_WITHIN, command.output())
            .await
            .map_err(|_| ProgramError::Silent(ANSWER_WITHIN))??;
        if !output.status.success() {
            let words = String::from_utf8_lossy(&output.stderr);
            return Err(ProgramError::Failed(words.trim().lines().last().unwrap_or("it failed").to_owned()));
        }
        let answer: Answer =
            serde_json::from_slice(&output.stdout).map_err(|error| ProgramError::Answer(Arc::new(error)))?;
        let stamp = stamp(&answer.executable)?;
        Ok(Self {
            identity: format!("{} {stamp} {}", answer.executable.display(), answer.identity),
            executable: answer.executable,
            prefix: answer.prefix,
            version: answer.version,
            purelib: answer.purelib,
            platlib: answer.platlib,
            pip: answer.pip,
            pip_home: answer.pip_home,
            ensurepip: answer.ensurepip,
            stamp,
        })
    }

    /// Whether the program is still the one that was asked.
    pub(super) fn is_unchanged(&self) -> bool {
        stamp(&self.executable).is_ok_and(|stamp| self.stamp == stamp)
    }

    /// `3.11` of `3.11.7`.
    pub(super) fn minor(&self) -> &str {
        let mut dots = self.version.match_indices('.');
        dots.nth(1).map_or(self.version.as_str(), |(at, _)| &self.version[..at])
    }

    /// Whether its own pip can install into another environment (`pip --python`, since 22.3).
    pub(super) fn pip_reaches_others(&self) -> bool {
        let mut parts = self.pip.iter().flat_map(|version| version.split('.')).map(str::parse::<u32>);
        match (parts.next(), parts.next()) {
            (Some(Ok(major)), Some(Ok(minor))) => (major, minor) >= (22, 3),
            _ => false,
        }
    }
}

/// What changes when a program is replaced.
pub(super) fn stamp(path: &Path) -> std::io::Result<String> {
    let metadata = fs::metadata(path)?;
    Ok(format!("{}:{}:{}", metadata.ino(), metadata.size(), metadata.mtime()))
}

#[cfg(test)]
impl Interpreter {
    /// One that exists in a test only.
    pub(super) fn of(version: &str, executable: &str) -> Self {
        let minor = version.rsplit_once('.').unwrap().0;
        let library = PathBuf::from(format!("lib/python{minor}/site-packages"));
        Self {
            executable: executable.into(),
            prefix: "/usr".into(),
            version: version.to_owned(),
            identity: format!("{executable} {version}"),
            purelib: library.clone(),
            platlib: library,
            pip: None,
            pip_home: None,
            ensurepip: false,
            stamp: String::new(),
        }
    }
}
