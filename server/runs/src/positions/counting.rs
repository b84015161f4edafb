//! Counting the queue of a team in an environment from its front on, a few runs at a time, as a command between others.

use std::sync::Arc;
use std::time::{Duration, Instant};

use minitower_kernel::{Db, StoreError};
use minitower_vocabulary::ids::TeamId;

use super::{Counted, Positions};
use crate::store::queue;
use crate::{Runs, Shared};

/// How long a slice takes of the writer's time, about.
const SLICE: Duration = Duration::from_millis(3);
/// Runs that are read at once within a slice.
const READ_AT_ONCE: usize = 200;

impl Runs {
    /// Has a line counted, unless it is or is being counted. Nobody waits for it.
    pub(crate) fn count_line(&self, team: TeamId, environment: &str) {
        if self.0.memory.positions.begin(team, environment) {
            tokio::spawn(count_all(Arc::clone(&self.0), team, environment.to_owned()));
        }
    }
}

async fn count_all(shared: Arc<Shared>, team: TeamId, environment: String) {
    loop {
        let began = Instant::now();
        let (memory, name) = (Arc::clone(&shared.memory), environment.clone());
        // Nothing is written.
        let counted = shared.store.write_upkeep(move |tx| slice(tx, &memory.positions, team, &name)).await;
        match counted {
            Ok(true) if !shared.stopping.is_cancelled() => {}
            Ok(true) | Err(_) => {
                // Whoever asks next begins anew.
                shared.memory.positions.forget(team, &environment);
                return;
            }
            Ok(false) => return,
        }
        // Half of the time is for others.
        tokio::time::sleep(began.elapsed().min(10 * SLICE)).await;
    }
}

/// Counts as much as the time allows. False: all is counted.
fn slice(db: &Db, positions: &Positions, team: TeamId, environment: &str) -> Result<bool, StoreError> {
    let until = Instant::now() + SLICE;
    while let Some(Counted::To(last)) = positions.counted(team, environment) {
        let next = queue::behind(db, team, environment, last, READ_AT_ONCE)?;
        positions.count(team, environment, &next, next.len() < READ_AT_ONCE);
        if Instant::now() >= until {
            return Ok(true);
        }
    }
    Ok(false)
}
