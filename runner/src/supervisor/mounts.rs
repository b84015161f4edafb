//! What a job sees of the file system, in a mount namespace of its own (mount_namespaces(7)).
//!
//! The tree is that of the machine, with some places covered: `/tmp` by the run's own temporary folder, `/dev/shm` by shared memory of
//! its own, what is the runner's by nothing at all. What the job may use below a covered place is put back at its own path.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::mount::{MsFlags, mount};
use nix::sys::stat::Mode;

use super::sandbox::Sandbox;

/// Where programs keep temporary files.
pub(super) const TEMPORARY: &str = "/tmp";
const SHARED_MEMORY: &str = "/dev/shm";
/// Most entries of the machine's `/tmp` that are shown; see [`Sandbox::shared_tmp`].
const MAX_ENTRIES: usize = 1000;

/// Why a job does not get its view of the file system.
#[derive(Debug, thiserror::Error)]
#[error("{what} {}: {source}", path.display())]
pub(super) struct MountError {
    what: &'static str,
    path: PathBuf,
    source: io::Error,
}

fn failed<E: Into<io::Error>>(what: &'static str, path: &Path) -> impl FnOnce(E) -> MountError {
    move |error| MountError { what, path: path.to_owned(), source: error.into() }
}

/// Arranges what `sandbox` says in the caller's mount namespace, which must be its own. `own_processes`: it is in a PID namespace, and
/// gets the `/proc` of that.
pub(super) fn arrange(sandbox: &Sandbox, own_processes: bool) -> Result<(), MountError> {
    // Nothing that is mounted here may reach the machine.
    let root = Path::new("/");
    mount(None::<&str>, root, None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
        .map_err(failed("cannot make mounts private below", root))?;
    let hidden = sandbox.real_hidden().map_err(failed("cannot look at", root))?;
    let kept = keep(sandbox)?;
    let mut covered = Vec::new();

    if Path::new(SHARED_MEMORY).is_dir() {
        cover(Path::new(SHARED_MEMORY), "mode=1777,size=50%")?;
        covered.push(PathBuf::from(SHARED_MEMORY));
    }
    let temporary = Path::new(TEMPORARY);
    if let Some(folder) = sandbox.temporary.as_deref().filter(|_| temporary.is_dir()) {
        let machines = hold(temporary)?;
        bind(&through(&hold(folder)?), temporary)?;
        covered.push(temporary.to_owned());
        if sandbox.shared_tmp {
            show_entries(&machines)?;
        }
    }
    let below = |path: &PathBuf, above: &[PathBuf]| above.iter().any(|above| path.starts_with(above));
    for (path, descriptor) in &kept {
        if below(path, &covered) && !below(path, &hidden) {
            place(path, &through(descriptor))?;
        }
    }
    let mut emptied = Vec::new();
    for path in &hidden {
        match fs::symlink_metadata(path) {
            Ok(metadata) if metadata.is_dir() => {
                cover(path, "mode=755,size=1m")?;
                emptied.push(path);
            }
            Ok(_) => bind(Path::new("/dev/null"), path)?,
            // It lay in what is covered already.
            Err(_) => {}
        }
    }
    for (path, descriptor) in &kept {
        if below(path, &hidden) {
            place(path, &through(descriptor))?;
        }
    }
    for path in emptied {
        let flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY;
        let flags = flags | MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
        mount(None::<&str>, path, None::<&str>, flags, None::<&str>)
            .map_err(failed("cannot close", path))?;
    }
    if own_processes {
        let proc = Path::new("/proc");
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        mount(Some("proc"), proc, Some("proc"), flags, None::<&str>).map_err(failed("cannot mount", proc))?;
    }
    Ok(())
}

/// What the job may use, held before anything is covered. What lies below another of them comes with that.
fn keep(sandbox: &Sandbox) -> Result<Vec<(PathBuf, OwnedFd)>, MountError> {
    let mut paths: Vec<&PathBuf> = sandbox.readable.iter().chain(&sandbox.writable).collect();
    paths.extend(&sandbox.temporary);
    paths.sort();
    let mut kept: Vec<(PathBuf, OwnedFd)> = Vec::new();
    for path in paths {
        if kept.last().is_some_and(|(above, _)| path.starts_with(above)) {
            continue;
        }
        match open(path, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()) {
            Ok(descriptor) => kept.push((path.clone(), descriptor)),
            // Landlock has no rule for what is not there, either.
            Err(Errno::ENOENT) => {}
            Err(error) => return Err(failed("cannot open", path)(error)),
        }
    }
    Ok(kept)
}

fn hold(path: &Path) -> Result<OwnedFd, MountError> {
    open(path, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()).map_err(failed("cannot open", path))
}

/// The way to what is held, whatever covers its path.
fn through(descriptor: &OwnedFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", descriptor.as_raw_fd()))
}

/// Puts an empty file system of its own over a folder.
fn cover(path: &Path, options: &str) -> Result<(), MountError> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some("tmpfs"), path, Some("tmpfs"), flags, Some(options)).map_err(failed("cannot cover", path))
}

fn bind(from: &Path, to: &Path) -> Result<(), MountError> {
    mount(Some(from), to, None::<&str>, MsFlags::MS_BIND | MsFlags::MS_REC, None::<&str>)
        .map_err(failed("cannot mount on", to))
}

/// Makes `path` below something covered, and puts there what is held.
fn place(path: &Path, from: &Path) -> Result<(), MountError> {
    let is_folder = fs::metadata(from).map_err(failed("cannot look at", path))?.is_dir();
    let folder = if is_folder { Some(path) } else { path.parent() };
    if let Some(folder) = folder {
        DirBuilder::new().recursive(true).mode(0o755).create(folder).map_err(failed("cannot make", folder))?;
    }
    if !is_folder {
        empty_file(path).map_err(failed("cannot make", path))?;
    }
    bind(from, path)
}

fn empty_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

/// Shows what the machine's `/tmp` holds now; Landlock lets the job read it, and no more.
fn show_entries(machines: &OwnedFd) -> Result<(), MountError> {
    let (from, to) = (through(machines), Path::new(TEMPORARY));
    let entries = fs::read_dir(&from).map_err(failed("cannot list", to))?;
    for entry in entries.flatten().take(MAX_ENTRIES) {
        let place = to.join(entry.file_name());
        let Ok(kind) = entry.file_type() else { continue };
        let made = if kind.is_symlink() {
            fs::read_link(entry.path()).and_then(|target| std::os::unix::fs::symlink(target, &place))
        } else if kind.is_dir() {
            DirBuilder::new().mode(0o700).create(&place)
        } else {
            empty_file(&place).map(drop)
        };
        // What the job's own folder has by this name, or what vanished meanwhile, is nothing to fail for.
        if made.is_ok() && !kind.is_symlink() {
            let _vanished = bind(&from.join(entry.file_name()), &place);
        }
    }
    Ok(())
}
