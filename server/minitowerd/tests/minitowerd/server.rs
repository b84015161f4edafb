//! The server as a part of another program.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use minitowerd::{Config, ListenAddr, Secret, Server, StartError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Every wait of these tests ends here; reaching it is a failure.
const DEADLINE: Duration = Duration::from_secs(20);

fn config(folder: &Path, port: u16) -> Config {
    Config {
        listen_addr: ListenAddr { host: Some("127.0.0.1".to_owned()), port },
        db_path: folder.join("minitower.db"),
        objects_dir: folder.join("objects"),
        bootstrap_token: Secret::new("dev"),
        runner_registration_token: Secret::new("platform"),
        operator_token: Secret::new("operator"),
        ..Config::default()
    }
}

/// Sends a request whose answer ends the connection.
async fn open(addr: SocketAddr, method: &str, path: &str, token: &str, body: &str) -> TcpStream {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let length = body.len();
    let text = format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(text.as_bytes()).await.unwrap();
    stream
}

async fn answer(mut stream: TcpStream) -> String {
    let mut text = String::new();
    timeout(DEADLINE, stream.read_to_string(&mut text)).await.expect("no answer").unwrap();
    text
}

/// The value of a text field in a compact JSON answer.
fn field<'a>(answer: &'a str, name: &str) -> &'a str {
    answer.split(&format!("\"{name}\":\"")).nth(1).and_then(|rest| rest.split('"').next()).unwrap()
}

#[tokio::test]
async fn it_serves_stops_and_finds_its_data_again() {
    let folder = tempfile::tempdir().unwrap();
    let body = r#"{"slug":"acme","name":"Acme"}"#;
    for status in ["201", "200"] {
        let server = Server::start(config(folder.path(), 0)).await.unwrap();
        let addr = server.local_addr();
        let made = answer(open(addr, "POST", "/api/v1/bootstrap/team", "dev", body).await).await;
        assert!(made.starts_with(&format!("HTTP/1.1 {status}")), "{made}");
        timeout(DEADLINE, server.shutdown()).await.unwrap().unwrap();
        assert!(TcpStream::connect(addr).await.is_err());
    }
    let left = std::fs::metadata(folder.path().join("minitower.db-wal")).map_or(0, |file| file.len());
    assert_eq!(left, 0, "the write-ahead log was not folded in");
}

#[tokio::test]
async fn a_stop_answers_waiting_polls_with_204() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(config(folder.path(), 0)).await.unwrap();
    let addr = server.local_addr();
    let register = open(addr, "POST", "/api/v1/runners/register", "platform", r#"{"name":"r1"}"#).await;
    let registered = answer(register).await;
    let token = field(&registered, "token");
    let poll = open(addr, "POST", "/api/v1/runs/lease?wait=60", token, r#"{"instance_id":"i1"}"#).await;
    // Noted by the claim that comes before the wait.
    let noted = r#""instance_id":"i1""#;
    let asked = async {
        while !answer(open(addr, "GET", "/api/v1/admin/runners", "operator", "").await).await.contains(noted)
        {
        }
    };
    timeout(DEADLINE, asked).await.expect("the poll never began");
    timeout(DEADLINE, server.shutdown()).await.unwrap().unwrap();
    assert!(answer(poll).await.starts_with("HTTP/1.1 204"));
}

#[tokio::test]
async fn a_taken_port_is_named_and_the_database_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(config(folder.path(), 0)).await.unwrap();
    let port = server.local_addr().port();
    let other = tempfile::tempdir().unwrap();
    let error = Server::start(config(other.path(), port)).await.unwrap_err();
    assert!(matches!(error, StartError::Listen { .. }));
    assert!(error.to_string().contains(&format!("127.0.0.1:{port}")), "{error}");
    assert!(!other.path().join("minitower.db").exists());
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn two_servers_do_not_share_a_database() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(config(folder.path(), 0)).await.unwrap();
    let error = Server::start(config(folder.path(), 0)).await.unwrap_err().to_string();
    assert!(error.contains("minitower.db") && error.contains("in use"), "{error}");
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_server_that_may_wait_starts_when_the_former_one_has_let_go_of_the_database() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(config(folder.path(), 0)).await.unwrap();
    let patient = |limit| Config { db_lock_timeout: limit, ..config(folder.path(), 0) };
    let limit = Duration::from_millis(500);
    let began = Instant::now();
    let error = Server::start(patient(limit)).await.unwrap_err().to_string();
    assert!(began.elapsed() >= limit && error.contains("in use"), "{error} after {:?}", began.elapsed());

    let successor = tokio::spawn(Server::start(patient(Duration::from_mins(1))));
    tokio::time::sleep(limit).await;
    assert!(!successor.is_finished(), "two servers share a database");
    server.shutdown().await.unwrap();
    let successor = tokio::time::timeout(Duration::from_secs(10), successor).await.unwrap().unwrap().unwrap();
    successor.shutdown().await.unwrap();
}
