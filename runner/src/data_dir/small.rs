//! The small files in the folder, and how much is free on its disk.

use std::io::{self, ErrorKind, Read};

use nix::sys::statvfs::fstatvfs;

use super::dir::DataDir;

/// Name of the file that is written to see whether one can be.
const PROBE: &str = "probe";
/// What is written into it.
const PROBE_BYTES: [u8; 4096] = [0x6d; 4096];
/// Free bytes and files below which a disk counts as full.
const LEAST_BYTES: u64 = 16 * 1024 * 1024;
const LEAST_FILES: u64 = 256;

/// How much is free on the disk of the runner's folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Room {
    /// Bytes.
    pub(crate) bytes: u64,
    /// Files; `None` where the file system has no bound for them.
    pub(crate) files: Option<u64>,
}

impl Room {
    /// Whether too little is free for anything.
    pub(crate) fn is_full(self) -> bool {
        self.bytes < LEAST_BYTES || self.files.is_some_and(|files| files < LEAST_FILES)
    }
}

impl DataDir {
    /// How much is free.
    pub(crate) fn room(&self) -> io::Result<Room> {
        let found = fstatvfs(&self.root_folder)?;
        let files = (found.files() > 0).then(|| found.files_available());
        Ok(Room { bytes: found.blocks_available().saturating_mul(found.fragment_size()), files })
    }

    /// Writes a small file, reads it back and removes it: whether the folder can be used.
    pub(crate) fn probe(&self) -> io::Result<()> {
        self.root_folder.remove_file(PROBE)?;
        let written = self.root_folder.write_new(PROBE, &PROBE_BYTES).map(drop);
        let read = written.and_then(|()| {
            let mut bytes = Vec::new();
            self.root_folder.open_file(PROBE)?.read_to_end(&mut bytes)?;
            if bytes == PROBE_BYTES {
                Ok(())
            } else {
                Err(io::Error::other("a file reads other than written"))
            }
        });
        read.and(self.root_folder.remove_file(PROBE))
    }

    /// Reads one of the small files; `None` when it is missing or empty.
    pub(crate) fn read(&self, name: &str) -> io::Result<Option<String>> {
        let mut text = String::new();
        match self.root_folder.open_file(name).and_then(|mut file| file.read_to_string(&mut text)) {
            Ok(_) => Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes one of the small files, mode 0600, whole or not at all.
    pub(crate) fn write(&self, name: &str, text: &str) -> io::Result<()> {
        let new = format!("{name}.new");
        self.root_folder.remove_file(&new)?;
        self.root_folder.write_new(new.as_str(), text.as_bytes())?.sync_all()?;
        self.root_folder.rename(&new, name)
    }

    /// Removes one of the small files, if it is there.
    pub(crate) fn remove(&self, name: &str) -> io::Result<()> {
        self.root_folder.remove_file(name)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn small_files_are_private_and_hold_only_their_text() {
        let base = tempfile::tempdir().unwrap();
        let data_dir = DataDir::open(base.path(), "r").unwrap();
        assert_eq!(data_dir.read("token").unwrap(), None);
        data_dir.write("token", "mtr_x").unwrap();
        assert_eq!(data_dir.read("token").unwrap().as_deref(), Some("mtr_x"));
        let path = base.path().join("r/token");
        assert_eq!(fs::read(&path).unwrap(), b"mtr_x");
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(&base.path().join("r/work")), 0o700);
        data_dir.remove("token").unwrap();
        data_dir.remove("token").unwrap();
        assert_eq!(data_dir.read("token").unwrap(), None);
    }
}
