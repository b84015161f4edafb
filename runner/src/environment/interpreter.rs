//! What there is to know about the Python that runs jobs.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;

use super::EnvironmentError;

/// How long the interpreter may take to answer; the first start after boot reads it from disk.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// Asks the interpreter about itself. `venv` has been the name of a scheme since Python 3.11; Debian changes the
/// default one.
const QUESTION: &str = r#"
import importlib.util, json, os, sys, sysconfig
scheme = "venv" if "venv" in sysconfig.get_scheme_names() else "posix_prefix"
try:
    from importlib.metadata import version
    pip = version("pip")
except Exception:
    pip = None
print(json.dumps({
    "executable": os.path.abspath(getattr(sys, "_base_executable", None) or sys.executable),
    "version": "%d.%d.%d" % sys.version_info[:3],
    "identity": sys.version + " " + sysconfig.get_platform() + " " + (sysconfig.get_config_var("SOABI") or ""),
    "site_packages": sysconfig.get_path("purelib", scheme, {"base": "", "platbase": ""}).lstrip("/"),
    "pip": pip,
    "ensurepip": importlib.util.find_spec("ensurepip") is not None,
}))
"#;

/// A Python interpreter.
#[derive(Debug, Clone)]
pub(super) struct Interpreter {
    /// The base interpreter, also when the configured one belongs to a virtual environment.
    pub(super) executable: PathBuf,
    /// Such as `3.11.7`.
    pub(super) version: String,
    /// Everything that decides whether an installed package fits.
    pub(super) identity: String,
    /// Where packages lie below an environment, such as `lib/python3.11/site-packages`.
    pub(super) site_packages: PathBuf,
    /// Version of its own pip.
    pub(super) pip: Option<String>,
    /// Whether it can install a pip.
    pub(super) ensurepip: bool,
}

#[derive(Deserialize)]
struct Answer {
    executable: PathBuf,
    version: String,
    identity: String,
    site_packages: PathBuf,
    pip: Option<String>,
    ensurepip: bool,
}

impl Interpreter {
    /// Asks `python`, a program's name or path.
    pub(super) async fn ask(python: &str) -> Result<Self, EnvironmentError> {
        let failed = |reason: String| EnvironmentError::Interpreter { python: python.to_owned(), reason };
        let mut command = tokio::process::Command::new(python);
        command.args(["-I", "-c", QUESTION]).stdin(Stdio::null()).kill_on_drop(true).env_clear();
        for name in ["PATH", "HOME", "LANG"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        let output = tokio::time::timeout(ANSWER_WITHIN, command.output())
            .await
            .map_err(|_| failed(format!("no answer within {ANSWER_WITHIN:?}")))?
            .map_err(|error| failed(error.to_string()))?;
        if !output.status.success() {
            let words = String::from_utf8_lossy(&output.stderr);
            return Err(failed(words.trim().lines().last().unwrap_or("it failed").to_owned()));
        }
        let answer: Answer = serde_json::from_slice(&output.stdout)
            .map_err(|error| failed(format!("it answered something else than expected: {error}")))?;
        let stamp = stamp(&answer.executable).map_err(|error| failed(error.to_string()))?;
        Ok(Self {
            identity: format!("{} {stamp} {}", answer.executable.display(), answer.identity),
            executable: answer.executable,
            version: answer.version,
            site_packages: answer.site_packages,
            pip: answer.pip,
            ensurepip: answer.ensurepip,
        })
    }

    /// Whether the program is still the one that was asked.
    pub(super) fn is_unchanged(&self) -> bool {
        stamp(&self.executable).is_ok_and(|stamp| self.identity.contains(&stamp))
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

fn stamp(path: &PathBuf) -> std::io::Result<String> {
    let metadata = fs::metadata(path)?;
    Ok(format!("{}:{}:{}", metadata.ino(), metadata.size(), metadata.mtime()))
}
