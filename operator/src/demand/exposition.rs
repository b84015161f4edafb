//! The demand of control planes that have no call for it yet: two metrics, read piece by piece from Prometheus' text format, version 0.0.4
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>).
//!
//! Crates for this format keep every series in memory. A control plane has thousands that say nothing about demand, so every line
//! that is not about it is dropped as it arrives.

use super::snapshot::Pending;

/// Runs queued and ready; labels `team`, `app` and `environment`.
const PENDING: &str = "minitower_runs_pending";
/// Part of every whole answer of a control plane, and of nothing else.
const BUILD_INFO: &str = "minitower_build_info";
/// The longest line of [`PENDING`]: its labels are slugs and names of at most 63 bytes.
const MAX_LINE_BYTES: usize = 16 * 1024;
/// The most bytes of teams and environments that are kept: a control plane that a stranger names must not use up the operator's memory.
const MAX_KEPT_BYTES: usize = 16 * 1024 * 1024;

/// Why metrics do not say how many runs wait.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExpositionError {
    /// The text is not a control plane's, or its beginning is missing.
    #[error("the metrics lack {BUILD_INFO}")]
    NoBuildInfo,
    /// The text ends within a line.
    #[error("the metrics end within a line")]
    CutOff,
    /// A line about demand cannot be read.
    #[error("cannot read a line of the metrics: {0}")]
    Line(&'static str),
    /// More teams and environments than can be kept.
    #[error("the metrics name more than {MAX_KEPT_BYTES} bytes of teams and environments")]
    TooMany,
}

/// Reads metrics in pieces that may end anywhere.
#[derive(Debug, Default)]
pub(super) struct Reader {
    /// The line whose end has not arrived yet.
    line: Vec<u8>,
    /// That line is of no interest: the rest of it is dropped.
    skipping: bool,
    has_build_info: bool,
    pending: Pending,
    kept_bytes: usize,
}

impl Reader {
    /// Takes the next piece.
    pub(super) fn push(&mut self, mut piece: &[u8]) -> Result<(), ExpositionError> {
        while let Some(end) = piece.iter().position(|byte| *byte == b'\n') {
            self.append(&piece[..end])?;
            piece = &piece[end + 1..];
            let line = std::mem::take(&mut self.line);
            if !std::mem::take(&mut self.skipping) {
                self.read_line(&line)?;
            }
            // The next line uses its memory again.
            self.line = line;
            self.line.clear();
        }
        self.append(piece)
    }

    /// The text has ended.
    pub(super) fn finish(self) -> Result<Pending, ExpositionError> {
        if self.skipping || !self.line.is_empty() {
            return Err(ExpositionError::CutOff);
        }
        if !self.has_build_info {
            return Err(ExpositionError::NoBuildInfo);
        }
        Ok(self.pending)
    }

    fn append(&mut self, piece: &[u8]) -> Result<(), ExpositionError> {
        if self.skipping {
            return Ok(());
        }
        self.line.extend_from_slice(&piece[..piece.len().min(MAX_LINE_BYTES + 1 - self.line.len())]);
        if !may_matter(&self.line) {
            self.skipping = true;
            self.line.clear();
        } else if self.line.len() > MAX_LINE_BYTES {
            return Err(ExpositionError::Line("it is too long"));
        }
        Ok(())
    }

    fn read_line(&mut self, line: &[u8]) -> Result<(), ExpositionError> {
        let line = std::str::from_utf8(line)
            .map_err(|_| ExpositionError::Line("it is not UTF-8"))?
            .trim_matches([' ', '\t', '\r']);
        if let Some(rest) = after_name(line, BUILD_INFO) {
            read_sample(rest, |_, _| ())?;
            self.has_build_info = true;
        } else if let Some(rest) = after_name(line, PENDING) {
            let (mut team, mut environment) = (None, None);
            let runs = read_sample(rest, |name, value| match name {
                "team" => team = Some(value),
                "environment" => environment = Some(value),
                _ => {}
            })?;
            let (Some(team), Some(environment)) = (team, environment) else {
                return Err(ExpositionError::Line("it names no team or no environment"));
            };
            self.add(team, environment, whole_runs(runs)?)?;
        }
        Ok(())
    }

    /// A team has one series for each of its apps.
    fn add(&mut self, team: String, environment: String, runs: u64) -> Result<(), ExpositionError> {
        let key = (team, environment);
        if let Some(sum) = self.pending.get_mut(&key) {
            *sum = sum.saturating_add(runs);
            return Ok(());
        }
        self.kept_bytes += key.0.len() + key.1.len() + size_of::<((String, String), u64)>();
        if self.kept_bytes > MAX_KEPT_BYTES {
            return Err(ExpositionError::TooMany);
        }
        self.pending.insert(key, runs);
        Ok(())
    }
}

