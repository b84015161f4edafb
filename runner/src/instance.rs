//! Which process this is, and which former processes of this folder may have left an attempt open.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::data_dir::DataDir;

/// File in the data directory: one id a line, this process first.
const FILE: &str = "instance";
/// Former processes that are remembered; more can only come from crashes in a row before the first poll.
const MOST_FORMER: usize = 8;
/// Where Kubernetes takes a container's last words from; the operator reads there whose end it has to report.
const TERMINATION_LOG: &str = "/dev/termination-log";

/// This process and its unfinished predecessors.
#[derive(Debug)]
pub(crate) struct Instance {
    id: String,
    former: Vec<String>,
}

impl Instance {
    /// Draws a fresh id and keeps it, in front of the former ones, before any lease can be given to it.
    pub(crate) fn begin(data_dir: &DataDir) -> io::Result<Self> {
        let former = data_dir.read(FILE)?.unwrap_or_default();
        let former = former.lines().map(str::to_owned).take(MOST_FORMER).collect();
        let instance = Self { id: uuid::Uuid::new_v4().to_string(), former };
        instance.keep(data_dir)?;
        if let Err(error) = tell_kubernetes(Path::new(TERMINATION_LOG), &instance.id) {
            tracing::debug!(%error, "no instance id in {TERMINATION_LOG}");
        }
        Ok(instance)
    }

    /// This process.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// The former process to name in the next poll. All of them are dead: we hold their lock.
    pub(crate) fn supersedes(&self) -> Option<&str> {
        self.former.first().map(String::as_str)
    }

    /// A poll was refused because an attempt is open: it may be that of another former process.
    pub(crate) fn try_next(&mut self) {
        if !self.former.is_empty() {
            self.former.rotate_left(1);
        }
    }

    /// A poll went through: nothing of former processes is open any more.
    pub(crate) fn settle(&mut self, data_dir: &DataDir) -> io::Result<()> {
        if self.former.is_empty() {
            return Ok(());
        }
        self.former.clear();
        self.keep(data_dir)
    }

    fn keep(&self, data_dir: &DataDir) -> io::Result<()> {
        let ids: Vec<&str> = std::iter::once(&self.id).chain(&self.former).map(String::as_str).collect();
        data_dir.write(FILE, &ids.join("\n"))
    }
}

/// Writes the id where Kubernetes looks, if that is there.
fn tell_kubernetes(path: &Path, id: &str) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .truncate(true)
        .custom_flags(nix::fcntl::OFlag::O_NONBLOCK.bits())
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    file.write_all(id.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn former_processes_are_remembered_until_a_poll_goes_through() {
        let base = tempfile::tempdir().unwrap();
        let data_dir = DataDir::open(base.path(), "r").unwrap();
        let mut first = Instance::begin(&data_dir).unwrap();
        assert_eq!(first.supersedes(), None);
        first.settle(&data_dir).unwrap();
        let second = Instance::begin(&data_dir).unwrap();
        assert_eq!(second.supersedes(), Some(first.id()));
        // It ends before its first poll: the third still has to end the first one's attempt.
        let mut third = Instance::begin(&data_dir).unwrap();
        assert_eq!(third.supersedes(), Some(second.id()));
        third.try_next();
        assert_eq!(third.supersedes(), Some(first.id()));
        third.settle(&data_dir).unwrap();
        let fourth = Instance::begin(&data_dir).unwrap();
        assert_eq!(fourth.supersedes(), Some(third.id()));
        assert_eq!(fourth.former.len(), 1);
    }

    #[test]
    fn the_termination_log_gets_the_id_if_it_is_a_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "older and longer text").unwrap();
        tell_kubernetes(file.path(), "id").unwrap();
        assert_eq!(std::fs::read_to_string(file.path()).unwrap(), "id");
        assert!(tell_kubernetes(Path::new("/dev/null"), "id").is_err());
        assert!(tell_kubernetes(Path::new("/does/not/exist"), "id").is_err());
    }
}
