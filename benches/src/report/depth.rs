//! What a deep queue costs.

use super::Bench;
use super::numbers::{float, mib, whole};
use super::rows::{Bound, Row};
use crate::load::{Shape, leases, lifecycles, make, make_of_teams, reads};
use crate::place::TRUSTING;
use crate::stats::{millis, per_second};
use crate::{BenchError, Place, Server};

const RUNNERS: usize = 32;
/// Clients that fill the queue.
const FILLERS: usize = 128;
/// Teams among which runners are shared fairly.
const TEAMS: u64 = 1000;
const METRICS: &str = "/metrics";
const LIST: &str = "/api/v1/runs";

/// One point of the curve over depth.
#[derive(Debug)]
pub(super) struct Deep {
    pub(super) depth: u64,
    /// One value for each run.
    pub(super) throughput: Vec<f64>,
    pub(super) life_p99: Vec<f64>,
    pub(super) lease_p99: Vec<f64>,
}

/// Lifecycles over an ever deeper queue on one server, and the targets at its deepest.
pub(super) fn over_depth(bench: &Bench) -> Result<(Vec<Deep>, Vec<Row>), BenchError> {
    let (mut server, mut place) = bench.fresh()?;
    let mut points = Vec::new();
    for depth in bench.plan.depths.iter().copied() {
        fill(bench, &mut place, depth)?;
        let mut point = Deep { depth, throughput: vec![], life_p99: vec![], lease_p99: vec![] };
        for run in 0..bench.plan.repeats {
            bench.say_run(&format!("lifecycles over {} queued runs", whole(depth)), run);
            let shape = Shape { deep: depth > 0, ..Shape::of(RUNNERS) };
            let found = lifecycles(&mut place, Some(server.pid()), shape, bench.plan.point)?;
            point.throughput.push(per_second(found.measured, found.costs.length));
            point.life_p99.push(found.calls.life.figures().p99);
            point.lease_p99.push(found.calls.lease.figures().p99);
        }
        points.push(point);
    }
    let rows = at_the_deepest(bench, &mut server, &mut place)?;
    Ok((points, rows))
}

/// Makes runs until so many wait, and asserts that the server's own gauge says so.
fn fill(bench: &Bench, place: &mut Place, depth: u64) -> Result<(), BenchError> {
    let missing = depth.saturating_sub(place.summary()?.queued);
    if missing == 0 {
        return Ok(());
    }
    bench.say(&format!("filling the queue to {}", whole(depth)));
    make(place, FILLERS, missing)?;
    check_depth(place, depth)
}

fn check_depth(place: &mut Place, depth: u64) -> Result<(), BenchError> {
    let waiting = place.metric("minitower_runs_pending")?;
    if waiting == depth {
        Ok(())
    } else {
        Err(BenchError::Miscounted { what: "queued runs", here: depth, there: waiting })
    }
}

/// A server on which as many runs wait as in the deepest queue, of many teams.
fn of_many_teams(bench: &Bench) -> Result<(Server, Place), BenchError> {
    let (name, value) = TRUSTING;
    let (server, mut place) = bench.fresh_on(&[(name.to_owned(), value.to_owned())])?;
    let depth = bench.plan.deepest();
    bench.say(&format!("filling the queue to {} over {TEAMS} teams", whole(depth)));
    make_of_teams(&place, TEAMS, FILLERS, depth)?;
    check_depth(&mut place, depth)?;
    Ok((server, place))
}

/// The targets; beside the deep queue an empty one on a second server, in turn.
fn at_the_deepest(bench: &Bench, server: &mut Server, deep: &mut Place) -> Result<Vec<Row>, BenchError> {
    let (_beside, mut empty) = bench.fresh()?;
    let (_shared, mut shared) = of_many_teams(bench)?;
    let (leased, read) = (bench.plan.leases, bench.plan.reads);
    let (mut shallow, mut lease, mut ratio) = (vec![], vec![], vec![]);
    let (mut fair, mut fair_ratio) = (vec![], vec![]);
    let (mut metrics, mut list, mut empty_metrics, mut empty_list) = (vec![], vec![], vec![], vec![]);
    for run in 0..bench.plan.repeats {
        bench.say_run("a deep queue beside an empty one", run);
        let without = leases(&mut empty, leased)?.figures().p99;
        let with = leases(deep, leased)?.figures().p99;
        shallow.push(without);
        lease.push(with);
        ratio.push(with / without);
        let of_many = leases(&mut shared, leased)?.figures().p99;
        fair.push(of_many);
        fair_ratio.push(of_many / with);
        metrics.push(reads(deep, METRICS, read)?.figures().p99);
        list.push(reads(deep, LIST, read)?.figures().p99);
        empty_metrics.push(reads(&mut empty, METRICS, read)?.figures().p99);
        empty_list.push(reads(&mut empty, LIST, read)?.figures().p99);
    }
    let size = float(server.database_bytes()) / 1e6;
    let resident = mib(server.memory()?.resident);
    let mut ready = vec![];
    for run in 0..bench.plan.repeats {
        bench.say_run("start with a deep queue", run);
        ready.push(millis(server.restart()?));
    }
    let depth = whole(bench.plan.deepest());
    let one_by_one = format!("{leased} leases one by one, in turn with an empty queue on a second server");
    let calls = format!("p99 of {read} calls");
    Ok(vec![
        Row::new(
            format!("lease p99 with {depth} queued / with none"),
            Bound::AtMost(1.5),
            "",
            ratio,
            one_by_one,
        ),
        Row::new(
            format!("lease p99 with {depth} queued over {} teams / of one team", whole(TEAMS)),
            Bound::AtMost(1.5),
            "",
            fair_ratio,
            "the same, on a third server, which shares its runners among the teams",
        ),
        Row::new(
            format!("`/metrics` with {depth} queued"),
            Bound::AtMost(10.0),
            "ms",
            metrics,
            calls.clone(),
        ),
        Row::new(
            format!("first page of `GET /runs` with {depth} queued"),
            Bound::AtMost(10.0),
            "ms",
            list,
            calls.clone(),
        ),
        Row::new(
            format!("start to ready with {depth} queued"),
            Bound::AtMost(300.0),
            "ms",
            ready,
            "from before the process is made until `/ready` answers 200, after a stop by SIGTERM",
        ),
        Row::new(format!("a lease with {depth} queued, p99"), Bound::None, "ms", lease, "one by one"),
        Row::new(
            format!("a lease with {depth} queued over {} teams, p99", whole(TEAMS)),
            Bound::None,
            "ms",
            fair,
            "one by one",
        ),
        Row::new("a lease with an empty queue, p99", Bound::None, "ms", shallow, "one by one"),
        Row::new("`/metrics` with an empty queue", Bound::None, "ms", empty_metrics, calls.clone()),
        Row::new("first page of `GET /runs` with an empty queue", Bound::None, "ms", empty_list, calls),
        Row::new(
            format!("database with {depth} queued"),
            Bound::None,
            "MB",
            vec![size],
            "with its write-ahead log, and what the loads before have left",
        ),
        Row::new(
            format!("resident memory with {depth} queued"),
            Bound::None,
            "MiB",
            vec![resident],
            "after all those loads",
        ),
    ])
}
