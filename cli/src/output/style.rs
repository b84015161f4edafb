//! Colours, or none.

use std::fmt::Display;

use minitower_client::wire::runs::{AttemptStatus, RunStatus};
use owo_colors::OwoColorize;

/// What a colour means to the reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// An ordinary value.
    Plain,
    /// It went well.
    Good,
    /// It went badly.
    Bad,
    /// It is in progress.
    Busy,
    /// It waits, or deserves a look.
    Waiting,
    /// Of less interest.
    Dim,
}

impl From<RunStatus> for Tone {
    fn from(status: RunStatus) -> Self {
        match status {
            RunStatus::Queued | RunStatus::Cancelling => Self::Waiting,
            RunStatus::Leased | RunStatus::Running => Self::Busy,
            RunStatus::Completed => Self::Good,
            RunStatus::Failed | RunStatus::Dead => Self::Bad,
            RunStatus::Cancelled => Self::Dim,
        }
    }
}

impl From<AttemptStatus> for Tone {
    fn from(status: AttemptStatus) -> Self {
        match status {
            AttemptStatus::Leased | AttemptStatus::Running => Self::Busy,
            AttemptStatus::Cancelling => Self::Waiting,
            AttemptStatus::Completed => Self::Good,
            AttemptStatus::Failed | AttemptStatus::Expired => Self::Bad,
            AttemptStatus::Cancelled | AttemptStatus::Released => Self::Dim,
        }
    }
}

/// Whether a stream has colours.
#[derive(Debug, Clone, Copy)]
pub struct Style {
    coloured: bool,
}

impl Style {
    /// The style of a stream that has colours, or has none.
    pub const fn new(coloured: bool) -> Self {
        Self { coloured }
    }

    /// Whether the stream has colours.
    pub const fn is_coloured(self) -> bool {
        self.coloured
    }

    /// `text` in the colour of `tone`.
    pub fn tone(self, text: impl Display, tone: Tone) -> String {
        if !self.coloured {
            return text.to_string();
        }
        match tone {
            Tone::Plain => text.to_string(),
            Tone::Good => text.green().to_string(),
            Tone::Bad => text.red().bold().to_string(),
            Tone::Busy => text.cyan().to_string(),
            Tone::Waiting => text.yellow().to_string(),
            Tone::Dim => text.dimmed().to_string(),
        }
    }

    /// Text of less interest.
    pub fn dim(self, text: impl Display) -> String {
        self.tone(text, Tone::Dim)
    }

    /// Text about something that went wrong.
    pub fn bad(self, text: impl Display) -> String {
        self.tone(text, Tone::Bad)
    }

    /// Text to type, or to look at first.
    pub fn bold(self, text: impl Display) -> String {
        if self.coloured { text.bold().to_string() } else { text.to_string() }
    }
}
