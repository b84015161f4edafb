//! Lines that are not delivered yet, in order: a little in memory; while the control plane is away the rest on disk, and
//! beyond a bound not at all.

use std::collections::VecDeque;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use jiff::Timestamp;
use minitower_client::wire::runner::LogBatch;
use minitower_client::wire::runs::{LogLine, Stream};
use serde::{Deserialize, Serialize};

/// Bytes kept in memory before lines have to wait or go to disk.
const MEMORY_BYTES: usize = 2 * 1024 * 1024;
/// Bytes of one file on disk; a file is read back whole.
const SEGMENT_BYTES: u64 = 1024 * 1024;
/// Bytes kept on disk before lines are lost.
const DISK_BYTES: u64 = 256 * 1024 * 1024;
/// What a line takes in memory besides its text.
const LINE_OVERHEAD: usize = 96;

/// A line that has no place in the sequence yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Line {
    pub(super) stream: Stream,
    pub(super) text: String,
    pub(super) logged_at: Timestamp,
}

impl Line {
    fn bytes(&self) -> usize {
        self.text.len() + LINE_OVERHEAD
    }
}

/// How the control plane takes lines, which decides where those go that find no room in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Server {
    /// It takes them: they wait.
    Answers,
    /// It has not taken any for a while: to disk, and they wait when the disk takes none.
    Slow,
    /// It cannot be reached: to disk, and they are lost when the disk takes none.
    Away,
}

/// Lines that nobody will read, and why.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Loss {
    lines: u64,
    bytes: u64,
    reason: String,
}

impl Loss {
    /// Counts further lines; of several reasons the last one is named.
    pub(super) fn add(&mut self, lines: u64, bytes: u64, reason: &str) {
        self.lines += lines;
        self.bytes += bytes;
        reason.clone_into(&mut self.reason);
    }

    fn is_none(&self) -> bool {
        self.reason.is_empty()
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

/// The queue of one attempt's lines.
#[derive(Debug)]
pub(super) struct Spool {
    folder: PathBuf,
    most_on_disk: u64,
    last_seq: i64,
    memory: VecDeque<Line>,
    memory_bytes: usize,
    /// Oldest first; as long as there is one, new lines go behind it.
    segments: VecDeque<Segment>,
    next_segment: u64,
    /// The last segment's file.
    writer: Option<File>,
    /// What was lost since the last line that was not.
    gap: Loss,
    /// All that was lost.
    lost: Loss,
}

#[derive(Debug)]
struct Segment {
    path: PathBuf,
    bytes: u64,
    lines: u64,
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
            gap: Loss::default(),
            lost: Loss::default(),
        }
    }

    #[cfg(test)]
    fn with_most_on_disk(mut self, bytes: u64) -> Self {
        self.most_on_disk = bytes;
        self
    }

    /// Whether lines can be added without the disk.
    pub(super) fn has_room(&self) -> bool {
        self.segments.is_empty() && self.memory_bytes < MEMORY_BYTES
    }

    /// Whether lines can be taken without the disk.
    pub(super) fn is_at_hand(&self) -> bool {
        !self.memory.is_empty() || self.segments.is_empty()
    }

    /// How many lines can be taken; files on disk count as many.
    pub(super) fn waiting(&self) -> usize {
        let files = if self.segments.is_empty() { 0 } else { LogBatch::MAX_LINES };
        self.memory.len() + files + usize::from(!self.gap.is_none())
    }

    /// Adds lines; returns them when they have to wait for [`Spool::take`].
    pub(super) fn push(&mut self, lines: Vec<Line>, server: Server) -> Result<(), Vec<Line>> {
        if lines.is_empty() {
            return Ok(());
        }
        if self.has_room() {
            self.tell_gap(lines[0].logged_at);
            self.memory_bytes += lines.iter().map(Line::bytes).sum::<usize>();
            self.memory.extend(lines);
            return Ok(());
        }
        if server == Server::Answers {
            return Err(lines);
        }
        let reason = match self.write(&lines) {
            Ok(()) => return Ok(()),
            Err(_) if server == Server::Slow => return Err(lines),
            Err(reason) => format!("the control plane was away, and {reason}"),
        };
        let bytes = lines.iter().map(|line| line.text.len() as u64).sum();
        self.gap.add(lines.len() as u64, bytes, &reason);
        self.lost.add(lines.len() as u64, bytes, &reason);
        Ok(())
    }

    /// Counts lines as lost that had been taken.
    pub(super) fn lose(&mut self, lines: u64, bytes: u64, reason: &str) {
        self.lost.add(lines, bytes, reason);
    }

    /// All that was lost.
    pub(super) fn lost(&self) -> Option<&Loss> {
        Some(&self.lost).filter(|lost| !lost.is_none())
    }

    /// Says in its place what was lost.
    fn tell_gap(&mut self, at: Timestamp) {
        if !self.gap.is_none() {
            let notice = notice(&std::mem::take(&mut self.gap), at);
            self.memory_bytes += notice.bytes();
            self.memory.push_back(notice);
        }
    }

