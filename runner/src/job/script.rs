//! Preparing and running the job's program.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use minitower_client::ArtifactHeaders;
use minitower_client::wire::runner::Lease;
use minitower_client::wire::runs::Stream;

use super::variables::{self, Variables};
use super::{Runs, fetch};
use crate::calls::AttemptCalls;
use crate::environment::EnvironmentError;
use crate::lease::Standing;
use crate::steps::{Step, StepEnd, Steps, Stop};
use crate::supervisor::{Sandbox, SupervisorError};
use crate::workspace::Workspace;

/// How long a job may take when its version does not say.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(300);

/// Why the job's program did not run, or did not run to an end.
#[derive(Debug, thiserror::Error)]
pub(super) enum SetupError {
    /// The run has to stop.
    #[error("stopped")]
    Stopped(Stop),
    /// A step failed; the text says which and why.
    #[error("{0}")]
    Failed(String),
    /// A fault of the runner's own while a program was to run or ran: nothing that the job could have done otherwise.
    #[error(transparent)]
    Supervisor(SupervisorError),
}

impl From<EnvironmentError> for SetupError {
    fn from(error: EnvironmentError) -> Self {
        match error {
            EnvironmentError::Stopped(stop) => Self::Stopped(stop),
            EnvironmentError::Supervisor(error) => error.into(),
            other => Self::Failed(other.to_string()),
        }
    }
}

impl From<SupervisorError> for SetupError {
    fn from(error: SupervisorError) -> Self {
        match error {
            SupervisorError::Program(_) => Self::Failed(error.to_string()),
            _ => Self::Supervisor(error),
        }
    }
}

/// What is left of a job whose program has run.
pub(super) struct Ran {
    /// How it ended.
    pub(super) end: StepEnd,
    /// Where it may have written its output.
    pub(super) workspace: Arc<Workspace>,
}

/// Sets the job up, runs it, and waits for its end.
pub(super) async fn run(
    runs: &Runs,
    lease: &Lease,
    calls: &AttemptCalls,
    steps: &Steps,
    workspace: &Arc<Workspace>,
) -> Result<Ran, SetupError> {
    steps.unless_stopped(steps.keeper.reaches(Standing::Held)).await?;
    let headers = steps.unless_stopped(fetch::download(calls, &steps.keeper, workspace)).await??;
    fetch::unpack(workspace).await?;

    let mut environment = variables::base(std::env::vars_os(), &runs.config.env_pass, workspace, lease);
    let mut sandbox = Sandbox {
        hidden: std::iter::once(runs.data_dir.base().to_owned()).chain(runs.config.hidden.clone()).collect(),
        readable: Vec::new(),
        writable: std::iter::once(workspace.root().to_owned())
            .chain(runs.config.job_writable.clone())
            .collect(),
        temporary: Some(workspace.temporary()),
        shared_tmp: runs.config.shared_tmp,
    };
    // Only what the operator passes on is in there yet.
    sandbox.allow_named(environment.values().map(String::as_str));
    let program = program(runs, lease, steps, workspace, &mut environment, &mut sandbox).await?;
    add_import_paths(&mut environment, &headers, workspace)?;
    let input = match &lease.input {
        Some(input) => serde_json::to_string(input),
        None => Ok("{}".to_owned()),
    };
    let input = input.map_err(|error| SetupError::Failed(format!("the input is no JSON: {error}")))?;
    std::fs::write(workspace.input(), &input)
        .map_err(|error| SetupError::Failed(format!("cannot write the input: {error}")))?;
    for skipped in variables::add_input(&mut environment, lease, &input) {
        steps.log.note(format!("minitower-runner: {skipped}")).await;
    }

    let seconds = lease.timeout_seconds.or(headers.timeout_seconds);
    let limit = seconds.and_then(|seconds| u64::try_from(seconds).ok()).filter(|seconds| *seconds > 0);
    let step = Step {
        program: program.path,
        arguments: program.arguments,
        environment: environment.into_iter().collect(),
        directory: workspace.source(),
        sandbox,
        out: Stream::Stdout,
        limit: limit.map_or(DEFAULT_TIMEOUT, Duration::from_secs),
    };
    let end = steps.run(step).await?;
    Ok(Ran { end, workspace: Arc::clone(workspace) })
}

struct Program {
    path: PathBuf,
    arguments: Vec<String>,
}

