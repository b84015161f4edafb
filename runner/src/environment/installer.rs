//! Which installer there is: uv where it can be had, else pip.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use super::interpreter::{ProgramError, stamp};
use super::interpreters::is_program;
use super::variables::Variables;
use crate::config::UvSource;
use crate::data_dir::create_private;

/// How long uv may take to tell its version.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// The oldest uv that knows all that we ask of it (`pylock.toml`).
const OLDEST: (u32, u32) = (0, 7);
/// How long a failure to get uv is remembered.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(10 * 60);

/// A program that installs Python packages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Installer {
    /// uv.
    Uv {
        /// The program.
        program: PathBuf,
        /// Such as `0.9.1`.
        version: String,
    },
    /// The interpreter's own pip.
    Pip,
}

impl Installer {
    /// For the log.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Uv { .. } => "uv",
            Self::Pip => "pip",
        }
    }

    /// Part of an environment's key.
    pub(super) fn identity(&self, pip: Option<&str>) -> String {
        match self {
            Self::Uv { version, .. } => format!("uv {version}"),
            Self::Pip => format!("pip {}", pip.unwrap_or("bundled")),
        }
    }
}

/// The uv that the runner's settings name cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("MINITOWER_UV: {}: {source}", program.display())]
pub(crate) struct UvError {
    program: PathBuf,
    source: ProgramError,
}

/// Looks for uv, and remembers what it found.
#[derive(Debug)]
pub(super) struct Installers {
    source: UvSource,
    path: String,
    tools: PathBuf,
    variables: Variables,
    known: Option<(PathBuf, String, Result<String, ProgramError>)>,
    failed_at: Option<Instant>,
}

impl Installers {
    /// uv from `source`; what is fetched lies below `tools`.
    pub(super) fn new(source: UvSource, tools: PathBuf, variables: Variables) -> Self {
        let path = variables.get("PATH").cloned().unwrap_or_default();
        Self { source, path, tools, variables, known: None, failed_at: None }
    }

    /// The installer, if that can be told without fetching anything.
    pub(super) async fn at_hand(&mut self) -> Result<Option<Installer>, UvError> {
        match self.source.clone() {
            UvSource::Off => Ok(Some(Installer::Pip)),
            UvSource::Program(program) => match self.ask(&program).await {
                Ok(version) => Ok(Some(Installer::Uv { program, version })),
                Err(source) => Err(UvError { program, source }),
            },
            UvSource::Auto => {
                let on_path = std::env::split_paths(&self.path)
                    .map(|folder| folder.join("uv"))
                    .find(|it| is_program(it));
                for program in on_path.into_iter().chain(self.fetched()) {
                    match self.ask(&program).await {
                        Ok(version) => return Ok(Some(Installer::Uv { program, version })),
                        Err(error) => {
                            tracing::warn!(program = %program.display(), %error, "this uv is not used");
                        }
                    }
                }
                let failed = self.failed_at.is_some_and(|at| at.elapsed() < TRY_AGAIN_AFTER);
                Ok(failed.then_some(Installer::Pip))
            }
        }
    }

    /// The newest one that was fetched.
    fn fetched(&self) -> Option<PathBuf> {
        let entries = fs::read_dir(&self.tools).ok()?.flatten();
        let named = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("uv-"));
        let programs = named.map(|entry| entry.path().join("uv")).filter(|program| is_program(program));
        programs.max_by_key(|program| fs::metadata(program).and_then(|it| it.modified()).ok())
    }

    /// Where to fetch it to.
    pub(super) fn target(&self) -> PathBuf {
        self.tools.join("new-uv")
    }

    /// Takes over what was fetched into [`Self::target`].
    pub(super) async fn take_over(&mut self) -> Result<Installer, ProgramError> {
        let fetched = self.target().join("bin/uv");
        let version = ask(&fetched, &self.variables).await?;
        let folder = self.tools.join(format!("uv-{version}"));
        // A job may have taken the rights to the former one away.
        create_private(&folder)?;
        let program = folder.join("uv");
        fs::rename(&fetched, &program)?;
        self.failed_at = None;
        Ok(Installer::Uv { program, version })
    }

    /// Remembers that it cannot be had.
    pub(super) fn failed(&mut self) -> Installer {
        self.failed_at = Some(Instant::now());
        Installer::Pip
    }

    async fn ask(&mut self, program: &Path) -> Result<String, ProgramError> {
        let stamp = stamp(program)?;
        if let Some((known, then, answer)) = &self.known
            && known == program
            && *then == stamp
        {
            return answer.clone();
        }
        let answer = ask(program, &self.variables).await;
        self.known = Some((program.to_owned(), stamp, answer.clone()));
        answer
    }
}

