//! Logs of attempts that have ended leave the database: their lines are packed into segments, which are objects.
//!
//! First the object is kept, then its frames are noted and the lines removed, attempt by attempt. Whatever lies in a frame is not read from
//! the database any more, so that a crash between the two shows no line twice and loses none. A crash before leaves an object that nothing
//! names, and lines that are packed again.

mod frame;
mod read;
mod rewrite;

use std::time::{Duration, Instant};

use minitower_kernel::StoreError;
use minitower_kernel::objects::{ObjectError, Upload};
use minitower_vocabulary::ids::AttemptId;
use minitower_vocabulary::time::Timestamp;

use crate::domain::log::measured;
use crate::store::logs::LogLine;
use crate::store::segments::{self, Frame, WithLines};
use crate::{Engine, Error, Shared};

pub(crate) use read::Lines;

/// Most bytes of text in a frame: as much as is read of a log at a time.
const FRAME_BYTES: usize = 256 * 1024;
/// Most bytes of text that are packed into one segment.
const SEGMENT_BYTES: usize = 16 << 20;
/// Attempts looked at together.
const LOOKED_AT: usize = 500;
/// How long a slice takes of the writer's time, about.
const SLICE: Duration = Duration::from_millis(10);
/// From one look for logs that can be packed to the next.
const LOOK_EVERY: Duration = Duration::from_mins(1);
/// Longest error text of a frame that cannot be made.
const PACKING: &str = "packing a log";

/// Which logs are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackLogs {
    /// Those of attempts that ended so long ago.
    pub after: Duration,
    /// Not before there are so many bytes of text, so that segments do not get too small …
    pub least_bytes: usize,
    /// … unless one of the attempts ended so long ago.
    pub at_latest: Duration,
}

impl Default for PackLogs {
    fn default() -> Self {
        Self { after: Duration::from_mins(1), least_bytes: 1 << 20, at_latest: Duration::from_hours(1) }
    }
}

/// A segment that is being filled.
struct Filling {
    upload: Upload,
    bytes: i64,
    text: usize,
    frames: Vec<Frame>,
    oldest: Option<Timestamp>,
}

impl Filling {
    /// Adds lines of one attempt as a frame.
    async fn add(&mut self, attempt: AttemptId, lines: &[LogLine]) -> Result<(), Error> {
        let (Some(first), Some(last)) = (lines.first(), lines.last()) else { return Ok(()) };
        let packed = frame::pack(lines).map_err(|source| ObjectError::Io { doing: PACKING, source })?;
        self.upload.write(&packed).await?;
        let text: usize = lines.iter().map(|line| line.line.len()).sum();
        let counted: u64 = lines.iter().map(|line| measured(line.line.len() as u64)).sum();
        self.frames.push(Frame {
            attempt,
            first_seq: first.seq,
            last_seq: last.seq,
            lines: signed(lines.len()),
            stderr_lines: signed(lines.iter().filter(|line| line.stderr).count()),
            at: self.bytes,
            bytes: signed(packed.len()),
            counted: i64::try_from(counted).unwrap_or(i64::MAX),
        });
        self.bytes += signed(packed.len());
        self.text += text;
        Ok(())
    }
}

