//! The pool of read-only connections.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::{Db, OpenError, StoreError};

/// How long a read waits for a connection before it is refused.
const WAIT: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(crate) struct Readers {
    idle: Arc<Mutex<Vec<Db>>>,
    permits: Arc<Semaphore>,
}

impl Readers {
    pub(crate) fn open(path: &Path, n: usize) -> Result<Self, OpenError> {
        let idle = (0..n).map(|_| Db::open_reader(path)).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { idle: Arc::new(Mutex::new(idle)), permits: Arc::new(Semaphore::new(n)) })
    }

    pub(crate) async fn run<T, E, F>(&self, f: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: FnOnce(&Db) -> Result<T, E> + Send + 'static,
    {
        let busy = || StoreError::Unavailable("too many reads are waiting".to_owned());
        let permit = tokio::time::timeout(WAIT, Arc::clone(&self.permits).acquire_owned())
            .await
            .map_err(|_| busy())?
            .map_err(|_| busy())?;
        let idle = Arc::clone(&self.idle);
        let task = tokio::task::spawn_blocking(move || {
            // The permit goes back after the connection does, whatever happens in between.
            let _permit = permit;
            let lease = Leased::take(idle);
            let db = lease.db()?;
            // One snapshot for all statements of the closure.
            db.conn.execute_batch("BEGIN").map_err(StoreError::from)?;
            let result = f(db);
            db.conn.execute_batch("COMMIT").map_err(StoreError::from)?;
            result
        });
        match task.await {
            Ok(result) => result,
            Err(_) => Err(StoreError::Panicked.into()),
        }
    }
}

/// A connection out of the pool, put back when dropped; a panic puts it back too, out of its snapshot.
struct Leased {
    idle: Arc<Mutex<Vec<Db>>>,
    db: Option<Db>,
}

impl Leased {
    fn take(idle: Arc<Mutex<Vec<Db>>>) -> Self {
        let db = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Self { idle, db }
    }

    fn db(&self) -> Result<&Db, StoreError> {
        self.db.as_ref().ok_or_else(|| StoreError::Unavailable("no connection is left".to_owned()))
    }
}

impl Drop for Leased {
    fn drop(&mut self) {
        if let Some(db) = self.db.take() {
            if !db.conn.is_autocommit()
                && let Err(error) = db.conn.execute_batch("ROLLBACK")
            {
                tracing::error!(%error, "a read connection is stuck in its transaction");
            }
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(db);
        }
    }
}
