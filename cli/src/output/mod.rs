//! Answers: tables and details for people, JSON for programs; colours on terminals only.

mod format;
mod progress;
mod style;
mod table;
mod terminal;

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};

use minitower_daemon::logs;
use serde::Serialize;

use crate::kubectl::retold;

pub use self::format::{bytes, clean, duration, now, short_sha, time};
pub use self::progress::Progress;
pub use self::style::{Style, Tone};
pub use self::table::Cell;

/// Where answers go, and in which form.
#[derive(Debug, Clone)]
pub struct Output {
    json: bool,
    terminal: bool,
    style: Style,
    stderr_style: Style,
    stderr_terminal: bool,
}

impl Output {
    /// The process's own streams.
    pub fn from_process(json: bool, no_color: bool) -> Self {
        let (terminal, stderr_terminal) = (io::stdout().is_terminal(), io::stderr().is_terminal());
        Self {
            json,
            terminal,
            style: Style::new(terminal && !no_color),
            stderr_style: Style::new(stderr_terminal && !no_color),
            stderr_terminal,
        }
    }

    /// Whether the caller asked for JSON.
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// How to colour standard output.
    pub fn style(&self) -> Style {
        self.style
    }

    /// How to colour standard error.
    pub fn stderr_style(&self) -> Style {
        self.stderr_style
    }

    /// Whether a person looks at standard output.
    pub const fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// A line of a job's log for standard output. On a terminal it may have colours, and steers nothing else; a pipe or a file
    /// gets it as it is.
    pub fn log_line<'l>(&self, line: &'l str) -> Cow<'l, str> {
        if self.terminal { terminal::harmless(line) } else { Cow::Borrowed(line) }
    }

    /// The same for standard error.
    pub fn stderr_log_line<'l>(&self, line: &'l str) -> Cow<'l, str> {
        if self.stderr_terminal { terminal::harmless(line) } else { Cow::Borrowed(line) }
    }

    /// A progress bar over `total` bytes on standard error; invisible when that is no terminal.
    pub fn progress(&self, what: &str, total: u64) -> Progress {
        Progress::new(what, total, self.stderr_terminal && !self.json)
    }

    /// A line of the answer.
    pub fn line(&self, line: impl std::fmt::Display) -> io::Result<()> {
        writeln!(io::stdout().lock(), "{line}")
    }

    /// A dim line beside the answer, on standard error.
    pub fn note(&self, line: impl std::fmt::Display) {
        logs::say(self.stderr_style.dim(retold(&line.to_string())));
    }

    /// A line about something odd, on standard error.
    pub fn warn(&self, line: impl std::fmt::Display) {
        logs::say(format_args!("{} {line}", self.stderr_style.tone("warning:", Tone::Waiting)));
    }

    /// The answer as indented JSON.
    pub fn json(&self, value: &impl Serialize) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        serde_json::to_writer_pretty(&mut stdout, value)?;
        writeln!(stdout)
    }

    /// One of a stream of answers, as JSON on one line.
    pub fn json_line(&self, value: &impl Serialize) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        serde_json::to_writer(&mut stdout, value)?;
        writeln!(stdout)?;
        stdout.flush()
    }

    /// A table. `empty` says on standard error what to do about an empty one.
    pub fn table(&self, header: &[&str], rows: &[Vec<Cell>], empty: &str) -> io::Result<()> {
        if rows.is_empty() {
            self.note(empty);
            return Ok(());
        }
        self.line(table::render(header, rows, self.terminal, self.style))
    }

    /// One thing in full: a name and a value a line; values that are absent are left out.
    pub fn details(&self, fields: &[(&str, Option<Cell>)]) -> io::Result<()> {
        let width = fields.iter().filter(|(_, value)| value.is_some()).map(|(name, _)| name.len()).max();
        for (name, value) in fields {
            if let Some(cell) = value {
                let name = format!("{name:<width$}", width = width.unwrap_or_default());
                self.line(format_args!("{}  {}", self.style.dim(name), cell.show(self.style)))?;
            }
        }
        Ok(())
    }
}
