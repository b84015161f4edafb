//! How far a command is, on a terminal.

use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use minitower_kernel::backup::{Step, Tell};

use super::bytes;

/// A line on standard error that is gone at the end; none where nobody looks at it.
#[derive(Debug)]
pub(super) struct Progress(ProgressBar);

impl Progress {
    pub(super) fn new() -> Self {
        let target = if std::io::stderr().is_terminal() {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(None, target);
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        Self(bar)
    }

    pub(super) fn tell(&self) -> Tell {
        let bar = self.0.clone();
        Tell::to(move |step| bar.set_message(words(step)))
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

fn words(step: Step) -> String {
    let of = |done: u64, all: u64| format!("{} of {}", bytes(done), bytes(all));
    match step {
        Step::Objects { copied, bytes: size } => format!("objects: {copied} ({})", bytes(size)),
        Step::Database { done, of: all } => format!("copying the database: {}", of(done, all)),
        Step::Transfer { done, of: all } => format!("the database: {}", of(done, all)),
        Step::Check => "checking the database".to_owned(),
    }
}
