//! What the jobs say of themselves: one file a process, in a folder of shared memory that jobs may write to.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::history::{Ended, Life, Moment};

/// Memory outlives no machine, but is quick. Jobs have one of their own; the runners are told to let them write here.
const SHARED_MEMORY: &str = "/dev/shm";
/// What `/proc/uptime` cuts off, in microseconds.
const UPTIME_CUT: i64 = 10_000;

/// The folder of one test's witnesses; gone when dropped.
#[derive(Debug)]
pub(crate) struct Witnesses(TempDir);

impl Witnesses {
    /// An empty folder.
    pub(crate) fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("minitower-crash-").tempdir_in(SHARED_MEMORY);
        Self(
            folder
                .unwrap_or_else(|error| panic!("{SHARED_MEMORY} is needed for the jobs' witnesses: {error}")),
        )
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// What every process has said so far.
    pub(crate) fn lives(&self) -> Vec<Life> {
        let files: Vec<PathBuf> = fs::read_dir(self.path()).unwrap().map(|it| it.unwrap().path()).collect();
        files.iter().filter_map(|path| read(path, &fs::read_to_string(path).unwrap())).collect()
    }
}

/// Reads one process's file, named `RUN.ATTEMPT.PID`; `None` when it was killed before its first line.
fn read(path: &Path, text: &str) -> Option<Life> {
    let name = path.file_name().unwrap().to_str().unwrap();
    let mut ids = name.split('.').map(|id| id.parse().unwrap_or_else(|_| panic!("a witness named {name}")));
    let (run, attempt) = (ids.next().unwrap(), ids.next().unwrap());
    let mut life: Option<Life> = None;
    // A process that was killed while it wrote leaves a last line without an end.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    for line in whole.lines() {
        let (words, time) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{name} says {line:?}"));
        let (at, cut) = moment(time).unwrap_or_else(|| panic!("{name} says {line:?}"));
        let words: Vec<&str> = words.split(' ').collect();
        match (&mut life, words.as_slice()) {
            (None, ["begin", role]) => {
                let is_main = *role == "main";
                life = Some(Life { run, attempt, is_main, first: at, last: at, cut, ended: None });
            }
            (Some(life), ["alive"]) => life.last = at,
            (Some(life), ["end", code, lines]) => {
                life.last = at;
                life.ended = Some(Ended { code: code.parse().unwrap(), lines: lines.parse().unwrap() });
            }
            _ => panic!("{name} says {line:?}"),
        }
    }
    life
}

/// A time as `clock_gettime_ns` gives it, or as `/proc/uptime` does, and what the latter cuts off.
fn moment(text: &str) -> Option<(Moment, i64)> {
    match text.split_once('.') {
        None => Some((text.parse::<i64>().ok()? / 1000, 0)),
        Some((seconds, hundredths)) if hundredths.len() == 2 => {
            let (seconds, hundredths): (i64, i64) = (seconds.parse().ok()?, hundredths.parse().ok()?);
            Some((seconds * 1_000_000 + hundredths * 10_000, UPTIME_CUT))
        }
        Some(_) => None,
    }
}

#[test]
fn a_witness_is_read_up_to_its_last_whole_line() {
    let path = Path::new("7.9.1234");
    let life = read(path, "begin main 1000000\nalive 3000000\nend 3 20 4000000\n").unwrap();
    assert_eq!((life.run, life.attempt, life.is_main, life.first, life.last), (7, 9, true, 1000, 4000));
    assert_eq!(life.ended, Some(Ended { code: 3, lines: 20 }));
    let life = read(path, "begin child 12.34\nalive 12.39\nalive 12.4").unwrap();
    assert_eq!((life.is_main, life.first, life.last, life.cut), (false, 12_340_000, 12_390_000, 10_000));
    assert_eq!(life.ended, None);
    assert!(read(path, "begin ma").is_none());
}
