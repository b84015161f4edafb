//! Preparing and running the job's program.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use minitower_client::ArtifactHeaders;
use minitower_client::wire::runner::Lease;
use minitower_client::wire::runs::Stream;
use minitower_daemon::errors::chain;
use minitower_towerfile::towerfile::MAX_BYTES;
use minitower_towerfile::{LogOrder, TOWERFILE, Towerfile};

use super::error::{Failure, SetupError};
use super::runs::Runs;
use super::variables::{self, Place};
use super::{entry, fetch, project, runner_secrets};
use crate::calls::AttemptCalls;
use crate::clock::BootTime;
use crate::environment::variables::Variables;
use crate::lease::Standing;
use crate::logs::Lines;
use crate::steps::{Allowed, Step, StepEnd, Steps};
use crate::supervisor::Sandbox;
use crate::workspace::Workspace;

/// How long a job may take when its version does not say.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(300);

/// What is left of a job whose program has run.
pub(super) struct Ran {
    /// How it ended.
    pub(super) end: StepEnd,
    /// Where it may have written its output.
    pub(super) workspace: Arc<Workspace>,
}

/// Sets the job up, runs it, and waits for its end. `started` is when the attempt began, from which its time counts.
pub(super) async fn run(
    runs: &Runs,
    lease: &Lease,
    calls: &AttemptCalls,
    steps: &Steps,
    workspace: &Arc<Workspace>,
    cache: &Path,
    started: BootTime,
) -> Result<Ran, SetupError> {
    let granted = match &runs.config.run_secrets_dir {
        Some(folder) => runner_secrets::read(folder).map_err(Failure::from)?,
        None => BTreeMap::new(),
    };
    steps.log.hide(granted.values().map(String::as_str));
    steps.unless_stopped(steps.keeper.reaches(Standing::Held)).await?;
    let (headers, archive) = steps.unless_stopped(fetch::download(calls, steps, workspace)).await??;
    let whole = timeout(lease, headers.timeout_seconds, started);
    steps.allowed.send_replace(whole.clone());
    fetch::unpack(workspace, archive, steps).await?;
    let input = match &lease.input {
        Some(input) => serde_json::to_string(input),
        None => Ok("{}".to_owned()),
    };
    let input = input.map_err(Failure::Input)?;
    // Before the installer runs, which may be the project's own code.
    workspace.write_input(&input).map_err(SetupError::own("write the input"))?;
    let towerfile = match read_towerfile(&workspace.source()) {
        Ok(towerfile) => towerfile,
        Err(error) => {
            let reason = chain(&error);
            let note = format!("minitower-runner: the project's Towerfile is not used here: {reason}");
            steps.log.note(note).await;
            None
        }
    };
    let values: Vec<String> = towerfile.iter().flat_map(|towerfile| hidden(towerfile, lease)).collect();
    if !values.is_empty() {
        steps.log.hide(values.iter().map(String::as_str));
    }
    if let Some(seconds) = towerfile.as_ref().and_then(|towerfile| towerfile.setup_seconds) {
        steps.allowed.send_replace(setup_timeout(seconds, started, &whole));
    }

    let place = Place { workspace, cache, environment: &runs.config.environment };
    let mut environment = variables::base(std::env::vars_os(), &runs.config.env_pass, &place, lease);
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
    let program = project::program(runs, lease, steps, workspace, &mut environment, &mut sandbox).await?;
    add_import_paths(&mut environment, &headers, &program.import_from, workspace)?;
    add_world(&mut environment, (runs, granted), lease, steps, towerfile.as_ref(), &input).await?;
    sandbox.writable.push(cache.to_owned());

    let step = Step {
        program: program.path,
        arguments: program.arguments,
        environment: environment.into_iter().collect(),
        directory: workspace.source(),
        sandbox,
        out: Stream::Stdout,
        // What the whole run is allowed bounds it.
        limit: Duration::MAX,
        lines: Lines::Logged,
    };
    steps.allowed.send_replace(whole);
    let end = match towerfile.map(|towerfile| towerfile.log_order).unwrap_or_default() {
        LogOrder::Exact => steps.run_merged(step).await?,
        LogOrder::Streams => steps.run(step).await?,
    };
    Ok(Ran { end, workspace: Arc::clone(workspace) })
}

