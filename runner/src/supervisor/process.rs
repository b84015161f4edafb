//! The supervisor's process: one thread, one loop over the runner's commands, the deadline and the end of children.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use nix::poll::PollTimeout;
use nix::sys::prctl;
use nix::sys::signal::{Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use nix::unistd::{Pid, dup2_stderr, dup2_stdin, dup2_stdout, setsid};

use super::cgroup::{Cgroup, out_of_memory_kills};
use super::descendants::{kill_all, kill_children, living_below, terminate};
use super::descriptors::close_at_exec;
use super::init::{Nested, Word};
use super::namespaces::Namespaces;
use super::protocol::{Command, Ended, Ending, Report, Task};
use super::waiting::{reap, signals, wait};
use super::{launch, limits};
use crate::clock::BootTime;

/// How long the runner may take to say what to run.
const START_WITHIN: Duration = Duration::from_secs(30);
/// How long to go on killing before the remaining processes count as stuck inside the kernel.
const KILL_WITHIN: Duration = Duration::from_secs(10);
/// How often in a row, and again after collecting the dead, only children are looked for; see [`kill_children`].
const CHILDREN_ROUNDS: usize = 20;
/// Pause between two rounds of killing; the end of a child cuts it short.
const KILL_PAUSE_MS: u16 = 5;

/// Runs the supervisor and exits.
pub(super) fn main() -> ! {
    let code = match supervise() {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("minitower-runner: supervisor: {error}");
            70
        }
    };
    std::process::exit(code)
}

fn supervise() -> io::Result<()> {
    close_at_exec()?;
    limits::lower_open_files();
    // Out of reach of the terminal's signals and of the runner's own process group.
    setsid()?;
    prctl::set_child_subreaper(true)?;
    prctl::set_dumpable(false)?;
    let mask = signals();
    mask.thread_block()?;
    let children = SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;

    let mut control = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    dup2_stdin(std::fs::File::open("/dev/null")?)?;
    control.set_read_timeout(Some(START_WITHIN))?;
    let mut inbox = Inbox::default();
    let (task, deadline) = loop {
        match inbox.next()? {
            Some(Command::Start { task, deadline }) => break (task, deadline),
            Some(_) => {}
            None if inbox.fill(&mut control)? => {}
            // The runner is gone before it said anything.
            None => return Ok(()),
        }
    };
    control.set_nonblocking(true)?;

    let timer = TimerFd::new(ClockId::CLOCK_BOOTTIME, TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC)?;
    let cgroup = Cgroup::create(&task.cgroup, &task.limits);
    let kills_before = out_of_memory_kills();
    if task.merged {
        // One pipe for both keeps the order of writing.
        dup2_stderr(io::stdout())?;
    }
    let job = match start(&task, cgroup.as_ref()) {
        Ok(job) => job,
        Err(report) => {
            send(&mut control, &report);
            return Ok(());
        }
    };
    let mut supervisor =
        Supervisor { control, inbox, timer, children, cgroup, task, job, ending: None, terminating: false };
    supervisor.set_deadline(deadline)?;
    let by_deadline = supervisor.watch()?;
    send(&mut supervisor.control, &Report::Ending);
    let report = match supervisor.kill_everything() {
        Left::Unknown(error) => Report::Blind { reason: error.to_string() },
        Left::Processes(stuck) => {
            let killed = (Ending::Signal(Signal::SIGKILL as i32), BootTime::now());
            let (ending, at) = supervisor.ending.unwrap_or(killed);
            let out_of_memory = out_of_memory_kills() > kills_before;
            Report::Ended(Ended { ending, at, by_deadline, out_of_memory, stuck })
        }
    };
    send(&mut supervisor.control, &report);
    Ok(())
}

/// The runner may be gone or stuck: then nobody needs the report.
fn send(control: &mut UnixStream, report: &Report) {
    if let Ok(mut line) = serde_json::to_vec(report) {
        line.push(b'\n');
        let _runner_gone = control.write_all(&line);
    }
}

/// The job, as its supervisor has it.
enum Job {
    /// In namespaces of its own, in which it has a first process.
    Nested(Nested),
    /// Somewhere below the supervisor.
    Below(Pid),
}

