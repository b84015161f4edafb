//! Who waits for the end of a run.
//!
//! All of it is memory: a caller that waited when the server stopped is answered, and asks again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use minitower_vocabulary::ids::RunId;
use tokio_util::sync::CancellationToken;

/// The runs that somebody waits for.
#[derive(Debug, Default)]
pub(crate) struct Endings(Arc<Mutex<HashMap<RunId, Awaited>>>);

/// A run that somebody waits for.
#[derive(Debug, Default)]
struct Awaited {
    /// How many wait.
    waiters: usize,
    /// Cancelled when it has ended.
    ended: CancellationToken,
}

impl Endings {
    /// Begins to wait. What ends from now on is not missed.
    pub(crate) fn watch(&self, run: RunId) -> Watch {
        let mut awaited = lock(&self.0);
        let of_run = awaited.entry(run).or_default();
        of_run.waiters += 1;
        Watch { awaited: Arc::clone(&self.0), run, ended: of_run.ended.clone() }
    }

    /// The run has ended.
    pub(crate) fn ended(&self, run: RunId) {
        if let Some(awaited) = lock(&self.0).get(&run) {
            awaited.ended.cancel();
        }
    }
}

/// One that waits. It stops waiting when it is dropped.
#[derive(Debug)]
pub(crate) struct Watch {
    awaited: Arc<Mutex<HashMap<RunId, Awaited>>>,
    run: RunId,
    ended: CancellationToken,
}

impl Watch {
    /// Until the run has ended.
    pub(crate) async fn ended(&self) {
        self.ended.cancelled().await;
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut awaited = lock(&self.awaited);
        if let Some(of_run) = awaited.get_mut(&self.run) {
            of_run.waiters -= 1;
            if of_run.waiters == 0 {
                awaited.remove(&self.run);
            }
        }
    }
}

fn lock(awaited: &Mutex<HashMap<RunId, Awaited>>) -> MutexGuard<'_, HashMap<RunId, Awaited>> {
    awaited.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn all_who_wait_for_a_run_hear_of_its_end_and_are_forgotten() {
        let endings = Endings::default();
        let (first, second, other) =
            (endings.watch(RunId(1)), endings.watch(RunId(1)), endings.watch(RunId(2)));
        endings.ended(RunId(1));
        endings.ended(RunId(3));
        for watch in [&first, &second] {
            timeout(Duration::from_secs(5), watch.ended()).await.unwrap();
        }
        assert!(timeout(Duration::from_millis(20), other.ended()).await.is_err());
        drop((first, second, other));
        assert!(lock(&endings.0).is_empty());
    }
}
