//! Real object stores, on loopback ports and temporary folders, and a proxy before them that can fail.
//! `scripts/object-stores.sh` installs them.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use crate::server::{Builder, free_port};
use crate::skip::skip;
use crate::{Authority, Program, Server, wait};

/// The access key of the stores of the tests.
const KEY: &str = "minitowertest";
/// And its secret.
const SECRET: &str = "secret-of-the-tests";
/// The bucket.
pub const BUCKET: &str = "objects";

/// Where an installed store is; none, and a word about it: it is not there.
fn installed(program: &str) -> Option<PathBuf> {
    let cache = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache"));
    let folder = std::env::var_os("MINITOWER_STORES_DIR").map(PathBuf::from).or_else(|| {
        let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(cache)?;
        Some(cache.join("minitower-stores"))
    })?;
    let path = folder.join(program);
    if path.exists() {
        return Some(path);
    }
    skip(&format!("{} is not installed: scripts/object-stores.sh", path.display()));
    None
}

/// What the proxy does with connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Mode {
    /// Hands everything on.
    Pass,
    /// Closes every connection at once, open ones too.
    Refuse,
    /// Hands nothing on and says nothing.
    Silent,
    /// Answers what is to be stored with 507, as a store whose quota is used up, and hands everything else on.
    Full,
    /// Hands requests on slowly: about a megabyte and a half a second.
    Slow,
}

/// A real S3 server over a folder, behind the proxy.
#[derive(Debug)]
pub struct S3 {
    _program: Program,
    folder: TempDir,
    port: u16,
    mode: Arc<AtomicU8>,
    /// Bytes that were handed on to the server.
    sent: Arc<AtomicU64>,
    scheme: &'static str,
}

impl S3 {
    /// Starts it with an empty bucket; none: it is not installed here.
    pub fn start() -> Option<Self> {
        Self::start_with("http", &[])
    }

    /// The same behind TLS, with a certificate of this authority.
    pub fn start_with_tls(authority: &Authority) -> Option<Self> {
        Self::start_with("https", &["--cert", &authority.certificate(), "--key", &authority.key()])
    }

    fn start_with(scheme: &'static str, more: &[&str]) -> Option<Self> {
        let path = installed("versitygw")?;
        let folder = tempfile::Builder::new().prefix("minitower-s3-").tempdir().unwrap();
        let data = folder.path().join("data");
        std::fs::create_dir_all(data.join(BUCKET)).unwrap();
        let inner = free_port();
        let address = format!("127.0.0.1:{inner}");
        let mut args = vec!["--port", &address, "--access", KEY, "--secret", SECRET];
        args.extend(more);
        args.extend(["posix", data.to_str().unwrap()]);
        let log = folder.path().join("logs/versitygw.log");
        let program = Program::start_any(&path, &args, &[], folder.path(), &log);
        wait::until("the S3 server listens", wait::SOON, || TcpStream::connect(&address).ok());
        let (mode, sent) = (Arc::new(AtomicU8::new(Mode::Pass as u8)), Arc::default());
        let port = proxy(inner, Arc::clone(&mode), Arc::clone(&sent));
        Some(Self { _program: program, folder, port, mode, sent, scheme })
    }

    /// Changes what becomes of connections.
    pub fn set(&self, mode: Mode) {
        self.mode.store(mode as u8, Ordering::SeqCst);
    }

