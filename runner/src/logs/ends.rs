//! A log of bounded size keeps its beginning and its end.

use std::collections::VecDeque;

use jiff::Timestamp;
use minitower_client::wire::limits::LOG_LINE_OVERHEAD;

use super::line::Line;

/// Most bytes of a log when the control plane does not say.
const DEFAULT_LIMIT: u64 = 256 * 1024 * 1024;
/// Most bytes that are kept for the end, in memory.
const LARGEST_END: u64 = 4 * 1024 * 1024;
/// Bytes reserved for the lines that say what is missing.
const FOR_NOTICES: u64 = 512;

/// Lets a log's beginning pass, then keeps its end until it is over.
#[derive(Debug)]
pub(super) struct Ends {
    limit: u64,
    /// How much more may pass.
    beginning: u64,
    /// Most bytes of `end`.
    most: u64,
    end: VecDeque<Line>,
    end_bytes: u64,
    is_over: bool,
    missing_lines: u64,
    missing_bytes: u64,
}

impl Ends {
    /// For a log of at most `limit` bytes.
    pub(super) fn new(limit: Option<u64>) -> Self {
        let limit = limit.unwrap_or(DEFAULT_LIMIT);
        let most = (limit / 4).min(LARGEST_END);
        Self {
            limit,
            beginning: limit.saturating_sub(most).saturating_sub(FOR_NOTICES),
            most,
            end: VecDeque::new(),
            end_bytes: 0,
            is_over: false,
            missing_lines: 0,
            missing_bytes: 0,
        }
    }

    /// Passes on those lines that still belong to the beginning, and keeps the rest.
    pub(super) fn pass(&mut self, mut lines: Vec<Line>, now: Timestamp) -> Vec<Line> {
        let fit = lines
            .iter()
            .take_while(|line| {
                // As the control plane counts: a log of empty lines is bounded, too.
                let bytes = line.text.len() as u64 + LOG_LINE_OVERHEAD;
                let fits = !self.is_over && bytes <= self.beginning;
                self.beginning = if fits { self.beginning - bytes } else { 0 };
                fits
            })
            .count();
        if fit == lines.len() {
            return lines;
        }
        let rest = lines.split_off(fit);
        if !self.is_over {
            self.is_over = true;
            let text = format_args!(
                "the log may have {} bytes: from here on only its end is kept, and shown when the job has ended",
                self.limit
            );
            lines.push(Line::of_runner(text, now));
        }
        for line in rest {
            self.end_bytes += line.bytes() as u64;
            self.end.push_back(line);
        }
        while self.end_bytes > self.most
            && let Some(line) = self.end.pop_front()
        {
            self.end_bytes -= line.bytes() as u64;
            self.missing_lines += 1;
            self.missing_bytes += line.text.len() as u64;
        }
        lines
    }

    /// Returns the end of the log, behind a line that says what is missing before it.
    pub(super) fn finish(&mut self, now: Timestamp) -> Vec<Line> {
        let mut lines = Vec::with_capacity(self.end.len() + 1);
        if self.missing_lines > 0 {
            let text = format_args!(
                "{} lines ({} bytes) are left out here: the log may have {} bytes",
                self.missing_lines, self.missing_bytes, self.limit
            );
            lines.push(Line::of_runner(text, now));
        }
        lines.extend(self.end.drain(..));
        (self.end_bytes, self.missing_lines, self.missing_bytes) = (0, 0, 0);
        lines
    }
}

#[cfg(test)]
mod tests {
    use minitower_client::wire::runs::Stream;

    use super::*;

    fn lines(range: std::ops::Range<u32>) -> Vec<Line> {
        let line = |number: u32| Line {
            stream: Stream::Stdout,
            text: format!("{number:0100}"),
            logged_at: crate::clock::wall(),
        };
        range.map(line).collect()
    }

    fn kept(limit: u64, chunks: &[std::ops::Range<u32>]) -> Vec<String> {
        let mut ends = Ends::new(Some(limit));
        let mut all: Vec<Line> = Vec::new();
        for chunk in chunks {
            all.extend(ends.pass(lines(chunk.clone()), crate::clock::wall()));
        }
        all.extend(ends.finish(crate::clock::wall()));
        assert!(all.iter().map(|line| line.text.len() as u64 + LOG_LINE_OVERHEAD).sum::<u64>() <= limit);
        all.into_iter().map(|line| line.text).collect()
    }

    #[test]
    fn a_log_within_its_limit_passes_whole() {
        let texts: Vec<String> = lines(0..60).into_iter().map(|line| line.text).collect();
        assert_eq!(kept(12_000, &[0..30, 30..60]), texts);
    }

    #[test]
    fn of_a_longer_log_beginning_and_end_are_kept_and_what_is_missing_is_said() {
        let kept = kept(10_000, &[0..50, 50..90, 90..1000]);
        let said = |text: &str| kept.iter().position(|line| line.contains(text)).unwrap();
        let (over, left_out) = (said("only its end is kept"), said("are left out here"));
        let number = |line: &String| line.parse::<usize>().unwrap();
        assert!(over > 50 && kept[..over].iter().map(number).eq(0..over), "{over}");
        assert_eq!(left_out, over + 1);
        let end: Vec<usize> = kept[left_out + 1..].iter().map(number).collect();
        assert!(end.len() > 5 && *end.last().unwrap() == 999 && end.is_sorted(), "{end:?}");
        assert!(kept[left_out].contains(&format!(
            "{} lines ({} bytes)",
            end[0] - over,
            (end[0] - over) * 100
        )));
    }

    #[test]
    fn a_log_of_empty_lines_is_bounded_too() {
        let empty = Line { stream: Stream::Stdout, text: String::new(), logged_at: crate::clock::wall() };
        let mut ends = Ends::new(Some(10_000));
        let passed = ends.pass(vec![empty; 50_000], crate::clock::wall()).len();
        assert!(passed < 10_000, "{passed}");
        assert!(ends.finish(crate::clock::wall())[0].text.contains("are left out here"));
    }

    #[test]
    fn an_end_that_fits_is_shown_whole() {
        let kept = kept(10_000, &[0..53, 53..60]);
        assert!(!kept.iter().any(|line| line.contains("left out")), "{kept:?}");
        assert_eq!(kept.len(), 61);
        assert_eq!(kept.iter().filter(|line| line.starts_with('0')).count(), 60);
    }
}
