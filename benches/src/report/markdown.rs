//! The report as text.

use std::fmt::Write as _;

use super::machine::Machine;
use super::numbers::{figure, whole};
use super::plots::{DEPTH_PLOT, LOAD_PLOT};
use super::rows::Row;
use super::runner::Compared;
use super::{Findings, Plan};
use crate::stats::median;

/// The whole report.
pub(super) fn report(plan: &Plan, findings: &Findings) -> String {
    let mut text = String::new();
    write(plan, findings, &mut text).unwrap_or_else(|_| unreachable!("writing into memory does not fail"));
    text
}

fn write(plan: &Plan, findings: &Findings, text: &mut String) -> std::fmt::Result {
    let Findings { machine, noise, rows, loaded, deep, minutes } = findings;
    let spread = match plan.repeats {
        1 => "Each figure was measured once.".to_owned(),
        runs => format!("Each figure is the median of {runs} runs, with the smallest and the largest."),
    };
    writeln!(text, "# Speed and memory\n")?;
    writeln!(
        text,
        "Written by `make bench`: the release build as shipped (each commit synced before its answers), the load generator beside the server on the same \
         cores, the database on a real disk. {spread} [README.md](README.md) \
         describes what each load does.\n"
    )?;
    writeln!(text, "Machine: {}. The whole benchmark took {minutes:.0} minutes.\n", machine.describe())?;
    writeln!(text, "## Targets\n")?;
    writeln!(text, "| what | target | measured | holds | how |\n|---|---|---|---|---|")?;
    for row in rows.iter().filter(|row| row.holds().is_some()) {
        let holds = if row.holds() == Some(true) { "yes" } else { "**no**" };
        let Row { what, how, .. } = row;
        writeln!(text, "| {what} | {} | {} | {holds} | {how} |", row.target(), row.measured())?;
    }
    writeln!(text, "\n## Beside them\n\n| what | measured | how |\n|---|---|---|")?;
    for row in rows.iter().filter(|row| row.holds().is_none()) {
        writeln!(text, "| {} | {} | {} |", row.what, row.measured(), row.how)?;
    }
    writeln!(text, "\n## How noisy the machine was\n\n| | before | after |\n|---|---|---|")?;
    let [before, after] = noise;
    let disk = |noise: &super::Noise| {
        format!("{} / {}", figure(noise.durable_write.p50), figure(noise.durable_write.p99))
    };
    writeln!(
        text,
        "| 4 KiB appended and `fdatasync`ed, p50 / p99, ms | {} | {} |\n| a fixed piece of arithmetic, ms | {} | {} |",
        disk(before),
        disk(after),
        figure(before.arithmetic),
        figure(after.arithmetic)
    )?;
    writeln!(text, "\n## Over load\n\n![Lifecycles over runners]({LOAD_PLOT})\n")?;
    writeln!(text, "| runners | lifecycles/s | calls of a run, p50, ms | p99, ms |\n|---|---|---|---|")?;
    for point in loaded {
        writeln!(
            text,
            "| {} | {} | {} | {} |",
            point.runners,
            figure(median(&point.throughput)),
            figure(median(&point.life_p50)),
            figure(median(&point.life_p99))
        )?;
    }
    writeln!(text, "\n## Over the depth of the queue\n\n![Lifecycles over queued runs]({DEPTH_PLOT})\n")?;
    writeln!(
        text,
        "| queued runs | lifecycles/s | calls of a run, p99, ms | lease, p99, ms |\n|---|---|---|---|"
    )?;
    for point in deep {
        writeln!(
            text,
            "| {} | {} | {} | {} |",
            whole(point.depth),
            figure(median(&point.throughput)),
            figure(median(&point.life_p99)),
            figure(median(&point.lease_p99))
        )?;
    }
    Ok(())
}

/// The section on the runner.
pub(super) fn runner(machine: &Machine, repeats: usize, beside: bool, rows: &[Compared]) -> String {
    let mut text = String::new();
    write_runner(machine, repeats, beside, rows, &mut text)
        .unwrap_or_else(|_| unreachable!("writing into memory does not fail"));
    text
}

fn write_runner(
    machine: &Machine,
    repeats: usize,
    beside: bool,
    rows: &[Compared],
    text: &mut String,
) -> std::fmt::Result {
    let in_turn = if beside { " The two builds were measured in turn." } else { "" };
    writeln!(
        text,
        "## The runner\n\nWritten by `make bench-runner`: the real runner of the release build against the real server. Each figure is the \
         median of {repeats} runs, with the smallest and the largest.{in_turn} Machine: {}.\n",
        machine.describe()
    )?;
    writeln!(text, "| what | target | before | now | holds | how |\n|---|---|---|---|---|---|")?;
    for Compared { before, after } in rows {
        let holds = if after.holds() == Some(true) { "yes" } else { "**no**" };
        let before = if before.is_empty() {
            String::new()
        } else {
            Row { values: before.clone(), ..after.clone() }.measured()
        };
        let Row { what, how, .. } = after;
        writeln!(
            text,
            "| {what} | {} | {before} | {} | {holds} | {how} |",
            after.target(),
            after.measured()
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::depth::Deep;
    use super::super::machine::Noise;
    use super::super::rows::Bound;
    use super::super::throughput::Loaded;
    use super::*;
    use crate::stats::Figures;

    #[test]
    fn a_missed_target_is_told_as_missed() {
        let row = |what: &str, bound| Row::new(what, bound, "ms", vec![7.0, 5.0, 6.0], "so");
        let noise = Noise { durable_write: Figures::default(), arithmetic: 1.0 };
        let findings = Findings {
            machine: Machine::look(std::path::Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap(),
            noise: [noise; 2],
            rows: vec![
                row("kept", Bound::AtMost(6.0)),
                row("missed", Bound::AtMost(5.9)),
                row("beside", Bound::None),
            ],
            loaded: vec![Loaded {
                runners: 32,
                throughput: vec![1.0],
                life_p50: vec![2.0],
                life_p99: vec![3.0],
            }],
            deep: vec![Deep {
                depth: 1000,
                throughput: vec![4.0],
                life_p99: vec![5.0],
                lease_p99: vec![6.0],
            }],
            minutes: 12.0,
        };
        let report = report(&Plan::full(), &findings);
        let machine = Machine::look(std::path::Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap();
        let compared = Compared { before: vec![9.0], after: row("kept", Bound::AtMost(6.0)) };
        let section = runner(&machine, 3, true, &[compared]);
        let line = "| kept | ≤ 6 ms | 9.00 ms | 6.00 ms (5.00 – 7.00) | yes | so |";
        assert!(section.lines().any(|found| found == line), "no {line:?} in {section}");
        for line in [
            "| kept | ≤ 6 ms | 6.00 ms (5.00 – 7.00) | yes | so |",
            "| missed | ≤ 5.9 ms | 6.00 ms (5.00 – 7.00) | **no** | so |",
            "| beside | 6.00 ms (5.00 – 7.00) | so |",
            "| 32 | 1.00 | 2.00 | 3.00 |",
            "| 1,000 | 4.00 | 5.00 | 6.00 |",
        ] {
            assert!(report.lines().any(|found| found == line), "no {line:?} in {report}");
        }
    }
}