/// Whether a line that begins like this may be one of ours.
fn may_matter(beginning: &[u8]) -> bool {
    let Some(start) = beginning.iter().position(|byte| !matches!(byte, b' ' | b'\t')) else { return true };
    let beginning = &beginning[start..];
    [BUILD_INFO, PENDING].iter().any(|name| {
        let shorter = name.len().min(beginning.len());
        name.as_bytes()[..shorter] == beginning[..shorter]
    })
}

/// What follows the metric's name, if it is that metric and not one with a longer name.
fn after_name<'l>(line: &'l str, name: &str) -> Option<&'l str> {
    line.strip_prefix(name).filter(|rest| rest.is_empty() || rest.starts_with(['{', ' ', '\t']))
}

/// Reads the labels, if any, and the value. A timestamp may follow.
fn read_sample(text: &str, mut label: impl FnMut(&str, String)) -> Result<f64, ExpositionError> {
    let mut rest = text.trim_start_matches([' ', '\t']);
    if let Some(labels) = rest.strip_prefix('{') {
        rest = read_labels(labels, &mut label)?;
    }
    let mut words = rest.split([' ', '\t']).filter(|word| !word.is_empty());
    let value = words.next().and_then(|word| word.parse().ok());
    let value = value.ok_or(ExpositionError::Line("its value is not a number"))?;
    let time_fits = words.next().is_none_or(|time| time.parse::<i64>().is_ok());
    if !time_fits || words.next().is_some() {
        return Err(ExpositionError::Line("something follows its value"));
    }
    Ok(value)
}

/// Reads `name="value",…}` and returns what follows.
fn read_labels<'l>(text: &'l str, label: &mut impl FnMut(&str, String)) -> Result<&'l str, ExpositionError> {
    const BLANK: [char; 2] = [' ', '\t'];
    let mut rest = text.trim_start_matches(BLANK);
    let mut names = Vec::new();
    loop {
        if let Some(rest) = rest.strip_prefix('}') {
            return Ok(rest);
        }
        let (name, after) = rest.split_once('=').ok_or(ExpositionError::Line("a label has no value"))?;
        let name = name.trim_end_matches(BLANK);
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.is_empty() || !name.chars().all(is_name) {
            return Err(ExpositionError::Line("a label has no name"));
        }
        if names.contains(&name) {
            return Err(ExpositionError::Line("a label is there twice"));
        }
        names.push(name);
        let quoted = after.trim_start_matches(BLANK).strip_prefix('"');
        let (value, after) = unquote(quoted.ok_or(ExpositionError::Line("a label's value has no quotes"))?)?;
        label(name, value);
        rest = after.trim_start_matches(BLANK);
        match rest.strip_prefix(',') {
            Some(after) => rest = after.trim_start_matches(BLANK),
            None if rest.starts_with('}') => {}
            None => return Err(ExpositionError::Line("its labels do not end")),
        }
    }
}

/// Reads up to the closing quote. `\\`, `\"` and `\n` are the format's only escapes.
fn unquote(text: &str) -> Result<(String, &str), ExpositionError> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Ok((value, &text[at + 1..])),
            '\\' => value.push(match characters.next() {
                Some((_, 'n')) => '\n',
                Some((_, escaped @ ('\\' | '"'))) => escaped,
                _ => return Err(ExpositionError::Line("an unknown escape in a label's value")),
            }),
            other => value.push(other),
        }
    }
    Err(ExpositionError::Line("a label's value does not end"))
}

/// A number of runs is whole and not negative. Anything else is not an answer.
fn whole_runs(value: f64) -> Result<u64, ExpositionError> {
    /// Above this value not every whole number has its own float.
    const MOST: f64 = 9_007_199_254_740_992.0;
    if !(0.0..=MOST).contains(&value) || value.fract() != 0.0 {
        return Err(ExpositionError::Line("its value is not a number of runs"));
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked just above")]
    let runs = value as u64;
    Ok(runs)
}

/// Reads a whole text at once.
#[cfg(test)]
fn read(text: &str) -> Result<Pending, ExpositionError> {
    let mut reader = Reader::default();
    reader.push(text.as_bytes())?;
    reader.finish()
}

#[cfg(test)]
mod tests;
