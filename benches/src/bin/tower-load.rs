//! `tower-load`: one load at a time against a server of its own or one that runs already.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use minitower_benches::load::{
    Costs, Listening, Shape, Window, creates, creates_with_keys, dispatch, explains, leases,
    leases_with_secrets, lifecycles, live, lives, make, make_ended, make_of_teams, reads, until_packed,
    waiting,
};
use minitower_benches::place::TRUSTING;
use minitower_benches::server::{BOOTSTRAP_TOKEN, REGISTRATION_TOKEN};
use minitower_benches::slow_disk::SlowDisk;
use minitower_benches::stats::{Samples, per_second};
use minitower_benches::{BenchError, Place, Server, process};

/// Load for a control plane, and what it makes of it.
///
/// Without --url it starts the minitowerd beside itself, on a free loopback port and a folder on disk that goes
/// afterwards.
#[derive(Debug, Parser)]
struct Args {
    #[command(subcommand)]
    load: Load,
    /// A server that runs already and has no team yet, as IP:PORT; it needs --bootstrap-token and --registration-token
    #[arg(long, global = true, value_name = "IP:PORT")]
    url: Option<SocketAddr>,
    /// The process of that server, for what it costs
    #[arg(long, global = true)]
    pid: Option<u32>,
    /// The token that opens /bootstrap/team
    #[arg(long, global = true, default_value = BOOTSTRAP_TOKEN)]
    bootstrap_token: String,
    /// The token that registers runners
    #[arg(long, global = true, default_value = REGISTRATION_TOKEN)]
    registration_token: String,
    /// The minitowerd to start
    #[arg(long, global = true, value_name = "FILE")]
    server: Option<PathBuf>,
    /// A variable for the server that is started, as KEY=VALUE
    #[arg(long, global = true, value_name = "KEY=VALUE")]
    env: Vec<String>,
    /// Milliseconds that each fsync of the server that is started takes longer
    #[arg(long, global = true, value_name = "MS")]
    slow_disk: Option<f64>,
    /// Runs that are queued before the load begins
    #[arg(long, global = true, default_value_t = 0)]
    depth: u64,
    /// Runs that have ended before the load begins, with ten lines of log each
    #[arg(long, global = true, default_value_t = 0)]
    ended: u64,
    /// Wait until the logs of these runs have left the database
    #[arg(long, global = true, requires = "ended")]
    packed: bool,
    /// Teams that these runs belong to, beside the one that the load is for
    #[arg(long, global = true, value_name = "N")]
    teams: Option<u64>,
    /// Where the server's folder is made
    #[arg(long, global = true, value_name = "FOLDER")]
    folder: Option<PathBuf>,
    /// Seconds that are measured
    #[arg(long, global = true, default_value_t = 10.0)]
    seconds: f64,
    /// Seconds before
    #[arg(long, global = true, default_value_t = 2.0)]
    warm_up: f64,
}

