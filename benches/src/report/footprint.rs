//! What the server costs when little or nothing happens, and what it weighs.

use std::fs;
use std::thread;

use super::Bench;
use super::numbers::{float, mib, whole};
use super::rows::{Bound, Row};
use crate::BenchError;
use crate::load::transfer::{download, large_archive, upload};
use crate::load::waiting as let_wait;
use crate::stats::millis;

/// Between two looks for expired leases, and between two batches of last-seen times: the server's default.
const UPKEEP_SECONDS: u64 = 10;

/// Idle runners in long polls.
pub(super) fn waiting(bench: &Bench) -> Result<Vec<Row>, BenchError> {
    let (mut cpu, mut memory, mut bursts, mut written) = (vec![], vec![], vec![], vec![]);
    for run in 0..bench.plan.repeats {
        bench.say_run("idle runners", run);
        let (server, mut place) = bench.fresh()?;
        let found = let_wait(&mut place, &server, bench.plan.waiting_runners, bench.plan.waiting)?;
        cpu.push(found.cpu_percent);
        memory.push(mib(found.resident));
        bursts.push(float(found.bursts));
        written.push(float(found.costs.written.unwrap_or_default()) / 1000.0);
    }
    let runners = whole(bench.plan.waiting_runners as u64);
    let seconds = bench.plan.waiting.length.as_secs();
    let batches = float(seconds / UPKEEP_SECONDS + 1);
    let how = format!("polls of 30 s, for {seconds} s");
    Ok(vec![
        Row::new(
            format!("{runners} idle runners: processor"),
            Bound::AtMost(2.0),
            "% of a core",
            cpu,
            how.clone(),
        ),
        Row::new(format!("{runners} idle runners: resident"), Bound::AtMost(50.0), "MiB", memory, how),
        Row::new(
            format!("{runners} idle runners: writes in {seconds} s"),
            Bound::AtMost(batches),
            "",
            bursts,
            format!(
                "times at which the database's files began to change; at most one batch of last-seen times each {UPKEEP_SECONDS} s"
            ),
        ),
        Row::new(
            format!("{runners} idle runners: written in {seconds} s"),
            Bound::None,
            "kB",
            written,
            "`write_bytes` of the server",
        ),
    ])
}

/// A server that nobody uses, and how soon it is there.
pub(super) fn idle_and_start(bench: &Bench) -> Result<Vec<Row>, BenchError> {
    let (mut first, mut again, mut memory) = (vec![], vec![], vec![]);
    for run in 0..bench.plan.repeats {
        bench.say_run("an idle server", run);
        let (mut server, place) = bench.fresh()?;
        drop(place);
        first.push(millis(server.ready_after()));
        again.push(millis(server.restart()?));
        // Not for a state: what is measured is how it looks after being left alone.
        thread::sleep(bench.plan.settle);
        memory.push(mib(server.memory()?.resident));
    }
    let settle = bench.plan.settle.as_secs();
    let until = "from before the process is made until `/ready` answers 200";
    Ok(vec![
        Row::new(
            "control plane idle: resident",
            Bound::AtMost(12.0),
            "MiB",
            memory,
            format!("{settle} s after its start, with one team and one app"),
        ),
        Row::new(
            "start to ready",
            Bound::AtMost(15.0),
            "ms",
            again,
            format!("{until}, after a stop by SIGTERM"),
        ),
        Row::new("first start to ready, the database is made", Bound::AtMost(15.0), "ms", first, until),
    ])
}

/// A large archive up and down.
pub(super) fn transfers(bench: &Bench) -> Result<Vec<Row>, BenchError> {
    let archive = large_archive(bench.plan.archive)?;
    let (mut up, mut down, mut up_took, mut down_took) = (vec![], vec![], vec![], vec![]);
    for run in 0..bench.plan.repeats {
        bench.say_run("a large archive", run);
        let (server, mut place) = bench.fresh()?;
        let sent = upload(&place, server.pid(), &archive)?;
        let read = download(&mut place, server.pid(), archive.len() as u64)?;
        up.push(float(sent.grown * 1024) / 1e6);
        down.push(float(read.grown * 1024) / 1e6);
        up_took.push(sent.took.as_secs_f64());
        down_took.push(read.took.as_secs_f64());
    }
    let size = whole(bench.plan.archive as u64 / 1_000_000);
    let how = "peak of resident memory during it, less what was resident before; noise, which nothing makes smaller";
    Ok(vec![
        Row::new(format!("upload of {size} MB: memory grows"), Bound::AtMost(10.0), "MB", up, how),
        Row::new(format!("download of {size} MB: memory grows"), Bound::AtMost(10.0), "MB", down, how),
        Row::new(format!("upload of {size} MB"), Bound::None, "s", up_took, "hashed, inspected and synced"),
        Row::new(format!("download of {size} MB"), Bound::None, "s", down_took, "under a lease"),
    ])
}

/// The programs' sizes.
pub(super) fn sizes(bench: &Bench) -> Result<Vec<Row>, BenchError> {
    let size = |name: &str| {
        let program = bench.program(name);
        let bytes =
            fs::metadata(&program).map_err(BenchError::io(format!("no {}", program.display())))?.len();
        let what = format!("size of `{name}`");
        Ok(Row::new(
            what,
            Bound::AtMost(25.0),
            "MB",
            vec![float(bytes) / 1e6],
            "release build as shipped, stripped",
        ))
    };
    ["minitowerd", "minitower-runner", "minitower"].into_iter().map(size).collect()
}
