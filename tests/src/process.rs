//! One started program: its log in a file, its end guaranteed.

use std::fs::{self, File, OpenOptions};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

pub use nix::sys::signal::Signal;
use nix::sys::signal::{kill, killpg};
use nix::unistd::Pid;

use crate::{programs, wait};

/// How much of a log is shown when a test fails.
const SHOWN_LOG_BYTES: usize = 24 * 1024;

/// A running program in a process group of its own. Dropping it kills the group; the program also dies with the
/// test's thread (`setpriv --pdeathsig`), so that an aborted test run leaves nothing behind.
#[derive(Debug)]
pub struct Program {
    name: String,
    log: PathBuf,
    child: Child,
    ended: Option<ExitStatus>,
}

impl Program {
    /// Starts one of the built programs; see [`Self::start_any`].
    pub fn start(name: &str, args: &[&str], env: &[(String, String)], folder: &Path, log: &Path) -> Self {
        Self::start_any(&programs::path(name), args, env, folder, log)
    }

    /// Starts a program with exactly the given environment on top of `PATH`, in `folder`, logging to `log`.
    pub fn start_any(
        path: &Path,
        args: &[&str],
        env: &[(String, String)],
        folder: &Path,
        log: &Path,
    ) -> Self {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let out = open_log(log);
        let err = out.try_clone().unwrap();
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(path).args(args);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        // The one variable that may reach the programs: what proves these tests.
        command.envs(
            std::env::var_os(minitower_planted::VARIABLE).map(|bug| (minitower_planted::VARIABLE, bug)),
        );
        command.env("HOME", folder).env("TMPDIR", folder);
        command.envs(env.iter().map(|(key, value)| (key, value)));
        command.current_dir(folder).process_group(0);
        command.stdin(Stdio::null()).stdout(out).stderr(err);
        let child =
            command.spawn().unwrap_or_else(|error| panic!("cannot start setpriv for {name}: {error}"));
        Self { name: name.into_owned(), log: log.to_owned(), child, ended: None }
    }

    /// The process id.
    pub fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap())
    }

    /// Sends a signal to the program alone.
    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap_or_else(|error| panic!("cannot signal {}: {error}", self.name));
    }

    /// The exit status, if the program has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().unwrap();
        }
        self.ended
    }

    /// Waits until the program has ended by itself.
    pub fn wait_end(&mut self, limit: Duration) -> ExitStatus {
        let what = format!("the end of {}", self.name);
        wait::until(&what, limit, || self.ended())
    }

    /// Ends the program with SIGKILL and waits for it.
    pub fn kill(&mut self) {
        if self.ended().is_none() {
            // The group may be gone already; what counts is the wait below.
            let _ = killpg(self.pid(), Signal::SIGKILL);
            self.ended = Some(self.child.wait().unwrap());
        }
    }

    /// Ends the program with SIGTERM and returns its exit code.
    pub fn terminate(&mut self, limit: Duration) -> i32 {
        self.signal(Signal::SIGTERM);
        let status = self.wait_end(limit);
        status.code().unwrap_or_else(|| panic!("{} died of signal {:?}", self.name, status.signal()))
    }

    /// What the program has written to its streams so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            let log = self.log();
            let start = log.len().saturating_sub(SHOWN_LOG_BYTES);
            let shown: String =
                log.chars().skip(log[..log.floor_char_boundary(start)].chars().count()).collect();
            println!("---- log of {} ({}) ----\n{shown}\n---- end ----", self.name, self.log.display());
        }
    }
}

fn open_log(path: &Path) -> File {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    OpenOptions::new().create(true).append(true).open(path).unwrap()
}

/// Which memory of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// What it holds now.
    Resident,
    /// The most that it has held.
    Peak,
}

/// The memory of a living process, in MiB (`proc_pid_status(5)`); 0 when it has ended and nobody has asked for its end yet.
pub fn memory_mib(pid: Pid, memory: Memory) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let key = match memory {
        Memory::Resident => "VmRSS:",
        Memory::Peak => "VmHWM:",
    };
    let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap_or("0 kB");
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}
