//! The program `minitowerd`.

use std::process::ExitCode;

use clap::Parser as _;
use minitowerd::{Args, Command, Config, healthcheck, lifecycle, restore, restore_if_missing, telemetry};

/// Requests are short and the database writes on a thread of its own: two workers are plenty, and each costs memory.
const WORKERS: usize = 2;
/// Threads for files; more transfers at a time wait for each other.
const BLOCKING_THREADS: usize = 16;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // One line, whatever went wrong: the thing, the reason, the way out. Our errors say their cause themselves.
            eprintln!("minitowerd: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    // Lossy: a secret that is no text is refused for the replacement characters in it.
    let secret =
        |variable: &'static str| std::env::var_os(variable).map(|value| value.to_string_lossy().into_owned());
    let args = Args::parse();
    let command = args.command.clone();
    if let Some(Command::Healthcheck) = command {
        println!("ready: {}", healthcheck(&Config::listen_addr(args.listen_addr)?)?);
        return Ok(());
    }
    let config = Config::from_args(args, secret)?;
    telemetry::init(config.log_format, &config.log)
        .map_err(|e| anyhow::anyhow!("cannot set up logging: {e}"))?;
    if let Some(Command::Restore { backup, if_missing }) = command {
        if if_missing {
            restore_if_missing(&config, &backup)?;
        } else {
            restore(&config, &backup)?;
        }
        return Ok(());
    }
    lifecycle::raise_file_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .max_blocking_threads(BLOCKING_THREADS)
        .enable_all()
        .build()
        .map_err(|e| anyhow::anyhow!("cannot start the runtime: {e}"))?;
    runtime.block_on(lifecycle::run(config))?;
    Ok(())
}
