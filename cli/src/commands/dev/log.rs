//! Log lines of the embedded parts: warnings and errors, on standard error.

use std::io;

use tracing_subscriber::EnvFilter;

use crate::output::Style;

/// `MINITOWER_LOG` asks for more, such as `info`.
pub(super) fn init(style: Style) {
    let filter = std::env::var("MINITOWER_LOG").ok().filter(|filter| !filter.is_empty());
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter.as_deref().unwrap_or("warn")))
        .with_ansi(style.is_coloured())
        .with_target(false)
        .with_writer(io::stderr)
        .init();
}
