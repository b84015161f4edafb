//! Cutting a stream of bytes into lines of text.

use std::sync::Arc;
use std::time::{Duration, Instant};

use minitower_client::wire::runner::LogBatch;

use super::mask::Mask;

/// Most bytes of a line.
const MAX: usize = LogBatch::MAX_LINE_BYTES;
/// Bytes that a character may take if it begins within the limit.
const LAST_CHARACTER: usize = 4;
/// How often a state that is overwritten, such as a progress bar's, becomes a line.
const STATE_INTERVAL: Duration = Duration::from_secs(1);

/// Makes lines out of bytes.
///
/// A longer line is cut at [`LogBatch::MAX_LINE_BYTES`] on a character boundary and says so, invalid UTF-8 becomes U+FFFD,
/// secrets are masked. `\r\n` ends a line like `\n`. A `\r` alone begins the line anew, as progress bars do: of the states that
/// are overwritten one a second becomes a line of its own, and the last one is the line.
#[derive(Debug)]
pub(super) struct LineCutter {
    mask: Arc<Mask>,
    /// The current line since its last `\r`.
    current: Kept,
    /// The state before that `\r`, until something is written over it.
    former: Option<Kept>,
    /// When an overwritten state last became a line.
    shown: Option<Instant>,
}

/// The beginning of a line, and how long it is.
#[derive(Debug, Default)]
struct Kept {
    bytes: Vec<u8>,
    length: u64,
}

impl LineCutter {
    pub(super) fn new(mask: Arc<Mask>) -> Self {
        Self { mask, current: Kept::default(), former: None, shown: None }
    }

    /// Takes bytes that came at `now`, and adds the lines they complete.
    pub(super) fn push(&mut self, mut bytes: &[u8], now: Instant, lines: &mut Vec<String>) {
        while let Some(end) = memchr::memchr2(b'\n', b'\r', bytes) {
            let (text, rest) = (&bytes[..end], &bytes[end + 1..]);
            if bytes[end] == b'\r' {
                self.keep(text, now, lines);
                self.carriage_return();
            } else if self.current.length == 0 && self.former.is_none() {
                // Most lines come whole: nothing has to be kept.
                lines.push(shown(&self.mask, text, text.len() as u64));
            } else {
                self.keep(text, now, lines);
                self.complete(lines);
            }
            bytes = rest;
        }
        self.keep(bytes, now, lines);
    }

    /// Completes a last line that had no newline.
    pub(super) fn finish(&mut self, lines: &mut Vec<String>) {
        if self.current.length > 0 || self.former.is_some() {
            self.complete(lines);
        }
    }

    fn keep(&mut self, bytes: &[u8], now: Instant, lines: &mut Vec<String>) {
        if bytes.is_empty() {
            return;
        }
        if let Some(overwritten) = self.former.take()
            && self.shown.is_none_or(|shown| now.saturating_duration_since(shown) >= STATE_INTERVAL)
        {
            self.shown = Some(now);
            lines.push(shown(&self.mask, &overwritten.bytes, overwritten.length));
        }
        // A secret that begins within the limit is kept whole, so that it is found.
        let room = MAX + LAST_CHARACTER + self.mask.longest() - self.current.bytes.len();
        self.current.bytes.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.current.length += bytes.len() as u64;
    }

    fn carriage_return(&mut self) {
        if self.current.length > 0 {
            self.former = Some(std::mem::take(&mut self.current));
        }
    }

    fn complete(&mut self, lines: &mut Vec<String>) {
        let last = self.former.take().unwrap_or_else(|| std::mem::take(&mut self.current));
        lines.push(shown(&self.mask, &last.bytes, last.length));
    }
}

