//! Why the last run of a deep queue waits, asked one call at a time.

use std::thread;
use std::time::Duration;

use crate::http::request;
use crate::place::Summary;
use crate::stats::Samples;
use crate::{BenchError, Place};

/// What came out of it.
#[derive(Debug)]
pub struct Explains {
    /// How long the first answer took: nobody has counted the queue before.
    pub first: Duration,
    /// How long the others took.
    pub explain: Samples,
}

/// Asks once, lets the server count the queue for a while, and asks so many times more.
pub fn explains(place: &mut Place, count: usize, pause: Duration) -> Result<Explains, BenchError> {
    let run = place.get("/api/v1/runs?limit=1")?.number("run_id")?;
    let path = format!("/api/v1/runs/{run}/explain");
    let queued = place.summary()?.queued;
    let first = place.get(&path)?;
    Summary::check("runs up to the last one", queued, first.number("position")?)?;
    thread::sleep(pause);
    let request = request::json("GET", &path, &place.token, b"");
    let mut explain = Samples::default();
    for _ in 0..count {
        let reply = place.client().send(&request)?;
        Summary::check("runs up to the last one", queued, reply.number("position")?)?;
        explain.push(reply.took);
    }
    Ok(Explains { first: first.took, explain })
}
