//! The program `minitower-runner`.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;
use minitower_daemon::signals::Held;
use minitower_daemon::{errors, files, logs, signals};
use minitower_runner::{Arguments, Config, RunnerError, Shutdown, TerminationLog};

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
            let told = told(&error);
            logs::say(format_args!("minitower-runner: {told}"));
            last_words.tell_error(&told);
            ExitCode::FAILURE
        }
    }
}

/// The error in one line: what, why, and the way out.
fn told(error: &anyhow::Error) -> String {
    let way_out = error.downcast_ref::<RunnerError>().and_then(RunnerError::way_out);
    let way_out = way_out.map(|way_out| format!("; {way_out}")).unwrap_or_default();
    format!("{}{way_out}", errors::chain(error.as_ref()))
}

fn start(arguments: Arguments, last_words: &TerminationLog, held: Held) -> anyhow::Result<()> {
    let log = set_up_log(&arguments);
    last_words.begin();
    log?;
    let config = Config::from_arguments(arguments)?;
    if let Err(error) = files::raise_limit() {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
    let signals = held.listen().context("cannot listen for signals")?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        // Heartbeats must go on whatever one of them does.
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let ended =
        runtime.block_on(async { minitower_runner::run(config, Shutdown::on_signals(signals)).await });
    // A blocking read that is still going on is of no interest any more.
    runtime.shutdown_background();
    Ok(ended?)
}

fn set_up_log(arguments: &Arguments) -> anyhow::Result<()> {
    let filter = arguments.log.as_deref().filter(|filter| !filter.is_empty()).unwrap_or("info");
    let filter = logs::filter(filter).map_err(|rule| anyhow::anyhow!("MINITOWER_LOG: {rule}"))?;
    let builder = logs::on_stderr(filter);
    let unset = if logs::is_read_by_a_person() { "text" } else { "json" };
    match arguments.log_format.as_deref().filter(|format| !format.is_empty()).unwrap_or(unset) {
        "json" => builder.json().flatten_event(true).with_current_span(true).with_span_list(false).init(),
        "text" => builder.init(),
        other => anyhow::bail!("MINITOWER_LOG_FORMAT: `{other}` is not a log format; use json or text"),
    }
    Ok(())
}