/// Why a project's Towerfile is not used.
#[derive(Debug, thiserror::Error)]
enum TowerfileError {
    #[error(transparent)]
    Read(#[from] io::Error),
    #[error(transparent)]
    Parse(#[from] minitower_towerfile::Error),
}

/// Reads the Towerfile at the root of `source`; `None` when there is none. An error goes into the run's log: a version may have been
/// uploaded with a file that only another release understands.
fn read_towerfile(source: &Path) -> Result<Option<Towerfile>, TowerfileError> {
    let file = match File::open(source.join(TOWERFILE)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let mut text = String::new();
    // One byte more than is allowed, so that the parser says that it is too much.
    file.take(MAX_BYTES as u64 + 1).read_to_string(&mut text)?;
    let (towerfile, _unknown_keys) = Towerfile::parse(&text)?;
    Ok(Some(towerfile))
}

/// The values of the hidden parameters as a log may show them: as their variables hold them, line by line, and as they stand
/// in the input's JSON.
fn hidden(towerfile: &Towerfile, lease: &Lease) -> Vec<String> {
    let mut shown = Vec::new();
    for parameter in towerfile.parameters.iter().filter(|parameter| parameter.hidden) {
        let Some(value) = lease.input.as_ref().and_then(|input| input.get(&parameter.name)) else { continue };
        let text = variables::text(value);
        shown.extend(text.lines().map(str::to_owned));
        if value.is_string() {
            let json = value.to_string();
            shown.push(json[1..json.len() - 1].to_owned());
        }
        shown.push(text);
    }
    shown.sort();
    shown.dedup();
    shown
}

/// How long a run may take, by its lease, else by its version's archive, else by default.
pub(super) fn timeout(lease: &Lease, of_version: Option<i64>, started: BootTime) -> Allowed {
    let seconds = lease.timeout_seconds.or(of_version);
    let limit = seconds.and_then(|seconds| u64::try_from(seconds).ok()).filter(|seconds| *seconds > 0);
    let limit = limit.map_or(DEFAULT_TIMEOUT, Duration::from_secs);
    Allowed { until: started.plus(limit), by: format!("the run's timeout of {} s", limit.as_secs()) }
}

/// How long the setup may take that has `seconds` for itself, within what the whole run has.
fn setup_timeout(seconds: i64, started: BootTime, whole: &Allowed) -> Allowed {
    let until = started.plus(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)));
    if until >= whole.until {
        return whole.clone();
    }
    Allowed { until, by: format!("the {seconds} s that setup_seconds of the Towerfile allows") }
}

/// Adds what only the job gets: the API, the secrets that its runner and its team give it, the variables of its Towerfile, its input.
async fn add_world(
    environment: &mut Variables,
    (runs, granted): (&Runs, BTreeMap<String, String>),
    lease: &Lease,
    steps: &Steps,
    towerfile: Option<&Towerfile>,
    input: &str,
) -> Result<(), SetupError> {
    match &lease.api_token {
        Some(token) => variables::add_api(environment, &runs.config.server_url, token),
        None if towerfile.is_some_and(|towerfile| towerfile.api) => {
            return Err(Failure::NoApiToken.into());
        }
        None => {}
    }
    let mut declared = towerfile.map(|towerfile| towerfile.env.clone()).unwrap_or_default();
    for name in granted.keys().filter(|name| declared.remove(*name).is_some()) {
        let note =
            format!("minitower-runner: {name} of app.env is not set: the runner has a secret of this name");
        steps.log.note(note).await;
    }
    environment.extend(granted);
    // What the team gives by name wins over what every job of the runner gets.
    let named = towerfile.map(|towerfile| towerfile.secrets.as_slice()).unwrap_or_default();
    variables::add_secrets(environment, lease, named).map_err(Failure::from)?;
    variables::add_declared(environment, &declared, &runs.config.env_pass).map_err(Failure::from)?;
    for skipped in variables::add_input(environment, lease, input, &declared) {
        steps.log.note(format!("minitower-runner: {skipped}")).await;
    }
    Ok(())
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
        entry::inside(&source, Path::new(path))
            .map_err(|source| Failure::ImportPath { path: path.clone(), source })?;
        paths.push(source.join(path).components().collect::<PathBuf>());
    }
    if !paths.contains(&source) {
        paths.push(source);
    }
    paths.extend(also.iter().cloned());
    let former = environment.get("PYTHONPATH").cloned().unwrap_or_default();
    paths.extend(std::env::split_paths(&former).filter(|path| !path.as_os_str().is_empty()));
    let joined =
        std::env::join_paths(paths).map_err(|source| Failure::Folders { variable: "PYTHONPATH", source })?;
    environment.insert("PYTHONPATH".to_owned(), joined.to_string_lossy().into_owned());
    Ok(())
}

