//! Log lines of the embedded parts: warnings and errors, on standard error.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

/// `MINITOWER_LOG` asks for more, such as `info`.
pub(super) fn init() {
    let filter = std::env::var("MINITOWER_LOG").ok().filter(|filter| !filter.is_empty());
    let coloured =
        io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter.as_deref().unwrap_or("warn")))
        .with_ansi(coloured)
        .with_target(false)
        .with_writer(io::stderr)
        .init();
}