impl Job {
    /// The child that stands for it.
    fn pid(&self) -> Pid {
        match self {
            Self::Nested(nested) => nested.pid,
            Self::Below(main) => *main,
        }
    }
}

/// Starts the job, or says why there is none.
fn start(task: &Task, cgroup: Option<&Cgroup>) -> Result<Job, Report> {
    let program = |error: String| Report::Failed { reason: format!("{}: {error}", task.program.display()) };
    let unconfined = |error: io::Error| Report::Unconfined { reason: error.to_string() };
    if task.confinement.namespaces == Namespaces::None {
        let main = launch::spawn(task, Pid::this()).map_err(|error| program(error.to_string()))?;
        if let Some(cgroup) = cgroup {
            cgroup.take_in(main);
        }
        return Ok(Job::Below(main));
    }
    if task.confinement.namespaces == Namespaces::Processes {
        // If this process is killed, the rest ends with the first process of the namespace. So a frozen supervisor also takes its job
        // along when the runner dies.
        prctl::set_pdeathsig(Signal::SIGKILL).map_err(|error| unconfined(error.into()))?;
    }
    let mut nested = Nested::spawn(task, Pid::this()).map_err(unconfined)?;
    if let Some(cgroup) = cgroup {
        cgroup.take_in(nested.pid);
    }
    let word = nested.go().map_err(unconfined)?;
    let failure = match word {
        Word::Started | Word::Ended(..) => None,
        Word::Unarranged(reason) => Some(Report::Unconfined { reason }),
        Word::NotStarted(error) => Some(program(error)),
    };
    if let Some(report) = failure {
        return Err(report);
    }
    let null = std::fs::OpenOptions::new().write(true).open("/dev/null");
    let released = null.and_then(|null| Ok(dup2_stdout(&null).and_then(|()| dup2_stderr(&null))?));
    released.map_err(unconfined)?;
    let nests = task.confinement.namespaces == Namespaces::Processes;
    Ok(if nests { Job::Nested(nested) } else { Job::Below(nested.pid) })
}

/// What is left of a job that was killed.
enum Left {
    /// So many processes, stuck inside the kernel.
    Processes(usize),
    /// It cannot be found out.
    Unknown(io::Error),
}

struct Supervisor {
    control: UnixStream,
    inbox: Inbox,
    timer: TimerFd,
    children: SignalFd,
    cgroup: Option<Cgroup>,
    task: Box<Task>,
    job: Job,
    ending: Option<(Ending, BootTime)>,
    /// The job was asked to end: all its processes get the grace period, not only the main one.
    terminating: bool,
}

impl Supervisor {
    /// Returns when the job is over or has to be: its main process ended (all of its processes, once it was asked to
    /// end), the deadline passed (`true`), it is to be killed, or the runner is gone.
    fn watch(&mut self) -> io::Result<bool> {
        loop {
            let [control, children, timer] =
                wait([self.control.as_fd(), self.children.as_fd(), self.timer.as_fd()], PollTimeout::NONE)?;
            if children {
                let had_ended = self.ending.is_some();
                let none_left = self.collect()?;
                if self.ending.is_some() && (none_left || !self.terminating) {
                    return Ok(false);
                }
                if self.ending.is_some() && !had_ended {
                    // The others, now that the main process has had its time with them.
                    terminate(&living_below(Pid::this())?);
                }
            }
            if control && self.obey()? {
                return Ok(false);
            }
            // A supervisor that was itself stopped finds its timer run down and the extensions of that time unread: these count.
            if timer && self.is_due()? {
                return Ok(true);
            }
        }
    }

    /// Carries out what the runner says. `true`: kill the job.
    fn obey(&mut self) -> io::Result<bool> {
        let connected = match self.inbox.fill(&mut self.control) {
            Ok(connected) => connected,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => true,
            Err(_) => false,
        };
        while let Some(command) = self.inbox.next()? {
            match command {
                Command::Start { .. } => {}
                Command::Extend { deadline } => {
                    self.set_deadline(deadline)?;
                    send(&mut self.control, &Report::Extended { deadline });
                }
                Command::Terminate => {
                    self.terminating = true;
                    match &mut self.job {
                        Job::Nested(nested) => nested.terminate(),
                        Job::Below(main) if self.ending.is_none() => self.task.reach().terminate(*main),
                        Job::Below(_) => {}
                    }
                }
                Command::Kill => return Ok(true),
            }
        }
        Ok(!connected)
    }

