//! `minitower dev`: a complete MiniTower in one process, for trying things out.
//!
//! The control plane and the runner are the libraries of the real programs. Here they are only configured, started and
//! stopped.

mod control_plane;
mod error;
mod folder;
mod python;
mod team;
mod welcome;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use minitower_daemon::logs;
use minitower_daemon::signals::Signals;
use minitower_runner::{Arguments, Config, RunnerError, SandboxMode, Shutdown};
use minitowerd::{ListenAddr, Server};
use tokio::task::{JoinError, JoinHandle};
use tracing_subscriber::EnvFilter;

use self::error::DevError;
use self::folder::Folder;
use self::team::RUNNER;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::output::Style;

/// How long a run may continue after Ctrl-C before it goes back into the queue.
const RUN_GRACE: Duration = Duration::from_secs(5);

/// Flags of `dev`.
#[derive(Debug, Args)]
pub struct Dev {
    /// Where to listen; port 0 takes any free one
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "HOST:PORT")]
    listen: ListenAddr,
    /// Where all data is kept: the database, archives, and the runner's files; by default in your own data folder,
    /// ~/.local/share/minitower/dev
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
    /// Keep all data in the current folder, in .minitower
    #[arg(long, conflicts_with = "data_dir")]
    here: bool,
    /// The environment whose runs the runner takes
    #[arg(long, default_value = "default", value_name = "NAME")]
    environment: String,
    /// The Python interpreters that run jobs, separated by commas
    #[arg(long, env = "MINITOWER_PYTHON_BIN", default_value = "python3", value_name = "PROGRAMS")]
    python: String,
    /// Which uv to use: auto (from PATH, otherwise from the package index), off (use pip), or a path
    #[arg(long, env = "MINITOWER_UV", default_value = "auto", value_name = "UV")]
    uv: String,
    /// How old a Python environment with unpinned packages may get before it is built again
    #[arg(long, env = "MINITOWER_ENV_MAX_AGE", default_value = "168h", value_name = "DURATION")]
    env_max_age: String,
    /// Whether uv may download a Python if no installed one matches a project
    #[arg(long, env = "MINITOWER_PYTHON_DOWNLOADS", default_value = "false", value_name = "BOOL")]
    python_downloads: String,
}

impl Dev {
    /// Serves until Ctrl-C or SIGTERM.
    pub async fn run(self, context: &Context) -> Result<Exit, Failure> {
        init_logs(context.out.stderr_style());
        let Some(mut signals) = context.take_signals() else {
            return Err(DevError::NoSignals.into());
        };
        let mut folder = Folder::prepare(&self.folder(context)?)?;
        let mut config = self.runner(&folder, context)?;
        let bootstrap_token = control_plane::random_token()?;
        let server = control_plane::start(self.listen, &folder, &bootstrap_token).await?;
        folder.keep();
        let url = control_plane::url(&server);
        let ready = team::make(context, &url, &bootstrap_token).await;
        let team = match ready {
            Ok(team) => team,
            Err(failure) => {
                // The first failure is the one to report.
                let _ = server.shutdown().await;
                return Err(failure);
            }
        };
        let shutdown = Shutdown::default();
        config.server_url.clone_from(&url);
        config.registration_token = Some(team.registration_token.clone());
        let runner = tokio::spawn(minitower_runner::run(config, shutdown.clone()));
        welcome::print(context, &url, &folder, &self.environment, &team)?;
        if let Some(reason) = python::lacking(&self.python).await {
            context.out.warn(format_args!(
                "{reason}: Python jobs will fail, shell jobs will run; install it, or name another with --python"
            ));
        }
        let ended = serve(context, server, runner, shutdown, &mut signals).await;
        team::forget(context, &team, &url);
        ended
    }

    /// Where the data is.
    fn folder(&self, context: &Context) -> Result<PathBuf, DevError> {
        if self.here {
            return Ok(folder::here());
        }
        if let Some(given) = &self.data_dir {
            return Ok(given.clone());
        }
        if folder::is_here() {
            context.out.note(
                "This folder has the data of an earlier `minitower dev`; `minitower dev --here` goes on with it.",
            );
        }
        folder::usual(&context.env)
    }

