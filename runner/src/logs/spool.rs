//! Lines that are not delivered yet, in order: a little in memory, the rest on disk, and beyond a bound not at all.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use jiff::Timestamp;
use minitower_client::wire::runs::{LogLine, Stream};

/// Bytes kept in memory before lines go to disk.
const MEMORY_BYTES: usize = 1024 * 1024;
/// Bytes of one file on disk; a file is read back whole.
const SEGMENT_BYTES: u64 = 4 * 1024 * 1024;
/// Bytes kept on disk before lines are cut.
const DISK_BYTES: u64 = 256 * 1024 * 1024;
/// What a line takes in memory besides its text.
const LINE_OVERHEAD: usize = 64;

/// The queue of one attempt's lines.
#[derive(Debug)]
pub(super) struct Spool {
    folder: PathBuf,
    most_on_disk: u64,
    last_seq: i64,
    memory: VecDeque<LogLine>,
    memory_bytes: usize,
    /// Bytes of each file, oldest first; as long as there is one, new lines go to disk.
    segments: VecDeque<Segment>,
    next_segment: u64,
    writer: Option<BufWriter<File>>,
    cut: Cut,
}

#[derive(Debug)]
struct Segment {
    path: PathBuf,
    bytes: u64,
}

/// What did not fit since the last line that did.
#[derive(Debug, Default)]
struct Cut {
    lines: u64,
    bytes: u64,
    reason: String,
}