fn signed(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

impl Engine {
    /// Packs the logs of attempts that have ended, as long as there are enough of them. Answers how many segments were made.
    pub async fn pack_logs(&self, which: PackLogs) -> Result<u64, Error> {
        let (mut made, mut after) = (0, AttemptId(0));
        loop {
            let Some(filled) = self.0.fill_segment(&mut after, which).await? else { return Ok(made) };
            self.0.keep_segment(filled).await?;
            made += 1;
            if self.0.stopping.is_cancelled() {
                return Ok(made);
            }
        }
    }

    pub(crate) async fn pack_logs_due(self) -> Option<Timestamp> {
        if self.0.objects.trouble().is_none() && self.0.store.volumes().room_for_objects().is_ok() {
            match self.pack_logs(PackLogs::default()).await {
                Ok(0) => {}
                Ok(made) => tracing::debug!(made, "logs were packed into segments"),
                Err(error) => tracing::warn!(%error, "could not pack the logs of runs that have ended"),
            }
            if let Err(error) = self.rewrite_segments().await {
                tracing::warn!(%error, "could not remove segments that are not needed");
            }
        }
        self.0.measure_segments().await;
        Some(self.0.clock.now().plus(LOOK_EVERY))
    }
}

impl Shared {
    /// Fills a segment with the lines of attempts after one; none: there are not enough. Moves on to the last one that is in it.
    async fn fill_segment(&self, after: &mut AttemptId, which: PackLogs) -> Result<Option<Filling>, Error> {
        let now = self.clock.now();
        let mut filling: Option<Filling> = None;
        loop {
            let from = *after;
            let look =
                self.store.read(move |db| Ok::<_, Error>(segments::ended_with_lines(db, from, LOOKED_AT)?));
            let WithLines { ended, last } = look.await?;
            for (attempt, ended_at) in ended {
                *after = attempt;
                if now.since(ended_at) < which.after {
                    continue;
                }
                let filling = match &mut filling {
                    Some(filling) => filling,
                    none => none.insert(Filling {
                        upload: self.objects.receive(u64::MAX).await?,
                        bytes: 0,
                        text: 0,
                        frames: Vec::new(),
                        oldest: None,
                    }),
                };
                filling.oldest = Some(filling.oldest.map_or(ended_at, |oldest| oldest.min(ended_at)));
                self.fill_with(filling, attempt).await?;
                if filling.text >= SEGMENT_BYTES {
                    break;
                }
            }
            let full = filling.as_ref().is_some_and(|filling| filling.text >= SEGMENT_BYTES);
            match last {
                Some(last) if !full => *after = last.max(*after),
                _ => break,
            }
        }
        let Some(filled) = filling.filter(|filling| !filling.frames.is_empty()) else { return Ok(None) };
        let waited = filled.oldest.map_or(Duration::ZERO, |oldest| now.since(oldest));
        let enough = filled.text >= which.least_bytes || waited >= which.at_latest;
        Ok(enough.then_some(filled))
    }

    /// Adds what an attempt has, frame by frame; a very long log fills a segment of its own.
    async fn fill_with(&self, filling: &mut Filling, attempt: AttemptId) -> Result<(), Error> {
        let mut after = 0;
        loop {
            let read = self
                .store
                .read(move |db| Ok::<_, Error>(segments::unpacked(db, attempt, after, FRAME_BYTES)?));
            let lines = read.await?;
            let Some(last) = lines.last() else { break };
            after = last.seq;
            filling.add(attempt, &lines).await?;
        }
        if after == 0 {
            // All its lines lie in frames: a crash came before they were removed.
            self.store.write_upkeep(move |tx| Ok::<_, Error>(segments::remove_covered(tx, attempt)?)).await?;
        }
        Ok(())
    }

    /// Keeps a segment, and moves the lines into it, in slices.
    async fn keep_segment(&self, filled: Filling) -> Result<(), Error> {
        let Filling { upload, bytes, mut frames, .. } = filled;
        let received = upload.finish().await?;
        let sha256 = received.sha256.clone();
        let (Some(first), Some(last)) = (frames.first(), frames.last()) else { return Ok(()) };
        let attempts = (first.attempt, last.attempt);
        // Nobody removes the object before a row names it.
        let kept = self.objects.keep(received).await?;
        let name = sha256.clone();
        let noted =
            self.store.write_upkeep(move |tx| Ok::<_, Error>(segments::insert(tx, &name, bytes, attempts)?));
        let noted = noted.await;
        drop(kept);
        let segment = match noted {
            Ok(segment) => segment,
            Err(error) => {
                self.forget_if_unused(sha256).await;
                return Err(error);
            }
        };
        frames.reverse();
        while !frames.is_empty() {
            let began = Instant::now();
            let moved = self.store.write_upkeep(move |tx| {
                let until = Instant::now() + SLICE;
                while let Some(frame) = frames.pop() {
                    if segments::put(tx, segment, &frame)? {
                        segments::remove_moved(tx, &frame)?;
                    }
                    if Instant::now() >= until {
                        break;
                    }
                }
                Ok::<_, StoreError>(frames)
            });
            frames = moved.await?;
            // Half of the time is for others.
            tokio::time::sleep(began.elapsed().min(10 * SLICE)).await;
        }
        Ok(())
    }
}