    /// The runner's configuration, except for the server's address and the token, which are not known yet.
    fn runner(&self, folder: &Folder, context: &Context) -> Result<Config, Failure> {
        let mut config = Config::from_arguments(Arguments {
            server_url: Some(self.listen.to_string()),
            runner_name: Some(RUNNER.to_owned()),
            data_dir: Some(folder.runner().display().to_string()),
            runner_environment: Some(self.environment.clone()),
            python_bin: Some(self.python.clone()),
            uv: Some(self.uv.clone()),
            env_max_age: Some(self.env_max_age.clone()),
            python_downloads: Some(self.python_downloads.clone()),
            ..Arguments::default()
        })
        .map_err(Failure::of)?;
        config.shutdown_grace = RUN_GRACE;
        // The jobs are the person's own. They may read what the person may read, and must run on any machine.
        config.sandbox = Some(SandboxMode::BestEffort);
        config.shared_tmp = true;
        // Jobs need neither the database nor the person's tokens.
        config.hidden = vec![folder.control_plane(), context.profiles_path()?];
        config.termination_log = None;
        Ok(config)
    }
}

/// What to do about a refused token that a `minitower dev` has made; none for any other token.
pub fn help_of_refused_token(context: &Context) -> Option<String> {
    let by_hand = context.flags.token.is_some() || context.env.api_token.is_some();
    let profile = context.profile().ok().flatten().filter(|profile| !by_hand && team::is_devs(profile))?;
    Some(format!(
        "the token of `minitower dev` was revoked, or something else answers at {} now: start `minitower dev` again, which \
         makes a new token",
        profile.server
    ))
}

/// Serves until a signal comes or one of the two ends by itself. Then stops what is left, the runner first.
async fn serve(
    context: &Context,
    mut server: Server,
    mut runner: JoinHandle<Result<(), RunnerError>>,
    shutdown: Shutdown,
    signals: &mut Signals,
) -> Result<Exit, Failure> {
    let failure = tokio::select! {
        failure = server.failed() => Some(DevError::ControlPlaneEnded(failure)),
        ended = &mut runner => Some(runner_ended(ended)),
        _ = signals.next() => {
            context.out.note(format_args!(
                "\nStopping. A run gets {} s to finish, then goes back to the queue. Ctrl-C again stops it at once.",
                RUN_GRACE.as_secs()
            ));
            None
        }
    };
    shutdown.stop.cancel();
    let abort = server.abort_token();
    let rest = async {
        let runner = if runner.is_finished() { None } else { Some(runner.await) };
        (runner, server.shutdown().await)
    };
    tokio::pin!(rest);
    let mut hurry = [&shutdown.at_once, &abort].into_iter();
    let (runner, server) = loop {
        tokio::select! {
            ended = &mut rest => break ended,
            _ = signals.next() => if let Some(step) = hurry.next() { step.cancel() },
        }
    };
    if let Some(failure) = failure {
        return Err(failure.into());
    }
    if let Some(ended @ (Err(_) | Ok(Err(_)))) = runner {
        return Err(runner_ended(ended).into());
    }
    server.map_err(DevError::BadEnd)?;
    Ok(Exit::Success)
}

fn runner_ended(ended: Result<Result<(), RunnerError>, JoinError>) -> DevError {
    match ended {
        Ok(Ok(())) => DevError::RunnerGone,
        Ok(Err(error)) => DevError::Runner(error),
        Err(error) => DevError::RunnerTask(error),
    }
}

/// Log lines of the control plane and the runner go to standard error: warnings and errors, or what `MINITOWER_LOG` asks
/// for, such as `info`.
fn init_logs(style: Style) {
    let filter = std::env::var("MINITOWER_LOG").ok().filter(|filter| !filter.is_empty());
    logs::on_stderr(EnvFilter::new(filter.as_deref().unwrap_or("warn")))
        .with_ansi(style.is_coloured())
        .with_target(false)
        .init();
}