impl Spool {
    /// An empty spool; `folder` is made when it is needed.
    pub(super) fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            most_on_disk: DISK_BYTES,
            last_seq: 0,
            memory: VecDeque::new(),
            memory_bytes: 0,
            segments: VecDeque::new(),
            next_segment: 1,
            writer: None,
            cut: Cut::default(),
        }
    }

    #[cfg(test)]
    pub(super) fn with_most_on_disk(mut self, bytes: u64) -> Self {
        self.most_on_disk = bytes;
        self
    }

    /// Whether further lines would be cut.
    pub(super) fn is_full(&self) -> bool {
        self.bytes_on_disk() >= self.most_on_disk
    }

    fn bytes_on_disk(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// Adds a line, or counts it as cut.
    pub(super) fn push(&mut self, stream: Stream, line: String, logged_at: Timestamp) {
        if self.is_full() {
            self.cut_line(&line, "too much of it was waiting for the control plane");
            return;
        }
        if self.cut.lines > 0 {
            let notice = self.notice();
            self.insert(Stream::Stderr, notice, logged_at);
        }
        self.insert(stream, line, logged_at);
    }

    fn notice(&mut self) -> String {
        let Cut { lines, bytes, reason } = std::mem::take(&mut self.cut);
        format!("minitower-runner: {lines} lines ({bytes} bytes) of the log were cut here: {reason}")
    }

    fn cut_line(&mut self, line: &str, reason: &str) {
        self.cut.lines += 1;
        self.cut.bytes += line.len() as u64;
        reason.clone_into(&mut self.cut.reason);
    }

    fn insert(&mut self, stream: Stream, line: String, logged_at: Timestamp) {
        let line = LogLine { seq: self.last_seq + 1, stream, line, logged_at };
        if self.segments.is_empty() && self.memory_bytes < MEMORY_BYTES {
            self.memory_bytes += line.line.len() + LINE_OVERHEAD;
            self.memory.push_back(line);
        } else if let Err(error) = self.write(&line) {
            // What stands half-written at the end of the file is skipped when it is read.
            self.writer = None;
            self.cut_line(&line.line, &format!("it could not be kept on the runner's disk: {error}"));
            return;
        }
        self.last_seq += 1;
    }

    fn write(&mut self, line: &LogLine) -> io::Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        let current = self.segments.back().map_or(u64::MAX, |segment| segment.bytes);
        if self.writer.is_none() || current >= SEGMENT_BYTES {
            fs::create_dir_all(&self.folder)?;
            let path = self.folder.join(format!("{:08}.jsonl", self.next_segment));
            let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
            self.next_segment += 1;
            if let Some(mut former) = self.writer.replace(BufWriter::new(file)) {
                former.flush()?;
            }
            self.segments.push_back(Segment { path, bytes: 0 });
        }
        if let Some(writer) = &mut self.writer {
            writer.write_all(&text)?;
        }
        if let Some(segment) = self.segments.back_mut() {
            segment.bytes += text.len() as u64;
        }
        Ok(())
    }

    /// The oldest lines, at most `most`.
    pub(super) fn oldest(&mut self, most: usize) -> Vec<LogLine> {
        if self.memory.is_empty() {
            self.refill();
        }
        if self.memory.is_empty() && self.cut.lines > 0 {
            let notice = self.notice();
            self.insert(Stream::Stderr, notice, crate::clock::wall());
        }
        self.memory.iter().take(most).cloned().collect()
    }

    /// Forgets the oldest `count` lines.
    pub(super) fn forget(&mut self, count: usize) {
        for line in self.memory.drain(..count.min(self.memory.len())) {
            self.memory_bytes = self.memory_bytes.saturating_sub(line.line.len() + LINE_OVERHEAD);
        }
    }

    /// Reads the oldest file back into memory.
    fn refill(&mut self) {
        let Some(segment) = self.segments.pop_front() else { return };
        if self.segments.is_empty()
            && let Some(mut writer) = self.writer.take()
            && let Err(error) = writer.flush()
        {
            tracing::warn!(%error, "cannot write the log spool");
        }
        match fs::read(&segment.path) {
            Ok(bytes) => {
                let lines = bytes.split(|byte| *byte == b'\n');
                for line in lines.filter_map(|line| serde_json::from_slice::<LogLine>(line).ok()) {
                    self.memory_bytes += line.line.len() + LINE_OVERHEAD;
                    self.memory.push_back(line);
                }
            }
            Err(error) => {
                let lost = format!("it could not be read from the runner's disk: {error}");
                self.cut =
                    Cut { lines: self.cut.lines + 1, bytes: self.cut.bytes + segment.bytes, reason: lost };
            }
        }
        let _left_for_the_next_start = fs::remove_file(&segment.path);
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        let _never_made = fs::remove_dir_all(&self.folder);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(spool: &mut Spool) -> Vec<LogLine> {
        let mut all = Vec::new();
        loop {
            let lines = spool.oldest(100);
            if lines.is_empty() {
                return all;
            }
            spool.forget(lines.len());
            all.extend(lines);
        }
    }

    fn push(spool: &mut Spool, line: &str) {
        spool.push(Stream::Stdout, line.to_owned(), crate::clock::wall());
    }

    #[test]
    fn lines_come_back_in_order_over_memory_and_several_files() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = Spool::new(folder.path().join("spool"));
        let filler = "x".repeat(1000);
        for number in 1..=12_000 {
            push(&mut spool, &format!("{number} {filler}"));
            if number % 5000 == 0 {
                let lines = spool.oldest(100);
                assert_eq!(lines.len(), 100);
            }
        }
        assert!(spool.segments.len() >= 2, "{} files", spool.segments.len());
        let lines = drain(&mut spool);
        assert_eq!(lines.len(), 12_000);
        for (index, line) in lines.iter().enumerate() {
            assert_eq!(line.seq, i64::try_from(index).unwrap() + 1);
            assert!(line.line.starts_with(&format!("{} ", index + 1)));
        }
        push(&mut spool, "after");
        assert_eq!(drain(&mut spool)[0].seq, 12_001);
        drop(spool);
        assert!(!folder.path().join("spool").exists());
    }

    #[test]
    fn what_does_not_fit_is_cut_and_said_with_sequence_numbers_unbroken() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = Spool::new(folder.path().join("spool")).with_most_on_disk(100_000);
        for number in 0..3000 {
            push(&mut spool, &format!("{number} {}", "x".repeat(1000)));
        }
        assert!(spool.is_full());
        let mut lines = drain(&mut spool);
        push(&mut spool, "later");
        lines.extend(drain(&mut spool));
        let seqs: Vec<i64> = lines.iter().map(|line| line.seq).collect();
        assert_eq!(seqs, (1..=i64::try_from(lines.len()).unwrap()).collect::<Vec<_>>());
        let notice = lines.iter().position(|line| line.line.contains("were cut here")).unwrap();
        let kept = notice;
        assert!(lines[notice].line.contains(&format!("{} lines", 3000 - kept)), "{}", lines[notice].line);
        assert_eq!(lines.last().unwrap().line, "later");
    }
}
