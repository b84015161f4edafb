//! The first process of a job's PID namespace: it starts the job's main process, passes on the wish that it end, collects what dies,
//! and ends with the main process. The kernel then kills whatever is left in the namespace.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::process::CommandExt;

use minitower_daemon::errors::chain;
use nix::poll::PollTimeout;
use nix::sys::prctl;
use nix::sys::signal::{Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::{Pid, pipe2};
use serde::{Deserialize, Serialize};

use super::descriptors::close_all_but;
use super::launch;
use super::mounts;
use super::namespaces::{Namespaces, spawn};
use super::protocol::{Ending, Task};
use super::waiting::{reap, signals, wait};
use crate::clock::BootTime;

/// The supervisor's orders, a byte each. That there will be no more means that the supervisor is gone.
const GO: u8 = b'g';
const TERMINATE: u8 = b't';
/// How such a process ends that could not do its work.
const FAILED: i32 = 70;

/// What such a process says, a JSON value a line. One that is to become the job itself says nothing when all went well.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Word {
    /// The namespaces could not be arranged.
    Unarranged(String),
    /// The main process could not be started.
    NotStarted(String),
    /// The main process runs.
    Started,
    /// The main process has ended.
    Ended(Ending, BootTime),
}

/// The supervisor's hold on a process in namespaces of its own.
pub(super) struct Nested {
    /// In the supervisor's PID namespace.
    pub(super) pid: Pid,
    orders: File,
    words: io::BufReader<File>,
}

impl Nested {
    /// Starts the process, which waits for [`Nested::go`].
    #[expect(unsafe_code, reason = "a copy of this process runs ordinary code; see below")]
    pub(super) fn spawn(task: &Task, supervisor: Pid) -> io::Result<Self> {
        let (their_orders, orders) = pipe2(nix::fcntl::OFlag::O_CLOEXEC)?;
        let (words, their_words) = pipe2(nix::fcntl::OFlag::O_CLOEXEC)?;
        let kept = [their_orders.as_raw_fd(), their_words.as_raw_fd()];
        let mut ends = Some((their_orders, their_words));
        let child = || -> isize {
            // SAFETY: this copy of the process ends in here: nothing of what owned the other descriptors is used or dropped.
            let closed = unsafe { close_all_but(&kept) };
            let code = match (closed, ends.take()) {
                (Ok(()), Some((orders, words))) => {
                    Inner { task, supervisor, orders: File::from(orders), words: File::from(words) }.run()
                }
                _ => FAILED,
            };
            std::process::exit(code)
        };
        // SAFETY: the supervisor has one thread.
        let pid = unsafe { spawn(task.confinement.namespaces, child)? };
        Ok(Self { pid, orders: File::from(orders), words: io::BufReader::new(File::from(words)) })
    }

    /// Lets it begin, and waits until the job has started or could not be.
    pub(super) fn go(&mut self) -> io::Result<Word> {
        self.orders.write_all(&[GO])?;
        // No word: it became the job itself, or was killed meanwhile, and `waitpid` tells which.
        Ok(self.next().unwrap_or(Word::Started))
    }

    /// Asks the job to end.
    pub(super) fn terminate(&mut self) {
        let _gone_already = self.orders.write_all(&[TERMINATE]);
    }

    /// The next of its words; once it has ended, without waiting.
    pub(super) fn next(&mut self) -> Option<Word> {
        let mut line = String::new();
        io::BufRead::read_line(&mut self.words, &mut line).ok()?;
        serde_json::from_str(&line).ok()
    }
}

/// The process itself.
struct Inner<'t> {
    task: &'t Task,
    supervisor: Pid,
    orders: File,
    words: File,
}

impl Inner<'_> {
    /// Its whole life. Yields its exit code.
    fn run(mut self) -> i32 {
        // Also a stopped supervisor takes it along when it is killed.
        if prctl::set_pdeathsig(Signal::SIGKILL).is_err() || self.order() != Some(GO) {
            return FAILED;
        }
        let nested = self.task.confinement.namespaces == Namespaces::Processes;
        if let Err(error) = prctl::set_dumpable(false)
            .map_err(io::Error::from)
            .and_then(|()| mounts::arrange(&self.task.sandbox, nested).map_err(io::Error::other))
        {
            self.say(&Word::Unarranged(chain(&error)));
            return FAILED;
        }
        if nested { self.lead() } else { self.become_the_job() }
    }

    /// Where processes are not counted apart nobody has to lead them.
    fn become_the_job(&mut self) -> i32 {
        let error = match launch::command(self.task, self.supervisor) {
            Ok(mut command) => command.exec(),
            Err(error) => error,
        };
        self.say(&Word::NotStarted(error.to_string()));
        FAILED
    }

    fn lead(&mut self) -> i32 {
        match self.start_and_wait() {
            Ok(()) => 0,
            Err(error) => {
                self.say(&Word::NotStarted(error.to_string()));
                FAILED
            }
        }
    }

    fn start_and_wait(&mut self) -> io::Result<()> {
        let children = SignalFd::with_flags(&signals(), SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        let main = launch::spawn(self.task, Pid::this())?;
        self.say(&Word::Started);
        let mut terminating = false;
        let mut ended = false;
        loop {
            let [orders, dead] = wait([self.orders.as_fd(), children.as_fd()], PollTimeout::NONE)?;
            if orders {
                match self.order() {
                    Some(TERMINATE) if !ended => {
                        terminating = true;
                        self.task.reach().terminate(main);
                    }
                    Some(_) => {}
                    // The supervisor is gone.
                    None => return Ok(()),
                }
            }
            if !dead {
                continue;
            }
            while let Ok(Some(_)) = children.read_signal() {}
            let (of_main, none_left) = reap(main)?;
            if let Some(ending) = of_main {
                ended = true;
                self.say(&Word::Ended(ending, BootTime::now()));
                if terminating {
                    // Everything here but this process.
                    let _none_left = kill(Pid::from_raw(-1), Signal::SIGTERM);
                }
            }
            if ended && (none_left || !terminating) {
                return Ok(());
            }
        }
    }

    fn order(&mut self) -> Option<u8> {
        let mut byte = [0];
        self.orders.read_exact(&mut byte).ok().map(|()| byte[0])
    }

    fn say(&mut self, word: &Word) {
        if let Ok(mut line) = serde_json::to_vec(word) {
            line.push(b'\n');
            let _supervisor_gone = self.words.write_all(&line);
        }
    }
}
