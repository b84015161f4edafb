//! The runner's hold on a supervisor.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::process::Stdio;
use std::time::Duration;

use minitower_daemon::files;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::process::{Child, ChildStderr, ChildStdout};
use tokio::sync::{mpsc, watch};

use super::SUPERVISE;
use super::cgroup::remove_leftovers;
use super::limits::FORMER_OPEN_FILES;
use super::protocol::{Command, Ended, Report, Task};
use super::{spawner, strays};
use crate::clock::{BootTime, sleep_until};

/// Orders that may wait for a supervisor that does not listen; its own timer makes up for the rest.
const MAX_ORDERS: usize = 8;
/// How long a supervisor may take to report the end that it was ordered to make.
const REPORT_WITHIN: Duration = Duration::from_secs(15);
/// How long after the deadline the runner gives the supervisor to have ended the job and said so. Measured while the runner runs: one
/// that was itself stopped still hears a report that has come meanwhile. Less than the lease goes on after its deadline.
const REPORT_AFTER_DEADLINE: Duration = Duration::from_millis(100);

/// Why a task has no ending.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SupervisorError {
    /// The supervisor could not be started.
    #[error("cannot start the supervisor")]
    Start(#[source] io::Error),
    /// The task's program could not be started.
    #[error("cannot start {0}")]
    Program(String),
    /// The task could not be confined as this machine was found to be able to, and was not started.
    #[error("cannot confine the job: {0}")]
    Unconfined(String),
    /// The supervisor ended, or did not do its work; what it left has been killed.
    #[error("the supervisor was lost; what it left has been killed")]
    Lost(#[source] Loss),
    /// The same, and what it left could not all be killed, or not be found.
    #[error("the supervisor was lost ({loss}); what it left may still run")]
    AtLarge {
        /// How it was lost.
        loss: Loss,
        /// Why there may be something left.
        source: io::Error,
    },
}

/// How a supervisor was lost.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Loss {
    /// It is gone.
    #[error("it ended without a report")]
    Ended,
    /// It is there, but the lease's deadline, or the last one that it has confirmed, has passed and the job was not ended.
    #[error("it did not end the job by the last deadline that it knew")]
    Late,
    /// It is there, but does not carry out an order.
    #[error("it did not end the job when it was told to")]
    Deaf,
    /// What it said makes no sense.
    #[error("its report cannot be read")]
    Garbled(#[source] serde_json::Error),
    /// It cannot see what is left.
    #[error("it cannot see what is left of the job: {0}")]
    Blind(String),
    /// The connection to it broke.
    #[error("its connection broke")]
    Broken(#[source] io::Error),
}

/// A task under a supervisor.
#[derive(Debug)]
pub(crate) struct Supervised {
    child: Child,
    pid: i32,
    reports: BufReader<OwnedReadHalf>,
    /// What was read of a report so far.
    report: Vec<u8>,
    orders: Orders,
    cgroup: String,
    deadline: watch::Receiver<BootTime>,
    /// The last deadline that the supervisor has confirmed.
    confirmed: watch::Sender<BootTime>,
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
    /// Asks the job to end: its main process first.
    pub(crate) fn terminate(&self) {
        // Full: the supervisor is stopped or stuck, and its deadline will do.
        let _full = self.sender.try_send(Command::Terminate);
    }

    /// Ends every process of the job.
    pub(crate) fn kill(&self) {
        let _full = self.sender.try_send(Command::Kill);
        self.expect_report();
    }

    /// From now on the end is to be reported soon.
    fn expect_report(&self) {
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
        let cgroup = task.cgroup.clone();
        let (ours, theirs) = StdUnixStream::pair().map_err(SupervisorError::Start)?;
        ours.set_nonblocking(true).map_err(SupervisorError::Start)?;
        let mut command = tokio::process::Command::new("/proc/self/exe");
        command
            .arg0("minitower-runner")
            .arg(SUPERVISE)
            .env_clear()
            .envs(files::limit_before().map(|limit| (FORMER_OPEN_FILES, limit.to_string())))
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .current_dir("/");
        let mut child = spawner::spawn(command).await.map_err(SupervisorError::Start)?;
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).unwrap_or_default();
        let (reader, mut writer) = UnixStream::from_std(ours).map_err(SupervisorError::Start)?.into_split();
        let until = *deadline.borrow();
        let first = Command::Start { task: Box::new(task), deadline: until };
        if let Err(error) = send(&mut writer, &first).await {
            // It ends with its connection.
            strays::forget(pid);
            return Err(SupervisorError::Start(error));
        }
        let (sender, orders) = mpsc::channel(MAX_ORDERS);
        tokio::spawn(forward(writer, orders, deadline.clone()));
        Ok(Self {
            stdout: child.stdout.take(),
            stderr: child.stderr.take(),
            child,
            pid,
            reports: BufReader::new(reader),
            report: Vec::new(),
            orders: Orders { sender, report_by: watch::Sender::new(None) },
            cgroup,
            deadline,
            confirmed: watch::Sender::new(until),
        })
    }

    /// The means to end it.
    pub(crate) fn orders(&self) -> Orders {
        self.orders.clone()
    }

    /// Waits for the end of the task. When this returns, no process of it runs any more, but for [`SupervisorError::AtLarge`].
    pub(crate) async fn wait(&mut self) -> Result<Ended, SupervisorError> {
        let late =
            overdue(self.deadline.clone(), self.confirmed.subscribe(), self.orders.report_by.subscribe());
        tokio::pin!(late);
        let loss = loop {
            let heard = tokio::select! {
                biased;
                heard = hear(&mut self.reports, &mut self.report) => heard,
                loss = &mut late => break loss,
            };
            let end = match heard {
                Ok(Report::Extended { deadline }) => {
                    self.confirmed.send_replace(deadline);
                    continue;
                }
                Ok(Report::Ending) => {
                    self.orders.expect_report();
                    continue;
                }
                Ok(Report::Ended(ended)) => Ok(ended),
                Ok(Report::Failed { reason }) => Err(SupervisorError::Program(reason)),
                Ok(Report::Unconfined { reason }) => Err(SupervisorError::Unconfined(reason)),
                Ok(Report::Blind { reason }) => break Loss::Blind(reason),
                Err(loss) => break loss,
            };
            let _status = tokio::time::timeout(REPORT_WITHIN, self.child.wait()).await;
            return end;
        };
        self.make_up_for(loss).await
    }

    /// Does the work of a supervisor that did not.
    async fn make_up_for(&mut self, loss: Loss) -> Result<Ended, SupervisorError> {
        let _ended_already = self.child.start_kill();
        let killed = tokio::time::timeout(REPORT_WITHIN, self.child.wait()).await;
        strays::forget(self.pid);
        let cgroup = self.cgroup.clone();
        let work = move || {
            remove_leftovers(&cgroup);
            let killed = strays::kill_all_strays();
            // The first time there were still processes in it.
            remove_leftovers(&cgroup);
            killed
        };
        let left = match (killed, tokio::task::spawn_blocking(work).await) {
            (Ok(Ok(_)), Ok(left)) => left,
            (Ok(Err(error)), _) => Err(error),
            (Err(_), _) => Err(io::Error::other("the supervisor is stuck inside the kernel")),
            (_, Err(fault)) => Err(io::Error::other(fault)),
        };
        // A report that is there after all says how the job ended, and that it had.
        let last_words = async {
            loop {
                match hear(&mut self.reports, &mut self.report).await {
                    Ok(Report::Ended(ended)) => return Some(ended),
                    Ok(_) => {}
                    Err(_) => return None,
                }
            }
        };
        if let Ok(Some(ended)) = tokio::time::timeout(REPORT_WITHIN, last_words).await {
            return Ok(ended);
        }
        match left {
            Ok(()) => Err(SupervisorError::Lost(loss)),
            Err(source) => Err(SupervisorError::AtLarge { loss, source }),
        }
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        // It ends with its connection; should it have to be made up for, it is as good as any stray.
        strays::forget(self.pid);
    }
}

/// Reads a report. May be dropped and called again: what was read stays in `line`.
async fn hear(reports: &mut BufReader<OwnedReadHalf>, line: &mut Vec<u8>) -> Result<Report, Loss> {
    reports.read_until(b'\n', line).await.map_err(Loss::Broken)?;
    if line.is_empty() {
        return Err(Loss::Ended);
    }
    let report = serde_json::from_slice(line).map_err(Loss::Garbled);
    line.clear();
    report
}

/// Returns some time after the task was to be killed: by the deadline, as it is extended and confirmed, or by order. A supervisor
/// that confirms nothing holds its job no longer than the deadline that it knows.
async fn overdue(
    mut deadline: watch::Receiver<BootTime>,
    mut confirmed: watch::Receiver<BootTime>,
    mut report_by: watch::Receiver<Option<BootTime>>,
) -> Loss {
    loop {
        let by_order = *report_by.borrow_and_update();
        let (lease, known) = (*deadline.borrow_and_update(), *confirmed.borrow_and_update());
        // While it ends the job, it confirms nothing.
        let by_deadline = if by_order.is_some() { lease } else { lease.min(known) };
        tokio::select! {
            biased;
            Ok(()) = deadline.changed() => {}
            // The senders live as long as the task's owner, who waits here.
            Ok(()) = confirmed.changed() => {}
            Ok(()) = report_by.changed() => {}
            () = late(by_deadline) => return Loss::Late,
            () = sleep_until(by_order.unwrap_or(by_deadline)), if by_order.is_some() => return Loss::Deaf,
        }
    }
}

async fn late(deadline: BootTime) {
    sleep_until(deadline).await;
    tokio::time::sleep(REPORT_AFTER_DEADLINE).await;
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
