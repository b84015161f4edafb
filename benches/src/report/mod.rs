//! The whole benchmark: what is measured in which order, and the report of it.
//!
//! One file for each group of measurements, one for what the report looks like, one for its plots. How a load works is in `load`.

mod depth;
mod ended;
mod footprint;
mod latency;
mod machine;
mod markdown;
mod numbers;
mod plan;
mod plots;
mod rows;
mod runner;
mod slow_disk;
mod throughput;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

pub use plan::Plan;

use self::depth::Deep;
use self::machine::{Machine, Noise};
use self::rows::Row;
use self::throughput::Loaded;
use crate::place::NO_CODE;
use crate::server::{BOOTSTRAP_TOKEN, REGISTRATION_TOKEN};
use crate::{BenchError, Place, Server};

/// A benchmark in the making.
#[derive(Debug)]
pub struct Bench {
    /// What is measured, how often and how long.
    pub plan: Plan,
    /// Where the release programs are.
    pub programs: PathBuf,
    /// Where the servers' folders are made: on a real disk.
    pub folder: PathBuf,
    /// Where the release programs of a former build are, to be measured beside these.
    pub former: Option<PathBuf>,
    began: Instant,
}

/// All that was found.
#[derive(Debug)]
struct Findings {
    machine: Machine,
    noise: [Noise; 2],
    rows: Vec<Row>,
    loaded: Vec<Loaded>,
    deep: Vec<Deep>,
    minutes: f64,
}

impl Bench {
    /// Of these programs, with servers below this folder.
    pub fn new(plan: Plan, programs: PathBuf, folder: PathBuf) -> Self {
        Self { plan, programs, folder, former: None, began: Instant::now() }
    }

    /// With a former build beside it.
    #[must_use]
    pub fn beside(self, former: Option<PathBuf>) -> Self {
        Self { former, ..self }
    }

    /// Measures the runner alone, and writes `runner.md` into `out`.
    pub fn run_runner(&self, out: &Path) -> Result<(), BenchError> {
        fs::create_dir_all(&self.folder).map_err(BenchError::io("cannot make a folder"))?;
        fs::create_dir_all(out).map_err(BenchError::io("cannot make the folder of the report"))?;
        let machine = Machine::look(&self.folder)?;
        let rows = runner::compared(self)?;
        let section = markdown::runner(&machine, self.plan.repeats, self.former.is_some(), &rows);
        fs::write(out.join("runner.md"), section).map_err(BenchError::io("cannot write the report"))
    }

    /// Measures everything, and writes `report.md` and its plots into `out`.
    pub fn run(&self, out: &Path) -> Result<(), BenchError> {
        fs::create_dir_all(&self.folder).map_err(BenchError::io("cannot make a folder"))?;
        fs::create_dir_all(out).map_err(BenchError::io("cannot make the folder of the report"))?;
        let machine = Machine::look(&self.folder)?;
        let noise_before = self.noise()?;
        let mut rows = throughput::headline(self)?;
        rows.extend(latency::dispatched(self)?);
        rows.extend(latency::first_line(self)?);
        let loaded = throughput::over_load(self)?;
        rows.extend(slow_disk::slow_disk(self)?);
        let (deep, deep_rows) = depth::over_depth(self)?;
        rows.extend(deep_rows);
        rows.extend(ended::full(self)?);
        rows.extend(ended::retention(self)?);
        rows.extend(footprint::waiting(self)?);
        rows.extend(footprint::idle_and_start(self)?);
        rows.extend(footprint::transfers(self)?);
        rows.extend(footprint::sizes(self)?);
        let noise = [noise_before, self.noise()?];
        let minutes = self.began.elapsed().as_secs_f64() / 60.0;
        plots::draw(&loaded, &deep, out)?;
        let findings = Findings { machine, noise, rows, loaded, deep, minutes };
        let report = markdown::report(&self.plan, &findings);
        fs::write(out.join("report.md"), report).map_err(BenchError::io("cannot write the report"))
    }

    fn noise(&self) -> Result<Noise, BenchError> {
        self.say("how noisy the machine is");
        Noise::measure(&self.folder)
    }

    /// Says what is done now.
    fn say(&self, what: &str) {
        eprintln!("bench: {:4} s  {what}", self.began.elapsed().as_secs());
    }

    /// Says which run of which is done now.
    fn say_run(&self, what: &str, run: usize) {
        self.say(&format!("{what}, run {} of {}", run + 1, self.plan.repeats));
    }

    /// One of the built programs.
    fn program(&self, name: &str) -> PathBuf {
        self.programs.join(name)
    }

    /// A fresh server with a team and an app.
    fn fresh(&self) -> Result<(Server, Place), BenchError> {
        self.fresh_with(NO_CODE)
    }

    /// A fresh server with a team and an app of that code.
    fn fresh_with(&self, code: &str) -> Result<(Server, Place), BenchError> {
        self.fresh_of(&self.programs, code)
    }

    /// A fresh server with these variables besides, with a team and an app.
    fn fresh_on(&self, env: &[(String, String)]) -> Result<(Server, Place), BenchError> {
        let server = Server::start(&self.program("minitowerd"), &self.folder, env)?;
        let place = Place::prepare(server.address(), BOOTSTRAP_TOKEN, REGISTRATION_TOKEN, NO_CODE)?;
        Ok((server, place))
    }

    /// The same with the server of other programs.
    fn fresh_of(&self, programs: &Path, code: &str) -> Result<(Server, Place), BenchError> {
        let server = Server::start(&programs.join("minitowerd"), &self.folder, &[])?;
        let place = Place::prepare(server.address(), BOOTSTRAP_TOKEN, REGISTRATION_TOKEN, code)?;
        Ok((server, place))
    }
}