    /// Bytes that were sent to it so far.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::SeqCst)
    }

    /// The address of the proxy.
    pub fn endpoint(&self) -> String {
        format!("{}://127.0.0.1:{}", self.scheme, self.port)
    }

    /// A control plane that keeps its objects here, below `prefix`.
    pub fn server(&self, prefix: &str) -> Builder {
        self.env(prefix).into_iter().fold(Server::builder(), |server, (key, value)| server.env(key, &value))
    }

    /// The variables that such a control plane needs.
    pub fn env(&self, prefix: &str) -> [(&'static str, String); 6] {
        [
            ("MINITOWER_OBJECTS_URL", format!("s3://{BUCKET}/{prefix}")),
            ("MINITOWER_OBJECTS_ENDPOINT", self.endpoint()),
            ("MINITOWER_OBJECTS_ALLOW_HTTP", "true".to_owned()),
            ("AWS_ACCESS_KEY_ID", KEY.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRET.to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
        ]
    }

    /// The folder that the objects below `prefix` lie in, each as a file.
    pub fn folder(&self, prefix: &str) -> PathBuf {
        self.folder.path().join("data").join(BUCKET).join(prefix)
    }

    /// The hashes of the objects below `prefix`.
    pub fn objects(&self, prefix: &str) -> Vec<String> {
        let mut names = names(&self.folder(prefix));
        names.retain(|name| name.len() == 64);
        names
    }

    /// Uploads in parts that were neither completed nor given up.
    pub fn half_sent(&self) -> usize {
        fn files(folder: &Path) -> usize {
            let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
            entries.map(|entry| if entry.path().is_dir() { files(&entry.path()) } else { 1 }).sum()
        }
        files(&self.folder("").join(".sgwtmp/multipart"))
    }
}

/// The names in a folder, sorted; none if there is no folder.
pub fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Starts the proxy, for as long as this process lives. Answers its port.
fn proxy(to: u16, mode: Arc<AtomicU8>, sent: Arc<AtomicU64>) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let (mode, sent) = (Arc::clone(&mode), Arc::clone(&sent));
            thread::spawn(move || {
                if mode.load(Ordering::SeqCst) == Mode::Refuse as u8 {
                    return;
                }
                let Ok(server) = TcpStream::connect(("127.0.0.1", to)) else { return };
                let (back, to_client) = (server.try_clone().unwrap(), client.try_clone().unwrap());
                let other = Arc::clone(&mode);
                let answers = thread::spawn(move || pump(back, to_client, &other, None));
                let _ = pump(client, server, &mode, Some(&sent));
                let _ = answers.join();
            });
        }
    });
    port
}

/// Hands on what comes, until either side ends or the mode says otherwise.
fn pump(mut from: TcpStream, mut to: TcpStream, mode: &AtomicU8, sent: Option<&AtomicU64>) -> io::Result<()> {
    from.set_read_timeout(Some(Duration::from_millis(50)))?;
    let mut buffer = vec![0; 64 * 1024];
    let ended = loop {
        let now = mode.load(Ordering::SeqCst);
        if now == Mode::Refuse as u8 {
            break Ok(());
        }
        if now == Mode::Silent as u8 {
            thread::sleep(Duration::from_millis(20));
            continue;
        }
        match from.read(&mut buffer) {
            Ok(0) => break Ok(()),
            Ok(bytes) => {
                let stores = [&b"PUT "[..], b"POST "].iter().any(|verb| buffer[..bytes].starts_with(verb));
                if sent.is_some() && now == Mode::Full as u8 && stores {
                    break refuse(&mut from, &mut buffer);
                }
                to.write_all(&buffer[..bytes])?;
                if let Some(sent) = sent {
                    sent.fetch_add(bytes as u64, Ordering::SeqCst);
                    if now == Mode::Slow as u8 {
                        thread::sleep(Duration::from_millis(40));
                    }
                }
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
            Err(error) => break Err(error),
        }
    };
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
    ended
}

/// Answers a request that there is no room, and takes what is left of it.
fn refuse(from: &mut TcpStream, buffer: &mut [u8]) -> io::Result<()> {
    let body = "<Error><Code>QuotaExceeded</Code><Message>no room</Message></Error>";
    let head = "HTTP/1.1 507 Insufficient Storage\r\nConnection: close\r\nContent-Type: application/xml";
    from.write_all(format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).as_bytes())?;
    while from.read(buffer).is_ok_and(|bytes| bytes > 0) {}
    Ok(())
}

