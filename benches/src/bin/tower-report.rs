//! `tower-report`: the whole benchmark and its report.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use minitower_benches::report::{Bench, Plan};
use minitower_benches::{BenchError, process};

/// Measure everything and write the report.
#[derive(Debug, Parser)]
struct Args {
    /// Where the release programs are
    #[arg(long, value_name = "FOLDER")]
    programs: PathBuf,
    /// Where the servers' folders are made: on a real disk
    #[arg(long, value_name = "FOLDER")]
    folder: PathBuf,
    /// Where the report goes
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    /// Where the release programs of a former build are: its runner is measured beside this one
    #[arg(long, value_name = "FOLDER")]
    former: Option<PathBuf>,
    /// Only the runner, into runner.md
    #[arg(long)]
    runner: bool,
    /// Shorter, once each, with a tenth of the depth
    #[arg(long)]
    quick: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tower-report: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: Args) -> Result<(), BenchError> {
    process::raise_file_limit()?;
    let plan = if args.quick { Plan::quick() } else { Plan::full() };
    let bench = Bench::new(plan, args.programs, args.folder).beside(args.former);
    if args.runner { bench.run_runner(&args.out) } else { bench.run(&args.out) }
}
