//! A person who is outside of the cluster: `curl`, and the command line with a server's address and an authority's certificate.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use minitower_tests::{Cli, programs};
use serde_json::Value;

/// Where a person reaches a release, and as whom.
#[derive(Debug, Clone)]
pub(crate) struct Person {
    /// The address.
    pub(crate) url: String,
    /// Certificates to trust, besides those of the machine.
    pub(crate) ca: Option<PathBuf>,
    /// The team's token.
    pub(crate) token: String,
    /// Their home folder.
    pub(crate) home: PathBuf,
}

/// What `curl` was answered.
#[derive(Debug)]
pub(crate) struct Curled {
    /// The status; 0: there was no answer.
    pub(crate) status: u16,
    /// The body.
    pub(crate) body: String,
    /// How long it took.
    pub(crate) took: Duration,
}

impl Curled {
    /// The body as JSON of an answer with this status.
    #[track_caller]
    pub(crate) fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

impl Person {
    fn env(&self) -> Vec<(String, String)> {
        let mut env = vec![
            ("MINITOWER_SERVER_URL".to_owned(), self.url.clone()),
            ("MINITOWER_API_TOKEN".to_owned(), self.token.clone()),
        ];
        env.extend(self.ca.iter().map(|ca| ("MINITOWER_CA_FILE".to_owned(), ca.display().to_string())));
        env
    }

    /// The command line.
    pub(crate) fn cli(&self) -> Cli {
        self.env().iter().fold(Cli::new(&self.home), |cli, (key, value)| cli.env(key, value))
    }

    /// `curl` of a path, with the team's token; `more` are further arguments.
    pub(crate) fn curl(&self, method: &str, path: &str, more: &[&str]) -> Curled {
        let began = Instant::now();
        let mut command = Command::new("curl");
        command.args([
            "--silent",
            "--show-error",
            "--noproxy",
            "*",
            "--max-time",
            "120",
            "--request",
            method,
        ]);
        command.args(["--header", &format!("Authorization: Bearer {}", self.token)]);
        if let Some(ca) = &self.ca {
            command.arg("--cacert").arg(ca);
        }
        command.args(["--write-out", "\n%{http_code}"]).args(more).arg(format!("{}{path}", self.url));
        let output = command.output().expect("curl is there");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let (body, status) = said.rsplit_once('\n').unwrap_or(("", "0"));
        let mut body = body.to_owned();
        if !output.status.success() {
            body.push_str(&String::from_utf8_lossy(&output.stderr));
        }
        Curled { status: status.trim().parse().unwrap_or_default(), body, took: began.elapsed() }
    }

    /// Follows a run's log by the command line, in the background.
    pub(crate) fn follow(&self, run: i64) -> Follow {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(programs::path(programs::CLI));
        command.args(["runs", "logs", "--follow", &run.to_string()]);
        command.env_clear().env("HOME", &self.home).envs(self.env());
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("it starts");
        let out = child.stdout.take().expect("a pipe");
        let (line, lines) = channel();
        thread::spawn(move || {
            for text in BufReader::new(out).lines().map_while(Result::ok) {
                if line.send((Instant::now(), text)).is_err() {
                    return;
                }
            }
        });
        Follow { child, lines }
    }

    /// Writes a project with one program into a folder of their home.
    pub(crate) fn project(&self, name: &str, code: &str, timeout: u32) -> PathBuf {
        let folder = self.home.join(name);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("main.py"), code).unwrap();
        let towerfile =
            format!("[app]\nname = \"{name}\"\nscript = \"main.py\"\n[app.timeout]\nseconds = {timeout}\n");
        std::fs::write(folder.join("Towerfile"), towerfile).unwrap();
        folder
    }

    /// Deploys a folder.
    #[track_caller]
    pub(crate) fn deploy(&self, folder: &Path) {
        self.cli().run(&["deploy", "--dir", &folder.display().to_string()]).expect(0);
    }

    /// Creates a run by the command line.
    #[track_caller]
    pub(crate) fn create(&self, app: &str, more: &[&str]) -> i64 {
        let made = self.cli().run(&[&["--json", "runs", "create", app], more].concat()).expect(0).json();
        minitower_tests::shape::int(&made, "run_id")
    }
}

/// A log that is being followed. Dropping it ends the command.
#[derive(Debug)]
pub(crate) struct Follow {
    child: Child,
    lines: Receiver<(Instant, String)>,
}

impl Follow {
    /// When a line came that contains `text`.
    #[track_caller]
    pub(crate) fn line(&self, text: &str, limit: Duration) -> Instant {
        let deadline = Instant::now() + limit;
        let mut seen = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok((at, line)) if line.contains(text) => return at,
                Ok((_, line)) => seen.push(line),
                Err(error) => panic!("no line {text:?} within {limit:?}: {error}; there were {seen:?}"),
            }
        }
    }
}

impl Drop for Follow {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
