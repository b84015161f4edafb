//! The program for an entrypoint: what starts it, in which environment.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use minitower_client::wire::runner::Lease;
use minitower_towerfile::Start;

use super::entry::{Entry, EntrypointError, convert, entry, find};
use super::error::{Failure, SetupError};
use super::runs::Runs;
use crate::environment::variables::{self, Variables};
use crate::environment::{EnvironmentError, Prepared, Request, has_dependency_file};
use crate::fault;
use crate::mask::Mask;
use crate::steps::Steps;
use crate::supervisor::Sandbox;
use crate::workspace::Workspace;

/// A program to start.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Program {
    pub(super) path: PathBuf,
    pub(super) arguments: Vec<String>,
    /// Folders of the project that belong on the path besides its root.
    pub(super) import_from: Vec<PathBuf>,
}

/// Prepares the program for the entrypoint, and adds what it needs to the variables and the sandbox.
pub(super) async fn program(
    runs: &Runs,
    lease: &Lease,
    steps: &Steps,
    workspace: &Arc<Workspace>,
    environment: &mut Variables,
    sandbox: &mut Sandbox,
) -> Result<Program, SetupError> {
    let source = workspace.source();
    let refused = SetupError::entrypoint(&lease.entrypoint);
    let start = Start::from_entrypoint(&lease.entrypoint);
    let converted = match &start {
        Start::Script(script) => convert(&source, Path::new(script)).map_err(&refused)?,
        Start::Module(_) => None,
    };
    if let Some(what) = converted {
        steps.log.note(format!("minitower-runner: {} {what}; running it without", lease.entrypoint)).await;
    }
    let entry = entry(&source, &start).map_err(&refused)?;
    let installers = variables::of_installer(environment);
    variables::keep_for_job(environment, runs.config.env_pass_explicit);
    let script = match &entry {
        Entry::Python { script, .. } => script.as_deref(),
        Entry::Other { .. } => None,
    };
    let request = Request { lease, workspace, steps, script, variables: &installers, sandbox };
    let prepared = match runs.environments.prepare(request).await {
        Ok(prepared) => Some(prepared),
        // A shell job without dependencies needs no Python.
        Err(EnvironmentError::Interpreter(_))
            if matches!(entry, Entry::Other { .. }) && !has_dependency_file(&source) =>
        {
            None
        }
        Err(error) => return Err(without_environment(error, &installers)),
    };
    if let Some(prepared) = &prepared {
        enter(prepared, environment, sandbox)?;
    }
    match entry {
        Entry::Python { arguments, mut import_from, .. } => {
            import_from.extend(prepared.as_ref().and_then(|prepared| prepared.import_from.clone()));
            let python = prepared.map(|prepared| prepared.python);
            let path = python.ok_or_else(|| refused(EntrypointError::NoPython))?;
            Ok(Program { path, arguments, import_from })
        }
        Entry::Other { name, arguments, line } => {
            let path = environment.get("PATH").map(String::as_str).unwrap_or_default();
            let path = find(&name, path, &source).ok_or_else(|| {
                let line = line.unwrap_or_default();
                refused(EntrypointError::NoProgram { line, program: name })
            })?;
            let import_from = prepared.and_then(|prepared| prepared.import_from).into_iter().collect();
            Ok(Program { path, arguments, import_from })
        }
    }
}

/// What it means for a run that it has no environment. Passwords in the installers' variables are not in the text.
fn without_environment(error: EnvironmentError, installers: &Variables) -> SetupError {
    match error {
        EnvironmentError::Stopped(stop) => SetupError::Stopped(stop),
        EnvironmentError::Supervisor(error) => error.into(),
        EnvironmentError::Files { source, .. } if fault::is_own(&source) => {
            SetupError::own("prepare the Python environment")(source)
        }
        EnvironmentError::OwnFiles { source, .. } if fault::is_own(&source) || fault::is_denied(&source) => {
            SetupError::own("prepare the Python environment")(source)
        }
        error => {
            let known = installers.values().map(String::as_str);
            let mask = Mask::new(known, []);
            Failure::Environment { error, mask }.into()
        }
    }
}

/// Makes the environment the job's.
fn enter(prepared: &Prepared, environment: &mut Variables, sandbox: &mut Sandbox) -> Result<(), SetupError> {
    let path = environment.remove("PATH").unwrap_or_default();
    let path = prepared.bin.iter().cloned().chain(std::env::split_paths(&path));
    let path = std::env::join_paths(path).map_err(|source| Failure::Folders { variable: "PATH", source })?;
    environment.insert("PATH".to_owned(), path.to_string_lossy().into_owned());
    environment.insert("VIRTUAL_ENV".to_owned(), prepared.venv.to_string_lossy().into_owned());
    // Every Python of the job shows its lines as they come.
    environment.insert("PYTHONUNBUFFERED".to_owned(), "1".to_owned());
    sandbox.readable.extend(prepared.readable.iter().cloned());
    Ok(())
}