#[derive(Debug, Clone, Subcommand)]
enum Load {
    /// Whole lives of runs: create, lease and start by a long poll, result with ten log lines
    Lifecycles {
        /// Runners
        #[arg(long, default_value_t = 32)]
        runners: usize,
        /// Clients that create runs
        #[arg(long, default_value_t = 32)]
        creators: usize,
        /// Most runs that wait to be leased
        #[arg(long, default_value_t = 64)]
        backlog: u64,
        /// The server removes runs that have ended meanwhile: start it with `--env MINITOWER_RUNS_KEEP=1s` and
        /// `--env MINITOWER_RUNS_KEEP_LAST=0`
        #[arg(long)]
        forgets: bool,
    },
    /// Creates alone
    Creates {
        /// Clients
        #[arg(long, default_value_t = 32)]
        clients: usize,
        /// Give each create an Idempotency-Key of its own
        #[arg(long)]
        keys: bool,
    },
    /// From a create to its lease, with idle runners that wait in long polls; one run at a time
    Dispatch {
        /// Runners
        #[arg(long, default_value_t = 10)]
        runners: usize,
        /// Runs
        #[arg(long, default_value_t = 500)]
        count: usize,
    },
    /// Leases one by one
    Leases {
        /// Runs
        #[arg(long, default_value_t = 500)]
        count: usize,
        /// In turn with as many runs that get this many secrets
        #[arg(long, value_name = "N", default_value_t = 0)]
        secrets: usize,
    },
    /// Creates, leases and results one by one
    Lives {
        /// Runs
        #[arg(long, default_value_t = 500)]
        count: usize,
    },
    /// Why the last run waits, asked one call at a time, after a start of the server on the queue that --depth has made
    Explain {
        /// Calls
        #[arg(long, default_value_t = 200)]
        count: usize,
    },
    /// Idle runners that wait in long polls
    Waiting {
        /// Runners
        #[arg(long, default_value_t = 1000)]
        runners: usize,
    },
    /// Listeners who follow the logs of runs that print, as streams of events
    Live {
        /// Listeners
        #[arg(long, default_value_t = 100)]
        listeners: usize,
        /// Runs that they follow, each as many listeners
        #[arg(long, default_value_t = 1)]
        runs: usize,
        /// Lines that each run prints a second
        #[arg(long, default_value_t = 1000)]
        lines: u64,
        /// Milliseconds between two batches of a run
        #[arg(long, default_value_t = 50)]
        every_ms: u64,
    },
    /// One read call, one at a time
    Reads {
        /// The path, with its query
        #[arg(long, default_value = "/api/v1/runs")]
        path: String,
        /// Calls
        #[arg(long, default_value_t = 200)]
        count: usize,
    },
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tower-load: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<(), BenchError> {
    process::raise_file_limit()?;
    let server = if args.url.is_none() { Some(start(args)?) } else { None };
    let address = match (&server, args.url) {
        (Some(server), _) => server.address(),
        (None, Some(address)) => address,
        (None, None) => return Err(BenchError::Usage("no server".to_owned())),
    };
    let pid = server.as_ref().map(Server::pid).or(args.pid);
    let mut place =
        Place::prepare(address, &args.bootstrap_token, &args.registration_token, "print('hello')\n")?;
    let window = Window {
        warm_up: Duration::from_secs_f64(args.warm_up),
        length: Duration::from_secs_f64(args.seconds),
    };
    if let Some(pid) = pid {
        println!("server: process {pid} on {address}");
    }
    fill(args, &mut place, server.as_ref())?;
    measure(args, &mut place, server, pid, window)
}

/// Puts into the server what the load begins with.
fn fill(args: &Args, place: &mut Place, server: Option<&Server>) -> Result<(), BenchError> {
    if args.depth > 0 {
        match args.teams {
            Some(teams) => make_of_teams(place, teams, 128, args.depth)?,
            None => make(place, 128, args.depth)?,
        }
        println!("queued: {}", place.metric("minitower_runs_pending")?);
    } else if args.teams.is_some() {
        return Err(BenchError::Usage("--teams: it needs --depth".to_owned()));
    }
    if args.ended > 0 {
        println!("ended: {}", make_ended(place, args.ended)?);
        if args.packed {
            until_packed(place)?;
        }
        if let Some(server) = server {
            let free = place.metric("minitower_db_free_bytes")?;
            println!("database: {} bytes, of which {free} are free", server.database_bytes());
        }
    }
    Ok(())
}

/// Runs the load and tells what it found.
fn measure(
    args: &Args,
    place: &mut Place,
    mut server: Option<Server>,
    pid: Option<u32>,
    window: Window,
) -> Result<(), BenchError> {
    match &args.load {
        &Load::Lifecycles { runners, creators, backlog, forgets } => {
            let shape = Shape { runners, creators, backlog, deep: args.depth > 0, forgets };
            let found = lifecycles(place, pid, shape, window)?;
            println!("lifecycles: {:.0}/s", per_second(found.measured, found.costs.length));
            let by_second = found.by_second.iter().map(u64::to_string).collect::<Vec<_>>().join(" ");
            println!("by second: {by_second}");
            for (name, samples) in found.calls.named().into_iter().filter(|(_, samples)| !samples.is_empty())
            {
                tell(name, samples);
            }
            tell_costs(&found.costs, found.measured, pid)?;
        }
        &Load::Creates { clients, keys } => {
            let creates = if keys { creates_with_keys } else { creates };
            let found = creates(place, pid, clients, window)?;
            println!("creates: {:.0}/s", per_second(found.measured, found.costs.length));
            tell("create", &found.create);
            tell_costs(&found.costs, found.measured, pid)?;
        }
        &Load::Dispatch { runners, count } => {
            let found = dispatch(place, runners, count)?;
            tell("create", &found.create);
            println!("until the lease has reached a runner, from the create's sending and from its answer:");
            tell("sent", &found.from_request);
            tell("answer", &found.from_answer);
        }
        &Load::Leases { count, secrets: 0 } => tell("lease", &leases(place, count)?),
        &Load::Leases { count, secrets } => {
            let (without, with) = leases_with_secrets(place, count, secrets)?;
            tell("without", &without);
            tell("with", &with);
            let more = with.figures().p50 - without.figures().p50;
            println!("{secrets} secrets add {more:.3} ms to a lease, by its median");
        }
        &Load::Explain { count } => {
            if args.depth == 0 {
                return Err(BenchError::Usage("explain asks about a queue: it needs --depth".to_owned()));
            }
            if let Some(server) = &mut server {
                let ready = server.restart()?;
                println!("start to ready: {:.1} ms", 1000.0 * ready.as_secs_f64());
            }
            let found = explains(place, count, window.warm_up)?;
            println!("  first: {:.3} ms", 1000.0 * found.first.as_secs_f64());
            tell("explain", &found.explain);
        }
        &Load::Waiting { runners } => {
            let Some(server) = &server else {
                return Err(BenchError::Usage(
                    "waiting looks at the database: it needs its own server".to_owned(),
                ));
            };
            let found = waiting(place, server, runners, window)?;
            println!(
                "server: {:.2} % of a core, {} bursts of writes, {:.1} polls/s",
                found.cpu_percent,
                found.bursts,
                found.polls_per_second()
            );
            tell_costs(&found.costs, found.polls, pid)?;
        }
        &Load::Live { listeners, runs, lines, every_ms } => {
            let every = Duration::from_millis(every_ms);
            let shape = Listening { listeners, runs: runs.max(1), lines, every };
            let found = live(place, pid, shape, window)?;
            println!(
                "live: {:.0} lines/s to {listeners} listeners",
                per_second(found.lines.len() as u64, found.costs.length)
            );
            tell("line", &found.lines);
            tell_costs(&found.costs, found.lines.len() as u64, pid)?;
        }
        &Load::Lives { count } => {
            for (name, samples) in lives(place, count)?.named() {
                tell(name, samples);
            }
        }
        Load::Reads { path, count } => tell("read", &reads(place, path, *count)?),
    }
    Ok(())
}

fn start(args: &Args) -> Result<Server, BenchError> {
    let own = std::env::current_exe().map_err(BenchError::io("where is this program"))?;
    let beside = own.parent().unwrap_or(&own).to_owned();
    let program = args.server.clone().unwrap_or_else(|| beside.join("minitowerd"));
    let folder = args.folder.clone().unwrap_or_else(|| beside.with_file_name("bench"));
    let env = args.env.iter().map(|one| {
        let (key, value) = one
            .split_once('=')
            .ok_or_else(|| BenchError::Usage(format!("--env {one}: it must be KEY=VALUE")))?;
        Ok((key.to_owned(), value.to_owned()))
    });
    let mut env = env.collect::<Result<Vec<_>, BenchError>>()?;
    if args.teams.is_some() {
        let (name, value) = TRUSTING;
        env.push((name.to_owned(), value.to_owned()));
    }
    if let Some(ms) = args.slow_disk {
        let more = Duration::try_from_secs_f64(ms / 1000.0)
            .map_err(|_| BenchError::Usage(format!("--slow-disk {ms}: it must be milliseconds")))?;
        env.extend(SlowDisk::build(&folder)?.env(more));
    }
    Server::start(&program, &folder, &env)
}

fn tell(name: &str, samples: &Samples) {
    let figures = samples.figures();
    println!(
        "{name:>7}: p50 {:7.3} ms  p99 {:7.3} ms  max {:8.3} ms  ({})",
        figures.p50, figures.p99, figures.max, figures.count
    );
}

fn tell_costs(costs: &Costs, count: u64, pid: Option<u32>) -> Result<(), BenchError> {
    if let (Some(each), Some(written), Some(pid)) = (costs.server_each(count), costs.written, pid) {
        let memory = process::memory(pid)?;
        let cores = costs.server_cpu.unwrap_or_default().as_secs_f64() / costs.length.as_secs_f64();
        println!(
            "server: {each:.1} us of processor time each ({cores:.2} cores), {} bytes written each, {:.1} MiB resident",
            written / count.max(1),
            f64::from(u32::try_from(memory.resident).unwrap_or(u32::MAX)) / 1024.0
        );
    }
    let cores = costs.own_cpu.as_secs_f64() / costs.length.as_secs_f64();
    println!("load: {:.1} us of processor time a request ({cores:.2} cores)", costs.own_each_request());
    Ok(())
}
