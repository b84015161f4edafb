//! Disks that are full, broken or dead, under the whole program.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use minitower_kernel::rusqlite::Connection;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, mkfifo};
use tempfile::TempDir;

/// Every wait of these tests ends here; reaching it is a failure.
const DEADLINE: Duration = Duration::from_secs(20);
/// By when trouble with a disk has to be told.
const FOUND_WITHIN: Duration = Duration::from_secs(5);

/// A volume of so many MiB, in a mount namespace that ends with it.
struct Volume {
    holder: Child,
    folder: TempDir,
}

impl Volume {
    /// None, and a word about it: this machine lets nobody mount one.
    fn mount(mib: u64) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().display();
        let script = format!("mount -t tmpfs -o size={mib}m tmpfs {at} && echo mounted && exec sleep 600");
        let mut unshare = Command::new("unshare");
        if !nix::unistd::geteuid().is_root() {
            unshare.arg("--map-root-user");
        }
        unshare.args(["--mount", "sh", "-c", &script]).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut said = String::new();
        let mut holder = unshare.spawn().ok()?;
        if let Some(stdout) = holder.stdout.take() {
            BufReader::new(stdout).read_line(&mut said).unwrap();
        }
        if said.trim() == "mounted" {
            return Some(Self { holder, folder });
        }
        let _ = holder.wait();
        // Past the test runner's capture.
        let thread = std::thread::current();
        let test = thread.name().unwrap_or("a test");
        let mut stderr = std::io::stderr();
        let _ = writeln!(stderr, "SKIPPED {test}: no volume can be mounted in a namespace here");
        None
    }

    /// A file on it, as this process sees it.
    fn file(&self, name: &str) -> PathBuf {
        let inside = self.folder.path().strip_prefix("/").unwrap();
        PathBuf::from(format!("/proc/{}/root", self.holder.id())).join(inside).join(name)
    }

    /// Writes a file until so many KiB are free.
    fn fill(&self, leave_kib: u64) {
        let free = || {
            let found = nix::sys::statvfs::statvfs(&self.file("")).unwrap();
            found.blocks_available() * found.fragment_size()
        };
        let mut file = File::options().create(true).append(true).open(self.file("filler")).unwrap();
        while free() > leave_kib * 1024 && file.write_all(&[1; 4096]).is_ok() {}
    }

    fn command(&self) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--mount", "--target", &self.holder.id().to_string()]);
        if !nix::unistd::geteuid().is_root() {
            command.args(["--user", "--preserve-credentials"]);
        }
        command.arg(env!("CARGO_BIN_EXE_minitowerd"));
        command
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

struct Program {
    child: Child,
    addr: String,
    token: String,
}

impl Program {
    /// On the database and objects in `folder`, with leases of so many seconds.
    fn start(mut command: Command, folder: &Path) -> Self {
        let objects = folder.join("objects");
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .env("MINITOWER_LISTEN_ADDR", "127.0.0.1:0")
            .env("MINITOWER_BOOTSTRAP_TOKEN", "boot")
            .env("MINITOWER_RUNNER_REGISTRATION_TOKEN", "reg")
            .env("MINITOWER_LEASE_TTL", "30s")
            .env("MINITOWER_DB_PATH", folder.join("minitower.db"))
            .env("MINITOWER_OBJECTS_DIR", objects);
        let mut child = command.spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let addr = loop {
            let mut line = String::new();
            assert_ne!(log.read_line(&mut line).unwrap(), 0, "it does not start");
            if line.contains("\"listening\"") {
                break text(&line, "addr");
            }
        };
        // Nobody reads the rest, and the program must not wait for that.
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        Self { child, addr, token: String::new() }
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }

