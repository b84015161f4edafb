//! A disk like a cloud's: a library, preloaded into the server, that makes each `fsync` and `fdatasync` take longer.
//!
//! A local disk answers a sync in a tenth of a millisecond, a network volume in one or two. The library adds the difference to the
//! call and leaves everything else as it is: the data still goes to the real disk. Syncs that run at the same time wait at the same
//! time, as the requests of a network volume do.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use std::{fs, io};

use crate::BenchError;

const SOURCE: &str = include_str!("slow-disk.c");

/// The built library.
#[derive(Debug, Clone)]
pub struct SlowDisk {
    library: PathBuf,
}

impl SlowDisk {
    /// Compiles the library into `folder` with the C compiler that the product's build needs too.
    pub fn build(folder: &Path) -> Result<Self, BenchError> {
        fs::create_dir_all(folder).map_err(BenchError::io("cannot make the folder of the slow disk"))?;
        let folder = fs::canonicalize(folder).map_err(BenchError::io("cannot find a folder"))?;
        let (source, library) = (folder.join("slow-disk.c"), folder.join("slow-disk.so"));
        fs::write(&source, SOURCE).map_err(BenchError::io("cannot write the slow disk's source"))?;
        let mut compile = Command::new("cc");
        compile.args(["-O2", "-Wall", "-Werror", "-shared", "-fPIC", "-o"]).arg(&library).arg(&source);
        let status = compile.status().map_err(BenchError::io("cannot start cc"))?;
        if !status.success() {
            let source = io::Error::other(status.to_string());
            return Err(BenchError::Io { what: "cc cannot compile the slow disk".to_owned(), source });
        }
        Ok(Self { library })
    }

    /// The variables for a server on a disk whose syncs take `more`.
    pub fn env(&self, more: Duration) -> Vec<(String, String)> {
        vec![
            ("LD_PRELOAD".to_owned(), self.library.display().to_string()),
            ("SLOW_DISK_US".to_owned(), more.as_micros().to_string()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_sync_takes_that_much_longer() {
        let folder = tempfile::tempdir().unwrap();
        let disk = SlowDisk::build(folder.path()).unwrap();
        let more = Duration::from_millis(300);
        let began = Instant::now();
        // `sync FILE` of coreutils is one fsync.
        let status =
            Command::new("sync").arg(folder.path().join("slow-disk.c")).envs(disk.env(more)).status();
        assert!(status.unwrap().success());
        assert!(began.elapsed() >= more, "{:?}", began.elapsed());
    }
}
