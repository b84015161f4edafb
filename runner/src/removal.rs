//! Removing what a job has left, whatever that is.
//!
//! A job may make trees tens of thousands of folders deep, take its own rights away, and leave links and pipes with names of
//! any kind. So a tree is removed without recursion, with a handful of descriptors and no path longer than a name: each folder
//! is emptied of its files, the folders in it are moved up into the tree's root, and there they wait for their turn. No link is
//! followed, nothing outside the tree is touched, and no other file system is entered.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, renameat};
use nix::sys::stat::{FchmodatFlags, Mode, fchmod, fchmodat, fstat, fstatat};
use nix::unistd::{UnlinkatFlags, unlinkat};

/// How a folder is opened: as what it is, never through a link.
pub(crate) const FOLDER: OFlag =
    OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

/// Removes what is at `path`, if anything is. The folder it lies in is trusted.
pub(crate) fn remove_tree(path: &Path) -> io::Result<()> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    match File::open(parent) {
        Ok(parent) => remove_entry(parent.as_fd(), &CString::new(name.as_bytes())?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Removes the entry `name` of a folder with all that is below it, if it is there. Goes on after an error and returns the
/// first one; what could not be removed is left.
pub(crate) fn remove_entry(parent: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
    match unlinkat(parent, name, UnlinkatFlags::NoRemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => return Ok(()),
        // What unlink(2) says of a folder: the first on Linux, the second as POSIX has it.
        Err(Errno::EISDIR | Errno::EPERM) => {}
        Err(error) => return Err(error.into()),
    }
    let mut tree = match Tree::open(parent, name) {
        Ok(tree) => tree,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        // It is a file that may not be removed.
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Err(Errno::EPERM.into()),
        Err(error) => return Err(error),
    };
    let emptied = tree.empty();
    match unlinkat(parent, name, UnlinkatFlags::RemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => Ok(()),
        Err(error) => emptied.and(Err(error.into())),
    }
}

/// A tree that is being removed.
struct Tree {
    root: Dir,
    device: u64,
    /// Beginning of the names that folders get when they are moved into the root: nobody can have guessed it.
    prefix: String,
    /// Folders that were moved up are numbered; those from `done` to `moved` still have to be emptied.
    done: u64,
    moved: u64,
    /// Entries that were removed, or moved up.
    progress: u64,
    first_error: Option<io::Error>,
}

impl Tree {
    fn open(parent: BorrowedFd<'_>, name: &CStr) -> io::Result<Self> {
        let root = open_folder(parent, name, None)?;
        let device = fstat(&root)?.st_dev;
        let prefix = format!(".removed-{:016x}-", rand::random::<u64>());
        Ok(Self { root, device, prefix, done: 0, moved: 0, progress: 0, first_error: None })
    }

    /// Removes everything below the root. A folder may not list all there is while its entries go, and on a full disk a folder may
    /// only be moved when something else is gone: so again as long as that helps.
    fn empty(&mut self) -> io::Result<()> {
        loop {
            let before = self.progress;
            self.first_error = None;
            let root = self.root.as_fd().try_clone_to_owned()?;
            let mut listing = Dir::openat(&root, ".", FOLDER, Mode::empty())?;
            self.empty_folder(&mut listing, true);
            while self.done < self.moved {
                let name = format!("{}{}", self.prefix, self.done);
                self.done += 1;
                match CString::new(name)
                    .map_err(io::Error::from)
                    .and_then(|name| self.remove_folder(&root, &name))
                {
                    Ok(()) => self.progress += 1,
                    Err(error) => self.note(error),
                }
            }
            let settled = self.progress == before;
            match self.first_error.take() {
                None if settled => return Ok(()),
                Some(error) if settled => return Err(error),
                _ => {}
            }
        }
    }

    /// Removes a folder below `parent`, moving the folders in it up.
    fn remove_folder(&mut self, parent: impl AsFd, name: &CStr) -> io::Result<()> {
        match unlinkat(&parent, name, UnlinkatFlags::RemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => return Ok(()),
            Err(Errno::ENOTEMPTY | Errno::EEXIST | Errno::EACCES) => {}
            Err(error) => return Err(error.into()),
        }
        let mut folder = open_folder(parent.as_fd(), name, Some(self.device))?;
        self.empty_folder(&mut folder, false);
        Ok(unlinkat(&parent, name, UnlinkatFlags::RemoveDir)?)
    }

    /// Removes what is in a folder: files at once, folders by moving them into the root. Of the root itself folders are removed.
    fn empty_folder(&mut self, folder: &mut Dir, is_root: bool) {
        let Ok(place) = folder.as_fd().try_clone_to_owned() else {
            return self.note(io::Error::last_os_error());
        };
        for entry in folder.iter() {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => return self.note(error.into()),
            };
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let is_folder = match entry.file_type() {
                Some(kind) => kind == Type::Directory,
                None => is_folder(place.as_fd(), name),
            };
            let removed = match (is_folder, is_root) {
                (false, _) => unlinkat(&place, name, UnlinkatFlags::NoRemoveDir).map_err(io::Error::from),
                (true, true) => self.remove_folder(&place, name),
                (true, false) => self.move_up(place.as_fd(), name),
            };
            match removed {
                Ok(()) => self.progress += 1,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => self.note(error),
            }
        }
    }

    fn move_up(&mut self, place: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
        // Most folders of a wide tree's ends are empty.
        if unlinkat(place, name, UnlinkatFlags::RemoveDir).is_ok() {
            return Ok(());
        }
        let new_name = format!("{}{}", self.prefix, self.moved);
        match renameat(place, name, &self.root, new_name.as_str()) {
            // To move a folder is to write into it, for `..` changes.
            Err(Errno::EACCES) => {
                fchmodat(place, name, Mode::S_IRWXU, FchmodatFlags::NoFollowSymlink)?;
                renameat(place, name, &self.root, new_name.as_str())?;
            }
            moved => moved?,
        }
        self.moved += 1;
        Ok(())
    }

    fn note(&mut self, error: io::Error) {
        self.first_error.get_or_insert(error);
    }
}

/// Opens a folder to empty it, with all rights for its owner. On another file system than `device` it is refused.
fn open_folder(parent: BorrowedFd<'_>, name: &CStr, device: Option<u64>) -> io::Result<Dir> {
    let folder = match openat(parent, name, FOLDER, Mode::empty()) {
        Err(Errno::EACCES) => {
            // Without the right to read it cannot be opened; its mode is changed from the outside, never through a link.
            fchmodat(parent, name, Mode::S_IRWXU, FchmodatFlags::NoFollowSymlink)?;
            openat(parent, name, FOLDER, Mode::empty())?
        }
        opened => opened?,
    };
    let found = fstat(&folder)?;
    if device.is_some_and(|device| device != found.st_dev) {
        return Err(Errno::EXDEV.into());
    }
    if found.st_mode & 0o700 != 0o700 {
        fchmod(&folder, Mode::S_IRWXU)?;
    }
    Ok(Dir::from_fd(folder)?)
}

fn is_folder(place: BorrowedFd<'_>, name: &CStr) -> bool {
    fstatat(place, name, AtFlags::AT_SYMLINK_NOFOLLOW)
        .is_ok_and(|found| found.st_mode & nix::libc::S_IFMT == nix::libc::S_IFDIR)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::PathBuf;

    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    use nix::sys::stat::mkdirat;

    use super::*;

    /// Makes `levels` folders in each other, each with a file, and yields the outermost one.
    fn deep(place: &Path, levels: usize, name: &str) -> PathBuf {
        let outermost = place.join("tree");
        fs::create_dir(&outermost).unwrap();
        let mut at: std::os::fd::OwnedFd = File::open(&outermost).unwrap().into();
        for _ in 0..levels {
            mkdirat(&at, name, Mode::S_IRWXU).unwrap();
            at = openat(&at, name, FOLDER, Mode::empty()).unwrap();
        }
        outermost
    }

    #[test]
    fn trees_of_any_depth_are_removed() {
        // In memory where there is such a place: some disks take milliseconds for each folder.
        let place = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        for (levels, name) in [(0, "d"), (1, "d"), (3, "d"), (19_500, "d"), (300, &*"n".repeat(255))] {
            let tree = deep(place.path(), levels, name);
            remove_tree(&tree).unwrap();
            assert!(!tree.exists(), "{levels} levels");
        }
        remove_tree(&place.path().join("tree")).unwrap();
    }

    #[test]
    fn a_handful_of_descriptors_is_enough() {
        // The limit is the process's: in one of its own.
        if std::env::var_os("FEW_DESCRIPTORS").is_none() {
            let status = std::process::Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "removal::tests::a_handful_of_descriptors_is_enough"])
                .env("FEW_DESCRIPTORS", "1")
                .status()
                .unwrap();
            assert!(status.success());
            return;
        }
        let place = tempfile::tempdir().unwrap();
        let tree = deep(place.path(), 200, "d");
        let open = fs::read_dir("/proc/self/fd").unwrap().count() as u64;
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        setrlimit(Resource::RLIMIT_NOFILE, open + 12, hard).unwrap();
        remove_tree(&tree).unwrap();
        assert!(!tree.exists());
    }

    #[test]
    fn rights_that_were_taken_away_do_not_keep_a_tree() {
        let place = tempfile::tempdir().unwrap();
        let tree = place.path().join("tree");
        fs::create_dir_all(tree.join("a/b/c")).unwrap();
        fs::write(tree.join("a/b/file"), "x").unwrap();
        for (path, mode) in [("a/b/file", 0o000), ("a/b/c", 0o000), ("a/b", 0o400), ("a", 0o000), ("", 0o100)]
        {
            fs::set_permissions(tree.join(path), fs::Permissions::from_mode(mode)).unwrap();
        }
        remove_tree(&tree).unwrap();
        assert!(!tree.exists());
    }

    #[test]
    fn wide_trees_links_and_pipes_go_and_what_links_lead_to_stays() {
        let place = tempfile::tempdir().unwrap();
        let victim = place.path().join("victim");
        fs::create_dir(&victim).unwrap();
        fs::write(victim.join("file"), "whole").unwrap();
        fs::set_permissions(&victim, fs::Permissions::from_mode(0o755)).unwrap();
        let tree = place.path().join("tree");
        for wide in 0..300 {
            fs::create_dir_all(tree.join(format!("{wide}/x/y"))).unwrap();
            fs::write(tree.join(format!("{wide}/x/y/z")), "x").unwrap();
        }
        symlink(&victim, tree.join("0/link")).unwrap();
        symlink("../..", tree.join("0/x/up")).unwrap();
        symlink(&victim, place.path().join("link")).unwrap();
        nix::unistd::mkfifo(&tree.join("1/pipe"), Mode::S_IRWXU).unwrap();
        fs::write(tree.join("1").join("n".repeat(255)), "x").unwrap();
        let odd = std::ffi::OsStr::from_bytes(b"\xff\n \xfe");
        fs::create_dir_all(tree.join("2").join(odd).join("in")).unwrap();
        remove_tree(&tree).unwrap();
        remove_tree(&place.path().join("link")).unwrap();
        let left: Vec<_> =
            fs::read_dir(place.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["victim"]);
        assert_eq!(fs::read(victim.join("file")).unwrap(), b"whole");
        assert_eq!(fs::metadata(&victim).unwrap().permissions().mode() & 0o777, 0o755);
    }
}
