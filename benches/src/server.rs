//! A control plane of its own for a measurement: a free loopback port, a folder on a real disk, configured as shipped.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::http::{Client, request};
use crate::{BenchError, process};

/// The bootstrap token of such a server.
pub const BOOTSTRAP_TOKEN: &str = "bootstrap-of-the-benchmark";
/// The platform's registration token of such a server.
pub const REGISTRATION_TOKEN: &str = "registration-of-the-benchmark";

/// The operator token of such a server.
pub const OPERATOR_TOKEN: &str = "operator-of-the-benchmark";

/// How long a start or a stop may take.
const LIMIT: Duration = Duration::from_secs(60);
/// Between two looks at a server that starts.
const LOOK: Duration = Duration::from_micros(200);

/// A running `minitowerd`. Dropping it kills it and removes its folder.
#[derive(Debug)]
pub struct Server {
    program: PathBuf,
    env: Vec<(String, String)>,
    folder: TempDir,
    address: SocketAddr,
    child: Child,
    ready_after: Duration,
}

impl Server {
    /// Starts the program with a fresh folder below `parent`, and waits until it is ready.
    pub fn start(program: &Path, parent: &Path, env: &[(String, String)]) -> Result<Self, BenchError> {
        fs::create_dir_all(parent).map_err(BenchError::io("cannot make the folder of the measurement"))?;
        let folder = tempfile::Builder::new()
            .prefix("server-")
            .tempdir_in(fs::canonicalize(parent).map_err(BenchError::io("cannot find a folder"))?)
            .map_err(BenchError::io("cannot make a folder"))?;
        let address = free_address()?;
        // It is started in its folder, which a relative path does not survive.
        let what = format!("cannot find {}", program.display());
        let program = fs::canonicalize(program).map_err(BenchError::io(what))?;
        let (child, ready_after) = launch(&program, folder.path(), address, env)?;
        Ok(Self { program, env: env.to_vec(), folder, address, child, ready_after })
    }

    /// Stops it with SIGTERM, and starts it on the same folder and port. Yields how long it took to be ready.
    pub fn restart(&mut self) -> Result<Duration, BenchError> {
        self.stop()?;
        let (child, ready_after) = launch(&self.program, self.folder.path(), self.address, &self.env)?;
        self.child = child;
        self.ready_after = ready_after;
        Ok(ready_after)
    }

    fn stop(&mut self) -> Result<(), BenchError> {
        let signal = kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGTERM);
        signal.map_err(|error| BenchError::Io { what: "SIGTERM".to_owned(), source: error.into() })?;
        let deadline = Instant::now() + LIMIT;
        while Instant::now() < deadline {
            match self.child.try_wait().map_err(BenchError::io("cannot wait for the server"))? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => return Err(ended(&self.program, status.to_string(), self.folder.path())),
                None => thread::sleep(Duration::from_millis(2)),
            }
        }
        Err(BenchError::Late { what: "the end of the server".to_owned(), seconds: LIMIT.as_secs() })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// From before its process was made until `/ready` was answered with 200.
    pub fn ready_after(&self) -> Duration {
        self.ready_after
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Bytes of the database and its write-ahead log.
    pub fn database_bytes(&self) -> u64 {
        let bytes = |name| fs::metadata(self.folder.path().join(name)).map_or(0, |file| file.len());
        bytes("minitower.db") + bytes("minitower.db-wal")
    }

    /// What its database's files look like; another look is equal unless something was written between.
    pub fn database_state(&self) -> DatabaseState {
        DatabaseState(["minitower.db", "minitower.db-wal"].map(|name| {
            let file = fs::metadata(self.folder.path().join(name)).ok()?;
            Some((file.len(), file.mtime(), file.mtime_nsec()))
        }))
    }

    /// Its memory.
    pub fn memory(&self) -> Result<process::Memory, BenchError> {
        process::memory(self.pid())
    }
}

/// Length and time of change of the database's files, as far as there are any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseState([Option<(u64, i64, i64)>; 2]);

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already; nothing of it is needed any more.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn launch(
    program: &Path,
    folder: &Path,
    address: SocketAddr,
    env: &[(String, String)],
) -> Result<(Child, Duration), BenchError> {
    let log = File::options()
        .create(true)
        .append(true)
        .open(folder.join("log"))
        .map_err(BenchError::io("cannot make a log"))?;
    let out = log.try_clone().map_err(BenchError::io("cannot share a log"))?;
    let mut command = process::bound_to_this(program);
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env("MINITOWER_LISTEN_ADDR", address.to_string());
    command.env("MINITOWER_DB_PATH", folder.join("minitower.db"));
    command.env("MINITOWER_OBJECTS_DIR", folder.join("objects"));
    command.env("MINITOWER_BOOTSTRAP_TOKEN", BOOTSTRAP_TOKEN);
    command.env("MINITOWER_RUNNER_REGISTRATION_TOKEN", REGISTRATION_TOKEN);
    command.env("MINITOWER_OPERATOR_TOKEN", OPERATOR_TOKEN);
    command.envs(env.iter().map(|(key, value)| (key, value)));
    command.current_dir(folder).stdin(Stdio::null()).stdout(out).stderr(log);
    let began = Instant::now();
    let what = format!("cannot start {}", program.display());
    let mut child = command.spawn().map_err(BenchError::io(what))?;
    match until_ready(program, folder, address, began, &mut child) {
        Ok(()) => Ok((child, began.elapsed())),
        Err(error) => {
            let _ = child.kill();
            let _ = child.wait();
            Err(error)
        }
    }
}

fn until_ready(
    program: &Path,
    folder: &Path,
    address: SocketAddr,
    began: Instant,
    child: &mut Child,
) -> Result<(), BenchError> {
    let request = request::json("GET", "/ready", "", b"");
    while began.elapsed() < LIMIT {
        // A refused connection costs less than a refused client.
        if TcpStream::connect(address).is_ok() && Client::new(address)?.send(&request)?.status == 200 {
            return Ok(());
        }
        if let Some(status) = child.try_wait().map_err(BenchError::io("cannot wait for the server"))? {
            return Err(ended(program, status.to_string(), folder));
        }
        thread::sleep(LOOK);
    }
    Err(BenchError::Late { what: "/ready".to_owned(), seconds: LIMIT.as_secs() })
}

fn ended(program: &Path, status: String, folder: &Path) -> BenchError {
    let log = fs::read_to_string(folder.join("log")).unwrap_or_default();
    BenchError::Ended { program: program.to_owned(), status, log }
}

/// A loopback address nobody listens on, below the range the kernel gives to outgoing connections, so that it is not
/// taken between this look and the program's start. Begins at another place in each process.
fn free_address() -> Result<SocketAddr, BenchError> {
    const FIRST: u32 = 15_000;
    const COUNT: u32 = 15_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let start = std::process::id() % COUNT * 97;
    for _ in 0..COUNT {
        let port = FIRST + (start + NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT;
        let port = u16::try_from(port).unwrap_or_default();
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok((Ipv4Addr::LOCALHOST, port).into());
        }
    }
    Err(BenchError::Usage("no loopback port is free".to_owned()))
}
