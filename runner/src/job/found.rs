//! What a job left in its artifacts folder.
//!
//! The job decides what is there, so nothing is opened by its path: every folder on the way is opened from the one before it,
//! and no link is followed.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use minitower_daemon::errors::chain;
use nix::dir::Dir;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{Mode, SFlag, fstatat};

use crate::folder::Folder;

/// Files and folders that are looked at.
const MOST_ENTRIES: usize = 20_000;
/// Longest path.
const MOST_PATH_BYTES: usize = 1024;
/// Deepest folder; each holds a descriptor while what is below it is looked for.
const MOST_LEVELS: usize = 32;
/// How everything is opened. A pipe that a job left is not waited for.
const OPEN: OFlag = OFlag::O_RDONLY.union(OFlag::O_NOFOLLOW).union(OFlag::O_NONBLOCK).union(OFlag::O_CLOEXEC);

/// A plain file.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Artifact {
    /// From the artifacts folder on, `/` between components.
    pub(super) path: String,
    pub(super) bytes: u64,
}

/// What is in an artifacts folder.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// By path.
    pub(super) files: Vec<Artifact>,
    /// Why others are none.
    pub(super) refused: Vec<String>,
    entries: usize,
}

/// Looks through the folder. Yields a descriptor of it too, for [`open_beneath`].
pub(super) fn look(folder: &Folder) -> io::Result<(OwnedFd, Found)> {
    let root = folder.as_fd().try_clone_to_owned()?;
    let mut found = Found::default();
    found.look_into(root.try_clone()?, "", MOST_LEVELS)?;
    found.files.sort();
    Ok((root, found))
}

/// Why something that the job left is not an artifact.
#[derive(Debug, thiserror::Error)]
enum NotTaken {
    #[error("its name has control characters")]
    ControlCharacters,
    #[error("its path is longer than {MOST_PATH_BYTES} bytes")]
    LongPath,
    #[error("it is more than {MOST_LEVELS} folders deep")]
    TooDeep,
    #[error("it is a link")]
    Link,
    #[error("it is not a plain file")]
    NotPlain,
    #[error("it cannot be read")]
    Unreadable(#[source] io::Error),
}

impl Found {
    fn look_into(&mut self, folder: OwnedFd, prefix: &str, levels: usize) -> io::Result<()> {
        let mut folder = Dir::from_fd(folder)?;
        let names: Vec<_> = folder.iter().collect::<Result<_, _>>()?;
        for entry in names {
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            self.entries += 1;
            if self.entries == MOST_ENTRIES + 1 {
                self.refused.push(format!(
                    "there are more than {MOST_ENTRIES} files and folders; the rest is ignored"
                ));
            }
            if self.entries > MOST_ENTRIES {
                return Ok(());
            }
            let Ok(text) = name.to_str() else {
                self.refused.push(format!("{prefix:?}, {:?}: its name is not UTF-8", name.to_string_lossy()));
                continue;
            };
            let path = if prefix.is_empty() { text.to_owned() } else { format!("{prefix}/{text}") };
            if let Err(error) = self.look_at(&folder, name, &path, levels) {
                self.refused.push(format!("{path:?}: {}", chain(&error)));
            }
        }
        Ok(())
    }

