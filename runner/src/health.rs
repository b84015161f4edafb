//! Whether the runner can carry out a run at all: it owns its folder and can write to it, the disk has room, descriptors are free.
//!
//! This is checked before every poll. A runner that is not well takes no run. It says once why, and what to do, and checks again until
//! the trouble is mended. A run that met a fault of the runner goes back into the queue.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinError;
use tokio_util::sync::CancellationToken;

use minitower_daemon::backoff::Backoff;
use minitower_daemon::errors::chain;

use crate::data_dir::{DataDir, Room};
use crate::janitor::MOST_WAITING;

/// Pauses between two looks, and after a run that met a fault.
const SHORTEST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Runs that are remembered as having filled the disk.
const MOST_REMEMBERED: usize = 64;

/// The runner's health. Its errors' texts are for the runner's log.
#[derive(Debug)]
pub(crate) struct Health {
    data_dir: Arc<DataDir>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// A run met a fault since the last look.
    suspected: bool,
    backoff: Backoff,
    /// Runs that filled the disk when they were set up.
    filled: VecDeque<i64>,
}

/// Why the runner takes no run.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(
        "the runner's folder cannot be used; make it and its disk writable for the runner's user, or set MINITOWER_DATA_DIR to another"
    )]
    Folder(#[from] io::Error),
    #[error(
        "the disk of the runner's folder is full: {} free; free some, or set MINITOWER_DATA_DIR to a folder on another disk",
        free(*.0)
    )]
    Full(Room),
    #[error("the check of the runner's folder failed; please report this")]
    Died(#[from] JoinError),
}

fn free(room: Room) -> String {
    match room.files {
        Some(files) => format!("{} bytes and {files} files", room.bytes),
        None => format!("{} bytes", room.bytes),
    }
}

impl Health {
    /// The health of the runner with this folder.
    pub(crate) fn new(data_dir: Arc<DataDir>) -> Self {
        let state = State { suspected: false, backoff: backoff(), filled: VecDeque::new() };
        Self { data_dir, state: Mutex::new(state) }
    }

    fn state<T>(&self, with: impl FnOnce(&mut State) -> T) -> T {
        with(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Notes that a run met a fault of the runner. The next run waits a while, longer each time in a row.
    pub(crate) fn suspect(&self) {
        self.state(|state| state.suspected = true);
    }

    /// Notes that a run was carried out without a fault.
    pub(crate) fn went_well(&self) {
        self.state(|state| state.backoff = backoff());
    }

    /// Remembers that a run filled the disk; says whether it had done so before.
    pub(crate) fn filled_by(&self, run_id: i64) -> bool {
        self.state(|state| {
            if state.filled.contains(&run_id) {
                return true;
            }
            state.filled.truncate(MOST_REMEMBERED - 1);
            state.filled.push_front(run_id);
            false
        })
    }

    /// Returns when the runner can take a run.
    pub(crate) async fn well(&self, stop: &CancellationToken) {
        if self.state(|state| std::mem::take(&mut state.suspected)) {
            let pause = self.state(|state| state.backoff.next_pause());
            wait(pause, stop).await;
        }
        let mut told = None;
        let mut backoff = backoff();
        while !stop.is_cancelled() {
            let trouble = match self.look(stop).await {
                Ok(()) => break,
                Err(trouble) => chain(&trouble),
            };
            // How much is free changes all the time, and is not worth another line.
            let kind = trouble.split(':').next().map(str::to_owned);
            if told != kind {
                tracing::error!("{trouble}. The runner takes no runs until this is fixed");
                told = kind;
            }
            wait(backoff.next_pause(), stop).await;
        }
        if told.is_some() && !stop.is_cancelled() {
            tracing::info!("the runner's folder can be used again; the runner takes runs");
        }
    }

    async fn look(&self, stop: &CancellationToken) -> Result<(), Trouble> {
        let data_dir = Arc::clone(&self.data_dir);
        let looked = tokio::task::spawn_blocking(move || {
            data_dir.mend_and_tell()?;
            data_dir.room()
        });
        let room = looked.await??;
        let most = if room.is_full() { 0 } else { MOST_WAITING };
        tokio::select! {
            () = self.data_dir.janitor().caught_up(most) => {}
            () = stop.cancelled() => return Ok(()),
        }
        let data_dir = Arc::clone(&self.data_dir);
        let looked = tokio::task::spawn_blocking(move || {
            let room = data_dir.room()?;
            if room.is_full() {
                return Err(Trouble::Full(room));
            }
            Ok(data_dir.probe()?)
        });
        looked.await?
    }
}

fn backoff() -> Backoff {
    Backoff::new(SHORTEST_PAUSE, LONGEST_PAUSE)
}

async fn wait(pause: Duration, stop: &CancellationToken) {
    tokio::select! {
        () = tokio::time::sleep(pause) => {}
        () = stop.cancelled() => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_fills_the_disk_is_known_the_second_time() {
        let base = tempfile::tempdir().unwrap();
        let health = Health::new(Arc::new(DataDir::open(base.path(), "r").unwrap()));
        assert!(!health.filled_by(1));
        assert!(!health.filled_by(2));
        assert!(health.filled_by(1));
        for run in 10..200 {
            assert!(!health.filled_by(run));
        }
        assert!(!health.filled_by(1), "the memory is bounded");
    }

    #[test]
    fn a_trouble_says_what_to_do() {
        let full = Trouble::Full(Room { bytes: 12, files: Some(3) }).to_string();
        assert!(full.contains("12 bytes and 3 files free") && full.contains("MINITOWER_DATA_DIR"), "{full}");
        let folder = chain(&Trouble::from(io::Error::from(nix::errno::Errno::EROFS)));
        assert!(folder.contains("Read-only file system") && folder.contains("writable"), "{folder}");
    }
}
