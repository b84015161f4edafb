//! One read call many times, one at a time.

use crate::http::request;
use crate::stats::Samples;
use crate::{BenchError, Place};

/// First calls that are not measured.
const WARM_UP: usize = 3;

/// Reads a path so many times.
pub fn reads(place: &mut Place, path: &str, count: usize) -> Result<Samples, BenchError> {
    let request = request::json("GET", path, &place.token, b"");
    let mut samples = Samples::default();
    for number in 0..WARM_UP + count {
        let reply = place.client().send(&request)?;
        if reply.status != 200 {
            return Err(BenchError::Answer {
                call: format!("GET {path}"),
                status: reply.status,
                body: String::from_utf8_lossy(&reply.body).into_owned(),
            });
        }
        if number >= WARM_UP {
            samples.push(reply.took);
        }
    }
    Ok(samples)
}
