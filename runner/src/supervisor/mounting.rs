//! The steps of which a job's view of the file system is made (`mount(2)`, `mount_setattr(2)`).

use std::ffi::CString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::libc;
use nix::mount::{MsFlags, mount};
use nix::sys::stat::Mode;
use nix::sys::statvfs::statvfs;

/// Where programs keep temporary files.
pub(super) const TEMPORARY: &str = "/tmp";

/// Why a job does not get its view of the file system.
#[derive(Debug, thiserror::Error)]
#[error("{what} {}", path.display())]
pub(super) struct MountError {
    what: &'static str,
    path: PathBuf,
    source: io::Error,
}

/// The error for what went wrong at `path`; `what` is what could not be done.
pub(super) fn failed<E: Into<io::Error>>(what: &'static str, path: &Path) -> impl FnOnce(E) -> MountError {
    move |error| MountError { what, path: path.to_owned(), source: error.into() }
}

/// Opens `path` as a handle that later mounts do not hide.
pub(super) fn hold(path: &Path) -> Result<OwnedFd, MountError> {
    open(path, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()).map_err(failed("cannot open", path))
}

/// The way to what is held, whatever covers its path.
pub(super) fn through(descriptor: &OwnedFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", descriptor.as_raw_fd()))
}

/// Puts an empty file system of its own over a folder.
pub(super) fn cover(path: &Path, options: &str) -> Result<(), MountError> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some("tmpfs"), path, Some("tmpfs"), flags, Some(options)).map_err(failed("cannot cover", path))
}

/// Shows at `to` what is at `from`, with all that is mounted below it.
pub(super) fn bind(from: &Path, to: &Path) -> Result<(), MountError> {
    mount(Some(from), to, None::<&str>, MsFlags::MS_BIND | MsFlags::MS_REC, None::<&str>)
        .map_err(failed("cannot mount on", to))
}

/// Makes `path` below something covered, and puts there what is held.
pub(super) fn place(path: &Path, from: &Path) -> Result<(), MountError> {
    let is_folder = fs::metadata(from).map_err(failed("cannot look at", path))?.is_dir();
    let folder = if is_folder { Some(path) } else { path.parent() };
    if let Some(folder) = folder {
        make_folder(folder)?;
    }
    if !is_folder {
        empty_file(path).map_err(failed("cannot make", path))?;
    }
    bind(from, path)
}

/// Makes a folder below something covered, with those above it.
pub(super) fn make_folder(path: &Path) -> Result<(), MountError> {
    DirBuilder::new().recursive(true).mode(0o755).create(path).map_err(failed("cannot make", path))
}

/// Makes a mount read-only, with all that is mounted below it; or writable again, alone: what the machine has mounted below it
/// read-only stays so.
#[expect(unsafe_code, reason = "mount_setattr(2) has no safe wrapper; see below")]
pub(super) fn set_read_only(path: &Path, read_only: bool) -> Result<(), MountError> {
    let failed = failed("cannot change the mount", path);
    let name = CString::new(path.as_os_str().as_encoded_bytes());
    let Ok(name) = name else { return Err(failed(io::Error::from(io::ErrorKind::InvalidInput))) };
    let [set, clear] = if read_only { [libc::MOUNT_ATTR_RDONLY, 0] } else { [0, libc::MOUNT_ATTR_RDONLY] };
    let attributes = libc::mount_attr { attr_set: set, attr_clr: clear, propagation: 0, userns_fd: 0 };
    let below = if read_only { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: both pointers are to values that live beyond the call, and the size is that of the second.
    let done = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            name.as_ptr(),
            below,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    if done == 0 {
        return Ok(());
    }
    match Errno::last() {
        // Linux before 5.12 changes one mount at a time.
        Errno::ENOSYS => {
            let flags = statvfs(path).map_err(self::failed("cannot look at", path))?.flags();
            let kept = MsFlags::from_bits_truncate(flags.bits()) - MsFlags::MS_RDONLY;
            let wanted = if read_only { MsFlags::MS_RDONLY } else { MsFlags::empty() };
            let flags = kept | wanted | MsFlags::MS_REMOUNT | MsFlags::MS_BIND;
            mount(None::<&str>, path, None::<&str>, flags, None::<&str>).map_err(|error| failed(error.into()))
        }
        error => Err(failed(error.into())),
    }
}

/// Makes a file to mount something on; one that is there stays as it is.
pub(super) fn empty_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}