    fn call(&self, method: &str, path: &str, token: &str, headers: &str, body: &[u8]) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.addr).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let head = format!(
            "{method} {path} HTTP/1.0\r\nHost: x\r\nAuthorization: Bearer {token}\r\n{headers}Content-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok());
        (status.unwrap(), answer.rsplit("\r\n\r\n").next().unwrap().to_owned())
    }

    fn get(&self, path: &str) -> (u16, String) {
        self.call("GET", path, &self.token, "", b"")
    }

    fn post(&self, path: &str, body: &str) -> (u16, String) {
        self.call("POST", path, &self.token, "", body.as_bytes())
    }

    /// Makes a team and an app that runs.
    fn fill_in(&mut self) {
        let team = br#"{"slug":"acme","name":"Acme","password":"a-long-password"}"#;
        let (status, body) = self.call("POST", "/api/v1/bootstrap/team", "boot", "", team);
        assert_eq!(status, 201, "{body}");
        self.token = text(&body, "token");
        assert_eq!(self.post("/api/v1/apps", r#"{"slug":"app"}"#).0, 201);
        let uploaded = self.upload();
        assert_eq!(uploaded.0, 201, "{}", uploaded.1);
    }

    fn upload(&self) -> (u16, String) {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("Towerfile"), "[app]\nname = \"app\"\nscript = \"main.sh\"\n").unwrap();
        fs::write(folder.path().join("main.sh"), "echo hi\n").unwrap();
        let packed = Command::new("tar").args(["-C", folder.path().to_str().unwrap(), "-cz", "."]).output();
        let part = "Content-Disposition: form-data; name=\"artifact\"; filename=\"a.tar.gz\"";
        let mut body = format!("--xx\r\n{part}\r\nContent-Type: application/gzip\r\n\r\n").into_bytes();
        body.extend(packed.unwrap().stdout);
        body.extend(b"\r\n--xx--\r\n");
        let headers = "Content-Type: multipart/form-data; boundary=xx\r\n";
        self.call("POST", "/api/v1/apps/app/versions", &self.token, headers, &body)
    }

    fn create(&self) -> (u16, String) {
        let input = "x".repeat(3000);
        self.post("/api/v1/apps/app/runs", &format!("{{\"input\":{{\"a\":\"{input}\"}}}}"))
    }

    /// Leases the first run.
    fn lease(&self) -> Lease {
        let (_, body) = self.call("POST", "/api/v1/runners/register", "reg", "", br#"{"name":"r"}"#);
        let runner = text(&body, "token");
        let poll = br#"{"request_id":"1","instance_id":"x"}"#;
        let (status, body) = self.call("POST", "/api/v1/runs/lease", &runner, "", poll);
        assert_eq!(status, 200, "{body}");
        let run = body.split("\"run_id\":").nth(1).unwrap();
        let run = run.chars().take_while(char::is_ascii_digit).collect();
        let lease = Lease { runner, run, token: text(&body, "lease_token") };
        assert_eq!(self.under(&lease, "start", "").0, 200);
        lease
    }

    fn under(&self, lease: &Lease, call: &str, body: &str) -> (u16, String) {
        let path = format!("/api/v1/runs/{}/{call}", lease.run);
        let headers = format!("X-Lease-Token: {}\r\n", lease.token);
        self.call("POST", &path, &lease.runner, &headers, body.as_bytes())
    }

    /// Asks `/ready` until it answers so, and says why.
    fn ready(&self, status: u16, within: Duration) -> String {
        let began = Instant::now();
        loop {
            let (found, body) = self.get("/ready");
            if found == status {
                return body;
            }
            assert!(began.elapsed() < within, "/ready answers {found} after {within:?}: {body}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Lease {
    runner: String,
    run: String,
    token: String,
}

/// The text of a field.
fn text(json: &str, field: &str) -> String {
    let after = json.split(&format!("\"{field}\":\"")).nth(1).unwrap_or_else(|| panic!("{field} in {json}"));
    after.split('"').next().unwrap().to_owned()
}

const LOG: &str = r#"{"logs":[{"seq":1,"stream":"stdout","line":"hi","logged_at":"2026-01-01T00:00:00Z"}]}"#;

#[test]
fn on_a_full_volume_leases_are_kept_the_rest_is_refused_and_a_restart_serves() {
    let Some(volume) = Volume::mount(20) else { return };
    let mut program = Program::start(volume.command(), volume.folder.path());
    program.fill_in();
    for _ in 0..20 {
        assert_eq!(program.create().0, 201);
    }
    let lease = program.lease();
    volume.fill(0);
    let refused: Vec<_> = (0..30).map(|_| program.create()).filter(|(status, _)| *status != 201).collect();
    assert!(!refused.is_empty() && refused.iter().all(|(status, _)| *status == 503), "{refused:?}");
    for _ in 0..300 {
        let (status, body) = program.under(&lease, "heartbeat", "");
        assert_eq!(status, 200, "{body}");
    }
    assert!(program.ready(503, FOUND_WITHIN).contains("volume of the database"));
    assert_eq!(program.get("/ready?full_is_ready=true").0, 200, "heartbeats have to reach it");
    assert_eq!(
        (program.get("/api/v1/runs").0, program.get("/health").0, program.get("/metrics").0),
        (200, 200, 200)
    );
    // A run more under way would be one more to bring to its end.
    let (_, other) = program.call("POST", "/api/v1/runners/register", "reg", "", br#"{"name":"s"}"#);
    assert!(other.contains("unavailable"), "{other}");

    for signal in [Signal::SIGKILL, Signal::SIGTERM] {
        program.signal(signal);
        let ended = program.child.wait().unwrap();
        assert_eq!(ended.success(), signal == Signal::SIGTERM, "{ended}");
        let token = std::mem::take(&mut program.token);
        volume.fill(0);
        program = Program::start(volume.command(), volume.folder.path());
        program.token = token;
        assert_eq!(
            (program.get("/api/v1/runs").0, program.ready(503, FOUND_WITHIN).is_empty()),
            (200, false)
        );
    }
    let (status, body) = program.under(&lease, "result", r#"{"status":"completed","exit_code":0}"#);
    assert_eq!(status, 200, "{body}");
    let run = format!("/api/v1/runs/{}", lease.run);
    let (status, body) = program.call("DELETE", &run, &program.token, "", b"");
    assert_eq!(status, 204, "what makes room is not refused: {body}");
    let began = Instant::now();
    while !program.get("/api/v1/runs/summary").1.contains("\"terminal_runs\":0") {
        assert!(began.elapsed() < DEADLINE, "the run is not removed");
        std::thread::sleep(Duration::from_millis(50));
    }

    fs::remove_file(volume.file("filler")).unwrap();
    program.ready(200, FOUND_WITHIN);
    assert_eq!(program.create().0, 201);
    assert_eq!(fs::metadata(volume.file("minitower.db.reserve")).unwrap().len(), 1 << 20, "it is made again");
}

#[test]
fn on_a_nearly_full_volume_large_things_are_refused_and_state_is_not() {
    let Some(volume) = Volume::mount(60) else { return };
    let mut program = Program::start(volume.command(), volume.folder.path());
    program.fill_in();
    assert_eq!(program.create().0, 201);
    let lease = program.lease();
    assert_eq!(program.under(&lease, "logs", LOG).0, 200);
    // Between 1 % and 3 % of it.
    volume.fill(1500);
    let logs = |status: u16| {
        let began = Instant::now();
        while program.under(&lease, "logs", LOG).0 != status {
            assert!(began.elapsed() < FOUND_WITHIN, "logs are not answered with {status}");
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    logs(503);
    for (status, body) in [program.upload(), program.under(&lease, "logs", LOG)] {
        assert_eq!(status, 503, "{body}");
        assert!(body.contains("the volume of the database has 1") && body.contains("try again"), "{body}");
    }
    assert_eq!(program.create().0, 201);
    assert_eq!(program.get("/ready").0, 200);
    let free = program.get("/metrics").1;
    assert!(free.contains("minitower_volume_free_bytes{volume=\"database\"} 1"), "{free}");
    fs::remove_file(volume.file("filler")).unwrap();
    logs(200);
    assert_eq!(program.upload().0, 201);
}

#[test]
fn a_volume_that_refuses_or_does_not_answer_is_told_by_every_route_until_it_works_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut program = Program::start(Command::new(env!("CARGO_BIN_EXE_minitowerd")), folder.path());
    program.fill_in();
    let file = folder.path().join("minitower.db.probe");
    // What is written to try the volume cannot be written, and then blocks whoever writes it.
    for (blocks, reason) in
        [(false, "writing on the volume of the database failed"), (true, "does not answer within 2 s")]
    {
        let replaced = tempfile::tempdir_in(folder.path()).unwrap();
        let other = replaced.path().join("other");
        if blocks {
            mkfifo(&other, nix::sys::stat::Mode::S_IRWXU).unwrap();
            fs::rename(&other, &file).unwrap();
        } else {
            fs::remove_file(&file).unwrap();
            fs::create_dir(&file).unwrap();
        }
        let told = program.ready(503, FOUND_WITHIN);
        assert!(told.contains(reason), "{told}");
        for (status, body) in [program.get("/api/v1/me"), program.create(), program.get("/api/v1/nothing")] {
            assert!(status == 503 && body.contains(reason), "{status} {body}");
        }
        assert_eq!((program.get("/health").0, program.get("/metrics").0), (200, 200));
        if blocks {
            // Whoever reads lets the writer go on.
            let mut pipe = File::open(&file).unwrap();
            fs::remove_file(&file).unwrap();
            pipe.read_to_string(&mut String::new()).unwrap();
        } else {
            fs::remove_dir(&file).unwrap();
        }
        program.ready(200, FOUND_WITHIN);
        assert_eq!(program.get("/api/v1/me").0, 200);
    }
}

#[test]
fn a_damaged_page_that_a_request_meets_ends_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let mut program = Program::start(Command::new(env!("CARGO_BIN_EXE_minitowerd")), folder.path());
    program.fill_in();
    program.signal(Signal::SIGTERM);
    assert!(program.child.wait().unwrap().success());
    let path = folder.path().join("minitower.db");
    let pages: Vec<u32> = {
        let db = Connection::open(&path).unwrap();
        let mut pages = db
            .prepare("SELECT rootpage FROM sqlite_schema WHERE tbl_name = 'team_tokens' AND rootpage > 0")
            .unwrap();
        let pages = pages.query_map((), |row| row.get(0)).unwrap();
        pages.collect::<Result<_, _>>().unwrap()
    };
    let mut bytes = fs::read(&path).unwrap();
    for page in pages {
        let end = usize::try_from(page).unwrap() * 4096;
        bytes[end - 4096..end].fill(0xab);
    }
    fs::write(&path, bytes).unwrap();
    let token = std::mem::take(&mut program.token);
    // After a clean stop nothing is looked for.
    program = Program::start(Command::new(env!("CARGO_BIN_EXE_minitowerd")), folder.path());
    program.token = token;
    let mut stream = TcpStream::connect(&program.addr).unwrap();
    write!(stream, "GET /api/v1/me HTTP/1.0\r\nAuthorization: Bearer {}\r\n\r\n", program.token).unwrap();
    assert_eq!(program.child.wait().unwrap().code(), Some(1));
    // Its start finds the page.
    let mut again = Command::new(env!("CARGO_BIN_EXE_minitowerd"));
    again.env("MINITOWER_BOOTSTRAP_TOKEN", "boot").env("MINITOWER_LISTEN_ADDR", "127.0.0.1:0");
    let output = again.env("MINITOWER_DB_PATH", &path).current_dir(&folder).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && said.contains("is damaged"), "{said}");
}
