//! What a job sees of the file system, in a mount namespace of its own (`mount_namespaces(7)`).
//!
//! The tree is that of the machine, read-only, with some places covered: `/tmp` by the run's own temporary folder, `/dev` by devices
//! without harm and shared memory of its own, what is the runner's by nothing at all. What the job may use below a covered place is put back at its own path.

use std::fs::{self, DirBuilder};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::mount::{MsFlags, mount};
use nix::sys::stat::Mode;

use super::devices;
use super::mounting::{
    MountError, TEMPORARY, bind, cover, empty_file, failed, hold, make_folder, place, set_read_only, through,
};
use super::sandbox::Sandbox;

/// Where devices are.
const DEVICES: &str = "/dev";
/// Most entries of the machine's `/tmp` that are shown; see [`Sandbox::shared_tmp`].
const MAX_ENTRIES: usize = 1000;

/// Arranges what `sandbox` says in the caller's mount namespace, which must be its own. `own_processes`: it is in a PID namespace, and
/// gets the `/proc` of that.
pub(super) fn arrange(sandbox: &Sandbox, own_processes: bool) -> Result<(), MountError> {
    // Nothing that is mounted here may reach the machine.
    let root = Path::new("/");
    mount(None::<&str>, root, None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
        .map_err(failed("cannot make mounts private below", root))?;
    // Landlock knows nothing of modes, owners, times and attributes: where all is read-only, these cannot be changed either.
    set_read_only(root, true)?;
    let hidden = sandbox.real_hidden().map_err(failed("cannot look at", root))?;
    let folders: Vec<&PathBuf> = hidden.iter().filter(|path| path.is_dir()).collect();
    let kept = keep(sandbox)?;
    let temporary = Path::new(TEMPORARY);
    // Held before anything is covered: it may itself lie in shared memory.
    let own = sandbox.temporary.as_deref().filter(|_| temporary.is_dir()).map(hold).transpose()?;
    let mut covered = Vec::new();

    devices::arrange()?;
    covered.push(PathBuf::from(DEVICES));
    if let Some(own) = own {
        let machines = hold(temporary)?;
        bind(&through(&own), temporary)?;
        set_read_only(temporary, false)?;
        covered.push(temporary.to_owned());
        if sandbox.shared_tmp {
            show_entries(&machines)?;
        }
    }
    let below = |path: &Path, above: &[PathBuf]| above.iter().any(|above| path.starts_with(above));
    for item in kept.iter().filter(|item| below(&item.path, &covered) && !below(&item.path, &hidden)) {
        item.put_back()?;
    }
    for path in &hidden {
        if !folders.contains(&path) {
            // Files in a covered place are out of sight already.
            if fs::symlink_metadata(path).is_ok() {
                bind(Path::new("/dev/null"), path)?;
            }
            continue;
        }
        if kept.iter().any(|item| item.path.starts_with(path)) {
            make_folder(path)?;
        }
        if path.is_dir() {
            cover(path, "mode=755,size=1m")?;
        }
    }
    for item in kept.iter().filter(|item| below(&item.path, &hidden)) {
        item.put_back()?;
    }
    for path in folders.into_iter().filter(|path| path.is_dir()) {
        set_read_only_alone(path)?;
    }
    // Other writable paths lie in places that are read-only by now.
    let elsewhere = |item: &&Kept| !below(&item.path, &covered) && !below(&item.path, &hidden);
    for item in kept.iter().filter(elsewhere).filter(|item| item.writable) {
        bind(&through(&item.descriptor), &item.path)?;
        set_read_only(&item.path, false)?;
    }
    if own_processes {
        let proc = Path::new("/proc");
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        mount(Some("proc"), proc, Some("proc"), flags, None::<&str>).map_err(failed("cannot mount", proc))?;
    }
    Ok(())
}

/// Closes a covered place itself, not what was put back there.
fn set_read_only_alone(path: &Path) -> Result<(), MountError> {
    let flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY;
    let flags = flags | MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(None::<&str>, path, None::<&str>, flags, None::<&str>).map_err(failed("cannot close", path))
}

/// Something that the job may use.
struct Kept {
    path: PathBuf,
    /// Held since before anything was covered.
    descriptor: OwnedFd,
    writable: bool,
}

impl Kept {
    /// Puts it at its own path, below something covered. What it may only read is made read-only there: a rule that lets it write a
    /// folder (Landlock) also holds for what is mounted below that.
    fn put_back(&self) -> Result<(), MountError> {
        place(&self.path, &through(&self.descriptor))?;
        set_read_only(&self.path, !self.writable)
    }
}

/// What the job may use. What lies below another thing that it may use in the same way comes with that.
fn keep(sandbox: &Sandbox) -> Result<Vec<Kept>, MountError> {
    let readable = sandbox.readable.iter().map(|path| (path, false));
    let writable = sandbox.writable.iter().chain(&sandbox.temporary).map(|path| (path, true));
    let mut paths: Vec<(&PathBuf, bool)> = readable.chain(writable).collect();
    // A folder before what is in it, and of the same path the writable first.
    paths.sort_by_key(|(path, writable)| (*path, !writable));
    let mut kept: Vec<Kept> = Vec::new();
    for (path, writable) in paths {
        if kept.iter().any(|above| path.starts_with(&above.path) && (above.writable || !writable)) {
            continue;
        }
        match open(path, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()) {
            Ok(descriptor) => kept.push(Kept { path: path.clone(), descriptor, writable }),
            // Landlock has no rule for missing paths, either.
            Err(Errno::ENOENT) => {}
            Err(error) => return Err(failed("cannot open", path)(error)),
        }
    }
    Ok(kept)
}

/// Shows the current entries of the machine's `/tmp`, read-only.
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
        // It is no failure if the job's own folder has an entry of this name, or if the entry vanished meanwhile.
        if made.is_ok() && !kind.is_symlink() && bind(&from.join(entry.file_name()), &place).is_ok() {
            set_read_only(&place, true)?;
        }
    }
    Ok(())
}
