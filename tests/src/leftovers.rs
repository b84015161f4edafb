//! Processes that outlived what they belong to.

use std::fs;
use std::path::Path;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::wait;

/// A process found in `/proc`.
#[derive(Debug, Clone)]
pub struct Found {
    /// Its id.
    pub pid: i32,
    /// Its command line.
    pub command: String,
}

/// The living processes whose environment, command line or working folder names `folder`, other than this one.
pub fn below(folder: &Path) -> Vec<Found> {
    let needle = folder.as_os_str().as_encoded_bytes();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        if pid == i32::try_from(std::process::id()).unwrap() {
            continue;
        }
        let process = entry.path();
        let command = fs::read(process.join("cmdline")).unwrap_or_default();
        let environ = fs::read(process.join("environ")).unwrap_or_default();
        let place = fs::read_link(process.join("cwd")).unwrap_or_default();
        let names = |text: &[u8]| text.windows(needle.len()).any(|window| window == needle);
        if names(&command) || names(&environ) || place.starts_with(folder) {
            let command = String::from_utf8_lossy(&command).replace('\0', " ");
            found.push(Found { pid, command });
        }
    }
    found
}

/// Kills what [`below`] finds, until nothing is left, and yields what there was at first.
pub fn kill_below(folder: &Path) -> Vec<Found> {
    let first = below(folder);
    wait::until("killed processes are gone", wait::SOON, || {
        let rest = below(folder);
        for process in &rest {
            // It may have ended meanwhile.
            let _ = kill(Pid::from_raw(process.pid), Signal::SIGKILL);
        }
        rest.is_empty().then_some(())
    });
    first
}