#[cfg(test)]
mod tests {
    use minitower_towerfile::{Parameter, ParameterType};

    use super::*;

    #[test]
    fn hidden_values_are_known_in_every_form_that_a_log_may_show() {
        let parameter = |name: &str, hidden| Parameter {
            name: name.to_owned(),
            description: None,
            kind: ParameterType::default(),
            default: None,
            hidden,
        };
        let text = "[app]\nname = \"hello\"\nscript = \"main.py\"\n";
        let (mut towerfile, _) = Towerfile::parse(text).unwrap();
        towerfile.parameters =
            ["key", "pin", "quoted", "absent"].map(|name| parameter(name, true)).into_iter().collect();
        towerfile.parameters.push(parameter("open", false));
        let lease: Lease = serde_json::from_value(serde_json::json!({
            "run_id": 7, "run_no": 1, "app_id": 1, "app_slug": "hello", "version_no": 1, "entrypoint": "main.py",
            "attempt_id": 9, "attempt_no": 1, "lease_token": "secret", "lease_expires_at": "2030-01-01T00:00:00Z",
            "input": {"key": "first\nsecond", "pin": 4711, "quoted": "a\"b", "open": "seen", "other": "seen"},
        }))
        .unwrap();
        let expected = ["4711", "a\"b", "a\\\"b", "first", "first\nsecond", "first\\nsecond", "second"];
        assert_eq!(hidden(&towerfile, &lease), expected);
    }

    #[test]
    fn setup_has_its_own_time_within_the_runs() {
        let started = BootTime::from_boot(Duration::from_secs(100));
        let whole = Allowed { until: started.plus(Duration::from_secs(60)), by: "the whole".to_owned() };
        let setup = setup_timeout(20, started, &whole);
        assert_eq!(setup.until, started.plus(Duration::from_secs(20)));
        assert!(setup.by.contains("setup_seconds"), "{}", setup.by);
        assert_eq!(setup_timeout(90, started, &whole).by, "the whole");
    }

    #[test]
    fn a_project_has_a_towerfile_or_none_or_one_that_is_wrong() {
        let folder = tempfile::tempdir().unwrap();
        assert!(read_towerfile(folder.path()).unwrap().is_none());
        let path = folder.path().join(TOWERFILE);
        std::fs::write(&path, "[app]\nname = \"hello\"\nscript = \"main.py\"\n").unwrap();
        assert_eq!(read_towerfile(folder.path()).unwrap().unwrap().name, "hello");
        std::fs::write(&path, "[app").unwrap();
        assert!(read_towerfile(folder.path()).unwrap_err().to_string().contains("TOML"));
    }
}
