//! The program itself: its start, its signals, its last words.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

/// Every wait of these tests ends here; reaching it is a failure. Shorter than the time requests get to finish.
const DEADLINE: Duration = Duration::from_secs(20);

struct Program {
    child: Child,
    log: BufReader<ChildStderr>,
    addr: String,
    folder: TempDir,
}

fn command(folder: &TempDir) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_minitowerd"));
    command
        .env_clear()
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command.env("MINITOWER_LISTEN_ADDR", "127.0.0.1:0").env("MINITOWER_BOOTSTRAP_TOKEN", "dev");
    command
}

impl Program {
    fn start() -> Self {
        Self::start_with(&[])
    }

    fn start_with(variables: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut child = command(&folder).envs(variables.iter().copied()).spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let addr = line_with(&mut log, "listening").split("\"addr\":\"").nth(1).unwrap().to_owned();
        let addr = addr.split('"').next().unwrap().to_owned();
        Self { child, log, addr, folder }
    }

    /// One that has ended in good order and left its database.
    fn stopped() -> Self {
        let mut program = Self::start();
        program.signal(Signal::SIGTERM);
        assert!(program.wait().success());
        program
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }

    fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "the program does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Gone already unless the test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The next line of the log that contains the text; the end of the log is a failure.
fn line_with(log: &mut BufReader<ChildStderr>, text: &str) -> String {
    loop {
        let mut line = String::new();
        assert_ne!(log.read_line(&mut line).unwrap(), 0, "the log ends without {text:?}");
        if line.contains(text) {
            return line;
        }
    }
}

#[test]
fn sigterm_and_sigint_end_it_with_0() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut program = Program::start();
        program.signal(signal);
        assert_eq!(program.wait().code(), Some(0));
        line_with(&mut program.log, "stopped");
    }
}

/// The status line of an answer.
fn ask(addr: &str, path: &str) -> String {
    let mut asked = TcpStream::connect(addr).unwrap();
    let head = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    asked.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    asked.read_to_string(&mut answer).unwrap();
    answer.lines().next().unwrap_or_default().to_owned()
}

#[test]
fn a_server_that_has_to_stop_says_so_first_and_answers_meanwhile() {
    let mut program = Program::start_with(&[("MINITOWER_STOP_DELAY", "2s")]);
    assert_eq!(ask(&program.addr, "/ready"), "HTTP/1.1 200 OK");
    let told = Instant::now();
    program.signal(Signal::SIGTERM);
    line_with(&mut program.log, "stopping");
    while ask(&program.addr, "/ready") != "HTTP/1.1 503 Service Unavailable" {
        assert!(told.elapsed() < Duration::from_secs(2), "it never said so");
    }
    assert_eq!(ask(&program.addr, "/version"), "HTTP/1.1 200 OK");
    assert_eq!(program.wait().code(), Some(0));
    assert!(told.elapsed() >= Duration::from_secs(2), "{:?}", told.elapsed());
}

#[test]
fn the_delay_of_a_stop_ends_with_a_second_signal() {
    let mut program = Program::start_with(&[("MINITOWER_STOP_DELAY", "1m")]);
    program.signal(Signal::SIGTERM);
    line_with(&mut program.log, "stopping");
    program.signal(Signal::SIGTERM);
    assert_eq!(program.wait().code(), Some(0));
}

#[test]
fn the_metrics_can_have_an_address_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = command(&folder).env("MINITOWER_METRICS_ADDR", "127.0.0.1:0").spawn().unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let addr = |line: String| line.split("\"addr\":\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let metrics = addr(line_with(&mut log, "serving the metrics"));
    let addr = addr(line_with(&mut log, "listening"));
    let program = Program { child, log, addr, folder };
    assert_eq!(ask(&metrics, "/metrics"), "HTTP/1.1 200 OK");
    assert_eq!(ask(&program.addr, "/metrics"), "HTTP/1.1 404 Not Found");
    assert_eq!(ask(&program.addr, "/ready"), "HTTP/1.1 200 OK");
}

#[test]
fn a_second_signal_drops_the_requests_that_still_run() {
    let mut program = Program::start();
    // A request whose body never comes.
    let mut request = TcpStream::connect(&program.addr).unwrap();
    let head = "POST /api/v1/bootstrap/team HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer dev\r\nContent-Length: 9\r\n\r\n";
    request.write_all(head.as_bytes()).unwrap();
    // A later request is answered: by then the first one was accepted and, on its own connection, is being read.
    let mut other = TcpStream::connect(&program.addr).unwrap();
    other.write_all(b"GET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    other.read_to_string(&mut String::new()).unwrap();
    program.signal(Signal::SIGTERM);
    line_with(&mut program.log, "stopping");
    program.signal(Signal::SIGTERM);
    assert_eq!(program.wait().code(), Some(0));
}

#[test]
fn a_bad_value_ends_it_with_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let output = command(&folder).env("MINITOWER_LEASE_TTL", "soon").output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.starts_with("minitowerd: MINITOWER_LEASE_TTL is \"soon\": it must be a duration"), "{said}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing was made");
}

