//! The supervisor's process: one thread, one loop over the runner's commands, the deadline and the end of children.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command as Process, Stdio};
use std::time::{Duration, Instant};

use minitower_planted::{Bug, planted};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal, killpg};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, dup2_stderr, dup2_stdin, dup2_stdout, setsid};

use super::cgroup::Cgroup;
use super::descendants::{Process as Found, kill_all, kill_children, living_below, living_marked, terminate};
use super::launch::Launch;
use super::protocol::{Command, Ended, Ending, Report, Task};
use super::{LAUNCH, oom};
use crate::clock::BootTime;
use crate::open_files;

/// How long the runner may take to say what to run.
const START_WITHIN: Duration = Duration::from_secs(30);
/// How long to go on killing before what is left counts as stuck inside the kernel.
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
    // Out of reach of the terminal's signals and of the runner's own process group.
    open_files::lower();
    setsid()?;
    prctl::set_child_subreaper(true)?;
    prctl::set_dumpable(false)?;
    // Blocked, not ignored: they are read in the loop, and only the runner ends this process.
    let mask: SigSet = [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT]
        .into_iter()
        .collect();
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
    let cgroup = Cgroup::create(&task.cgroup);
    let kills_before = oom::kills();
    let mut supervisor = Supervisor {
        control,
        inbox,
        timer,
        children,
        cgroup,
        task,
        main: None,
        ending: None,
        terminating: false,
    };
    supervisor.set_deadline(deadline)?;
    match supervisor.launch() {
        Ok(main) => supervisor.main = Some(main),
        Err(error) => {
            let reason = format!("{}: {error}", supervisor.task.program.display());
            supervisor.report(&Report::Failed { reason });
            return Ok(());
        }
    }
    let by_deadline = supervisor.watch()?;
    let stuck = supervisor.kill_everything();
    let (ending, at) = supervisor.ending.unwrap_or((Ending::Signal(Signal::SIGKILL as i32), BootTime::now()));
    let out_of_memory = oom::kills() > kills_before;
    supervisor.report(&Report::Ended(Ended { ending, at, by_deadline, out_of_memory, stuck }));
    Ok(())
}

struct Supervisor {
    control: UnixStream,
    inbox: Inbox,
    timer: TimerFd,
    children: SignalFd,
    cgroup: Option<Cgroup>,
    task: Box<Task>,
    main: Option<Pid>,
    ending: Option<(Ending, BootTime)>,
    /// The job was asked to end: all its processes get the grace period, not only the main one.
    terminating: bool,
}

impl Supervisor {
    fn launch(&self) -> io::Result<Pid> {
        let launch = Launch {
            supervisor: Pid::this().as_raw(),
            sandbox: self.task.sandbox.clone(),
            cgroup: self.cgroup.as_ref().map(Cgroup::door),
        };
        if self.task.merged {
            // One pipe for both keeps the order of writing.
            dup2_stderr(io::stdout())?;
        }
        // The link names this very binary even after it was replaced on disk.
        let child = Process::new("/proc/self/exe")
            .arg0("minitower-runner")
            .arg(LAUNCH)
            .arg(serde_json::to_string(&launch)?)
            .arg(&self.task.program)
            .args(&self.task.arguments)
            .env_clear()
            .envs(self.task.environment.iter().map(|(key, value)| (key, value)))
            .current_dir(&self.task.directory)
            .stdin(Stdio::null())
            .spawn()?;
        // The job's streams end with the job, not with its supervisor.
        let null = std::fs::OpenOptions::new().write(true).open("/dev/null")?;
        dup2_stdout(&null)?;
        dup2_stderr(&null)?;
        i32::try_from(child.id()).map(Pid::from_raw).map_err(io::Error::other)
    }

    /// Returns when the job is over or has to be: its main process ended (all of its processes, once it was asked to
    /// end), the deadline passed (`true`), it is to be killed, or the runner is gone.
    fn watch(&mut self) -> io::Result<bool> {
        loop {
            let [control, children, timer] =
                wait([self.control.as_fd(), self.children.as_fd(), self.timer.as_fd()], PollTimeout::NONE)?;
            if timer {
                return Ok(true);
            }
            if children {
                self.reap();
                if self.ending.is_some() && (!self.terminating || living_below(Pid::this()).is_empty()) {
                    return Ok(false);
                }
            }
            if control && self.obey()? {
                return Ok(false);
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
                Command::Extend { deadline } => self.set_deadline(deadline)?,
                Command::Terminate => {
                    self.terminating = true;
                    terminate(&self.living());
                }
                Command::Kill => return Ok(true),
            }
        }
        Ok(!connected)
    }

    fn set_deadline(&self, deadline: BootTime) -> io::Result<()> {
        if planted(Bug::DeadlineIgnored) {
            return Ok(());
        }
        // Zero would switch the timer off.
        let since_boot = deadline.since_boot().clamp(Duration::from_nanos(1), Duration::from_secs(1 << 40));
        let at = Expiration::OneShot(TimeSpec::from_duration(since_boot));
        Ok(self.timer.set(at, TimerSetTimeFlags::TFD_TIMER_ABSTIME)?)
    }

    /// Collects every ended child: the main process, and orphans that came to us.
    fn reap(&mut self) {
        while let Ok(Some(_)) = self.children.read_signal() {}
        loop {
            let (pid, ending) = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) => (pid, Ending::Code(code)),
                Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, Ending::Signal(signal as i32)),
                Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return,
                Ok(_) | Err(Errno::EINTR) => continue,
                Err(_) => return,
            };
            if Some(pid) == self.main && self.ending.is_none() {
                self.ending = Some((ending, BootTime::now()));
            }
        }
    }

    fn living(&self) -> Vec<Found> {
        let mut living = living_below(Pid::this());
        if living.is_empty() {
            // Only what escaped its ancestors is left to be found; reading every environment is slow.
            living = living_marked(&self.task.marker);
        }
        living
    }

    /// Kills until nothing is left; returns how many could not be killed.
    fn kill_everything(&mut self) -> usize {
        if planted(Bug::GrandchildMissed) {
            let _gone = self.main.map(|main| killpg(main, Signal::SIGKILL));
            return 0;
        }
        let until = Instant::now() + KILL_WITHIN;
        loop {
            if let Some(cgroup) = &self.cgroup {
                cgroup.kill();
            }
            for _ in 0..CHILDREN_ROUNDS {
                kill_children(CHILDREN_ROUNDS);
                self.reap();
            }
            let living = self.living();
            if living.is_empty() || Instant::now() >= until {
                self.reap();
                return living.len();
            }
            kill_all(&living);
            let _any_end = wait([self.children.as_fd()], PollTimeout::from(KILL_PAUSE_MS));
        }
    }

    /// The runner may be gone or stuck: then nobody needs the report.
    fn report(&mut self, report: &Report) {
        if let Ok(mut line) = serde_json::to_vec(report) {
            line.push(b'\n');
            let _runner_gone = self.control.write_all(&line);
        }
    }
}

/// Which of the descriptors have something to read, or were closed.
fn wait<const N: usize>(descriptors: [BorrowedFd<'_>; N], timeout: PollTimeout) -> io::Result<[bool; N]> {
    let mut polled = descriptors.map(|descriptor| PollFd::new(descriptor, PollFlags::POLLIN));
    match poll(&mut polled, timeout) {
        Ok(_) => Ok(polled.map(|descriptor| descriptor.any().unwrap_or(true))),
        Err(Errno::EINTR) => Ok([false; N]),
        Err(error) => Err(error.into()),
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
