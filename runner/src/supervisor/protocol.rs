//! The messages between the runner and a supervisor: one JSON value per line, over a socket pair.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::confinement::Confinement;
use super::limits::Limits;
use super::sandbox::Sandbox;
use super::signals::Reach;
use crate::clock::BootTime;

/// A program to run under a supervisor.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Task {
    /// The program's path.
    pub(crate) program: PathBuf,
    /// Its arguments.
    pub(crate) arguments: Vec<String>,
    /// Its whole environment.
    pub(crate) environment: Vec<(String, String)>,
    /// Where it starts.
    pub(crate) directory: PathBuf,
    /// What it may read and write.
    pub(crate) sandbox: Sandbox,
    /// Whether its standard error goes where its standard output goes.
    pub(crate) merged: bool,
    /// Name of a control group made for it where that is possible.
    pub(crate) cgroup: String,
    /// How it is confined.
    pub(crate) confinement: Confinement,
    /// What it may take of the machine.
    pub(crate) limits: Limits,
}

impl std::fmt::Debug for Task {
    /// Without its environment, which holds secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Task").field("program", &self.program).finish_non_exhaustive()
    }
}

impl Task {
    /// Who gets SIGTERM first.
    pub(super) fn reach(&self) -> Reach {
        Reach::of(&self.program, &self.arguments)
    }
}

/// From the runner.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Command {
    /// The first one: what to run, and until when.
    Start { task: Box<Task>, deadline: BootTime },
    /// A new deadline.
    Extend { deadline: BootTime },
    /// Ask the job to end: its main process, and the others as soon as that has ended.
    Terminate,
    /// End every process of the job.
    Kill,
}

/// From the supervisor.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Report {
    /// The deadline that it now keeps. A supervisor that does not say so is stopped or stuck.
    Extended { deadline: BootTime },
    /// The job is over or has to be, and the supervisor ends what is left of it; it hears nothing more.
    Ending,
    /// The program could not be started.
    Failed { reason: String },
    /// It could not be confined, and was not started.
    Unconfined { reason: String },
    /// Whether anything of the program is left cannot be known.
    Blind { reason: String },
    /// The program has ended, and nothing of it is left.
    Ended(Ended),
}

/// How a task ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ended {
    /// Exit code or signal of the task's main process.
    pub(crate) ending: Ending,
    /// When the main process was seen to have ended.
    pub(crate) at: BootTime,
    /// Whether the supervisor killed it because its deadline had passed.
    pub(crate) by_deadline: bool,
    /// Whether the kernel killed something for lack of memory meanwhile.
    pub(crate) out_of_memory: bool,
    /// Processes that were still there although SIGKILL was sent: they are stuck inside the kernel and will never
    /// run their own code again.
    pub(crate) stuck: usize,
}

/// Exit code or signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Ending {
    /// It exited with this code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
}
