//! `tower-compare`: two builds of the server under the same loads, in turn, and the ratio of what came out.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use minitower_benches::load::{Costs, Shape, Window, creates, lifecycles};
use minitower_benches::server::{BOOTSTRAP_TOKEN, REGISTRATION_TOKEN};
use minitower_benches::stats::{Interval, per_second, ratio_interval};
use minitower_benches::{BenchError, Place, Server};

/// Compare two builds of minitowerd.
///
/// Each run has a fresh server. The builds take turns (base, new, new, base, …), so that what drifts on the machine meets
/// both alike, and the ratio is taken pair by pair.
#[derive(Debug, Parser)]
struct Args {
    /// The minitowerd to compare with
    #[arg(long, value_name = "FILE")]
    base: PathBuf,
    /// The minitowerd that is compared
    #[arg(long, value_name = "FILE")]
    new: PathBuf,
    /// Pairs of runs for each load
    #[arg(long, default_value_t = 10)]
    pairs: usize,
    /// Seconds that are measured in each run
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Seconds before
    #[arg(long, default_value_t = 1.0)]
    warm_up: f64,
    /// Where the servers' folders are made
    #[arg(long, value_name = "FOLDER")]
    folder: PathBuf,
}

/// What one run yields: operations a second, and microseconds of the server's processor time for each.
#[derive(Debug, Clone, Copy)]
struct Outcome {
    throughput: f64,
    cost: f64,
}

impl Outcome {
    fn new(count: u64, costs: &Costs) -> Self {
        Self {
            throughput: per_second(count, costs.length),
            cost: costs.server_each(count).unwrap_or_default(),
        }
    }
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tower-compare: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<(), BenchError> {
    let window = Window {
        warm_up: Duration::from_secs_f64(args.warm_up),
        length: Duration::from_secs_f64(args.seconds),
    };
    if args.pairs < 2 {
        return Err(BenchError::Usage("--pairs: an interval needs two at least".to_owned()));
    }
    for (name, load) in
        [("lifecycles", lifecycles_once as fn(&mut Place, u32, Window) -> _), ("creates", creates_once)]
    {
        println!("{name}");
        let mut pairs = Vec::new();
        for pair in 0..args.pairs {
            let once = |program: &Path| -> Result<Outcome, BenchError> {
                let server = Server::start(program, &args.folder, &[])?;
                let mut place = Place::prepare(
                    server.address(),
                    BOOTSTRAP_TOKEN,
                    REGISTRATION_TOKEN,
                    "print('hello')\n",
                )?;
                load(&mut place, server.pid(), window)
            };
            let (base, new);
            if pair % 2 == 0 {
                base = once(&args.base)?;
                new = once(&args.new)?;
            } else {
                new = once(&args.new)?;
                base = once(&args.base)?;
            }
            println!(
                "  pair {:2}: base {:6.0}/s {:6.1} us, new {:6.0}/s {:6.1} us",
                pair + 1,
                base.throughput,
                base.cost,
                new.throughput,
                new.cost
            );
            pairs.push((base, new));
        }
        let ratio = |figure: fn(&Outcome) -> f64| {
            ratio_interval(&pairs.iter().map(|(base, new)| (figure(base), figure(new))).collect::<Vec<_>>())
        };
        tell("throughput", ratio(|outcome| outcome.throughput));
        tell("server's processor time each", ratio(|outcome| outcome.cost));
    }
    Ok(())
}

fn lifecycles_once(place: &mut Place, pid: u32, window: Window) -> Result<Outcome, BenchError> {
    let found = lifecycles(place, Some(pid), Shape::of(32), window)?;
    Ok(Outcome::new(found.measured, &found.costs))
}

fn creates_once(place: &mut Place, pid: u32, window: Window) -> Result<Outcome, BenchError> {
    let found = creates(place, Some(pid), 32, window)?;
    Ok(Outcome::new(found.measured, &found.costs))
}

fn tell(what: &str, ratio: Interval) {
    let verdict = if ratio.low > 1.0 || ratio.high < 1.0 { "" } else { "; no difference is shown" };
    println!(
        "  {what}, new / base: {:.3} (95 % between {:.3} and {:.3}{verdict})",
        ratio.middle, ratio.low, ratio.high
    );
}
