//! Lines that are not delivered yet, in order: a little in memory; while the control plane is away the rest on disk, and
//! beyond a bound not at all.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;

use jiff::Timestamp;
use minitower_client::wire::runner::LogBatch;
use minitower_client::wire::runs::LogLine;

use super::line::{Line, Loss};
use super::segments::{ReadBack, Segments};

/// Bytes kept in memory before lines have to wait or go to disk.
const MEMORY_BYTES: usize = 2 * 1024 * 1024;
/// Bytes kept on disk before lines are lost.
const DISK_BYTES: u64 = 256 * 1024 * 1024;

/// How the control plane takes lines. It decides where those go that find no room in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Server {
    /// It takes them: they wait.
    Answers,
    /// It has not taken any for a while: to disk, and they wait when the disk takes none.
    Slow,
    /// It cannot be reached: to disk, and they are lost when the disk takes none.
    Away,
}

/// Why lines were not kept on disk.
#[derive(Debug, thiserror::Error)]
enum NotKept {
    /// So many were kept already.
    #[error("{mib} MiB of the log were waiting for it")]
    Enough {
        /// How many.
        mib: u64,
    },
    /// The disk takes no more.
    #[error("the runner's disk took no more lines: {0}")]
    Disk(#[from] io::Error),
}

/// The queue of one attempt's lines.
#[derive(Debug)]
pub(super) struct Spool {
    most_on_disk: u64,
    last_seq: i64,
    memory: VecDeque<Line>,
    memory_bytes: usize,
    /// As long as there is something, new lines go behind it.
    on_disk: Segments,
    /// Lines lost since the last line that was kept.
    gap: Loss,
    /// All that was lost.
    lost: Loss,
}

impl Spool {
    /// An empty spool; `folder` is made when it is needed.
    pub(super) fn new(folder: PathBuf) -> Self {
        Self {
            most_on_disk: DISK_BYTES,
            last_seq: 0,
            memory: VecDeque::new(),
            memory_bytes: 0,
            on_disk: Segments::new(folder),
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
        self.on_disk.is_empty() && self.memory_bytes < MEMORY_BYTES
    }

    /// Whether lines can be taken without the disk.
    pub(super) fn is_at_hand(&self) -> bool {
        !self.memory.is_empty() || self.on_disk.is_empty()
    }

    /// How many lines can be taken; files on disk count as many.
    pub(super) fn waiting(&self) -> usize {
        let files = if self.on_disk.is_empty() { 0 } else { LogBatch::MAX_LINES };
        self.memory.len() + files + usize::from(!self.gap.is_none())
    }

    /// Adds lines; returns them when they have to wait for [`Spool::take`].
    pub(super) fn push(&mut self, lines: Vec<Line>, server: Server) -> Result<(), Vec<Line>> {
        if lines.is_empty() {
            return Ok(());
        }
        if self.has_room() {
            self.tell_gap(lines[0].logged_at);
            self.keep(lines);
            return Ok(());
        }
        if server == Server::Answers {
            return Err(lines);
        }
        let reason = match self.write(&lines) {
            Ok(()) => return Ok(()),
            Err(_) if server == Server::Slow => return Err(lines),
            Err(error) => format!("the control plane was away, and {error}"),
        };
        let loss = Loss::of(lines.iter().map(|line| line.text.as_str()), reason);
        self.gap.add(&loss);
        self.lost.add(&loss);
        Ok(())
    }

    fn keep(&mut self, lines: Vec<Line>) {
        self.memory_bytes += lines.iter().map(Line::bytes).sum::<usize>();
        self.memory.extend(lines);
    }

    /// Counts lines as lost that had been taken.
    pub(super) fn lose(&mut self, loss: &Loss) {
        self.lost.add(loss);
    }

    /// All that was lost.
    pub(super) fn lost(&self) -> Option<&Loss> {
        Some(&self.lost).filter(|lost| !lost.is_none())
    }

    /// Adds a line that says what was lost, at the place where it is missing.
    fn tell_gap(&mut self, at: Timestamp) {
        if !self.gap.is_none() {
            let notice = Line::of_runner(std::mem::take(&mut self.gap), at);
            self.keep(vec![notice]);
        }
    }

    /// Writes all of the lines, or none.
    fn write(&mut self, lines: &[Line]) -> Result<(), NotKept> {
        let bytes = self.on_disk.bytes();
        if bytes >= self.most_on_disk {
            return Err(NotKept::Enough { mib: bytes >> 20 });
        }
        let told = (!self.gap.is_none()).then(|| Line::of_runner(&self.gap, lines[0].logged_at));
        self.on_disk.write(told.iter().chain(lines))?;
        self.gap = Loss::default();
        Ok(())
    }

    /// Takes the oldest lines, at most `most`, each with its number in the log.
    pub(super) fn take(&mut self, most: usize) -> Vec<LogLine> {
        while self.memory.is_empty()
            && let Some(read) = self.on_disk.take()
        {
            self.take_back(read);
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
            taken.push(LogLine { seq: self.last_seq, stream, line: text, logged_at: logged_at.into() });
        }
        if self.memory.is_empty() {
            // A log that was long once need not stay so in memory.
            self.memory.shrink_to(1024);
        }
        taken
    }

    /// Takes lines back into memory. Where lines are missing, a line says so.
    fn take_back(&mut self, read: ReadBack) {
        let ReadBack { mut lines, missing } = read;
        if let Some((place, loss)) = missing {
            let at = lines.first().map_or_else(crate::clock::wall, |line| line.logged_at);
            lines.insert(place, Line::of_runner(&loss, at));
            self.lost.add(&loss);
        }
        self.keep(lines);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use minitower_client::wire::runs::Stream;

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
        assert!(spool.on_disk.paths().len() >= 2, "{:?}", spool.on_disk);
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
        let paths = spool.on_disk.paths();
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
        let lost = spool.lost().unwrap().lines();
        assert_eq!(lines.len() as u64 - 3 + lost, 8000);
    }
}