#[test]
fn a_path_that_cannot_be_used_ends_it_with_its_variable_and_the_reason() {
    for (variable, path, reason) in [
        ("MINITOWER_DB_PATH", ".", "Is a directory"),
        ("MINITOWER_OBJECTS_DIR", "/proc/objects", "No such file or directory"),
        ("MINITOWER_SECRETS_KEY_FILE", ".", "is not a file, but a folder"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let output = command(&folder).env(variable, path).output().unwrap();
        let log = String::from_utf8(output.stderr).unwrap();
        let last = log.lines().last().unwrap();
        assert!(!output.status.success() && last.contains(variable) && last.contains(reason), "{log}");
    }
}

#[test]
fn it_says_its_version() {
    let folder = tempfile::tempdir().unwrap();
    let output = command(&folder).arg("--version").stdout(Stdio::piped()).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.starts_with(concat!("minitowerd ", env!("CARGO_PKG_VERSION"), " (")), "{said}");
}

#[test]
fn a_backup_becomes_the_database_only_where_there_is_none() {
    let program = Program::stopped();
    let folder = &program.folder;
    std::fs::copy(folder.path().join("minitower.db"), folder.path().join("backup.db")).unwrap();
    let restore = |backup: &str| {
        let output = command(folder).args(["restore", backup]).output().unwrap();
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    };

    let (done, said) = restore("backup.db");
    assert!(!done && said.lines().count() == 1 && said.contains("move it away"), "{said}");
    for name in ["minitower.db", "minitower.db-wal", "minitower.db-shm"] {
        let _ = std::fs::remove_file(folder.path().join(name));
    }
    std::fs::write(folder.path().join("minitower.db-wal"), "of another database").unwrap();
    let (done, said) = restore("backup.db");
    assert!(!done && said.contains("-wal"), "{said}");
    std::fs::remove_file(folder.path().join("minitower.db-wal")).unwrap();
    let journal = folder.path().join("minitower.db-journal");
    std::fs::write(&journal, "of another database").unwrap();
    let (done, said) = restore("backup.db");
    assert!(!done && said.contains("-journal"), "{said}");
    // What has nothing in it goes.
    std::fs::write(&journal, "").unwrap();
    let backup = std::fs::read(folder.path().join("backup.db")).unwrap();
    let mut damaged = backup.clone();
    // A page in the middle.
    damaged[81_920..86_016].fill(0xab);
    let changed = folder.path().join("changed");
    std::fs::write(&changed, &backup).unwrap();
    minitower_kernel::rusqlite::Connection::open(&changed)
        .unwrap()
        .execute_batch("CREATE TRIGGER evil AFTER INSERT ON runs BEGIN SELECT 1; END")
        .unwrap();
    let changed = std::fs::read(&changed).unwrap();
    for (name, bytes, reason) in [
        ("junk", &b"no database"[..], "not an SQLite database"),
        ("empty", b"", "is empty"),
        ("cut", &backup[..backup.len() / 2], "is cut short"),
        ("damaged", &damaged, "is damaged"),
        ("changed", &changed, "has a trigger that MiniTower has not made, \"evil\""),
        ("log-missing", &backup, "-wal file is missing"),
        ("log-damaged", &backup, "-wal file beside it is damaged"),
    ] {
        std::fs::write(folder.path().join(name), bytes).unwrap();
        std::fs::write(folder.path().join("log-missing-shm"), "an index").unwrap();
        std::fs::write(folder.path().join("log-damaged-wal"), "of something else").unwrap();
        let listing = names(folder.path());
        let (done, said) = restore(name);
        assert!(!done && said.lines().last().unwrap().contains(reason), "{name}: {said}");
        assert_eq!(names(folder.path()), listing, "a failed restore leaves nothing");
    }
    assert!(!restore("absent").0);

    let (done, said) = restore("backup.db");
    assert!(done, "{said}");
    assert!(folder.path().join("minitower.db").exists());
    assert!(!folder.path().join("minitower.db.restoring").exists());
}

/// What a folder holds.
fn names(folder: &Path) -> Vec<OsString> {
    let mut names: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    names
}

#[test]
fn a_copy_of_a_running_server_is_restored_with_its_log() {
    let program = Program::start();
    let folder = &program.folder;
    for end in ["", "-wal"] {
        let (from, to) = (format!("minitower.db{end}"), format!("backup.db{end}"));
        std::fs::copy(folder.path().join(from), folder.path().join(to)).unwrap();
    }
    let restored = |backup: &str| {
        let restored = folder.path().join("restored");
        let output =
            command(folder).args(["restore", backup]).env("MINITOWER_DB_PATH", &restored).output().unwrap();
        (output.status.success() && restored.exists(), String::from_utf8(output.stderr).unwrap())
    };
    std::fs::copy(folder.path().join("backup.db"), folder.path().join("alone.db")).unwrap();
    let (done, said) = restored("alone.db");
    assert!(!done && said.contains("-wal file is missing"), "{said}");
    let (done, said) = restored("backup.db");
    assert!(done, "{said}");
    assert!(!folder.path().join("backup.db-shm").exists(), "the backup stays as it is");
}

