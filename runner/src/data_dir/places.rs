//! The entries of the folder, and how they are opened: never through a link, and private to their user.

use std::ffi::CString;
use std::fs::{DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use sha2::{Digest, Sha256};

use crate::folder::Folder;

/// The files in the folder whose rights are restored.
pub(super) const FILES: [&str; 7] = ["lock", "token", "environment", "pool", "labels", "scope", "instance"];

/// One of the folders in the runner's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Things to be removed. It comes first, because whatever is in the way of the others is moved there.
    Trash,
    /// Workspaces.
    Work,
    /// Undelivered log lines.
    Spool,
    /// Prepared environments.
    Environments,
    /// Caches of installers.
    Cache,
    /// Programs that the runner brings itself.
    Tools,
    /// Temporary folders of jobs, beside the runners' folders.
    Temporary,
}

impl Place {
    /// All of them, in the order in which they are opened.
    pub(super) const ALL: [Self; 7] =
        [Self::Trash, Self::Work, Self::Spool, Self::Environments, Self::Cache, Self::Tools, Self::Temporary];

    /// The name of its folder.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Work => "work",
            Self::Spool => "spool",
            Self::Environments => "envs",
            Self::Cache => "cache",
            Self::Tools => "tools",
            Self::Trash => "trash",
            Self::Temporary => "t",
        }
    }
}

/// Makes the folder of all runners when it is missing, and yields its real path: rules about paths are written with those.
pub(super) fn open_base(base: &Path) -> io::Result<(PathBuf, Folder)> {
    DirBuilder::new().recursive(true).mode(0o700).create(base)?;
    let mode = base.metadata()?.permissions().mode();
    if mode & 0o700 != 0o700 {
        // A job may have changed the mode. If the folder is not ours, opening it fails and says why.
        let _not_ours = std::fs::set_permissions(base, Permissions::from_mode(mode | 0o700));
    }
    let base = base.canonicalize()?;
    let folder = Folder::open(&base)?;
    Ok((base, folder))
}

/// Makes a folder that only its user may enter.
pub(crate) fn create_private(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    std::fs::set_permissions(path, Permissions::from_mode(0o700))
}

/// Opens one of the folders. A link or a file of the same name is not ours, and is moved out of the way.
pub(super) fn open_place(above: &Folder, place: Place) -> io::Result<Folder> {
    above.claim(place.name())
}

/// Opens the file that is locked as long as the process lives; makes it where it is missing.
pub(super) fn open_lock(root: &Folder) -> io::Result<File> {
    let flags = OFlag::O_WRONLY
        | OFlag::O_CREAT
        | OFlag::O_APPEND
        | OFlag::O_NOFOLLOW
        | OFlag::O_NONBLOCK
        | OFlag::O_CLOEXEC;
    Ok(openat(root, "lock", flags, Mode::S_IRUSR | Mode::S_IWUSR)?.into())
}

/// Sets the mode of one of the small files where it is another one. Says which it was then.
pub(super) fn restore_file(root: &Folder, name: &str) -> io::Result<Option<u32>> {
    let Some(found) = root.status_of(name)? else { return Ok(None) };
    let is_file = found.st_mode & nix::libc::S_IFMT == nix::libc::S_IFREG;
    let former = found.st_mode & 0o7777;
    if !is_file || former == 0o600 {
        return Ok(None);
    }
    root.set_mode_of(name, 0o600)?;
    Ok(Some(former))
}

/// Names an attempt's temporary folder among those of all runners: eight hexadecimal digits.
///
/// The path of a Unix socket has at most 107 bytes (`unix(7)`), and Python's `multiprocessing` makes sockets in the temporary
/// folder, with 30 bytes of its own. The names of runners, a pod's for example, would leave no room for them.
pub(super) fn temporary_name(runner_name: &str, attempt: &str) -> CString {
    let digest = Sha256::digest(format!("{runner_name}/{attempt}"));
    CString::new(HEXLOWER.encode(&digest[..4])).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_temporary_folders_are_short_and_differ() {
        let names = [temporary_name("a", "1"), temporary_name("a", "2"), temporary_name("b", "1")];
        assert!(names.iter().all(|name| name.to_bytes().len() == 8), "{names:?}");
        assert!(names[0] != names[1] && names[0] != names[2]);
        assert_eq!(temporary_name("a", "1"), names[0], "a later process finds it again");
    }
}