    /// Writes all of the lines, or none and says why.
    fn write(&mut self, lines: &[Line]) -> Result<(), String> {
        let on_disk: u64 = self.segments.iter().map(|segment| segment.bytes).sum();
        if on_disk >= self.most_on_disk {
            return Err(format!("{} MiB of the log were waiting for it", on_disk >> 20));
        }
        let told = (!self.gap.is_none()).then(|| notice(&self.gap, lines[0].logged_at));
        let mut text = Vec::new();
        for line in told.iter().chain(lines) {
            serde_json::to_writer(&mut text, line).map_err(|error| error.to_string())?;
            text.push(b'\n');
        }
        self.write_bytes(&text).map_err(|error| format!("the runner's disk took no more lines: {error}"))?;
        if let Some(segment) = self.segments.back_mut() {
            segment.bytes += text.len() as u64;
            segment.lines += lines.len() as u64 + u64::from(told.is_some());
        }
        self.gap = Loss::default();
        Ok(())
    }

    fn write_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        let current = self.segments.back().map_or(u64::MAX, |segment| segment.bytes);
        let file = match &mut self.writer {
            Some(file) if current < SEGMENT_BYTES => file,
            _ => {
                fs::create_dir_all(&self.folder)?;
                let path = self.folder.join(format!("{:08}.jsonl", self.next_segment));
                let file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(&path)?;
                self.next_segment += 1;
                self.segments.push_back(Segment { path, bytes: 0, lines: 0 });
                self.writer.insert(file)
            }
        };
        let written = file.write_all(bytes);
        if written.is_err() {
            let whole = self.segments.back().map_or(0, |segment| segment.bytes);
            // Half a line would be taken for a damaged one; a file that cannot even be cut is left alone.
            if file.set_len(whole).is_err() {
                self.writer = None;
            }
        }
        written
    }

    /// Takes the oldest lines, at most `most`, each with its number in the log.
    pub(super) fn take(&mut self, most: usize) -> Vec<LogLine> {
        while self.memory.is_empty()
            && let Some(segment) = self.segments.pop_front()
        {
            if self.segments.is_empty() {
                self.writer = None;
            }
            self.read_back(&segment);
        }
        if self.memory.is_empty() {
            self.tell_gap(crate::clock::wall());
        }
        let count = most.min(self.memory.len());
        let mut taken = Vec::with_capacity(count);
        for line in self.memory.drain(..count) {
            self.memory_bytes -= line.bytes();
            self.last_seq += 1;
            let Line { stream, text, logged_at } = line;
            taken.push(LogLine { seq: self.last_seq, stream, line: text, logged_at });
        }
        if self.memory.is_empty() {
            // A log that was long once need not stay so in memory.
            self.memory.shrink_to(1024);
        }
        taken
    }

    /// Reads a file back into memory; what is damaged is skipped and told in its place.
    fn read_back(&mut self, segment: &Segment) {
        let (bytes, trouble) = match fs::read(&segment.path) {
            Ok(bytes) => (bytes, "what the runner kept of it on its disk was damaged".to_owned()),
            Err(error) => {
                (Vec::new(), format!("what the runner kept of it on its disk cannot be read: {error}"))
            }
        };
        let _left_for_the_next_start = fs::remove_file(&segment.path);
        let read: Vec<Option<Line>> = bytes
            .split(|byte| *byte == b'\n')
            .filter(|text| !text.is_empty())
            .map(|text| serde_json::from_slice(text).ok())
            .collect();
        let good: Vec<usize> = (0..read.len()).filter(|index| read[*index].is_some()).collect();
        let whole = (good.len() as u64).min(segment.lines);
        let mut missing = Loss::default();
        if whole < segment.lines {
            let good_bytes: usize = read.iter().flatten().map(|line| line.text.len()).sum();
            let lines = segment.lines - whole;
            missing.add(lines, segment.bytes.saturating_sub(good_bytes as u64), &trouble);
            self.lost.add(lines, missing.bytes, &trouble);
        }
        let damaged = read.iter().position(Option::is_none).unwrap_or(read.len());
        let mut lines: Vec<Line> = read.into_iter().flatten().collect();
        if !missing.is_none() {
            let at = lines.first().map_or_else(crate::clock::wall, |line| line.logged_at);
            // Nothing before the first damaged line is missing.
            lines.insert(damaged.min(lines.len()), notice(&missing, at));
        }
        self.memory_bytes += lines.iter().map(Line::bytes).sum::<usize>();
        self.memory.extend(lines);
    }
}

