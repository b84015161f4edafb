//! Ways from here to a Service of the cluster.

use std::io::{BufRead as _, BufReader, ErrorKind};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use minitower_tests::Http;
use minitower_tests::http::REQUEST_LIMIT;

use super::kubectl;

/// How long a connection to an address that leads nowhere is tried.
const CONNECT_LIMIT: Duration = Duration::from_secs(1);
/// How long a Service may have no pod that is ready.
const SERVED_LIMIT: Duration = Duration::from_secs(60);
/// How long `kubectl port-forward` may take until it listens.
const FORWARD_LIMIT: Duration = Duration::from_secs(30);
/// Pause before a broken forward is made again.
const PAUSE: Duration = Duration::from_millis(200);

/// A client of a Service: straight to its address where this machine is part of the cluster's network, else through
/// `kubectl port-forward`, which is kept up until this program ends.
pub(crate) fn reach(namespace: &str, service: &str, port: u16) -> Http {
    let address = kubectl::json(&["get", "service", service, "-n", namespace])["spec"]["clusterIP"]
        .as_str()
        .expect("a Service has an address")
        .to_owned();
    let direct = format!("{address}:{port}");
    if leads_there(direct.parse().expect("an address")) {
        return Http::keeping(&format!("http://{direct}"), REQUEST_LIMIT);
    }
    Http::new(forward(namespace, service, port))
}

/// Whether connections to the address of a Service get there. Refused is what a Service without a ready pod answers, which is no reason yet to
/// take the other way: that one goes to one pod, and is as long away as that pod's successor.
fn leads_there(address: SocketAddr) -> bool {
    let deadline = Instant::now() + SERVED_LIMIT;
    loop {
        match TcpStream::connect_timeout(&address, CONNECT_LIMIT) {
            Ok(_) => return true,
            Err(error) if error.kind() == ErrorKind::ConnectionRefused && Instant::now() < deadline => {
                thread::sleep(PAUSE);
            }
            Err(_) => return false,
        }
    }
}

fn forward(namespace: &str, service: &str, port: u16) -> u16 {
    let local =
        TcpListener::bind(("127.0.0.1", 0)).and_then(|it| it.local_addr()).expect("a free port").port();
    let args = [
        "port-forward".to_owned(),
        format!("--namespace={namespace}"),
        format!("service/{service}"),
        format!("{local}:{port}"),
    ];
    let (told, listens) = mpsc::channel();
    // The forward dies with the thread that started it, and so with this program.
    thread::spawn(move || {
        let kubectl = std::env::var_os("KUBECTL").unwrap_or_else(|| "kubectl".into());
        loop {
            let mut command = Command::new("setpriv");
            command.args(["--pdeathsig", "KILL", "--"]).arg(&kubectl).args(&args);
            let mut child =
                command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("kubectl starts");
            let said = child.stdout.take().expect("standard output is piped");
            for line in BufReader::new(said).lines().map_while(Result::ok) {
                if line.starts_with("Forwarding from") {
                    let _ = told.send(());
                }
            }
            let _ = child.wait();
            thread::sleep(PAUSE);
        }
    });
    listens
        .recv_timeout(FORWARD_LIMIT)
        .unwrap_or_else(|_| panic!("kubectl port-forward to {service} does not listen"));
    local
}
