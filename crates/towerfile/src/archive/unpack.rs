//! Unpacking into an empty folder, without ever following a link.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat};
use nix::sys::stat::{Mode, fchmod, mkdirat};
use nix::unistd::{UnlinkatFlags, linkat, symlinkat, unlinkat};

use super::walk::{EntryKind, Walk};
use super::{ArchiveError, Limits};

/// How a folder is opened: as what it is, never through a link.
const FOLDER: OFlag =
    OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

/// How a file is made: as a new one, never through a link or onto something that is there.
const NEW_FILE: OFlag = OFlag::O_WRONLY
    .union(OFlag::O_CREAT)
    .union(OFlag::O_EXCL)
    .union(OFlag::O_NOFOLLOW)
    .union(OFlag::O_CLOEXEC);

/// Bytes written at once.
const BUFFER_BYTES: usize = 64 * 1024;

/// What was unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnpackReport {
    /// Files, folders and links, as often as the archive lists them.
    pub entries: u64,
    /// Bytes of all files.
    pub total_bytes: u64,
}

/// Unpacks an archive into `dest`, which must be an empty folder or not be there yet (its parent must).
///
/// Nothing is ever written outside `dest`: paths and links are checked before they are made, and every file is made
/// relative to a folder that was opened component by component without following links, so not even a folder that
/// somebody swaps for a link meanwhile leads astray. Files get mode 0644, or 0755 when the archive has their owner's
/// x bit; folders 0755; owners, times and extended attributes are not taken over. Of two files with one path the
/// later wins.
///
/// On error what was unpacked so far stays in `dest`; the caller removes it. An archive may turn out to be damaged at
/// its very end, so nothing in `dest` is to be used before this has returned.
pub fn unpack(read: impl Read, dest: &Path, limits: &Limits) -> Result<UnpackReport, ArchiveError> {
    unpack_to(read, Destination::open(dest)?, limits)
}

/// Like [`unpack`], into an empty folder that is held open.
pub fn unpack_into(
    read: impl Read,
    dest: BorrowedFd<'_>,
    limits: &Limits,
) -> Result<UnpackReport, ArchiveError> {
    unpack_to(read, Destination::held(dest)?, limits)
}

fn unpack_to(read: impl Read, mut dest: Destination, limits: &Limits) -> Result<UnpackReport, ArchiveError> {
    let mut walk = Walk::new(read, limits);
    let mut report = UnpackReport { entries: 0, total_bytes: 0 };
    let mut buffer = vec![0; BUFFER_BYTES];
    while let Some(entry) = walk.next()? {
        report.entries += 1;
        let path = entry.path.as_str();
        match entry.kind {
            EntryKind::Folder => {
                dest.folder(path).map_err(at(path))?;
            }
            EntryKind::File { bytes, executable, replaces } => {
                report.total_bytes += bytes;
                let mut file = dest.new_file(path, executable, replaces).map_err(at(path))?;
                loop {
                    match walk.read(&mut buffer)? {
                        0 => break,
                        read => file.write_all(&buffer[..read]).map_err(at(path))?,
                    }
                }
            }
            EntryKind::Symlink { target, replaces } => {
                dest.symlink(path, &target, replaces).map_err(at(path))?;
            }
            EntryKind::HardLink { target, replaces } => {
                dest.hard_link(path, &target, replaces).map_err(at(path))?;
            }
        }
    }
    Ok(report)
}

fn at(path: &str) -> impl FnOnce(io::Error) -> ArchiveError + '_ {
    let path = if path.is_empty() { "." } else { path };
    move |source| ArchiveError::Write { path: path.to_owned(), source }
}

/// The folder that is unpacked into. Paths are normal ones.
struct Destination {
    root: OwnedFd,
    /// The folder used last: entries mostly come folder by folder.
    last: Option<(String, OwnedFd)>,
}

