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
    Bench::new(plan, args.programs, args.folder).run(&args.out)
}
