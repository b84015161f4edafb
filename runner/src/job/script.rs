//! Preparing and running the job's program.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use minitower_client::ArtifactHeaders;
use minitower_client::wire::runner::Lease;
use minitower_client::wire::runs::Stream;

use super::variables::{self, Variables};
use super::{Runs, fetch, project};
use crate::calls::AttemptCalls;
use crate::lease::Standing;
use crate::steps::{Lines, Step, StepEnd, Steps, Stop};
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
}

impl From<SupervisorError> for SetupError {
    fn from(error: SupervisorError) -> Self {
        Self::Failed(error.to_string())
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
        writable: vec![workspace.root().to_owned()],
    };
    let program = project::program(runs, lease, steps, workspace, &mut environment, &mut sandbox).await?;
    add_import_paths(&mut environment, &headers, &program.import_from, workspace)?;
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
        lines: Lines::Logged,
    };
    let end = steps.run(step).await?;
    Ok(Ran { end, workspace: Arc::clone(workspace) })
}

/// Puts the import paths, the project's root and what the program needs besides in front of `PYTHONPATH`.
fn add_import_paths(
    environment: &mut Variables,
    headers: &ArtifactHeaders,
    also: &[PathBuf],
    workspace: &Workspace,
) -> Result<(), SetupError> {
    let source = workspace.source();
    let mut paths = Vec::new();
    for path in &headers.import_paths {
        project::inside(&source, Path::new(path))
            .map_err(|reason| SetupError::Failed(format!("import path `{path}`: {reason}")))?;
        paths.push(source.join(path).components().collect::<PathBuf>());
    }
    if !paths.contains(&source) {
        paths.push(source);
    }
    paths.extend(also.iter().cloned());
    let former = environment.get("PYTHONPATH").cloned().unwrap_or_default();
    paths.extend(std::env::split_paths(&former).filter(|path| !path.as_os_str().is_empty()));
    let joined = std::env::join_paths(paths)
        .map_err(|error| SetupError::Failed(format!("the import paths: {error}")))?;
    environment.insert("PYTHONPATH".to_owned(), joined.to_string_lossy().into_owned());
    Ok(())
}
