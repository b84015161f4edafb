//! How much the server does: lifecycles and creates, and lifecycles over load.

use super::Bench;
use super::rows::{Bound, Row};
use crate::BenchError;
use crate::load::{Shape, creates, lifecycles};
use crate::stats::{Figures, per_second};

/// The runners and clients that the targets name.
const CLIENTS: usize = 32;

/// One point of the curve over load.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) runners: usize,
    /// One value for each run.
    pub(super) throughput: Vec<f64>,
    pub(super) life_p50: Vec<f64>,
    pub(super) life_p99: Vec<f64>,
}

/// Lifecycles and creates as the targets ask for.
pub(super) fn headline(bench: &Bench) -> Result<Vec<Row>, BenchError> {
    let (mut rate, mut cost, mut bytes, mut life, mut own) = (vec![], vec![], vec![], vec![], vec![]);
    for run in 0..bench.plan.repeats {
        bench.say_run("lifecycles", run);
        let (server, mut place) = bench.fresh()?;
        let found = lifecycles(&mut place, Some(server.pid()), Shape::of(CLIENTS), bench.plan.window)?;
        rate.push(per_second(found.measured, found.costs.length));
        cost.push(found.costs.server_each(found.measured).unwrap_or_default());
        bytes.push(written_each(found.costs.written, found.measured));
        life.push(found.calls.life.figures());
        own.push(found.costs.own_each_request());
    }
    let (mut create_rate, mut create_cost, mut create) = (vec![], vec![], vec![]);
    for run in 0..bench.plan.repeats {
        bench.say_run("creates", run);
        let (server, mut place) = bench.fresh()?;
        let found = creates(&mut place, Some(server.pid()), CLIENTS, bench.plan.window)?;
        create_rate.push(per_second(found.measured, found.costs.length));
        create_cost.push(found.costs.server_each(found.measured).unwrap_or_default());
        create.push(found.create.figures());
    }
    let seconds = bench.plan.window.length.as_secs();
    let closed = format!(
        "{CLIENTS} runners in a closed loop (a long poll that leases and starts, the result with a batch of 10 log lines); {} further clients create \
         runs so that at most {} wait; {seconds} s after a warm-up",
        Shape::of(CLIENTS).creators,
        Shape::of(CLIENTS).backlog
    );
    let clients = format!("{CLIENTS} clients in a closed loop, {seconds} s after a warm-up");
    let beside = "in the same runs";
    let p99 = |figures: &[Figures]| figures.iter().map(|one| one.p99).collect::<Vec<_>>();
    Ok(vec![
        Row::new("full lifecycles", Bound::AtLeast(2500.0), "runs/s", rate, closed),
        Row::new("creates", Bound::AtLeast(8000.0), "runs/s", create_rate, clients),
        Row::new("processor time of the server for a lifecycle", Bound::AtMost(220.0), "µs", cost, beside),
        Row::new(
            "storage written for a lifecycle",
            Bound::AtMost(25.0),
            "kB",
            bytes,
            "`write_bytes` of the server, in the same runs",
        ),
        Row::new(
            "a runner's calls for one run, p99",
            Bound::None,
            "ms",
            p99(&life),
            "lifecycles with 32 runners",
        ),
        Row::new("processor time of the server for a create", Bound::None, "µs", create_cost, "32 clients"),
        Row::new("a create, p99", Bound::None, "ms", p99(&create), "32 clients"),
        Row::new(
            "processor time of the load generator for a request",
            Bound::None,
            "µs",
            own,
            "lifecycles with 32 runners",
        ),
    ])
}

/// kB for each of `count`.
fn written_each(written: Option<u64>, count: u64) -> f64 {
    use super::numbers::float;
    float(written.unwrap_or_default()) / float(count.max(1)) / 1000.0
}

/// Lifecycles with ever more runners, each point on a fresh server.
pub(super) fn over_load(bench: &Bench) -> Result<Vec<Loaded>, BenchError> {
    let fresh = |runners| Loaded { runners, throughput: vec![], life_p50: vec![], life_p99: vec![] };
    let mut points: Vec<Loaded> = bench.plan.runners.iter().copied().map(fresh).collect();
    for run in 0..bench.plan.repeats {
        for point in &mut points {
            bench.say_run(&format!("lifecycles with {} runners", point.runners), run);
            let (server, mut place) = bench.fresh()?;
            let shape = Shape::of(point.runners);
            let found = lifecycles(&mut place, Some(server.pid()), shape, bench.plan.point)?;
            let life = found.calls.life.figures();
            point.throughput.push(per_second(found.measured, found.costs.length));
            point.life_p50.push(life.p50);
            point.life_p99.push(life.p99);
        }
    }
    Ok(points)
}