/// The version of a uv that is new enough.
async fn ask(program: &Path, variables: &Variables) -> Result<String, ProgramError> {
    let mut command = tokio::process::Command::new(program);
    command
        .arg("--version")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .env_clear()
        .envs(variables)
        .current_dir("/");
    let output = tokio::time::timeout(ANSWER_WITHIN, command.output())
        .await
        .map_err(|_| ProgramError::Silent(ANSWER_WITHIN))??;
    let text = String::from_utf8_lossy(&output.stdout);
    match version(&text).filter(|_| output.status.success()) {
        Some((version, number)) if number >= OLDEST => Ok(version),
        Some((version, _)) => Err(ProgramError::OldUv { version, oldest: OLDEST }),
        None => Err(ProgramError::NoUv),
    }
}

/// `uv 0.9.1 (…)`: the version, and its first two numbers.
fn version(text: &str) -> Option<(String, (u32, u32))> {
    let mut words = text.split_whitespace();
    let version = words.next().filter(|word| *word == "uv").and_then(|_| words.next())?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '+' | '-');
    let mut numbers = version.split('.').map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) if version.chars().all(plain) => {
            Some((version.to_owned(), (major, minor)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn uv_answers_like_uv() {
        assert_eq!(version("uv 0.9.1 (x86_64-unknown-linux-gnu)\n"), Some(("0.9.1".to_owned(), (0, 9))));
        for text in ["", "uv", "uv is here", "python 3.11.7", "fake uv: 0.9.1", "uv 0.9.1/../../x"] {
            assert_eq!(version(text), None, "{text}");
        }
    }

    fn installers(source: UvSource, path: &str) -> Installers {
        let tools = tempfile::tempdir().unwrap();
        let variables = Variables::from([("PATH".to_owned(), path.to_owned())]);
        Installers::new(source, tools.path().to_owned(), variables)
    }

    #[tokio::test]
    async fn a_failure_to_get_it_is_remembered() {
        let mut auto = installers(UvSource::Auto, "/nowhere");
        assert_eq!(auto.at_hand().await.unwrap(), None);
        assert_eq!(auto.failed(), Installer::Pip);
        assert_eq!(auto.at_hand().await.unwrap(), Some(Installer::Pip));
    }

    #[tokio::test]
    async fn a_closed_one_is_replaced_by_what_is_fetched_anew() {
        let tools = tempfile::tempdir().unwrap();
        let mut auto = Installers::new(UvSource::Auto, tools.path().to_owned(), Variables::new());
        let (fetched, former) = (tools.path().join("new-uv/bin"), tools.path().join("uv-0.9.1"));
        fs::create_dir_all(&fetched).unwrap();
        fs::create_dir(&former).unwrap();
        fs::write(fetched.join("uv"), "#!/bin/sh\necho uv 0.9.1\n").unwrap();
        fs::set_permissions(fetched.join("uv"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(former.join("uv"), "").unwrap();
        for path in [former.join("uv"), former.clone()] {
            fs::set_permissions(path, fs::Permissions::from_mode(0o000)).unwrap();
        }
        assert_eq!(auto.at_hand().await.unwrap(), None);
        let uv = Installer::Uv { program: former.join("uv"), version: "0.9.1".to_owned() };
        assert_eq!(auto.take_over().await.unwrap(), uv);
        assert_eq!(auto.at_hand().await.unwrap(), Some(uv));
    }

    #[tokio::test]
    async fn switched_off_or_chosen_nothing_else_is_looked_for() {
        assert_eq!(installers(UvSource::Off, "/usr/bin").at_hand().await.unwrap(), Some(Installer::Pip));
        let error = installers(UvSource::Program("/bin/true".into()), "").at_hand().await.unwrap_err();
        assert!(error.to_string().contains("MINITOWER_UV: /bin/true"), "{error}");
    }
}
