//! Answers: tables and details for people, JSON for programs; colours on terminals only.

mod format;
mod style;
mod table;
mod terminal;

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use minitower_daemon::logs;
use serde::Serialize;

use crate::kubectl::retold;

pub use self::format::{bytes, duration, now, short_sha, time};
pub use self::style::{Style, Tone};
pub use self::table::Cell;
use self::terminal::clean_lines;
pub use self::terminal::{clean, escaped_json};

/// The answer could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the output")]
pub struct OutputError(#[from] io::Error);

impl OutputError {
    /// Whether the reader has closed the pipe, as `head` does.
    pub fn is_closed_pipe(&self) -> bool {
        self.0.kind() == io::ErrorKind::BrokenPipe
    }
}

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
    pub fn from_process(json: bool, no_color: bool, utc: bool) -> Self {
        if utc {
            format::show_utc();
        }
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

    /// A line of a job's log for standard output. A terminal gets its text and colours and no other control sequence; a pipe
    /// or a file gets the line as it is.
    pub fn log_line<'l>(&self, line: &'l str) -> Cow<'l, str> {
        if self.terminal { terminal::harmless(line) } else { Cow::Borrowed(line) }
    }

    /// The same for standard error.
    pub fn stderr_log_line<'l>(&self, line: &'l str) -> Cow<'l, str> {
        if self.stderr_terminal { terminal::harmless(line) } else { Cow::Borrowed(line) }
    }

    /// A progress bar over `total` bytes on standard error; invisible if that is not a terminal.
    pub fn progress(&self, what: &str, total: u64) -> Progress {
        Progress::new(what, total, self.stderr_terminal && !self.json)
    }

    /// A line of the answer.
    pub fn line(&self, line: impl std::fmt::Display) -> Result<(), OutputError> {
        Ok(writeln!(io::stdout().lock(), "{line}")?)
    }

    /// A dim line beside the answer, on standard error; nothing for a program. Commands in it are quoted:
    /// `` `minitower login` ``.
    pub fn note(&self, line: impl std::fmt::Display) {
        if !self.json {
            logs::say(self.stderr_style.dim(retold(&clean_lines(&line.to_string()))));
        }
    }

    /// A line that whoever waits has to see, beside the answer on standard error; an object for a program.
    pub fn aside(&self, line: impl std::fmt::Display) {
        let line = line.to_string();
        if self.json { logs::say(serde_json::json!({ "note": retold(&line) })) } else { self.note(line) }
    }

    /// A line about something odd, on standard error; an object for a program.
    pub fn warn(&self, line: impl std::fmt::Display) {
        let line = retold(&line.to_string()).into_owned();
        if self.json {
            return logs::say(serde_json::json!({ "warning": line }));
        }
        let line = clean_lines(&line);
        logs::say(format_args!("{} {line}", self.stderr_style.tone("warning:", Tone::Waiting)));
    }

    /// The answer: as JSON if the caller asked for it, otherwise as `people` prints it.
    pub fn answer(
        &self,
        value: &impl Serialize,
        people: impl FnOnce(&Self) -> Result<(), OutputError>,
    ) -> Result<(), OutputError> {
        if self.json { self.json(value) } else { people(self) }
    }

    /// The answer as indented JSON.
    pub fn json(&self, value: &impl Serialize) -> Result<(), OutputError> {
        let text = serde_json::to_string_pretty(value).map_err(io::Error::from)?;
        Ok(writeln!(io::stdout().lock(), "{}", escaped_json(&text))?)
    }

    /// One of a stream of answers, as JSON on one line.
    pub fn json_line(&self, value: &impl Serialize) -> Result<(), OutputError> {
        let mut stdout = io::stdout().lock();
        let text = serde_json::to_string(value).map_err(io::Error::from)?;
        writeln!(stdout, "{}", escaped_json(&text))?;
        Ok(stdout.flush()?)
    }

    /// A table. For an empty one, `empty` goes to standard error and says what to do.
    ///
    /// A terminal that is too narrow gets fewer columns, and no broken words: the last ones are left out first.
    pub fn table(&self, header: &[&str], rows: &[Vec<Cell>], empty: &str) -> Result<(), OutputError> {
        let order: Vec<_> = header.iter().skip(1).rev().copied().collect();
        self.table_without(header, &order, rows, empty)
    }

    /// The same; `order` names the columns that may be left out, the least important first.
    pub fn table_without(
        &self,
        header: &[&str],
        order: &[&str],
        rows: &[Vec<Cell>],
        empty: &str,
    ) -> Result<(), OutputError> {
        if rows.is_empty() {
            self.note(empty);
            return Ok(());
        }
        let width = self.terminal.then(table::terminal_width).flatten();
        let (text, left_out) = table::render(header, order, rows, width, self.style);
        self.line(text)?;
        if !left_out.is_empty() {
            let left_out = left_out.join(", ");
            self.note(format_args!("A wider terminal also shows {left_out}; --json shows everything."));
        }
        Ok(())
    }

    /// One thing in full: a line for each name and value. Absent values are left out.
    pub fn details(&self, fields: &[(&str, Option<Cell>)]) -> Result<(), OutputError> {
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

/// A progress bar; cheap to clone.
#[derive(Debug, Clone)]
pub struct Progress {
    bar: ProgressBar,
}

impl Progress {
    fn new(what: &str, total: u64, visible: bool) -> Self {
        let target = if visible { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(total), target);
        let template =
            "{msg} {wide_bar:.cyan/dim} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("━━─"));
        }
        bar.set_message(what.to_owned());
        Self { bar }
    }

    /// Shows that so many bytes are done.
    pub fn set(&self, bytes: u64) {
        self.bar.set_position(bytes);
    }

    /// Removes the bar.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
    }
}
