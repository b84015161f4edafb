//! How long the logs of active attempts are, so that each batch of lines need not measure the log that it is added to.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use minitower_kernel::events::Turn;
use minitower_kernel::{StoreError, Tx};
use minitower_vocabulary::ids::{AttemptId, RunId};

use crate::domain::attempt::Attempt;
use crate::domain::log::Kept;
use crate::domain::run::Run;
use crate::store::events::{LogGrew, LogStored, RunMoved};
use crate::store::logs::{self, LogLine};
use crate::store::usage;

/// By run. Commands alone read it, and it mirrors what they do.
#[derive(Debug, Default)]
pub(crate) struct LogSizes {
    known: Mutex<HashMap<RunId, (AttemptId, Kept)>>,
    /// The newest attempt that another process made. Of later ones everything is known.
    made_before: OnceLock<AttemptId>,
}

impl LogSizes {
    /// Takes over what the database knows at start.
    pub(crate) fn load(&self, newest: AttemptId) {
        self.made_before.get_or_init(|| newest);
    }

    /// A log grew, or that was taken back.
    pub(crate) fn grew(&self, grew: &LogGrew, turn: Turn) {
        let kept = match turn {
            Turn::Done => grew.after,
            Turn::Undone => grew.before,
        };
        self.lock().insert(grew.run, (grew.attempt, kept));
    }

    /// A run moved, for good: a log whose attempt has ended grows no more.
    pub(crate) fn moved(&self, moved: &RunMoved) {
        if moved.before.as_ref().is_some_and(|run| run.status().is_active())
            && !moved.after.status().is_active()
        {
            self.lock().remove(&moved.id);
        }
    }

    /// Stores lines of an attempt at a run, whose log may have `most` bytes.
    pub(crate) fn append(
        &self,
        tx: &Tx<'_>,
        (run, attempt): (&Run, &Attempt),
        lines: Vec<LogLine>,
        most: u64,
    ) -> Result<(), StoreError> {
        if lines.is_empty() {
            return Ok(());
        }
        let before = self.of(tx, run.id, attempt.id, most)?;
        let after = logs::append(tx, attempt.id, &lines, (before, most))?;
        if after != before {
            let signed = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
            usage::stored(tx, run.team_id, signed(after.bytes) - signed(before.bytes));
            tx.emit(LogGrew { run: run.id, attempt: attempt.id, before, after });
            tx.emit(LogStored { run: run.id, attempt: attempt.number, lines: Arc::new(lines) });
        }
        Ok(())
    }

    fn of(&self, tx: &Tx<'_>, run: RunId, attempt: AttemptId, most: u64) -> Result<Kept, StoreError> {
        if let Some((of, kept)) = self.lock().get(&run)
            && *of == attempt
        {
            return Ok(*kept);
        }
        match self.made_before.get() {
            Some(newest) if attempt > *newest => Ok(Kept::default()),
            _ => logs::measure(tx, attempt, most),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<RunId, (AttemptId, Kept)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