/// An emulator of a cloud's store, and the variables of a control plane that keeps its objects there.
#[derive(Debug)]
pub struct Emulator {
    _program: Program,
    _folder: TempDir,
    /// The variables.
    pub env: Vec<(&'static str, String)>,
}

/// The account and key that everybody's Azurite has.
const AZURITE: (&str, &str) = (
    "devstoreaccount1",
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==",
);

/// Azure Blob Storage; none: its emulator is not installed here.
pub fn azure() -> Option<Emulator> {
    let path = installed("node_modules/.bin/azurite-blob")?;
    let (folder, port) =
        (tempfile::Builder::new().prefix("minitower-azure-").tempdir().unwrap(), free_port());
    let (data, text) = (folder.path().join("data"), port.to_string());
    let args =
        ["--location", data.to_str().unwrap(), "--blobPort", &text, "--skipApiVersionCheck", "--silent"];
    let program =
        Program::start_any(&path, &args, &[], folder.path(), &folder.path().join("logs/azurite.log"));
    wait::until("the emulator listens", wait::SOON, || TcpStream::connect(("127.0.0.1", port)).ok());
    let (account, key) = AZURITE;
    let endpoint = format!("http://127.0.0.1:{port}/{account}");
    azure_container(&endpoint, AZURITE);
    let env = vec![
        ("MINITOWER_OBJECTS_URL", format!("az://{BUCKET}/p")),
        ("MINITOWER_OBJECTS_ENDPOINT", endpoint),
        ("MINITOWER_OBJECTS_ALLOW_HTTP", "true".to_owned()),
        ("AZURE_STORAGE_ACCOUNT_NAME", account.to_owned()),
        ("AZURE_STORAGE_ACCOUNT_KEY", key.to_owned()),
    ];
    Some(Emulator { _program: program, _folder: folder, env })
}

/// Google Cloud Storage, whose XML API is that of S3 but for who may call it: a store that asks nobody; none: it is not installed here.
pub fn google() -> Option<Emulator> {
    let path = installed("moto/bin/moto_server")?;
    let (folder, port) =
        (tempfile::Builder::new().prefix("minitower-google-").tempdir().unwrap(), free_port());
    let args = ["-H", "127.0.0.1", "-p", &port.to_string()];
    let program = Program::start_any(&path, &args, &[], folder.path(), &folder.path().join("logs/moto.log"));
    wait::until("the emulator listens", wait::SOON, || TcpStream::connect(("127.0.0.1", port)).ok());
    assert_eq!(crate::Http::new(port).request("PUT", &format!("/{BUCKET}")).send().status, 200);
    let env = vec![
        ("MINITOWER_OBJECTS_URL", format!("gs://{BUCKET}/p")),
        ("MINITOWER_OBJECTS_ENDPOINT", format!("http://127.0.0.1:{port}")),
        ("MINITOWER_OBJECTS_ALLOW_HTTP", "true".to_owned()),
        ("GOOGLE_BEARER_TOKEN", "of-nobody".to_owned()),
    ];
    Some(Emulator { _program: program, _folder: folder, env })
}

/// Makes the container, as its owner would with the cloud's own tool.
fn azure_container(endpoint: &str, (account, key): (&str, &str)) {
    let script = r#"
import base64, email.utils, hashlib, hmac, sys, urllib.request
endpoint, account, key, container = sys.argv[1:]
date = email.utils.formatdate(usegmt=True)
headers = f"x-ms-date:{date}\nx-ms-version:2021-08-06"
signed = f"PUT{chr(10) * 12}{headers}\n/{account}/{account}/{container}\nrestype:container"
digest = hmac.new(base64.b64decode(key), signed.encode(), hashlib.sha256).digest()
request = urllib.request.Request(f"{endpoint}/{container}?restype=container", method="PUT", headers={
    "x-ms-date": date, "x-ms-version": "2021-08-06", "Content-Length": "0",
    "Authorization": f"SharedKey {account}:{base64.b64encode(digest).decode()}"})
urllib.request.urlopen(request)
"#;
    let args = ["-c", script, endpoint, account, key, BUCKET];
    let output = std::process::Command::new("python3").args(args).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
