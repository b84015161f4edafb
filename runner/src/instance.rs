//! The id of this process, and of former processes of this folder that may have left an attempt open.

use std::io;

use crate::data_dir::DataDir;

/// File in the data directory: one id a line, this process first.
const FILE: &str = "instance";
/// Former processes that are remembered; more can only come from crashes in a row before the first poll.
const MOST_FORMER: usize = 8;

/// This process and its unfinished predecessors.
#[derive(Debug)]
pub(crate) struct Instance {
    id: String,
    former: Vec<String>,
}

impl Instance {
    /// Draws a fresh id and stores it in front of the former ones, before any lease can be granted to it.
    pub(crate) fn begin(data_dir: &DataDir) -> io::Result<Self> {
        let former = data_dir.read(FILE)?.unwrap_or_default();
        let former = former.lines().map(str::to_owned).take(MOST_FORMER).collect();
        let instance = Self { id: uuid::Uuid::new_v4().to_string(), former };
        instance.keep(data_dir)?;
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

    /// A poll was refused because an attempt is open. It may belong to another former process.
    pub(crate) fn try_next(&mut self) {
        if !self.former.is_empty() {
            self.former.rotate_left(1);
        }
    }

    /// A poll went through: no attempt of a former process is open.
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
}
