//! The program `minitower-runner`.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;
use minitower_daemon::signals::Held;
use minitower_daemon::{files, logs, signals};
use minitower_runner::{Arguments, Config, Shutdown, TerminationLog};
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    // Before anything else: a signal that comes from now on is not lost.
    let held = signals::hold();
    // There must be no thread yet.
    minitower_runner::supervise_if_asked();
    let arguments = Arguments::parse();
    let last_words = TerminationLog::new(arguments.termination_log.as_deref());
    match start(arguments, &last_words, held) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Without the chain of causes: each error's own line holds what is worth knowing of them.
            logs::say(format_args!("minitower-runner: {error}"));
            last_words.tell_error(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

fn start(arguments: Arguments, last_words: &TerminationLog, held: Held) -> anyhow::Result<()> {
    let log = set_up_log(&arguments);
    last_words.begin();
    log?;
    let config = Config::from_arguments(arguments)?;
    if let Err(error) = files::raise_limit() {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
    let signals = held.listen().map_err(|error| anyhow::anyhow!("cannot listen for signals: {error}"))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        // Heartbeats must go on whatever one of them does.
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| anyhow::anyhow!("cannot start the runtime: {error}"))?;
    let ended =
        runtime.block_on(async { minitower_runner::run(config, Shutdown::on_signals(signals)).await });
    // A blocking read that is still going on is of no interest any more.
    runtime.shutdown_background();
    Ok(ended?)
}

fn set_up_log(arguments: &Arguments) -> anyhow::Result<()> {
    let filter = arguments.log.as_deref().filter(|filter| !filter.is_empty()).unwrap_or("info");
    let filter = EnvFilter::try_new(filter).map_err(|error| anyhow::anyhow!("MINITOWER_LOG: {error}"))?;
    let builder = logs::on_stderr(filter);
    match arguments.log_format.as_deref().filter(|format| !format.is_empty()).unwrap_or("json") {
        "json" => builder.json().flatten_event(true).with_current_span(true).with_span_list(false).init(),
        "text" => builder.init(),
        other => anyhow::bail!("MINITOWER_LOG_FORMAT: `{other}` is no log format; use json or text"),
    }
    Ok(())
}
