//! The server's metrics, as Prometheus reads them.

use bytes::Bytes;

use crate::transport::Answer;
use crate::{Client, Error};

/// Longest text that is read.
const MAX_BYTES: usize = 256 * 1024 * 1024;

impl Client {
    /// Asks for all metrics in Prometheus' text format. The text comes by pieces, so that whoever needs one metric keeps no more than that;
    /// only [`Metrics::chunk`] answering `None` says that it was whole.
    pub async fn metrics(&self) -> Result<Metrics, Error> {
        let answer = self.transport.root(&["metrics"]).head().await?;
        if !answer.shows_its_end() {
            return Err(
                answer.unexpected("nothing says how long the metrics are, so that a part looks whole")
            );
        }
        Ok(Metrics { answer, read: 0 })
    }
}

/// Metrics on their way.
#[derive(Debug)]
pub struct Metrics {
    answer: Answer,
    read: usize,
}

impl Metrics {
    /// The next piece of the text, or `None` at its end.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        let chunk = self.answer.chunk().await?;
        self.read += chunk.as_ref().map_or(0, Bytes::len);
        if self.read > MAX_BYTES {
            return Err(self.answer.unexpected(format!("more than {MAX_BYTES} bytes of metrics")));
        }
        Ok(chunk)
    }
}