/// The program for the entrypoint, with what it needs added to the environment and the sandbox.
async fn program(
    runs: &Runs,
    lease: &Lease,
    steps: &Steps,
    workspace: &Arc<Workspace>,
    environment: &mut Variables,
    sandbox: &mut Sandbox,
) -> Result<Program, SetupError> {
    let entrypoint = Path::new(&lease.entrypoint);
    let refused = |reason: &str| SetupError::Failed(format!("entrypoint `{}`: {reason}", lease.entrypoint));
    inside(&workspace.source(), entrypoint).map_err(refused)?;
    if !workspace.source().join(entrypoint).is_file() {
        return Err(refused("there is no such file in the artifact"));
    }
    match entrypoint.extension().and_then(|extension| extension.to_str()) {
        Some("sh") => {
            let arguments = vec![not_an_option(&lease.entrypoint)];
            Ok(Program { path: PathBuf::from("/bin/sh"), arguments })
        }
        Some("py") => {
            let prepared = runs.environments.prepare(workspace, steps, environment, sandbox).await?;
            let path = environment.remove("PATH").unwrap_or_default();
            let path = prepared.bin.into_iter().chain(std::env::split_paths(&path));
            let path = std::env::join_paths(path)
                .map_err(|error| SetupError::Failed(format!("the folders of PATH: {error}")))?;
            environment.insert("PATH".to_owned(), path.to_string_lossy().into_owned());
            environment.insert("VIRTUAL_ENV".to_owned(), prepared.venv.to_string_lossy().into_owned());
            // What the job starts with another Python of the environment shows its lines as they come, too.
            environment.insert("PYTHONUNBUFFERED".to_owned(), "1".to_owned());
            sandbox.readable.extend(prepared.shared);
            let arguments = vec!["-u".to_owned(), not_an_option(&lease.entrypoint)];
            Ok(Program { path: prepared.python, arguments })
        }
        _ => Err(refused("it must end in .py or .sh")),
    }
}

/// A file name that begins with a dash must not be read as an option.
fn not_an_option(entrypoint: &str) -> String {
    if entrypoint.starts_with('-') { format!("./{entrypoint}") } else { entrypoint.to_owned() }
}

/// Puts the import paths in front of `PYTHONPATH`.
fn add_import_paths(
    environment: &mut Variables,
    headers: &ArtifactHeaders,
    workspace: &Workspace,
) -> Result<(), SetupError> {
    if headers.import_paths.is_empty() {
        return Ok(());
    }
    let source = workspace.source();
    let mut paths = Vec::new();
    for path in &headers.import_paths {
        inside(&source, Path::new(path))
            .map_err(|reason| SetupError::Failed(format!("import path `{path}`: {reason}")))?;
        paths.push(source.join(path).components().collect::<PathBuf>());
    }
    let former = environment.get("PYTHONPATH").cloned().unwrap_or_default();
    paths.extend(std::env::split_paths(&former).filter(|path| !path.as_os_str().is_empty()));
    let joined = std::env::join_paths(paths)
        .map_err(|error| SetupError::Failed(format!("the import paths: {error}")))?;
    environment.insert("PYTHONPATH".to_owned(), joined.to_string_lossy().into_owned());
    Ok(())
}

/// Whether a path of the artifact stays inside it, also when followed through links.
fn inside(source: &Path, path: &Path) -> Result<(), &'static str> {
    let plain = |component| matches!(component, Component::Normal(_) | Component::CurDir);
    if path.as_os_str().is_empty() || !path.components().all(plain) {
        return Err("it must be a path inside the artifact");
    }
    match (source.canonicalize(), source.join(path).canonicalize()) {
        (Ok(source), Ok(target)) if !target.starts_with(&source) => Err("it leads out of the artifact"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_inside_the_artifact() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("a")).unwrap();
        std::os::unix::fs::symlink("/etc", folder.path().join("out")).unwrap();
        for path in ["a", "./a", "a/not-there", "main.py"] {
            assert!(inside(folder.path(), Path::new(path)).is_ok(), "{path}");
        }
        for path in ["", "..", "a/../..", "/etc", "out", "out/passwd"] {
            assert!(inside(folder.path(), Path::new(path)).is_err(), "{path}");
        }
    }

    #[test]
    fn a_name_with_a_dash_is_no_option() {
        assert_eq!(not_an_option("-c.py"), "./-c.py");
        assert_eq!(not_an_option("src/main.py"), "src/main.py");
    }
}
