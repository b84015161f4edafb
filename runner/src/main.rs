//! The program `minitower-runner`.

#![forbid(unsafe_code)]

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;
use minitower_runner::{Arguments, Config, Shutdown, TerminationLog};
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    // Before anything else: there must be no thread yet.
    minitower_runner::supervise_if_asked();
    let arguments = Arguments::parse();
    let last_words = TerminationLog::new(arguments.termination_log.as_deref());
    match start(arguments, &last_words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Without the chain of causes: each error's own line holds what is worth knowing of them.
            eprintln!("minitower-runner: {error}");
            last_words.tell_error(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

fn start(arguments: Arguments, last_words: &TerminationLog) -> anyhow::Result<()> {
    let log = set_up_log(&arguments);
    last_words.begin();
    log?;
    let config = Config::from_arguments(arguments)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        // Heartbeats must go on whatever one of them does.
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| anyhow::anyhow!("cannot start the runtime: {error}"))?;
    let ended = runtime.block_on(async { minitower_runner::run(config, Shutdown::on_signals()?).await });
    // A blocking read that is still going on is of no interest any more.
    runtime.shutdown_background();
    Ok(ended?)
}

fn set_up_log(arguments: &Arguments) -> anyhow::Result<()> {
    let filter = arguments.log.as_deref().filter(|filter| !filter.is_empty()).unwrap_or("info");
    let filter = EnvFilter::try_new(filter).map_err(|error| anyhow::anyhow!("MINITOWER_LOG: {error}"))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match arguments.log_format.as_deref().filter(|format| !format.is_empty()).unwrap_or("json") {
        "json" => builder.json().flatten_event(true).with_current_span(true).with_span_list(false).init(),
        "text" => builder.with_ansi(std::io::stderr().is_terminal()).init(),
        other => anyhow::bail!("MINITOWER_LOG_FORMAT: `{other}` is no log format; use json or text"),
    }
    Ok(())
}
