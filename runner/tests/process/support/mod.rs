//! The real control plane behind a proxy, and a runner process under watch.

mod control_plane;
mod index;
pub(crate) mod processes;
mod runner;

use std::path::Path;
use std::time::Duration;

pub(crate) use control_plane::{ControlPlane, Job, Starts};
pub(crate) use index::{Index, project_files};
pub(crate) use minitower_test_plane::archive;
pub(crate) use runner::{Circumstances, Runner};

/// How long anything may take in a test; the machine may be busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// Whether a process runs: a zombie does not.
pub(crate) fn runs(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_ascii_whitespace().next());
    !matches!(state, None | Some("Z" | "X"))
}

/// Waits until a process has ended.
pub(crate) async fn ends(pid: i32, within: Duration) {
    until(within, &format!("process {pid} has ended"), || !runs(pid)).await;
}

/// Looks again and again, for what sends no event: processes and files.
pub(crate) async fn until(within: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    let end = tokio::time::Instant::now() + within;
    while !condition() {
        assert!(tokio::time::Instant::now() < end, "not within {within:?}: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Says past the test runner's capture that the current test cannot run here.
pub(crate) fn skip(reason: &str) {
    let thread = std::thread::current();
    let line = format!("SKIPPED {}: {reason}\n", thread.name().unwrap_or("a test"));
    let _unheard = std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes());
}

/// Names of the entries of a folder.
pub(crate) fn entries(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}
