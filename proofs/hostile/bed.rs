//! A server that is looked at while it is sent what it must refuse.

use std::collections::BTreeSet;
use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use minitower_tests::{Artifact, Response, Server, Team};
use serde_json::json;

/// Longest time until anything is answered; debug builds on busy machines included.
const SOON: Duration = Duration::from_secs(10);

/// The app that hostile things are sent to.
pub(crate) const APP: &str = "target";

/// A control plane with a team and an app with a version.
pub(crate) struct Bed {
    pub(crate) team: Team,
    pub(crate) server: Server,
    files: BTreeSet<PathBuf>,
}

impl Bed {
    pub(crate) fn start() -> Self {
        Self::on(Server::start())
    }

    pub(crate) fn on(server: Server) -> Self {
        let team = server.bootstrap();
        team.python_app(APP, "print('hello')");
        let files = files(server.folder());
        Self { team, server, files }
    }

    /// Sends something, and looks at time and memory meanwhile: `most_mib` is what the server's peak may be above what it held before.
    #[track_caller]
    pub(crate) fn within<T>(&mut self, what: &str, most_mib: u64, send: impl FnOnce(&Self) -> T) -> T {
        let pid = self.server.program().pid();
        // Makes the peak what is resident now: proc_pid_clear_refs(5), value 5.
        fs::write(format!("/proc/{pid}/clear_refs"), "5").unwrap();
        let (before, began) = (memory_kib(pid.as_raw(), "VmRSS:"), Instant::now());
        let answer = send(self);
        let took = began.elapsed();
        let grown = memory_kib(pid.as_raw(), "VmHWM:").saturating_sub(before) / 1024;
        println!("{what}: {took:.1?}, {grown} MiB");
        assert!(took < SOON, "{what}: answered after {took:?}");
        assert!(grown <= most_mib, "{what}: the server took {grown} MiB, at most {most_mib} are to be taken");
        answer
    }

    /// Uploads an archive that must be refused, with that code.
    #[track_caller]
    pub(crate) fn upload_refused(&mut self, what: &str, archive: &[u8], fields: &[(&str, &str)], code: &str) {
        let answer = self.within(what, 32, |bed| bed.team.upload(APP, Some(archive), fields));
        let message = clear(what, answer, 400, code);
        assert!(
            !message.contains(&self.server.folder().display().to_string()),
            "{what}: a path in {message:?}"
        );
    }

    /// Uploads an archive that is good enough.
    #[track_caller]
    pub(crate) fn upload_taken(
        &mut self,
        what: &str,
        most_mib: u64,
        archive: &[u8],
        fields: &[(&str, &str)],
    ) {
        self.within(what, most_mib, |bed| bed.team.upload(APP, Some(archive), fields)).expect(201);
        self.files = files(self.server.folder());
    }

    /// Sends bytes over a connection of their own, and reads what comes until the server closes it.
    #[track_caller]
    pub(crate) fn raw(&mut self, what: &str, bytes: &[u8]) -> Raw {
        let port = self.server.port();
        self.within(what, 32, |_| exchange(port, bytes))
    }

    /// After all: nothing is left on disk, and the server takes good things.
    pub(crate) fn end(mut self) {
        self.server.http().get("/ready").send().expect(200);
        self.team.run(APP, json!({"input": {"name": "world"}}));
        let left: Vec<_> = files(self.server.folder()).difference(&self.files).cloned().collect();
        assert!(left.is_empty(), "something stays on disk: {left:?}");
        let log = self.server.program().log();
        assert!(!log.contains("panicked"), "a handler panicked: {log}");
        self.team.version(APP, &Artifact::python("print('still there')"), "main.py");
    }
}

/// Asserts an error that says what it is about, in one readable line.
#[track_caller]
pub(crate) fn clear(what: &str, answer: Response, status: u16, code: &str) -> String {
    println!("  {}", answer.text().chars().take(160).collect::<String>());
    let message = answer.expect_error(status, code);
    assert!(message.len() < 2048, "{what}: {} bytes of message", message.len());
    assert!(!message.contains(char::is_control), "{what}: not one readable line: {message:?}");
    message
}

/// What a connection yielded.
#[derive(Debug)]
pub(crate) struct Raw {
    /// The statuses of all answers.
    pub(crate) statuses: Vec<u16>,
    /// Everything.
    pub(crate) text: String,
}

fn exchange(port: u16, bytes: &[u8]) -> Raw {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.set_write_timeout(Some(SOON)).unwrap();
    // A server that has heard enough closes in mid-sending; its answer may be there all the same.
    let _ = stream.write_all(bytes);
    let mut found = Vec::new();
    if let Err(error) = stream.read_to_end(&mut found) {
        let shown = String::from_utf8_lossy(&found);
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "no end: {error}, after {shown:?}");
    }
    let text = String::from_utf8_lossy(&found).into_owned();
    let heads = text.match_indices("HTTP/1.1 ").filter_map(|(at, _)| text.get(at + 9..at + 12)?.parse().ok());
    Raw { statuses: heads.collect(), text: text.clone() }
}

fn memory_kib(pid: i32, key: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// All files of the server's folder but the database and the log, which are always there.
fn files(folder: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                open.push(path);
            } else if !name.starts_with("minitower") {
                found.insert(path);
            }
        }
    }
    found
}
