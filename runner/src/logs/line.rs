//! A line on its way to the log, and lines that never get there.

use std::fmt;

use jiff::Timestamp;
use minitower_client::wire::runs::Stream;
use serde::{Deserialize, Serialize};

/// What a line takes in memory besides its text, in bytes.
const OVERHEAD: usize = 96;

/// A line that has no place in the sequence yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Line {
    pub(super) stream: Stream,
    pub(super) text: String,
    pub(super) logged_at: Timestamp,
}

impl Line {
    /// A line of the runner itself.
    pub(super) fn of_runner(text: impl fmt::Display, logged_at: Timestamp) -> Self {
        Self { stream: Stream::Stderr, text: format!("minitower-runner: {text}"), logged_at }
    }

    /// What it takes in memory, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.text.len() + OVERHEAD
    }
}

/// Lines that nobody will read, and why.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Loss {
    lines: u64,
    bytes: u64,
    reason: String,
}

impl Loss {
    /// So many lines, with so many bytes of text.
    pub(crate) fn new(lines: u64, bytes: u64, reason: impl Into<String>) -> Self {
        Self { lines, bytes, reason: reason.into() }
    }

    /// Lines that nobody could count.
    pub(crate) fn uncounted(reason: impl Into<String>) -> Self {
        Self::new(0, 0, reason)
    }

    /// Lines whose texts are these.
    pub(super) fn of<'t>(texts: impl IntoIterator<Item = &'t str>, reason: impl Into<String>) -> Self {
        let (mut lines, mut bytes) = (0, 0);
        for text in texts {
            lines += 1;
            bytes += text.len() as u64;
        }
        Self::new(lines, bytes, reason)
    }

    /// Counts further lines. Of several reasons the last one is named.
    pub(super) fn add(&mut self, other: &Self) {
        self.lines += other.lines;
        self.bytes += other.bytes;
        self.reason.clone_from(&other.reason);
    }

    /// Whether nothing was lost.
    pub(super) fn is_none(&self) -> bool {
        self.reason.is_empty()
    }

    #[cfg(test)]
    pub(super) fn lines(&self) -> u64 {
        self.lines
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.lines {
            0 => write!(f, "lines of the log were lost: {}", self.reason),
            1 => write!(f, "1 line ({} bytes) of the log was lost: {}", self.bytes, self.reason),
            lines => write!(f, "{lines} lines ({} bytes) of the log were lost: {}", self.bytes, self.reason),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_counts_lines_and_names_the_last_reason() {
        let mut loss = Loss::default();
        assert!(loss.is_none());
        loss.add(&Loss::of(["ab"], "the disk was full"));
        assert_eq!(loss.to_string(), "1 line (2 bytes) of the log was lost: the disk was full");
        loss.add(&Loss::of(["ab", "cde"], "they were refused"));
        assert_eq!(loss.to_string(), "3 lines (7 bytes) of the log were lost: they were refused");
        let uncounted = Loss::uncounted("they could not be read");
        assert_eq!(uncounted.to_string(), "lines of the log were lost: they could not be read");
    }
}
