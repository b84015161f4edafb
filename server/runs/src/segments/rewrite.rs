//! Segments of which little is needed any more: what is needed moves into a new one, and the old one goes.

use std::time::Instant;

use minitower_kernel::StoreError;
use minitower_kernel::objects::ObjectError;

use super::SLICE;
use crate::store::segments::{self, Sparse};
use crate::{Engine, Error, Shared};

/// Segments looked at together.
const SEGMENTS: i64 = 50;

impl Engine {
    /// Removes segments of which nothing is needed any more, and writes those anew of which less than half is. Answers how many went.
    pub async fn rewrite_segments(&self) -> Result<u64, Error> {
        let (mut after, mut gone) = (0, 0);
        loop {
            let read = self.0.store.read(move |db| Ok::<_, Error>(segments::sparse(db, after, SEGMENTS)?));
            let sparse = read.await?;
            let Some(last) = sparse.last() else { return Ok(gone) };
            after = last.id;
            for segment in sparse {
                if self.0.stopping.is_cancelled() {
                    return Ok(gone);
                }
                gone += u64::from(self.0.rewrite(&segment).await?);
            }
        }
    }
}

impl Shared {
    async fn rewrite(&self, segment: &Sparse) -> Result<bool, Error> {
        let of = segment.clone();
        let frames = self.store.read(move |db| Ok::<_, Error>(segments::frames_of(db, &of)?)).await?;
        if let (Some(first), Some(last)) = (frames.first(), frames.last()) {
            let attempts = (first.attempt, last.attempt);
            let mut upload = self.objects.receive(u64::MAX).await?;
            let (mut moved, mut at) = (Vec::with_capacity(frames.len()), 0);
            for frame in frames {
                let from = frame.at.unsigned_abs();
                let part = from..from + frame.bytes.unsigned_abs();
                let content = match self.objects.read_part(&segment.sha256, part).await {
                    // It is told where it is looked for. What is lost cannot be moved.
                    Err(ObjectError::Missing { .. }) => return Ok(false),
                    content => content?,
                };
                upload.write(&content).await?;
                let bytes = frame.bytes;
                moved.push((frame, at));
                at += bytes;
            }
            let received = upload.finish().await?;
            let sha256 = received.sha256.clone();
            let kept = self.objects.keep(received).await?;
            let noted = self
                .store
                .write_upkeep(move |tx| Ok::<_, Error>(segments::insert(tx, &sha256, at, attempts)?));
            let (to, from) = (noted.await?, segment.id);
            drop(kept);
            moved.reverse();
            while !moved.is_empty() {
                let slice = self.store.write_upkeep(move |tx| {
                    let until = Instant::now() + SLICE;
                    while let Some((frame, at)) = moved.pop() {
                        segments::move_frame(tx, &frame, (from, to, at))?;
                        if Instant::now() >= until {
                            break;
                        }
                    }
                    Ok::<_, StoreError>(moved)
                });
                moved = slice.await?;
            }
        }
        let id = segment.id;
        let gone = self.store.write_upkeep(move |tx| Ok::<_, Error>(segments::remove_dead(tx, id)?)).await?;
        if gone {
            self.forget_if_unused(segment.sha256.clone()).await;
        }
        Ok(gone)
    }

    /// Brings the metrics of segments up to now.
    pub(super) async fn measure_segments(&self) {
        let read = self.store.read(|db| Ok::<_, Error>(segments::totals(db)?));
        match read.await {
            Ok((segments, bytes)) => {
                self.memory.metrics.log_segments.set(segments);
                self.memory.metrics.log_segment_bytes.set(bytes);
            }
            Err(error) => tracing::debug!(%error, "could not count the segments of logs"),
        }
    }
}
