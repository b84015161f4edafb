//! Last words, where Kubernetes looks for them (`terminationMessagePath`): whose end a container's end is, and why it came.
//!
//! The first line is the instance id; an operator reports with it that this very process has ended. The second, if there is one, is the
//! error that ended the runner. Nothing that goes wrong here ends a runner.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

/// Where Kubernetes looks unless a pod says otherwise.
const DEFAULT: &str = "/dev/termination-log";
/// Longest error, in characters; Kubernetes keeps 4096 bytes of a container's message.
const MAX_ERROR: usize = 1000;

/// The file for last words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TerminationLog {
    path: PathBuf,
    /// Somebody asked for it: it is made when it is missing, and trouble with it deserves a warning.
    asked_for: bool,
}

impl TerminationLog {
    /// The file given, or Kubernetes' own if that is there.
    pub fn new(given: Option<&str>) -> Self {
        match given.map(str::trim).filter(|given| !given.is_empty()) {
            Some(given) => Self { path: PathBuf::from(given), asked_for: true },
            None => Self { path: PathBuf::from(DEFAULT), asked_for: false },
        }
    }

    /// Empties the file: what a former process left there is not this one's.
    pub fn begin(&self) {
        self.report(self.open().and_then(|file| file.set_len(0)));
    }

    /// Writes the first line.
    pub(crate) fn tell_instance(&self, id: &str) {
        self.report(self.open().and_then(|mut file| {
            file.set_len(0)?;
            writeln!(file, "{id}")
        }));
    }

    /// Writes the second line, behind an empty one when there is no instance yet.
    pub fn tell_error(&self, error: &str) {
        let error: String =
            error.chars().take(MAX_ERROR).map(|c| if c.is_control() { ' ' } else { c }).collect();
        self.report(self.open().and_then(|mut file| {
            let empty = if file.metadata()?.len() == 0 { "\n" } else { "" };
            writeln!(file, "{empty}{error}")
        }));
    }

    fn open(&self) -> io::Result<File> {
        let file = OpenOptions::new()
            .append(true)
            .create(self.asked_for)
            // A pipe without a reader must not hold the runner up.
            .custom_flags(nix::fcntl::OFlag::O_NONBLOCK.bits())
            .open(&self.path)?;
        if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is not a file")) }
    }

    fn report(&self, written: io::Result<()>) {
        let Err(error) = written else { return };
        let path = self.path.display();
        if self.asked_for {
            tracing::warn!(%error, "MINITOWER_TERMINATION_LOG: cannot write to {path}");
        } else {
            tracing::debug!(%error, "cannot write to {path}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    fn log_at(path: &Path) -> TerminationLog {
        TerminationLog::new(path.to_str())
    }

    #[test]
    fn the_instance_is_the_first_line_and_the_error_the_second() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let log = log_at(&path);
        log.begin();
        log.tell_instance("id");
        assert_eq!(fs::read_to_string(&path).unwrap(), "id\n");
        log.tell_error("it broke:\nin two places");
        assert_eq!(fs::read_to_string(&path).unwrap(), "id\nit broke: in two places\n");
    }

    #[test]
    fn an_error_before_there_is_an_instance_is_the_second_line_too() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "of-a-former-process\n").unwrap();
        let log = log_at(file.path());
        log.begin();
        log.tell_error("no configuration");
        assert_eq!(fs::read_to_string(file.path()).unwrap(), "\nno configuration\n");
    }

    #[test]
    fn what_is_no_file_is_left_alone_and_unasked_for_nothing_is_made() {
        let folder = tempfile::tempdir().unwrap();
        for path in [Path::new("/dev/null"), folder.path(), Path::new("/does/not/exist/log")] {
            assert!(log_at(path).open().is_err(), "{path:?}");
            log_at(path).tell_instance("id");
        }
        let unasked = TerminationLog { path: folder.path().join("log"), asked_for: false };
        unasked.tell_instance("id");
        assert!(!folder.path().join("log").exists());
    }

    #[test]
    fn an_empty_path_counts_as_none() {
        assert_eq!(TerminationLog::new(Some(" ")), TerminationLog::new(None));
    }
}
