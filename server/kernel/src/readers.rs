//! The pool of read-only connections.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::volumes::Volumes;
use crate::{Db, OpenError, StoreError};

/// How long a read waits for a connection before it is refused.
const WAIT: Duration = Duration::from_secs(5);
/// How long a read may take. As long as one runs, the write-ahead log grows.
pub(crate) const LONGEST: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(crate) struct Readers {
    n: usize,
    idle: Arc<Mutex<Vec<Db>>>,
    permits: Arc<Semaphore>,
    volumes: Volumes,
    longest: Duration,
}

impl Readers {
    pub(crate) fn open(
        path: &Path,
        n: usize,
        longest: Duration,
        volumes: Volumes,
    ) -> Result<Self, OpenError> {
        let idle = (0..n).map(|_| Db::open_reader(path)).collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            n,
            idle: Arc::new(Mutex::new(idle)),
            permits: Arc::new(Semaphore::new(n)),
            volumes,
            longest,
        })
    }

    /// Lets the reads that run end, and closes the connections: later reads are refused. The write-ahead log goes with the last connection, if
    /// that may write.
    pub(crate) async fn close(&self) {
        let all = u32::try_from(self.n).unwrap_or(u32::MAX);
        // A read that does not end in time keeps its connection.
        let _all = tokio::time::timeout(WAIT, self.permits.acquire_many(all)).await;
        self.permits.close();
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
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
            .map_err(|_| StoreError::Unavailable("the server is stopping".to_owned()))?;
        let (idle, volumes, longest) = (Arc::clone(&self.idle), self.volumes.clone(), self.longest);
        let task = tokio::task::spawn_blocking(move || {
            // The permit goes back after the connection does, whatever happens in between.
            let _permit = permit;
            let mut lease = Leased::take(idle);
            let db = lease.db()?;
            db.end_after(longest)?;
            let result = in_snapshot(db, f);
            // A full disk is the writer's to notice: reads need room for sorting alone, elsewhere.
            if let Some(broken) = db.take_broken() {
                volumes.met_broken(broken);
            }
            result
        });
        match task.await {
            Ok(result) => result,
            Err(_) => Err(StoreError::Panicked.into()),
        }
    }
}

/// One snapshot for all statements of the closure.
fn in_snapshot<T, E: From<StoreError>>(db: &Db, f: impl FnOnce(&Db) -> Result<T, E>) -> Result<T, E> {
    db.batch("BEGIN")?;
    let result = f(db);
    // A statement that was ended may have taken its transaction with it.
    if !db.conn.is_autocommit() {
        db.batch("COMMIT")?;
    }
    result
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

    fn db(&mut self) -> Result<&mut Db, StoreError> {
        self.db.as_mut().ok_or_else(|| StoreError::Unavailable("no connection is left".to_owned()))
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

#[cfg(test)]
mod tests {
    use super::*;

    const FOREVER: &str =
        "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n) SELECT max(n) FROM n";

    fn readers(longest: Duration) -> (tempfile::TempDir, Readers) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.db");
        drop(Db::open_writer(&path).unwrap());
        let readers = Readers::open(&path, 1, longest, Volumes::unwatched(&path)).unwrap();
        (folder, readers)
    }

    #[tokio::test]
    async fn a_read_that_takes_too_long_is_ended_and_its_connection_reads_on() {
        let (_folder, readers) = readers(Duration::from_millis(50));
        let endless = readers.run(|db| db.one(FOREVER, (), |_| Ok(()))).await;
        assert!(
            matches!(&endless, Err(StoreError::Unavailable(why)) if why.contains("too long")),
            "{endless:?}"
        );
        let many = readers
            .run(|db| {
                loop {
                    db.ping()?;
                }
            })
            .await;
        let many: Result<(), StoreError> = many;
        assert!(matches!(many, Err(StoreError::Unavailable(_))), "one statement after the other: {many:?}");
        readers.run(Db::ping).await.unwrap();
    }
}