/// The text of a line of `length` bytes that begins with `kept`.
fn shown(mask: &Mask, kept: &[u8], length: u64) -> String {
    let is_whole = kept.len() as u64 == length;
    let masked = mask.apply(kept);
    // The end of what was kept may be the beginning of a secret.
    let end = if is_whole { masked.len() } else { masked.len().saturating_sub(mask.longest()) };
    let mut text = String::from_utf8_lossy(&masked[..end]).into_owned();
    if is_whole && text.len() <= MAX {
        return text;
    }
    let mark = format!("… [cut: {length} bytes]");
    text.truncate(text.floor_char_boundary(MAX - mark.len()));
    text.push_str(&mark);
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cut(chunks: &[&[u8]]) -> Vec<String> {
        cut_with(&Arc::new(Mask::default()), chunks)
    }

    fn cut_with(mask: &Arc<Mask>, chunks: &[&[u8]]) -> Vec<String> {
        let (mut cutter, mut lines, now) = (LineCutter::new(Arc::clone(mask)), Vec::new(), Instant::now());
        for chunk in chunks {
            cutter.push(chunk, now, &mut lines);
        }
        cutter.finish(&mut lines);
        lines
    }

    #[test]
    fn lines_are_found_across_chunks() {
        assert_eq!(cut(&[b"a\nb", b"c\n\nd"]), ["a", "bc", "", "d"]);
        assert!(cut(&[b"", b""]).is_empty());
    }

    #[test]
    fn carriage_returns_before_a_newline_belong_to_it() {
        assert_eq!(cut(&[b"a\r\n", b"b\n", b"c\r", b"\nd\r\r\ne\r"]), ["a", "b", "c", "d", "e"]);
        assert_eq!(cut(&[b"\r\n\r\nx\n"]), ["", "", "x"]);
        assert!(cut(&[b"\r\r"]).is_empty());
    }

    #[test]
    fn of_states_that_are_overwritten_one_a_second_is_shown_and_the_last_one_is_the_line() {
        let (mut cutter, mut lines) = (LineCutter::new(Arc::default()), Vec::new());
        let begin = Instant::now();
        for tenth in 0..35_u64 {
            cutter.push(
                format!("\r{tenth}").as_bytes(),
                begin + Duration::from_millis(100 * tenth),
                &mut lines,
            );
        }
        assert_eq!(lines, ["0", "10", "20", "30"], "what was there before the second was over");
        cutter.push(b"\rdone\nnext\n", begin + Duration::from_millis(3500), &mut lines);
        assert_eq!(lines[4..], ["done", "next"]);
    }

    #[test]
    fn a_state_that_nothing_was_written_over_is_the_line() {
        assert_eq!(cut(&[b"50%\r100%\r"]), ["50%", "100%"]);
        assert_eq!(cut(&[b"50%\r", b"\n"]), ["50%"]);
        assert_eq!(cut(&[b"1\r2\r3\r4\n"]), ["1", "4"]);
    }

    #[test]
    fn a_long_line_is_cut_at_8_kib_on_a_character_boundary_and_says_how_long_it_was() {
        let text = format!("{}{}", "é".repeat(4000), "y".repeat(100_000));
        let lines = cut(&[text.as_bytes(), b"\nnext"]);
        assert_eq!(lines[0].len(), 8192);
        assert!(lines[0].starts_with(&"é".repeat(4000)), "{}", lines[0]);
        assert!(lines[0].ends_with("yyy… [cut: 108000 bytes]"), "{}", lines[0]);
        assert_eq!(lines[1], "next");
        let crabs = cut(&["🦀".repeat(4000).as_bytes()]);
        assert!(crabs[0].len() <= 8192 && crabs[0].ends_with("🦀… [cut: 16000 bytes]"), "{}", crabs[0]);
        assert_eq!(cut(&["x".repeat(8192).as_bytes()]), ["x".repeat(8192)], "as long as may be");
        assert!(cut(&["x".repeat(8193).as_bytes()])[0].ends_with("x… [cut: 8193 bytes]"));
    }

    #[test]
    fn invalid_bytes_are_replaced() {
        assert_eq!(cut(&[b"a\xff\xfeb\x00\n"]), ["a\u{fffd}\u{fffd}b\0"]);
        let lines = cut(&[&vec![0xff; 20_000]]);
        assert!(lines[0].ends_with("\u{fffd}… [cut: 20000 bytes]"), "{}", lines[0]);
    }

    #[test]
    fn secrets_are_masked_across_chunks_and_where_a_line_is_cut() {
        let mask = Arc::new(Mask::default().and(["mta_0123456789abcdef"]));
        assert_eq!(cut_with(&mask, &[b"a mta_01234567", b"89abcdef b\nx"]), ["a [secret] b", "x"]);
        for before in 8150..8220 {
            let line = format!("{}mta_0123456789abcdef{}", "x".repeat(before), "y".repeat(1000));
            let shown = &cut_with(&mask, &[line.as_bytes()])[0];
            assert!(!shown.contains("mta_"), "{before}: {shown}");
            // Many secrets make what follows them move up.
            let line = format!("{}{}", "mta_0123456789abcdef ".repeat(before / 21), &line[before - 200..]);
            assert!(!cut_with(&mask, &[line.as_bytes()])[0].contains("mta_"), "{before}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_chunks_give_the_same_bounded_lines(bytes: Vec<u8>, at in 0_usize..100) {
            let (left, right) = bytes.split_at(at.min(bytes.len()));
            let lines = cut(&[left, right]);
            prop_assert_eq!(&lines, &cut(&[&bytes]));
            let clean = |line: &String| line.len() <= MAX && !line.contains(['\n', '\r']);
            prop_assert!(lines.iter().all(clean));
        }
    }
}
