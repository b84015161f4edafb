//! A folder that is held open, and what is done in it: relative to the descriptor, never through a link.
//!
//! Whoever can write into a folder can put a link where a name was a moment ago. A path is only as good as the folders it
//! leads through; a descriptor stays what it was.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path};
use std::sync::Arc;

use nix::NixPath;
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, open, openat, openat2, renameat};
use nix::sys::stat::{FchmodatFlags, FileStat, Mode, fchmod, fchmodat, fstat, fstatat, mkdirat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use crate::removal::{FOLDER, remove_entry};

/// How a file is made: as a new one, never through a link or onto something that is there.
const NEW_FILE: OFlag =
    OFlag::O_RDWR.union(OFlag::O_CREAT).union(OFlag::O_EXCL).union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);
/// How a file that somebody else wrote is read: no pipe is waited for, no terminal becomes ours.
const READ: OFlag = OFlag::O_RDONLY.union(OFlag::O_NONBLOCK).union(OFlag::O_NOCTTY).union(OFlag::O_CLOEXEC);
/// Bits of a mode that are looked at.
const RIGHTS: u32 = 0o7777;

/// A folder, held open. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Folder(Arc<OwnedFd>);

impl AsFd for Folder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Folder {
    /// Opens a folder by a path that is trusted.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        Ok(Self(Arc::new(open(path, flags, Mode::empty())?)))
    }

    /// Opens the folder `name`, which must be one itself and no link to one.
    pub(crate) fn enter<N: ?Sized + NixPath>(&self, name: &N) -> io::Result<Self> {
        Ok(Self(Arc::new(openat(self, name, FOLDER, Mode::empty())?)))
    }

    /// Makes the folder `name`, which may not be there yet, private to its user.
    pub(crate) fn make<N: ?Sized + NixPath>(&self, name: &N) -> io::Result<Self> {
        mkdirat(self, name, Mode::S_IRWXU)?;
        self.enter(name)
    }

    /// Opens the private folder `name`, making it when it is missing, and giving its user all rights when it has not.
    pub(crate) fn make_or_enter<N: ?Sized + NixPath>(&self, name: &N) -> io::Result<Self> {
        match mkdirat(self, name, Mode::S_IRWXU) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(error) => return Err(error.into()),
        }
        let folder = match self.enter(name) {
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                self.set_mode_of(name, 0o700)?;
                self.enter(name)?
            }
            opened => opened?,
        };
        folder.restore_mode(0o700)?;
        Ok(folder)
    }

    /// The same, where the name is the runner's: what else has it, a link or a file, goes.
    pub(crate) fn claim(&self, name: &str) -> io::Result<Self> {
        match self.make_or_enter(name) {
            Err(error) if is_no_folder(&error) => {
                self.remove_file(name)?;
                self.make_or_enter(name)
            }
            opened => opened,
        }
    }

    /// Writes a small file anew, whatever has its name.
    pub(crate) fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        remove_entry(self.as_fd(), &CString::new(name)?)?;
        self.write_new(name, bytes).map(drop)
    }

    /// Makes the file `name`, which may not be there yet, private to its user.
    pub(crate) fn create_new<N: ?Sized + NixPath>(&self, name: &N) -> io::Result<File> {
        Ok(openat(self, name, NEW_FILE, Mode::S_IRUSR | Mode::S_IWUSR)?.into())
    }

    /// Writes the file `name`, which may not be there yet, private to its user.
    pub(crate) fn write_new<N: ?Sized + NixPath>(&self, name: &N, bytes: &[u8]) -> io::Result<File> {
        let mut file = self.create_new(name)?;
        file.write_all(bytes)?;
        Ok(file)
    }

    /// Opens a plain file somewhere below for reading. Links are followed as long as they stay below; a kernel that cannot see to
    /// that (before Linux 5.6, or behind a filter) follows none.
    pub(crate) fn open_beneath(&self, path: &Path) -> io::Result<File> {
        let how = OpenHow::new()
            .flags(READ)
            .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS);
        let file: File = match openat2(self, path, how) {
            Err(Errno::ENOSYS | Errno::EPERM) => self.open_without_links(path)?,
            // Something above it was moved meanwhile: no answer at all, says openat2(2).
            Err(Errno::EAGAIN) => openat2(self, path, how)?.into(),
            opened => opened?.into(),
        };
        plain(file)
    }

    /// Opens the plain file `name` for reading, which must be one itself and no link to one.
    pub(crate) fn open_file<N: ?Sized + NixPath>(&self, name: &N) -> io::Result<File> {
        plain(openat(self, name, READ | OFlag::O_NOFOLLOW, Mode::empty())?.into())
    }

    fn open_without_links(&self, path: &Path) -> io::Result<File> {
        let mut folder = self.clone();
        let mut names = path.components().filter(|part| *part != Component::CurDir).peekable();
        while let Some(name) = names.next() {
            let Component::Normal(name) = name else { return Err(Errno::EXDEV.into()) };
            if names.peek().is_none() {
                return Ok(openat(&folder, name, READ | OFlag::O_NOFOLLOW, Mode::empty())?.into());
            }
            folder = folder.enter(name)?;
        }
        Err(ErrorKind::InvalidInput.into())
    }

    /// Moves the entry `name` into another folder.
    pub(crate) fn move_to(&self, name: &CStr, folder: &Self, new_name: &CStr) -> io::Result<()> {
        match renameat(self, name, folder, new_name) {
            // To move a folder is to write into it, for `..` changes.
            Err(Errno::EACCES) => {
                self.set_mode_of(name, 0o700)?;
                Ok(renameat(self, name, folder, new_name)?)
            }
            moved => Ok(moved?),
        }
    }

    /// Gives a file its name, in place of what had it.
    pub(crate) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(renameat(self, from, self, to)?)
    }

    /// Removes the file `name`, if it is there.
    pub(crate) fn remove_file(&self, name: &str) -> io::Result<()> {
        match unlinkat(self, name, UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The names of at most `most` entries.
    pub(crate) fn names(&self, most: usize) -> io::Result<Vec<CString>> {
        let mut names = Vec::new();
        for entry in Dir::openat(self, ".", FOLDER, Mode::empty())?.iter() {
            let entry = entry?;
            if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
                names.push(entry.file_name().to_owned());
            }
            if names.len() == most {
                break;
            }
        }
        Ok(names)
    }

    /// What the folder is, wherever it lies now.
    pub(crate) fn status(&self) -> io::Result<FileStat> {
        Ok(fstat(self)?)
    }

    /// What the entry `name` is; `None` when there is none.
    pub(crate) fn status_of<N: ?Sized + NixPath>(&self, name: &N) -> io::Result<Option<FileStat>> {
        match fstatat(self, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(status) => Ok(Some(status)),
            Err(Errno::ENOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Sets the folder's mode where it is another one. Says which it was then.
    pub(crate) fn restore_mode(&self, mode: u32) -> io::Result<Option<u32>> {
        let former = self.status()?.st_mode & RIGHTS;
        if former == mode {
            return Ok(None);
        }
        fchmod(self, Mode::from_bits_truncate(mode))?;
        Ok(Some(former))
    }

    /// Sets the mode of the entry `name`, which is no link.
    pub(crate) fn set_mode_of<N: ?Sized + NixPath>(&self, name: &N, mode: u32) -> io::Result<()> {
        Ok(fchmodat(self, name, Mode::from_bits_truncate(mode), FchmodatFlags::NoFollowSymlink)?)
    }
}

fn plain(file: File) -> io::Result<File> {
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::new(ErrorKind::InvalidInput, "it is not a plain file"))
    }
}

/// Whether an entry could not be entered because it is a file, or a link.
fn is_no_folder(error: &io::Error) -> bool {
    error.kind() == ErrorKind::NotADirectory || error.raw_os_error() == Some(nix::libc::ELOOP)
}

/// Whether two descriptions are of the same thing.
pub(crate) fn is_same(one: &FileStat, other: &FileStat) -> bool {
    (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Read;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn nothing_is_written_through_a_planted_link() {
        let place = tempfile::tempdir().unwrap();
        let victim = place.path().join("victim");
        fs::write(&victim, "whole").unwrap();
        fs::create_dir(place.path().join("w")).unwrap();
        let folder = Folder::open(&place.path().join("w")).unwrap();
        symlink(&victim, place.path().join("w/input.json")).unwrap();
        symlink("nowhere", place.path().join("w/dangling")).unwrap();
        for name in ["input.json", "dangling"] {
            let error = folder.write_new(name, b"x").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        }
        symlink(place.path(), place.path().join("w/folder")).unwrap();
        assert!(folder.enter("folder").is_err());
        assert!(folder.make_or_enter("folder").is_err());
        assert_eq!(fs::read(&victim).unwrap(), b"whole");
        assert!(!place.path().join("w/nowhere").exists());
    }

    #[test]
    fn the_runners_own_names_are_its_own_whatever_has_them() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::open(place.path()).unwrap();
        fs::write(place.path().join("whole"), "whole").unwrap();
        fs::create_dir_all(place.path().join("closed/below")).unwrap();
        fs::create_dir_all(place.path().join("stamp/deep")).unwrap();
        fs::set_permissions(place.path().join("closed"), fs::Permissions::from_mode(0o000)).unwrap();
        symlink("whole", place.path().join("link")).unwrap();
        fs::write(place.path().join("file"), "").unwrap();
        for name in ["closed", "link", "file", "new"] {
            let claimed = folder.claim(name).unwrap();
            assert_eq!(claimed.status().unwrap().st_mode & RIGHTS, 0o700, "{name}");
        }
        assert!(place.path().join("closed/below").is_dir(), "what was in it stays");
        symlink("whole", place.path().join("stamp-link")).unwrap();
        for name in ["stamp", "stamp-link", "stamp-new"] {
            folder.replace(name, b"1").unwrap();
            assert_eq!(fs::read(place.path().join(name)).unwrap(), b"1");
        }
        assert_eq!(fs::read(place.path().join("whole")).unwrap(), b"whole");
    }

    #[test]
    fn what_lies_below_is_read_and_nothing_else() {
        let place = tempfile::tempdir().unwrap();
        fs::write(place.path().join("secret"), "no").unwrap();
        fs::create_dir_all(place.path().join("w/a/b")).unwrap();
        fs::write(place.path().join("w/a/b/file"), "yes").unwrap();
        symlink("b/file", place.path().join("w/a/inside")).unwrap();
        symlink("../../secret", place.path().join("w/a/outside")).unwrap();
        symlink(place.path().join("secret"), place.path().join("w/absolute")).unwrap();
        symlink("..", place.path().join("w/up")).unwrap();
        symlink("/proc/self/root", place.path().join("w/magic")).unwrap();
        nix::unistd::mkfifo(&place.path().join("w/pipe"), Mode::S_IRWXU).unwrap();
        let folder = Folder::open(&place.path().join("w")).unwrap();
        let read = |path: &str| {
            let mut text = String::new();
            folder.open_beneath(Path::new(path))?.read_to_string(&mut text)?;
            io::Result::Ok(text)
        };
        for path in ["a/b/file", "./a/b/file", "a/inside"] {
            assert_eq!(read(path).unwrap(), "yes", "{path}");
        }
        for path in [
            "a/outside",
            "absolute",
            "up/secret",
            "../secret",
            "/etc/passwd",
            "magic/etc/passwd",
            "pipe",
            "a",
        ] {
            assert!(read(path).is_err(), "{path}");
        }
        let slow = |path: &str| folder.open_without_links(Path::new(path));
        assert!(slow("a/b/file").is_ok());
        for path in ["a/inside", "a/outside", "absolute", "up/secret", "../secret", "/etc/passwd", ""] {
            assert!(slow(path).is_err(), "{path}");
        }
    }
}
