//! The runner's hold on a supervisor.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::process::{Child, ChildStderr, ChildStdout};
use tokio::sync::{mpsc, watch};

use super::SUPERVISE;
use super::cgroup::remove_leftovers;
use super::descendants::{Marker, kill_marked};
use super::protocol::{Command, Ended, Report, Task};
use crate::clock::BootTime;
use crate::open_files;

/// Orders that may wait for a supervisor that does not listen; its own timer makes up for the rest.
const MAX_ORDERS: usize = 8;
/// How long a supervisor may take to report, once it has to.
const REPORT_WITHIN: Duration = Duration::from_secs(15);
/// Rounds of killing what a lost supervisor left.
const KILL_ROUNDS: usize = 1000;

/// Why a task has no ending.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SupervisorError {
    /// The supervisor could not be started.
    #[error("cannot start the supervisor: {0}")]
    Start(#[source] io::Error),
    /// The task's program could not be started.
    #[error("cannot start {0}")]
    Program(String),
    /// The supervisor ended without a report; what it left has been killed.
    #[error("the supervisor was lost: {0}")]
    Lost(String),
}

/// A task under a supervisor.
#[derive(Debug)]
pub(crate) struct Supervised {
    child: Child,
    reports: BufReader<OwnedReadHalf>,
    orders: Orders,
    marker: Marker,
    cgroup: String,
    deadline: watch::Receiver<BootTime>,
    /// What the job writes to its standard output; taken once.
    pub(crate) stdout: Option<ChildStdout>,
    /// What the job writes to its standard error; taken once.
    pub(crate) stderr: Option<ChildStderr>,
}

/// Gives orders to a supervisor. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Orders {
    sender: mpsc::Sender<Command>,
    /// When the supervisor has to have reported the end at the latest.
    report_by: watch::Sender<Option<BootTime>>,
}

impl Orders {
    /// Asks every process of the job to end.
    pub(crate) fn terminate(&self) {
        // Full: the supervisor is stopped or stuck, and its deadline will do.
        let _full = self.sender.try_send(Command::Terminate);
    }

    /// Ends every process of the job.
    pub(crate) fn kill(&self) {
        let _full = self.sender.try_send(Command::Kill);
        self.report_by.send_if_modified(|report_by| {
            let first = report_by.is_none();
            report_by.get_or_insert(BootTime::now().plus(REPORT_WITHIN));
            first
        });
    }
}

impl Supervised {
    /// Starts `task`, to be killed when `deadline` (as it is extended) passes or this value is dropped.
    pub(crate) async fn start(
        task: Task,
        deadline: watch::Receiver<BootTime>,
    ) -> Result<Self, SupervisorError> {
        let (marker, cgroup) = (task.marker.clone(), task.cgroup.clone());
        let (ours, theirs) = StdUnixStream::pair().map_err(SupervisorError::Start)?;
        ours.set_nonblocking(true).map_err(SupervisorError::Start)?;
        let mut child = tokio::process::Command::new("/proc/self/exe")
            .arg0("minitower-runner")
            .arg(SUPERVISE)
            .env_clear()
            .envs(minitower_planted::inherited())
            .envs(open_files::for_jobs().map(|limit| (open_files::VARIABLE, limit.to_string())))
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .current_dir("/")
            .spawn()
            .map_err(SupervisorError::Start)?;
        let (reader, mut writer) = UnixStream::from_std(ours).map_err(SupervisorError::Start)?.into_split();
        let first = Command::Start { task: Box::new(task), deadline: *deadline.borrow() };
        send(&mut writer, &first).await.map_err(SupervisorError::Start)?;
        let (sender, orders) = mpsc::channel(MAX_ORDERS);
        tokio::spawn(forward(writer, orders, deadline.clone()));
        Ok(Self {
            stdout: child.stdout.take(),
            stderr: child.stderr.take(),
            child,
            reports: BufReader::new(reader),
            orders: Orders { sender, report_by: watch::Sender::new(None) },
            marker,
            cgroup,
            deadline,
        })
    }

    /// The means to end it.
    pub(crate) fn orders(&self) -> Orders {
        self.orders.clone()
    }

    /// Waits for the end of the task. When this returns, no process of it runs any more.
    pub(crate) async fn wait(&mut self) -> Result<Ended, SupervisorError> {
        let mut line = String::new();
        let report = tokio::select! {
            report = self.reports.read_line(&mut line) => report,
            () = overdue(self.deadline.clone(), self.orders.report_by.subscribe()) => Err(io::Error::other("it did not report the end in time")),
        };
        let report = match report {
            Ok(_) => serde_json::from_str(&line).map_err(io::Error::from),
            Err(error) => Err(error),
        };
        if report.is_err() {
            // A supervisor that does not do its work has nothing left to protect.
            let _ended_already = self.child.start_kill();
            let marker = self.marker.clone();
            let cgroup = self.cgroup.clone();
            let work = move || {
                remove_leftovers(&cgroup);
                kill_marked(&marker, KILL_ROUNDS);
                // The first time there were still processes in it.
                remove_leftovers(&cgroup);
            };
            if let Err(fault) = tokio::task::spawn_blocking(work).await {
                tracing::error!(%fault, "cannot end what a lost supervisor left");
            }
        }
        let _status = tokio::time::timeout(REPORT_WITHIN, self.child.wait()).await;
        match report {
            Ok(Report::Ended(ended)) => Ok(ended),
            Ok(Report::Failed { reason }) => Err(SupervisorError::Program(reason)),
            Err(error) => Err(SupervisorError::Lost(error.to_string())),
        }
    }
}

/// Returns some time after the task was to be killed: by order, or because the deadline, as it is extended, has
/// passed.
async fn overdue(deadline: watch::Receiver<BootTime>, mut report_by: watch::Receiver<Option<BootTime>>) {
    loop {
        let by_order = *report_by.borrow_and_update();
        let limit = by_order.unwrap_or_else(|| deadline.borrow().plus(REPORT_WITHIN));
        if limit.has_passed() {
            return;
        }
        tokio::select! {
            () = crate::clock::sleep_until(limit) => {}
            // The sender lives as long as the task's owner, who waits here.
            Ok(()) = report_by.changed() => {}
        }
    }
}

async fn send(writer: &mut OwnedWriteHalf, command: &Command) -> io::Result<()> {
    let mut line = serde_json::to_vec(command)?;
    line.push(b'\n');
    writer.write_all(&line).await
}

/// Passes on orders and extensions, until the supervisor or [`Supervised`] and all [`Orders`] are gone. Closing the
/// connection is what kills the job then.
async fn forward(
    mut writer: OwnedWriteHalf,
    mut orders: mpsc::Receiver<Command>,
    mut deadline: watch::Receiver<BootTime>,
) {
    let mut extensible = true;
    loop {
        let command = tokio::select! {
            order = orders.recv() => match order {
                Some(order) => order,
                None => return,
            },
            changed = deadline.changed(), if extensible => {
                extensible = changed.is_ok();
                Command::Extend { deadline: *deadline.borrow_and_update() }
            }
        };
        if send(&mut writer, &command).await.is_err() {
            return;
        }
    }
}
