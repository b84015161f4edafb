//! Lines on disk: files that are written one after the other, and read back whole.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use super::line::{Line, Loss};

/// Bytes of one file; a file is read back whole.
const SEGMENT_BYTES: u64 = 1024 * 1024;

/// The files of one attempt, oldest first.
#[derive(Debug)]
pub(super) struct Segments {
    folder: PathBuf,
    waiting: VecDeque<Segment>,
    next: u64,
    /// The last segment's file.
    writer: Option<File>,
}

#[derive(Debug)]
struct Segment {
    path: PathBuf,
    bytes: u64,
    lines: u64,
}

/// What a file gave back.
#[derive(Debug)]
pub(super) struct ReadBack {
    pub(super) lines: Vec<Line>,
    /// What is missing, and before which of the lines.
    pub(super) missing: Option<(usize, Loss)>,
}

impl Segments {
    /// No files yet; `folder` is made when it is needed, and removed with this value.
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder, waiting: VecDeque::new(), next: 1, writer: None }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Bytes of all files.
    pub(super) fn bytes(&self) -> u64 {
        self.waiting.iter().map(|segment| segment.bytes).sum()
    }

    /// Writes all of the lines, or none.
    pub(super) fn write<'l>(&mut self, lines: impl Iterator<Item = &'l Line>) -> io::Result<()> {
        let mut text = Vec::new();
        let mut count = 0;
        for line in lines {
            serde_json::to_writer(&mut text, line)?;
            text.push(b'\n');
            count += 1;
        }
        self.write_bytes(&text)?;
        if let Some(segment) = self.waiting.back_mut() {
            segment.bytes += text.len() as u64;
            segment.lines += count;
        }
        Ok(())
    }

    fn write_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        let current = self.waiting.back().map_or(u64::MAX, |segment| segment.bytes);
        let file = match &mut self.writer {
            Some(file) if current < SEGMENT_BYTES => file,
            _ => {
                fs::create_dir_all(&self.folder)?;
                let path = self.folder.join(format!("{:08}.jsonl", self.next));
                let file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(&path)?;
                self.next += 1;
                self.waiting.push_back(Segment { path, bytes: 0, lines: 0 });
                self.writer.insert(file)
            }
        };
        let written = file.write_all(bytes);
        if written.is_err() {
            let whole = self.waiting.back().map_or(0, |segment| segment.bytes);
            // Half a line would look like a damaged one. A file that cannot even be cut is left alone.
            if file.set_len(whole).is_err() {
                self.writer = None;
            }
        }
        written
    }

    /// Reads the oldest file back, and removes it. `None`: there is none.
    pub(super) fn take(&mut self) -> Option<ReadBack> {
        let segment = self.waiting.pop_front()?;
        if self.waiting.is_empty() {
            self.writer = None;
        }
        Some(read_back(&segment))
    }

    #[cfg(test)]
    pub(super) fn paths(&self) -> Vec<PathBuf> {
        self.waiting.iter().map(|segment| segment.path.clone()).collect()
    }
}

/// Reads a file back. Damaged lines are skipped and counted.
fn read_back(segment: &Segment) -> ReadBack {
    let (bytes, trouble) = match fs::read(&segment.path) {
        Ok(bytes) => (bytes, "what the runner kept of it on its disk was damaged".to_owned()),
        Err(error) => (Vec::new(), format!("what the runner kept of it on its disk cannot be read: {error}")),
    };
    let _left_for_the_next_start = fs::remove_file(&segment.path);
    let read: Vec<Option<Line>> = bytes
        .split(|byte| *byte == b'\n')
        .filter(|text| !text.is_empty())
        .map(|text| serde_json::from_slice(text).ok())
        .collect();
    let damaged = read.iter().position(Option::is_none).unwrap_or(read.len());
    let lines: Vec<Line> = read.into_iter().flatten().collect();
    let whole = (lines.len() as u64).min(segment.lines);
    let missing = (whole < segment.lines).then(|| {
        let good: usize = lines.iter().map(|line| line.text.len()).sum();
        let loss = Loss::new(segment.lines - whole, segment.bytes.saturating_sub(good as u64), trouble);
        // Nothing before the first damaged line is missing.
        (damaged.min(lines.len()), loss)
    });
    ReadBack { lines, missing }
}

impl Drop for Segments {
    fn drop(&mut self) {
        let _never_made = fs::remove_dir_all(&self.folder);
    }
}