    fn set_deadline(&self, deadline: BootTime) -> io::Result<()> {
        // Zero would switch the timer off.
        let since_boot = deadline.since_boot().clamp(Duration::from_nanos(1), Duration::from_secs(1 << 40));
        let at = Expiration::OneShot(TimeSpec::from_duration(since_boot));
        Ok(self.timer.set(at, TimerSetTimeFlags::TFD_TIMER_ABSTIME)?)
    }

    /// Whether the deadline, as it was last set, has passed. Setting it resets the timer's count.
    fn is_due(&self) -> io::Result<bool> {
        wait([self.timer.as_fd()], PollTimeout::ZERO).map(|[due]| due)
    }

    /// Collects every ended child: the main process, and orphans that came to us. Yields whether none is left, and with that nothing of
    /// the job: what loses its parent becomes our child.
    fn collect(&mut self) -> io::Result<bool> {
        while let Ok(Some(_)) = self.children.read_signal() {}
        let (ended, none_left) = reap(self.job.pid())?;
        let ended = match (&mut self.job, ended) {
            // The word of the first process about the main one counts. If there is none, it was killed, and all the others with it.
            (Job::Nested(nested), Some(ending)) => Some(match nested.next() {
                Some(Word::Ended(ending, at)) => (ending, at),
                _ => (ending, BootTime::now()),
            }),
            (_, ended) => ended.map(|ending| (ending, BootTime::now())),
        };
        if self.ending.is_none() {
            self.ending = ended;
        }
        Ok(none_left)
    }

    /// Kills until nothing is left. That is known by having no children any more, and by nothing else.
    fn kill_everything(&mut self) -> Left {
        let until = Instant::now() + KILL_WITHIN;
        loop {
            match self.kill_once() {
                Ok(true) => return Left::Processes(0),
                Ok(false) if Instant::now() < until => {}
                Ok(false) => {
                    return match living_below(Pid::this()) {
                        Ok(living) => Left::Processes(living.len()),
                        Err(error) => Left::Unknown(error),
                    };
                }
                Err(error) if Instant::now() >= until => return Left::Unknown(error),
                Err(_) => {}
            }
            let _any_end = wait([self.children.as_fd()], PollTimeout::from(KILL_PAUSE_MS));
        }
    }

    /// One round; whether nothing is left.
    fn kill_once(&mut self) -> io::Result<bool> {
        if let Some(cgroup) = &self.cgroup {
            cgroup.kill();
        }
        if let Job::Nested(nested) = &self.job {
            // It is collected when the kernel has killed all that is with it.
            let _gone = kill(nested.pid, Signal::SIGKILL);
            return self.collect();
        }
        for _ in 0..CHILDREN_ROUNDS {
            kill_children(CHILDREN_ROUNDS);
            if self.collect()? {
                return Ok(true);
            }
        }
        kill_all(&living_below(Pid::this())?);
        Ok(false)
    }
}

/// Bytes of the runner that are not yet a whole command.
#[derive(Default)]
struct Inbox {
    bytes: Vec<u8>,
}

impl Inbox {
    /// Reads what there is; `false` at the end.
    fn fill(&mut self, control: &mut UnixStream) -> io::Result<bool> {
        let mut chunk = [0; 16 * 1024];
        let read = control.read(&mut chunk)?;
        self.bytes.extend_from_slice(&chunk[..read]);
        Ok(read > 0)
    }

    fn next(&mut self) -> io::Result<Option<Command>> {
        let Some(end) = self.bytes.iter().position(|byte| *byte == b'\n') else { return Ok(None) };
        let line: Vec<u8> = self.bytes.drain(..=end).collect();
        Ok(Some(serde_json::from_slice(&line)?))
    }
}