fn notice(loss: &Loss, logged_at: Timestamp) -> Line {
    Line { stream: Stream::Stderr, text: format!("minitower-runner: {loss}"), logged_at }
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
        std::iter::from_fn(|| Some(spool.take(100)).filter(|lines| !lines.is_empty())).flatten().collect()
    }

    fn line(text: impl Into<String>) -> Line {
        Line { stream: Stream::Stdout, text: text.into(), logged_at: crate::clock::wall() }
    }

    fn push(spool: &mut Spool, text: impl Into<String>) {
        spool.push(vec![line(text)], Server::Away).unwrap();
    }

    /// A spool with `lines` lines of some 1000 bytes; those beyond the memory on disk.
    fn filled(folder: &std::path::Path, lines: usize) -> Spool {
        let mut spool = Spool::new(folder.join("spool"));
        for number in 1..=lines {
            push(&mut spool, format!("{number} {}", "x".repeat(1000)));
        }
        spool
    }

    fn number(line: &LogLine) -> usize {
        line.line.split(' ').next().unwrap().parse().unwrap()
    }

    #[test]
    fn lines_come_back_in_order_over_memory_and_several_files() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = filled(folder.path(), 12_000);
        assert!(spool.segments.len() >= 2, "{} files", spool.segments.len());
        let mut lines = spool.take(100);
        push(&mut spool, "12001 more");
        lines.extend(drain(&mut spool));
        assert_eq!(lines.len(), 12_001);
        for (index, line) in lines.iter().enumerate() {
            assert_eq!(usize::try_from(line.seq).unwrap(), index + 1);
            assert_eq!(number(line), index + 1);
        }
        push(&mut spool, "after");
        assert_eq!(drain(&mut spool)[0].seq, 12_002);
        assert_eq!(spool.lost(), None);
        drop(spool);
        assert!(!folder.path().join("spool").exists());
    }

    #[test]
    fn while_the_server_answers_lines_wait_instead_of_going_to_disk() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = Spool::new(folder.path().join("spool"));
        let mut pushed = 0;
        let refused = loop {
            match spool.push(vec![line(format!("{pushed} {}", "x".repeat(1000)))], Server::Answers) {
                Ok(()) => pushed += 1,
                Err(back) => break back,
            }
        };
        assert_eq!(refused.len(), 1, "the line comes back");
        assert!(!folder.path().join("spool").exists());
        assert_eq!(drain(&mut spool).len(), pushed);
        spool.push(refused, Server::Answers).unwrap();
        assert_eq!(number(&drain(&mut spool)[0]), pushed);
    }

    #[test]
    fn what_finds_no_room_is_counted_and_told_in_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = Spool::new(folder.path().join("spool")).with_most_on_disk(100_000);
        for number in 0..4000 {
            push(&mut spool, format!("{number} {}", "x".repeat(1000)));
        }
        assert!(spool.push(vec![line("waits")], Server::Slow).is_err(), "a slow server is waited for");
        let mut lines = drain(&mut spool);
        push(&mut spool, "later");
        lines.extend(drain(&mut spool));
        let seqs: Vec<i64> = lines.iter().map(|line| line.seq).collect();
        assert_eq!(seqs, (1..=i64::try_from(lines.len()).unwrap()).collect::<Vec<_>>());
        let notice = lines.iter().position(|line| line.line.contains("were lost")).unwrap();
        assert!(lines[notice].line.contains(&format!("{} lines", 4000 - notice)), "{}", lines[notice].line);
        assert_eq!(notice, lines.len() - 2);
        assert_eq!(lines.last().unwrap().line, "later");
        let lost = spool.lost().unwrap().to_string();
        assert!(lost.starts_with(&format!("{} lines", 4000 - notice)) && lost.contains("away"), "{lost}");
    }

    #[test]
    fn a_disk_that_takes_nothing_costs_only_what_memory_cannot_hold() {
        let folder = tempfile::tempdir().unwrap();
        // A file stands where the folder would be.
        fs::write(folder.path().join("spool"), "").unwrap();
        let mut spool = filled(folder.path(), 3000);
        let lines = drain(&mut spool);
        assert!(lines.len() > 1500 && lines.last().unwrap().line.contains("the runner's disk took no more"));
        assert!(spool.lost().is_some());
        spool.push(vec![line("again")], Server::Answers).unwrap();
        assert_eq!(drain(&mut spool)[0].line, "again");
    }

    #[test]
    fn damaged_files_are_skipped_and_told() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = filled(folder.path(), 8000);
        let paths: Vec<PathBuf> = spool.segments.iter().map(|segment| segment.path.clone()).collect();
        let mut text = fs::read(&paths[0]).unwrap();
        let half = text.len() / 2;
        text[half..half + 2500].fill(b'#');
        fs::write(&paths[0], text).unwrap();
        fs::remove_file(&paths[1]).unwrap();
        let third = fs::read(&paths[2]).unwrap();
        fs::write(&paths[2], &third[..third.len() / 2]).unwrap();
        let lines = drain(&mut spool);
        let seqs: Vec<i64> = lines.iter().map(|line| line.seq).collect();
        assert_eq!(seqs, (1..=i64::try_from(lines.len()).unwrap()).collect::<Vec<_>>());
        let told: Vec<&str> =
            lines.iter().map(|line| line.line.as_str()).filter(|line| line.contains("lost")).collect();
        assert_eq!(told.len(), 3, "{told:?}");
        assert!(
            told[0].contains("damaged") && told[1].contains("cannot be read") && told[2].contains("damaged")
        );
        let lost = spool.lost().unwrap().lines;
        assert_eq!(lines.len() as u64 - 3 + lost, 8000);
    }
}
