//! The program `minitowerd`.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;
use minitower_daemon::signals::Held;
use minitower_daemon::{files, logs, signals};
use minitower_kernel::Vacuumed;
use minitower_kernel::objects::Copied;
use minitowerd::backup::{self, Damaged};
use minitowerd::{
    Args, Command, Config, ObjectsCommand, RestoreArgs, copy_target, healthcheck, lifecycle, objects,
    request, restore, restore_if_missing, secrets, telemetry,
};

/// Requests are short and the database writes on a thread of its own: two workers are plenty, and each costs memory.
const WORKERS: usize = 2;
/// Threads for files; more transfers at a time wait for each other.
const BLOCKING_THREADS: usize = 16;
/// How long the end of the program waits for threads that still read or write files.
const LEFT_THREADS: Duration = Duration::from_secs(2);
/// The exit code of a check that found a damaged backup.
const DAMAGED: u8 = 3;

fn main() -> ExitCode {
    // Before anything else: a signal that comes from now on is not lost.
    let held = signals::hold();
    match run(held) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<Damaged>() => {
            logs::say(format_args!("minitowerd: {error}"));
            ExitCode::from(DAMAGED)
        }
        Err(error) => {
            // One line, whatever went wrong: the thing, the reason, the way out. Our errors say their cause themselves.
            logs::say(format_args!("minitowerd: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn run(held: Held) -> anyhow::Result<()> {
    // Lossy: a secret that is no text is refused for the replacement characters in it.
    let secret =
        |variable: &'static str| std::env::var_os(variable).map(|value| value.to_string_lossy().into_owned());
    let args = Args::parse();
    let command = args.command.clone();
    if let Some(Command::Healthcheck) = command {
        held.let_go();
        let ready = healthcheck(&Config::listen_addr(args.listen_addr)?)?;
        logs::answer(format_args!("ready: {ready}"));
        return Ok(());
    }
    let copy_to = match &command {
        Some(Command::Objects { command: ObjectsCommand::Copy { to, to_endpoint } }) => {
            Some(copy_target(&args, to, to_endpoint.clone())?)
        }
        _ => None,
    };
    let about_backups = request(&args)?;
    let config = Config::from_args(args, secret)?;
    telemetry::init(config.log_format, &config.log)
        .map_err(|e| anyhow::anyhow!("cannot set up logging: {e}"))?;
    if let Some(request) = about_backups {
        held.end_program()?;
        return backup::carry_out(&config, request);
    }
    if let Some(Command::Restore(RestoreArgs { backup: Some(backup), if_missing, placeholder, .. })) = command
    {
        held.end_program()?;
        if if_missing {
            restore_if_missing(&config, &backup, placeholder)?;
        } else {
            restore(&config, &backup)?;
        }
        return Ok(());
    }
    if let Some(Command::Vacuum) = command {
        held.end_program()?;
        let Vacuumed { before, after } = minitower_kernel::vacuum(&config.db_path)?;
        logs::answer(format_args!("the database has {after} bytes; it had {before}"));
        return Ok(());
    }
    if let Some(to) = copy_to {
        held.end_program()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let Copied { copied, bytes, there, .. } = runtime.block_on(objects::copy(&config, &to))?;
        logs::answer(format_args!("copied {copied} objects ({bytes} bytes); {there} were there already"));
        return Ok(());
    }
    if let Some(Command::Secrets { command }) = command {
        held.end_program()?;
        logs::answer(secrets(&config, &command)?);
        return Ok(());
    }
    let signals = held.listen().map_err(|e| anyhow::anyhow!("cannot listen for signals: {e}"))?;
    if let Err(error) = files::raise_limit() {
        tracing::warn!(error = &error as &dyn std::error::Error, "the limit of open files stays as it is");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .max_blocking_threads(BLOCKING_THREADS)
        .enable_all()
        .build()
        .map_err(|e| anyhow::anyhow!("cannot start the runtime: {e}"))?;
    let ended = runtime.block_on(lifecycle::run(config, signals));
    // A thread that a dead disk blocks does not end.
    runtime.shutdown_timeout(LEFT_THREADS);
    Ok(ended?)
}