    fn look_at(
        &mut self,
        folder: &Dir,
        name: &std::ffi::CStr,
        path: &str,
        levels: usize,
    ) -> Result<(), NotTaken> {
        // Checked for each name on the way, folders too.
        if path.contains(char::is_control) {
            return Err(NotTaken::ControlCharacters);
        }
        if path.len() > MOST_PATH_BYTES {
            return Err(NotTaken::LongPath);
        }
        let unreadable = |error: nix::Error| NotTaken::Unreadable(error.into());
        let status = fstatat(folder, name, AtFlags::AT_SYMLINK_NOFOLLOW).map_err(unreadable)?;
        match SFlag::from_bits_truncate(status.st_mode) & SFlag::S_IFMT {
            SFlag::S_IFREG => {
                let bytes = u64::try_from(status.st_size).unwrap_or(0);
                self.files.push(Artifact { path: path.to_owned(), bytes });
                Ok(())
            }
            SFlag::S_IFDIR if levels == 0 => Err(NotTaken::TooDeep),
            SFlag::S_IFDIR => {
                let below =
                    openat(folder, name, OPEN | OFlag::O_DIRECTORY, Mode::empty()).map_err(unreadable)?;
                self.look_into(below, path, levels - 1).map_err(NotTaken::Unreadable)
            }
            SFlag::S_IFLNK => Err(NotTaken::Link),
            _ => Err(NotTaken::NotPlain),
        }
    }
}

/// Opens a plain file without following a link on the way to it.
pub(super) fn open_beneath(root: &OwnedFd, path: &str) -> io::Result<File> {
    let (folders, name) = path.rsplit_once('/').unwrap_or(("", path));
    let mut folder = root.try_clone()?;
    for component in folders.split('/').filter(|component| !component.is_empty()) {
        folder = openat(folder.as_fd(), component, OPEN | OFlag::O_DIRECTORY, Mode::empty())?;
    }
    let file = File::from(openat(folder.as_fd(), name, OPEN, Mode::empty())?);
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a plain file"));
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Read;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use super::*;

    fn found(folder: &Path) -> (OwnedFd, Found) {
        look(&Folder::open(folder).unwrap()).unwrap()
    }

    #[test]
    fn plain_files_are_found_by_path_and_everything_else_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        fs::create_dir_all(at("b/c")).unwrap();
        for (path, text) in [("z", ""), ("b/c/deep.csv", "1,2"), ("b/ü .txt", "x"), ("a", "abc")] {
            fs::write(at(path), text).unwrap();
        }
        symlink("/etc/passwd", at("passwd")).unwrap();
        symlink("/etc", at("b/etc")).unwrap();
        nix::unistd::mkfifo(&at("pipe"), Mode::S_IRWXU).unwrap();
        fs::write(folder.path().join(std::ffi::OsStr::from_bytes(b"\xff")), "").unwrap();
        let (root, found) = found(folder.path());
        let files: Vec<(&str, u64)> =
            found.files.iter().map(|file| (file.path.as_str(), file.bytes)).collect();
        assert_eq!(files, [("a", 3), ("b/c/deep.csv", 3), ("b/ü .txt", 1), ("z", 0)]);
        assert_eq!(found.refused.len(), 4, "{:?}", found.refused);
        for part in [
            "\"passwd\": it is a link",
            "\"b/etc\": it is a link",
            "\"pipe\": it is not a plain",
            "not UTF-8",
        ] {
            assert!(
                found.refused.iter().any(|refusal| refusal.contains(part)),
                "{part}: {:?}",
                found.refused
            );
        }
        let mut text = String::new();
        open_beneath(&root, "b/c/deep.csv").unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "1,2");
        for path in ["passwd", "b/etc/passwd", "pipe", "b", "missing"] {
            assert!(open_beneath(&root, path).is_err(), "{path}");
        }
    }

    #[test]
    fn names_that_urls_would_change_are_refused_and_told() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        fs::create_dir_all(at(".\n./deep")).unwrap();
        for path in ["ab.txt", "ab\t.txt", "c\r", "d\u{1b}[2J", ".\n./deep/e"] {
            fs::write(at(path), path).unwrap();
        }
        let (_, found) = found(folder.path());
        assert_eq!(found.files, [Artifact { path: "ab.txt".to_owned(), bytes: 6 }]);
        assert_eq!(found.refused.len(), 4, "{:?}", found.refused);
        for refusal in &found.refused {
            assert!(refusal.ends_with("its name has control characters"), "{refusal}");
            assert!(!refusal.contains(char::is_control), "{refusal:?}");
        }
    }

    #[test]
    fn depth_and_number_are_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let deep: std::path::PathBuf = (0..MOST_LEVELS + 5).map(|_| "d").collect();
        fs::create_dir_all(folder.path().join(&deep)).unwrap();
        fs::write(folder.path().join(&deep).join("file"), "").unwrap();
        let many = folder.path().join("many");
        fs::create_dir(&many).unwrap();
        for number in 0..MOST_ENTRIES {
            File::create(many.join(number.to_string())).unwrap();
        }
        let (_, found) = found(folder.path());
        assert!(found.files.len() <= MOST_ENTRIES);
        assert!(found.refused.iter().any(|refusal| refusal.contains("the rest is ignored")));
        assert!(found.files.iter().all(|file| file.path.starts_with("many/")));
    }
}
