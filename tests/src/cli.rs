//! The command line as a person calls it.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::programs;

/// Longest time one command may take, in seconds.
const COMMAND_LIMIT: &str = "120";

/// A person with a home folder of their own.
#[derive(Debug, Clone)]
pub struct Cli {
    home: PathBuf,
    env: Vec<(String, String)>,
}

/// What a command left behind.
#[derive(Debug, Clone)]
pub struct Output {
    /// The command as it was typed.
    pub typed: String,
    /// Its exit code.
    pub code: i32,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Cli {
    /// A person whose home is `home`.
    pub fn new(home: &Path) -> Self {
        Self { home: home.to_owned(), env: Vec::new() }
    }

    /// Sets a variable for every command.
    #[must_use]
    pub fn env(mut self, key: &str, value: &str) -> Self {
        self.env.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Runs `minitower` with arguments in `folder`, its streams piped.
    pub fn run_in(&self, folder: &Path, args: &[&str]) -> Output {
        self.spawn(folder, args, "")
    }

    /// Runs `minitower` with arguments in the home folder, and `input` on its standard input.
    pub fn run_with(&self, args: &[&str], input: &str) -> Output {
        self.spawn(&self.home, args, input)
    }

    fn spawn(&self, folder: &Path, args: &[&str], input: &str) -> Output {
        let mut command = Command::new("timeout");
        command.args(["--kill-after=5", COMMAND_LIMIT]).arg(programs::path(programs::CLI)).args(args);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        // The one variable that may reach the programs: what proves these tests.
        command.envs(
            std::env::var_os(minitower_planted::VARIABLE).map(|bug| (minitower_planted::VARIABLE, bug)),
        );
        command.env("HOME", &self.home).envs(self.env.iter().map(|(key, value)| (key, value)));
        command.current_dir(folder);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("timeout(1) is there");
        // A command that does not read its input closes the pipe; that is its right.
        let _ = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
        let output = child.wait_with_output().expect("the command can be waited for");
        Output {
            typed: format!("minitower {}", args.join(" ")),
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Runs `minitower` with arguments in the home folder.
    pub fn run(&self, args: &[&str]) -> Output {
        self.run_in(&self.home, args)
    }
}

impl Output {
    /// Asserts the exit code.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(
            self.code, code,
            "`{}` exited with {}\nstdout: {}\nstderr: {}",
            self.typed, self.code, self.stdout, self.stderr
        );
        self
    }

    /// The standard output as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("`{}` printed no JSON: {error}: {}", self.typed, self.stdout))
    }
}
