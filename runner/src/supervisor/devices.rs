//! A job's own `/dev`: devices without harm, terminals and shared memory of its own, and those that compute.
//!
//! The machine's `/dev` has disks that root reads past every rule on files, and the terminals of whoever is logged in.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};

use super::mounting::{MountError, cover, failed, hold, place, through};

const PLACE: &str = "/dev";
/// Without harm.
const PLAIN: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];
/// How the names of processors for graphics and learning begin, and of what they are reached through.
const PROCESSORS: [&str; 5] = ["nvidia", "dri", "kfd", "accel", "dxg"];
/// Where programs look for their own streams.
const STREAMS: [(&str, &str); 4] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
];

/// Those of the machine that compute, by their paths.
pub(super) fn processors() -> Vec<PathBuf> {
    let entries = fs::read_dir(PLACE).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let computes = |name: &String| PROCESSORS.iter().any(|prefix| name.starts_with(prefix));
    names.filter(computes).map(|name| Path::new(PLACE).join(name)).collect()
}

/// Puts it in place of the machine's.
pub(super) fn arrange() -> Result<(), MountError> {
    let dev = Path::new(PLACE);
    let plain = PLAIN.iter().map(|name| dev.join(name)).filter(|path| path.exists());
    let mut held = Vec::new();
    for path in plain.chain(processors()) {
        held.push((hold(&path)?, path));
    }
    cover(dev, "mode=755,size=1m")?;
    for (descriptor, path) in held {
        place(&path, &through(&descriptor))?;
    }
    for (name, target) in STREAMS {
        let path = dev.join(name);
        symlink(target, &path).map_err(failed("cannot make", &path))?;
    }
    for name in ["shm", "pts"] {
        let path = dev.join(name);
        fs::create_dir(&path).map_err(failed("cannot make", &path))?;
    }
    cover(&dev.join("shm"), "mode=1777,size=50%")?;
    terminals(&dev.join("pts")).map_err(failed("cannot mount", &dev.join("pts")))?;
    let ptmx = dev.join("ptmx");
    symlink("pts/ptmx", &ptmx).map_err(failed("cannot make", &ptmx))
}

/// Terminals that are nobody else's.
fn terminals(path: &Path) -> io::Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
    let options = "newinstance,ptmxmode=0666,mode=620";
    Ok(mount(Some("devpts"), path, Some("devpts"), flags, Some(options))?)
}
