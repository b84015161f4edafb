//! What many runs that have ended cost those that live, and what it costs to remove them.

use super::Bench;
use super::numbers::{float, whole};
use super::rows::{Bound, Row};
use crate::load::{Lives, Shape, lifecycles, lives, make_ended, until_packed};
use crate::stats::{median, per_second, ratio_interval};
use crate::{BenchError, Place, Server};

const RUNNERS: usize = 32;
/// Lines of each run.
const LINES: u64 = 10;
/// Runs that go as soon as they may, and runs that stay.
const GOING: [(&str, &str); 2] = [("MINITOWER_RUNS_KEEP", "1s"), ("MINITOWER_RUNS_KEEP_LAST", "0")];
const STAYING: [(&str, &str); 1] = [("MINITOWER_RUNS_KEEP", "0")];
/// What a million ended runs may take of the database, in MB.
const MB_OF_A_MILLION: f64 = 400.0;

/// A database that is full of ended runs beside an empty one, in turn.
pub(super) fn full(bench: &Bench) -> Result<Vec<Row>, BenchError> {
    let (server, mut full) = bench.fresh()?;
    bench.say(&format!("filling a database with {} ended runs", whole(bench.plan.ended)));
    let ended = make_ended(&mut full, bench.plan.ended)?;
    bench.say("waiting until their logs have left it");
    until_packed(&mut full)?;
    let used = float(server.database_bytes().saturating_sub(full.metric("minitower_db_free_bytes")?)) / 1e6;
    let (_beside, mut empty) = bench.fresh()?;
    let mut ratios: [Vec<f64>; 3] = Default::default();
    for run in 0..bench.plan.repeats {
        bench.say_run("lives one by one beside many ended runs", run);
        let without = lives(&mut empty, bench.plan.leases)?;
        let with = lives(&mut full, bench.plan.leases)?;
        for (ratio, (with, without)) in ratios.iter_mut().zip(medians(&with).iter().zip(medians(&without))) {
            ratio.push(with / without);
        }
    }
    let beside = format!("{} ended runs with {} lines", whole(ended), whole(ended * LINES));
    let how = format!("medians of {} calls one by one, in turn with an empty database", bench.plan.leases);
    let names = ["create", "lease", "result"];
    let mut rows: Vec<Row> = names
        .into_iter()
        .zip(ratios)
        .map(|(name, ratio)| {
            Row::new(format!("{name} with {beside} / with none"), Bound::AtMost(1.2), "", ratio, how.clone())
        })
        .collect();
    rows.push(Row::new(
        format!("database with {beside}"),
        Bound::AtMost(MB_OF_A_MILLION * float(ended) / 1e6),
        "MB",
        vec![used],
        "once the logs have left it, with its write-ahead log, less the pages that it has and does not use",
    ));
    Ok(rows)
}

fn medians(lives: &Lives) -> [f64; 3] {
    lives.named().map(|(_, samples)| samples.figures().p50)
}

/// Lifecycles while runs go, and while they stay, in turn.
pub(super) fn retention(bench: &Bench) -> Result<Vec<Row>, BenchError> {
    let on = |env: &[(&str, &str)]| {
        let env: Vec<_> = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        bench.fresh_on(&env)
    };
    let ((going, mut goes), (staying, mut stays)) = (on(&GOING)?, on(&STAYING)?);
    let mut pairs = Vec::new();
    for pair in 0..bench.plan.pairs {
        bench.say(&format!("lifecycles while runs go, pair {} of {}", pair + 1, bench.plan.pairs));
        // Neither always comes first.
        let (with, without) = if pair % 2 == 0 {
            let with = once(bench, &going, &mut goes)?;
            (with, once(bench, &staying, &mut stays)?)
        } else {
            let without = once(bench, &staying, &mut stays)?;
            (once(bench, &going, &mut goes)?, without)
        };
        pairs.push((without, with));
    }
    let gone = goes.metric("minitower_db_runs_pruned_total")?;
    if gone == 0 {
        return Err(BenchError::Usage("retention has removed nothing".to_owned()));
    }
    let interval = ratio_interval(&pairs);
    let kept: Vec<f64> = pairs.iter().map(|(without, with)| 100.0 * with / without).collect();
    let how = format!(
        "runs go a second after their end; {} have; median {:.0} %, and with 95 % confidence {:.0} to {:.0} %",
        whole(gone),
        median(&kept),
        100.0 * interval.low,
        100.0 * interval.high
    );
    Ok(vec![Row::new(
        "lifecycles while retention works keep",
        Bound::AtLeast(95.0),
        "% of the throughput without",
        kept,
        how,
    )])
}

fn once(bench: &Bench, server: &Server, place: &mut Place) -> Result<f64, BenchError> {
    let shape = Shape { forgets: true, ..Shape::of(RUNNERS) };
    let found = lifecycles(place, Some(server.pid()), shape, bench.plan.point)?;
    Ok(per_second(found.measured, found.costs.length))
}