impl Destination {
    fn open(dest: &Path) -> Result<Self, ArchiveError> {
        match fs::create_dir(dest) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(at("")(error)),
            _ => {}
        }
        let root = open(dest, FOLDER, Mode::empty()).map_err(|errno| match errno {
            Errno::ENOTDIR | Errno::ELOOP => ArchiveError::DestinationNotEmpty,
            _ => at("")(errno.into()),
        })?;
        Self::held(root.as_fd())
    }

    fn held(root: BorrowedFd<'_>) -> Result<Self, ArchiveError> {
        let root = openat(root, ".", FOLDER, Mode::empty()).map_err(|errno| at("")(errno.into()))?;
        let mut listing =
            Dir::openat(&root, ".", FOLDER, Mode::empty()).map_err(|errno| at("")(errno.into()))?;
        for entry in listing.iter() {
            let entry = entry.map_err(|errno| at("")(errno.into()))?;
            if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
                return Err(ArchiveError::DestinationNotEmpty);
            }
        }
        Ok(Self { root, last: None })
    }

    /// Opens the folder at `path`, making it and those above it where they are missing.
    fn folder(&mut self, path: &str) -> io::Result<&OwnedFd> {
        if path.is_empty() {
            return Ok(&self.root);
        }
        if self.last.as_ref().is_none_or(|(last, _)| last != path) {
            let mut components = path.split('/');
            let first = components.next().unwrap_or_default();
            let mut folder = sub_folder(&self.root, first)?;
            for component in components {
                folder = sub_folder(&folder, component)?;
            }
            self.last = Some((path.to_owned(), folder));
        }
        self.last.as_ref().map(|(_, folder)| folder).ok_or_else(|| ErrorKind::NotFound.into())
    }

    /// The folder that `path` lies in and its name there, where nothing is any more.
    fn place<'a>(&mut self, path: &'a str, replaces: bool) -> io::Result<(&OwnedFd, &'a str)> {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let folder = self.folder(folder)?;
        if replaces {
            unlinkat(folder, name, UnlinkatFlags::NoRemoveDir)?;
        }
        Ok((folder, name))
    }

    fn new_file(&mut self, path: &str, executable: bool, replaces: bool) -> io::Result<File> {
        let (folder, name) = self.place(path, replaces)?;
        let file = openat(folder, name, NEW_FILE, Mode::S_IRUSR | Mode::S_IWUSR)?;
        // Said again because the process's umask cuts the mode of creation.
        fchmod(&file, Mode::from_bits_truncate(if executable { 0o755 } else { 0o644 }))?;
        Ok(file.into())
    }

    fn symlink(&mut self, path: &str, target: &str, replaces: bool) -> io::Result<()> {
        let (folder, name) = self.place(path, replaces)?;
        Ok(symlinkat(target, folder, name)?)
    }

    fn hard_link(&mut self, path: &str, target: &str, replaces: bool) -> io::Result<()> {
        let (target_folder, target_name) = target.rsplit_once('/').unwrap_or(("", target));
        let target_folder = self.folder(target_folder)?.as_fd().try_clone_to_owned()?;
        let (folder, name) = self.place(path, replaces)?;
        // Without AT_SYMLINK_FOLLOW a link would be linked itself; the tree knows that there is none.
        Ok(linkat(&target_folder, target_name, folder, name, AtFlags::empty())?)
    }
}

/// Opens the folder `name` in `parent`, making it when it is missing.
fn sub_folder(parent: &OwnedFd, name: &str) -> io::Result<OwnedFd> {
    match openat(parent, name, FOLDER, Mode::empty()) {
        Err(Errno::ENOENT) => {}
        result => return Ok(result?),
    }
    mkdirat(parent, name, Mode::S_IRWXU)?;
    let folder = openat(parent, name, FOLDER, Mode::empty())?;
    fchmod(&folder, Mode::from_bits_truncate(0o755))?;
    Ok(folder)
}
