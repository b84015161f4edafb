//! Log lines of the embedded parts: warnings and errors, on standard error.

use minitower_daemon::logs;
use tracing_subscriber::EnvFilter;

use crate::output::Style;

/// `MINITOWER_LOG` asks for more, such as `info`.
pub(super) fn init(style: Style) {
    let filter = std::env::var("MINITOWER_LOG").ok().filter(|filter| !filter.is_empty());
    logs::on_stderr(EnvFilter::new(filter.as_deref().unwrap_or("warn")))
        .with_ansi(style.is_coloured())
        .with_target(false)
        .init();
}
