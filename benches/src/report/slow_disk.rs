//! Lifecycles on a disk like a cloud's, beside the same on the disk as it is.

use std::time::Duration;

use super::Bench;
use super::rows::{Bound, Row};
use crate::BenchError;
use crate::load::{Shape, lifecycles};
use crate::slow_disk::SlowDisk;
use crate::stats::per_second;

/// What each sync takes more: about the latency of a network volume.
const MORE: Duration = Duration::from_millis(2);
const FEW: usize = 8;
const MANY: usize = 64;

/// Lifecycles with few and with many runners.
pub(super) fn slow_disk(bench: &Bench) -> Result<Vec<Row>, BenchError> {
    let slow = SlowDisk::build(&bench.folder)?.env(MORE);
    let (mut few, mut many, mut kept) = (vec![], vec![], vec![]);
    for run in 0..bench.plan.repeats {
        bench.say_run("lifecycles on a disk with 2 ms", run);
        few.push(once(bench, FEW, &slow)?);
        // In turn, so that what drifts on the machine meets both.
        let without = once(bench, MANY, &[])?;
        let with = once(bench, MANY, &slow)?;
        many.push(with);
        kept.push(100.0 * with / without);
    }
    let how = "2 ms are added to each `fsync` and `fdatasync` of the server";
    Ok(vec![
        Row::new(format!("disk with 2 ms: {FEW} runners"), Bound::AtLeast(400.0), "runs/s", few, how),
        Row::new(
            format!("disk with 2 ms: {MANY} runners keep"),
            Bound::AtLeast(80.0),
            "%",
            kept,
            "of the throughput without, in turn",
        ),
        Row::new(format!("disk with 2 ms: {MANY} runners"), Bound::None, "runs/s", many, how),
    ])
}

fn once(bench: &Bench, runners: usize, env: &[(String, String)]) -> Result<f64, BenchError> {
    let (server, mut place) = bench.fresh_on(env)?;
    let found = lifecycles(&mut place, Some(server.pid()), Shape::of(runners), bench.plan.point)?;
    Ok(per_second(found.measured, found.costs.length))
}
