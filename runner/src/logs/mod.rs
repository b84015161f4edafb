//! A run's log on its way from the job's streams to the control plane.
//!
//! `lines` cuts bytes into lines, `spool` keeps what is not delivered yet in order (in memory, then on disk, then not
//! at all), `delivery` sends it. [`RunLog`] joins them. Nothing here knows how a job is run.

mod delivery;
mod lines;
mod spool;

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use minitower_client::wire::runs::{LogLine, Stream};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::Notify;

use crate::steps::Lines;
pub(crate) use delivery::{Delivered, deliver};
use lines::LineCutter;
use spool::Spool;

/// How much of a stream is read at once.
const READ_BYTES: usize = 64 * 1024;
/// How long a writer waits for room before it looks again whether the server is there at all.
const ROOM_WITHIN: Duration = Duration::from_secs(1);

/// The log of one attempt. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct RunLog {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    spool: Mutex<Spool>,
    /// Lines were added.
    arrived: Notify,
    /// Lines were delivered.
    delivered: Notify,
    /// Whether the last delivery went well: then a job that writes too fast is slowed down; else what does not fit
    /// is cut.
    reachable: AtomicBool,
}

impl RunLog {
    /// Begins a log whose undelivered lines may overflow into `folder`.
    pub(crate) fn new(folder: &Path) -> Self {
        Self::with_spool(Spool::new(folder.to_owned()))
    }

    fn with_spool(spool: Spool) -> Self {
        let shared = Shared {
            spool: Mutex::new(spool),
            arrived: Notify::new(),
            delivered: Notify::new(),
            reachable: AtomicBool::new(true),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Adds a line of the runner itself.
    pub(crate) async fn note(&self, text: impl Into<String>) {
        let mut cutter = LineCutter::default();
        let mut lines = Vec::new();
        cutter.push(text.into().as_bytes(), &mut lines);
        cutter.finish(&mut lines);
        self.append(Stream::Stderr, lines).await;
    }

    /// Adds lines; waits while there is no room although the server takes lines.
    async fn append(&self, stream: Stream, lines: Vec<String>) {
        if lines.is_empty() {
            return;
        }
        while self.shared.reachable.load(Ordering::Relaxed) && self.with(|spool| spool.is_full()).await {
            let delivered = self.shared.delivered.notified();
            let _look_again = tokio::time::timeout(ROOM_WITHIN, delivered).await;
        }
        let at = crate::clock::wall();
        self.with(move |spool| {
            for line in lines {
                spool.push(stream, line, at);
            }
        })
        .await;
        self.shared.arrived.notify_one();
    }

    /// Reads both streams of a program to their ends; lines of its standard output are logged as `out`, all of them as `filter`
    /// says.
    pub(crate) async fn pump(
        &self,
        out: Stream,
        filter: &Lines,
        mut stdout: impl AsyncRead + Unpin,
        mut stderr: impl AsyncRead + Unpin,
    ) -> io::Result<()> {
        let (mut out_bytes, mut err_bytes) = (vec![0; READ_BYTES], vec![0; READ_BYTES]);
        let (mut out_lines, mut err_lines) = (LineCutter::default(), LineCutter::default());
        let (mut out_open, mut err_open) = (true, true);
        while out_open || err_open {
            // One task for both, so that lines keep the order in which they came.
            let (stream, cutter, bytes, open) = tokio::select! {
                read = stdout.read(&mut out_bytes), if out_open =>
                    (out, &mut out_lines, &out_bytes[..read?], &mut out_open),
                read = stderr.read(&mut err_bytes), if err_open =>
                    (Stream::Stderr, &mut err_lines, &err_bytes[..read?], &mut err_open),
            };
            let mut lines = Vec::new();
            if bytes.is_empty() {
                *open = false;
                cutter.finish(&mut lines);
            } else {
                cutter.push(bytes, &mut lines);
            }
            self.append(stream, filter.filter(lines)).await;
        }
        Ok(())
    }

    /// Up to a batch of the oldest lines not yet delivered.
    async fn oldest(&self, most: usize) -> Vec<LogLine> {
        self.with(move |spool| spool.oldest(most)).await
    }

    /// Forgets the oldest `count` lines.
    async fn forget(&self, count: usize) {
        self.with(move |spool| spool.forget(count)).await;
        self.shared.delivered.notify_one();
    }

    /// Runs an operation that may touch the disk without holding up heartbeats.
    async fn with<T: Send + 'static>(&self, operation: impl FnOnce(&mut Spool) -> T + Send + 'static) -> T {
        let shared = Arc::clone(&self.shared);
        let work = move || operation(&mut shared.spool.lock().unwrap_or_else(PoisonError::into_inner));
        match tokio::task::spawn_blocking(work).await {
            Ok(done) => done,
            // It cannot be cancelled, so that it panicked: so do we.
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
}
