//! Log lines. Only the program itself sets them up: a program that embeds the server keeps its own subscriber.

use minitower_daemon::logs;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line, for machines.
    Json,
    /// For people.
    Text,
}

/// Whether `filter` can be used; else the rule it breaks.
pub(crate) fn check_filter(filter: &str) -> Result<(), String> {
    logs::filter(filter).map(drop)
}

impl LogFormat {
    /// The format for whoever reads the lines, where the settings name none.
    const fn for_reader(person: bool) -> Self {
        if person { Self::Text } else { Self::Json }
    }
}

/// Makes the process log to standard error, panics included.
pub fn init(format: Option<LogFormat>, filter: &str) -> Result<(), TryInitError> {
    let format = format.unwrap_or_else(|| LogFormat::for_reader(logs::is_read_by_a_person()));
    // The filter has been checked with the rest of the configuration.
    let builder = logs::on_stderr(EnvFilter::new(filter));
    match format {
        LogFormat::Json => builder.json().flatten_event(true).with_span_list(false).finish().try_init()?,
        LogFormat::Text => builder.finish().try_init()?,
    }
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string);
        tracing::error!(panic = panic.payload_as_str(), location, "a thread panicked");
    }));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_reads_text_and_a_collector_json() {
        assert_eq!(
            (LogFormat::for_reader(true), LogFormat::for_reader(false)),
            (LogFormat::Text, LogFormat::Json)
        );
    }
}
