//! Cutting a stream of bytes into lines of text.

use minitower_client::wire::runner::LogBatch;

/// Bytes kept of a line: the most that is sent, and what a character may take that begins there.
const KEPT: usize = LogBatch::MAX_LINE_BYTES + 4;

/// Makes lines out of bytes. A longer line is cut at [`LogBatch::MAX_LINE_BYTES`] on a character boundary, invalid
/// UTF-8 becomes U+FFFD, and `\r\n` ends a line like `\n`.
#[derive(Debug, Default)]
pub(super) struct LineCutter {
    partial: Vec<u8>,
    /// Whether anything of the current line has come, an empty one included.
    begun: bool,
}

impl LineCutter {
    /// Takes bytes and adds the lines they complete.
    pub(super) fn push(&mut self, mut bytes: &[u8], lines: &mut Vec<String>) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.keep(&bytes[..end]);
            self.complete(lines);
            bytes = &bytes[end + 1..];
        }
        if !bytes.is_empty() {
            self.keep(bytes);
        }
    }

    /// Completes a last line that had no newline.
    pub(super) fn finish(&mut self, lines: &mut Vec<String>) {
        if self.begun {
            self.complete(lines);
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        self.begun = true;
        let room = KEPT - self.partial.len();
        self.partial.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn complete(&mut self, lines: &mut Vec<String>) {
        let bytes = self.partial.strip_suffix(b"\r").unwrap_or(&self.partial);
        let mut line = String::from_utf8_lossy(bytes).into_owned();
        line.truncate(line.floor_char_boundary(LogBatch::MAX_LINE_BYTES));
        lines.push(line);
        self.partial.clear();
        self.begun = false;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cut(chunks: &[&[u8]]) -> Vec<String> {
        let (mut cutter, mut lines) = (LineCutter::default(), Vec::new());
        for chunk in chunks {
            cutter.push(chunk, &mut lines);
        }
        cutter.finish(&mut lines);
        lines
    }

    #[test]
    fn lines_are_found_across_chunks() {
        assert_eq!(cut(&[b"a\nb", b"c\n\nd"]), ["a", "bc", "", "d"]);
        assert_eq!(cut(&[b"a\r\n", b"b\n"]), ["a", "b"]);
        assert!(cut(&[b"", b""]).is_empty());
    }

    #[test]
    fn a_long_line_is_cut_at_8_kib_on_a_character_boundary() {
        let text = format!("{}é{}", "x".repeat(8191), "y".repeat(100_000));
        assert_eq!(cut(&[text.as_bytes(), b"\nnext"]), ["x".repeat(8191), "next".to_owned()]);
        let text = format!("{}é{}", "x".repeat(8190), "y".repeat(100));
        assert_eq!(cut(&[text.as_bytes()]), [format!("{}é", "x".repeat(8190))]);
        assert_eq!(cut(&["🦀".repeat(4000).as_bytes()]), ["🦀".repeat(2048)]);
    }

    #[test]
    fn invalid_bytes_are_replaced() {
        assert_eq!(cut(&[b"a\xff\xfeb\x00\n"]), ["a\u{fffd}\u{fffd}b\0"]);
        let lines = cut(&[&vec![0xff; 20_000]]);
        assert_eq!(lines, ["\u{fffd}".repeat(8192 / 3)]);
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_chunks_give_the_same_bounded_lines(bytes: Vec<u8>, at in 0_usize..100) {
            let (left, right) = bytes.split_at(at.min(bytes.len()));
            let lines = cut(&[left, right]);
            prop_assert_eq!(&lines, &cut(&[&bytes]));
            prop_assert!(lines.iter().all(|line| line.len() <= LogBatch::MAX_LINE_BYTES && !line.contains('\n')));
        }
    }
}
