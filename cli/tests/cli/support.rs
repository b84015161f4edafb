//! A real control plane, and the program run against it in a folder of its own.

use std::path::Path;
use std::process::{Child, Stdio};

use assert_cmd::cargo::cargo_bin;
use minitower_test_plane::{Plane, Project, Team};
use serde_json::{Value, json};

/// A control plane with the team `acme`, and a person's home.
pub(crate) struct Bed {
    pub(crate) plane: Plane,
    pub(crate) team: Team,
    pub(crate) home: tempfile::TempDir,
}

impl Bed {
    pub(crate) fn start() -> Self {
        Self::on(Plane::start())
    }

    /// The same on a control plane with settings of its own.
    pub(crate) fn on(plane: Plane) -> Self {
        let team = plane.team("acme");
        Self { plane, team, home: tempfile::tempdir().unwrap() }
    }

    /// The same with the app `hello`, whose version takes a name and a count.
    pub(crate) fn with_app() -> Self {
        let bed = Self::start();
        bed.team.app("hello");
        bed.team.version("hello", Self::project());
        bed
    }

    /// The version of the app `hello`.
    pub(crate) fn project() -> Project {
        let properties = json!({"name": {"type": "string"}, "count": {"type": "integer"}});
        Project {
            timeout_seconds: Some(60),
            params_schema: Some(json!({"type": "object", "properties": properties})),
            ..Project::new("main.py", &[("main.py", "print('hello')")])
        }
    }

    /// The program with server and token in its environment.
    pub(crate) fn cli(&self, line: &[&str]) -> std::process::Command {
        let mut command = program(self.home.path(), line);
        command.env("MINITOWER_SERVER_URL", self.plane.url()).env("MINITOWER_API_TOKEN", &self.team.token);
        command
    }

    /// Runs the program with server and token in its environment.
    pub(crate) fn run(&self, line: &[&str]) -> Ran {
        run(&mut self.cli(line), "")
    }

    /// The same with the words of a line.
    pub(crate) fn words(&self, line: &str) -> Ran {
        self.run(&line.split_whitespace().collect::<Vec<_>>())
    }

    /// Starts the program and lets it go on.
    pub(crate) fn spawn(&self, line: &str) -> Child {
        let words: Vec<_> = line.split_whitespace().collect();
        self.cli(&words).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Writes a file in the person's home.
    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.home.path().join(name), text).unwrap();
    }

    /// The profiles file.
    pub(crate) fn config(&self) -> std::path::PathBuf {
        self.home.path().join(".config/minitower-cli/config.json")
    }
}

/// Waits for the end of a program that was let go on.
pub(crate) fn end(child: Child) -> Ran {
    Ran::from(child.wait_with_output().unwrap())
}

/// The program alone, with nothing of our own environment.
pub(crate) fn program(home: &Path, line: &[&str]) -> std::process::Command {
    let mut command = std::process::Command::new(cargo_bin!("minitower"));
    command
        .args(line)
        .env_clear()
        .env("HOME", home)
        .env("TZ", "UTC")
        .env("PATH", std::env::var_os("PATH").unwrap())
        .current_dir(home);
    command
}

/// How the program ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<std::process::Output> for Ran {
    fn from(output: std::process::Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Ran {
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The one object on standard error.
    #[track_caller]
    pub(crate) fn error(&self) -> Value {
        serde_json::from_str(&self.stderr).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// A JSON value on each line.
    #[track_caller]
    pub(crate) fn json_lines(&self) -> Vec<Value> {
        self.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Ended well, without a colour.
    #[track_caller]
    pub(crate) fn good(self) -> Self {
        assert_eq!(self.code, 0, "{self:?}");
        self.plain()
    }

    #[track_caller]
    pub(crate) fn plain(self) -> Self {
        assert!(!self.stdout.contains('\u{1b}') && !self.stderr.contains('\u{1b}'), "colours: {self:?}");
        self
    }
}

/// Runs a program to its end.
pub(crate) fn run(command: &mut std::process::Command, stdin: &str) -> Ran {
    let command = std::mem::replace(command, std::process::Command::new("true"));
    let limit = std::time::Duration::from_secs(60);
    Ran::from(assert_cmd::Command::from_std(command).write_stdin(stdin).timeout(limit).output().unwrap())
}

/// A moment of the API as tables show it.
pub(crate) fn shown(at: &Value) -> String {
    let at = at.as_str().unwrap();
    format!("{} {}Z", &at[..10], &at[11..19])
}