#[test]
fn a_database_of_another_program_is_neither_served_nor_changed() {
    let folder = tempfile::tempdir().unwrap();
    let made = minitower_kernel::rusqlite::Connection::open(folder.path().join("minitower.db")).unwrap();
    made.execute_batch("CREATE TABLE t (a)").unwrap();
    drop(made);
    let before = std::fs::read(folder.path().join("minitower.db")).unwrap();
    let output = command(&folder).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && said.lines().count() == 1, "{said}");
    assert!(said.contains("not those of a MiniTower database"), "{said}");
    assert_eq!(std::fs::read(folder.path().join("minitower.db")).unwrap(), before);
    assert_eq!(names(folder.path()), ["minitower.db"]);
}

#[test]
fn an_unattended_restore_happens_only_where_the_database_is_missing_and_the_backup_there() {
    let program = Program::stopped();
    let folder = &program.folder;
    let file = |name: &str| folder.path().join(name);
    let restore_with = |flags: &[&str]| {
        let output = command(folder).arg("restore").args(flags).arg("backup.db").output().unwrap();
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    };
    let restore = || {
        let (done, said) = restore_with(&["--if-missing"]);
        assert!(done, "{said}");
    };

    let before = std::fs::read(file("minitower.db")).unwrap();
    restore();
    assert_eq!(std::fs::read(file("minitower.db")).unwrap(), before, "a database stays as it is");
    assert!(!file("backup.db").exists(), "nothing is left behind");
    assert!(restore_with(&["--if-missing", "--placeholder"]).0);
    assert_eq!(std::fs::read(file("backup.db")).unwrap(), b"", "its backup need not be fetched");
    std::fs::rename(file("minitower.db"), file("kept")).unwrap();
    let (done, said) = restore_with(&["--if-missing"]);
    assert!(!done && said.contains("is empty") && !file("minitower.db").exists(), "{said}");
    std::fs::rename(file("kept"), file("minitower.db")).unwrap();

    std::fs::remove_file(file("backup.db")).unwrap();
    std::fs::rename(file("minitower.db"), file("kept")).unwrap();
    restore();
    assert!(!file("minitower.db").exists() && !file("backup.db").exists(), "nothing came from nothing");

    std::fs::copy(file("kept"), file("backup.db")).unwrap();
    restore();
    assert!(file("minitower.db").exists());
    restore();
    assert_eq!(std::fs::read(file("backup.db")).unwrap(), before, "a backup that was fetched stays");
}

#[test]
fn its_health_is_asked_by_the_program_itself() {
    let mut program = Program::start();
    let addr = program.addr.clone();
    let healthcheck = |folder: &TempDir, addr: &str| {
        // Without the bootstrap token and the like: a probe may be given less than the server.
        let mut asked = Command::new(env!("CARGO_BIN_EXE_minitowerd"));
        let output = asked
            .env_clear()
            .current_dir(folder.path())
            .args(["--listen-addr", addr, "--public-signup-enabled", "false", "healthcheck"])
            .output()
            .unwrap();
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert_eq!(said.lines().count(), 1, "{said}");
        (output.status.code(), said)
    };

    assert_eq!(healthcheck(&program.folder, &addr), (Some(0), format!("ready: {addr}\n")));
    let port = addr.rsplit(':').next().unwrap();
    assert_eq!(healthcheck(&program.folder, &format!("0.0.0.0:{port}")).0, Some(0));

    program.signal(Signal::SIGTERM);
    assert!(program.wait().success());
    let (code, said) = healthcheck(&program.folder, &addr);
    assert_eq!(code, Some(1));
    assert!(said.starts_with(&format!("minitowerd: no answer from {addr}: ")), "{said}");
    let (code, said) = healthcheck(&program.folder, "8080");
    assert_eq!(code, Some(1));
    assert!(said.starts_with("minitowerd: MINITOWER_LISTEN_ADDR is \"8080\""), "{said}");
}

#[test]
fn a_server_that_answers_otherwise_is_not_healthy() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let asked = Command::new(env!("CARGO_BIN_EXE_minitowerd"))
        .args(["--listen-addr", &addr, "healthcheck"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut stream, _) = listener.accept().unwrap();
    let mut request = BufReader::new(&stream);
    assert!(line_of(&mut request).starts_with("GET /ready HTTP/1.0"));
    while !line_of(&mut request).trim().is_empty() {}
    stream
        .write_all(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 12\r\n\r\n{\"error\":{}}")
        .unwrap();
    drop(stream);
    let output = asked.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        said,
        format!(
            "minitowerd: {addr} answers /ready with \"HTTP/1.1 503 Service Unavailable\": {{\"error\":{{}}}}\n"
        )
    );
}

fn line_of(reader: &mut impl std::io::BufRead) -> String {
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    line
}
