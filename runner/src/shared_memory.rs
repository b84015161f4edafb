//! What runs leave in a pod's shared memory.
//!
//! Where jobs have mount namespaces, each has a `/dev/shm` of its own, which goes with it. Elsewhere they share the container's, and
//! Python's `multiprocessing` needs it. In a pod the runner is the first process, so whatever is there and belongs to its user was
//! left by a run: it is removed before and after each. On a machine with other programs it stays, since nobody knows whose it is.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use nix::unistd::{Pid, geteuid};

use crate::folder::Folder;
use crate::removal::remove_entry;

/// Where POSIX has its shared memory on Linux; see `shm_overview(7)`.
const PLACE: &str = "/dev/shm";
/// Most entries that are looked at in one round.
const MOST: usize = 10_000;

/// The shared memory of a pod; empty where it is not this runner's to clear.
#[derive(Debug, Clone, Default)]
pub(crate) struct SharedMemory {
    place: Option<PathBuf>,
    /// What the operator has put there.
    kept: Vec<PathBuf>,
}

impl SharedMemory {
    /// That of this machine. `own_files`: jobs have mount namespaces; `kept`: paths that runs do not own.
    pub(crate) fn of_this_machine(own_files: bool, kept: impl IntoIterator<Item = PathBuf>) -> Self {
        let in_pod = Pid::this().as_raw() == 1;
        let place = (in_pod && !own_files).then(|| PathBuf::from(PLACE));
        Self { place, kept: kept.into_iter().collect() }
    }

    /// Removes what was left there; what cannot be removed is told in the runner's log.
    pub(crate) async fn clear(&self) {
        let Some(place) = self.place.clone() else { return };
        let kept = self.kept.clone();
        let cleared = tokio::task::spawn_blocking(move || clear(&place, &kept)).await;
        match cleared {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(%error, path = PLACE, "cannot remove what a run left in shared memory");
            }
            Err(fault) => tracing::error!(%fault, "clearing the shared memory failed"),
        }
    }
}

fn clear(place: &Path, kept: &[PathBuf]) -> std::io::Result<()> {
    let folder = match Folder::open(place) {
        Ok(folder) => folder,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let user = geteuid().as_raw();
    loop {
        let (mut removed, mut first_error) = (0_usize, None);
        for name in folder.names(MOST)? {
            let path = place.join(name.to_string_lossy().as_ref());
            let is_users = folder.status_of(name.as_c_str())?.is_some_and(|status| status.st_uid == user);
            if !is_users || kept.iter().any(|kept| kept.starts_with(&path)) {
                continue;
            }
            match remove_entry(folder.as_fd(), &name) {
                Ok(()) => removed += 1,
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        match first_error {
            // Some may not have been among those that were looked at.
            _ if removed > 0 => {}
            Some(error) => return Err(error),
            None => return Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_runs_left_goes_and_what_the_operator_keeps_there_stays() {
        let place = tempfile::tempdir().unwrap();
        for folder in ["left/a/b", "runner/data"] {
            fs::create_dir_all(place.path().join(folder)).unwrap();
        }
        fs::write(place.path().join("sem.mp-x"), "").unwrap();
        clear(place.path(), &[place.path().join("runner/data")]).unwrap();
        let left: Vec<_> =
            fs::read_dir(place.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["runner"]);
    }

    #[test]
    fn no_other_machines_shared_memory_is_touched() {
        // A test is never the first process.
        assert_eq!(SharedMemory::of_this_machine(false, []).place, None);
        assert!(clear(Path::new("/nowhere/at/all"), &[]).is_ok());
    }
}
