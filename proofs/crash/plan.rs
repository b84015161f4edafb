//! Jobs and what they are told to do.

use std::path::Path;

use minitower_tests::Artifact;
use rand::RngExt;
use rand::rngs::StdRng;
use serde_json::{Value, json};

/// The apps that every team has: the job in Python, and the same in shell.
pub(crate) const APPS: [&str; 2] = ["python", "shell"];

/// The archive of an app's job; `mark` makes it different from others.
pub(crate) fn archive(app: &str, mark: &str) -> (Vec<u8>, &'static str) {
    let comment = format!("\n# {mark}\n");
    if app == "python" {
        (Artifact::python(&(include_str!("jobs/main.py").to_owned() + &comment)), "main.py")
    } else {
        let main = include_str!("jobs/main.sh").to_owned() + &comment;
        let child = include_str!("jobs/child.sh");
        (Artifact::new().file("main.sh", main).file("child.sh", child).gzip(), "main.sh")
    }
}

/// What one job is to do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    /// How long it lasts, in milliseconds.
    pub(crate) ms: u32,
    /// How many lines it writes to its log meanwhile.
    pub(crate) lines: u32,
    /// Its exit code.
    pub(crate) code: u8,
    /// How many daemons it starts.
    pub(crate) children: u8,
    /// How long those would live, in milliseconds.
    pub(crate) linger: u32,
    /// Whether its daemons keep its streams open.
    pub(crate) holds: bool,
    /// Whether it ignores SIGTERM.
    pub(crate) stubborn: bool,
    /// What it does to its runner first. Jobs in shell do none.
    pub(crate) harm: Harm,
}

/// What a job does to its runner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Harm {
    /// None.
    None,
    /// A tree of very many levels, without any rights, for the runner to remove.
    Tree,
    /// It fills the disk, and leaves that full.
    Disk,
}

impl Harm {
    fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Tree => "tree",
            Self::Disk => "disk",
        }
    }
}

impl Plan {
    /// A job that lasts so long and does nothing.
    pub(crate) fn lasting(ms: u32) -> Self {
        Self {
            ms,
            lines: 0,
            code: 0,
            children: 0,
            linger: 0,
            holds: false,
            stubborn: false,
            harm: Harm::None,
        }
    }

    /// Any job.
    pub(crate) fn random(rng: &mut StdRng) -> Self {
        let lines = match rng.random_range(0..10) {
            0 => rng.random_range(300..2000),
            1..4 => 0,
            _ => rng.random_range(1..30),
        };
        Self {
            ms: if rng.random_bool(0.7) { rng.random_range(0..1000) } else { rng.random_range(1000..3000) },
            lines,
            code: if rng.random_bool(0.8) { 0 } else { rng.random_range(1..6) },
            children: if rng.random_bool(0.5) { 0 } else { rng.random_range(1..3) },
            linger: rng.random_range(2000..6000),
            holds: rng.random_bool(0.3),
            stubborn: rng.random_bool(0.2),
            harm: if rng.random_bool(0.02) { Harm::Tree } else { Harm::None },
        }
    }

    /// The run's input that tells the job; `nonce` makes it different from every other.
    pub(crate) fn input(&self, nonce: u64, witnesses: &Path) -> Value {
        json!({
            "nonce": nonce, "witness": witnesses.display().to_string(), "ms": self.ms, "lines": self.lines,
            "code": self.code, "children": self.children, "linger": self.linger, "holds": self.holds,
            "stubborn": self.stubborn, "harm": self.harm.word(),
        })
    }
}
