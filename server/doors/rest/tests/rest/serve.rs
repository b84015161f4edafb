//! The accept loop on a real port of the loopback interface.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use http::StatusCode;
use minitower_rest::{Ended, ServeLimits, serve};
use rstest::rstest;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// Every wait of these tests ends here; reaching it is a failure.
const DEADLINE: Duration = Duration::from_secs(10);

struct Running {
    addr: SocketAddr,
    stop: CancellationToken,
    abort: CancellationToken,
    task: JoinHandle<Ended>,
}

async fn start(router: Router, limits: ServeLimits) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (stop, abort) = (CancellationToken::new(), CancellationToken::new());
    let task = tokio::spawn(serve(listener, router, limits, stop.clone(), abort.clone()));
    Running { addr, stop, abort, task }
}

async fn send(addr: SocketAddr, text: &str) -> TcpStream {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    stream
}

/// Everything up to the end of the connection.
async fn rest(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    timeout(DEADLINE, stream.read_to_string(&mut text)).await.expect("the connection stays open").unwrap();
    text
}

/// A route that says when it was reached and answers when it is told to.
fn gated() -> (Router, Arc<Notify>, Arc<Notify>) {
    let (reached, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (reached_in, release_in) = (Arc::clone(&reached), Arc::clone(&release));
    let router = Router::new().route("/", get(|| async { "hello" })).route(
        "/gated",
        get(move || async move {
            reached_in.notify_one();
            release_in.notified().await;
            "done"
        }),
    );
    (router, reached, release)
}

#[tokio::test]
async fn a_connection_serves_one_request_after_another() {
    let (router, ..) = gated();
    let running = start(router, ServeLimits::default()).await;
    let mut stream = send(running.addr, "GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let mut buffer = [0; 1024];
    let read = timeout(DEADLINE, stream.read(&mut buffer)).await.unwrap().unwrap();
    assert!(buffer[..read].starts_with(b"HTTP/1.1 200"));
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    assert!(rest(&mut stream).await.ends_with("hello"));
}

#[tokio::test]
async fn who_asks_for_health_is_answered_once_and_nobody_else_is_cut_off() {
    let router =
        Router::new().route("/health", get(async || "well")).route("/healthy", get(async || "hello"));
    let running = start(router, ServeLimits::default()).await;
    let mut probe = send(running.addr, "GET /health HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let answer = rest(&mut probe).await;
    assert!(answer.contains("connection: close") && answer.ends_with("well"), "{answer}");
    let mut other = send(running.addr, "GET /healthy HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let mut buffer = [0; 1024];
    let read = timeout(DEADLINE, other.read(&mut buffer)).await.unwrap().unwrap();
    let answer = String::from_utf8_lossy(&buffer[..read]).into_owned();
    assert!(answer.ends_with("hello") && !answer.contains("close"), "{answer}");
}

/// An answer with the code of an error, in the shape of all errors.
fn assert_error(answer: &str, status: u16, code: &str) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer:?}"));
    assert!(head.starts_with("HTTP/1.") && head[8..].starts_with(&format!(" {status} ")), "{answer}");
    assert!(head.contains("content-type: application/json"), "{answer}");
    assert!(body.starts_with(&format!("{{\"error\":{{\"code\":\"{code}\",\"message\":\"")), "{answer}");
}

#[tokio::test]
async fn a_client_that_drips_its_head_is_cut_off_and_told_so() {
    let (router, ..) = gated();
    let limits = ServeLimits { head: Duration::from_millis(200), ..ServeLimits::default() };
    let running = start(router, limits).await;
    let mut stalled = send(running.addr, "GET / HTTP/1.1\r\nX-Slow: ").await;
    let mut dripping = send(running.addr, "GET / HTTP/1.1\r\nX-Slow: ").await;
    let drip = async {
        while dripping.write_all(b"x").await.is_ok() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    let _ = timeout(Duration::from_millis(400), drip).await;
    assert_error(&rest(&mut stalled).await, 408, "request_timeout");
    assert_error(&String::from_utf8(all_before_reset(&mut dripping).await).unwrap(), 408, "request_timeout");
    let mut silent = TcpStream::connect(running.addr).await.unwrap();
    assert_eq!(rest(&mut silent).await, "", "nothing was asked");
}

#[rstest]
#[case::none("GET / HTTP/1.1\r\n", false)]
#[case::two("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n", false)]
#[case::twice_the_same("GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n", false)]
#[case::no_name("GET / HTTP/1.1\r\nHost: a b\r\n", false)]
#[case::two_in_the_older_protocol("GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n", false)]
#[case::none_in_the_older_protocol("GET / HTTP/1.0\r\n", true)]
#[case::with_a_port("GET / HTTP/1.1\r\nHost: [::1]:8080\r\n", true)]
#[case::in_the_target("GET http://a/ HTTP/1.1\r\nHost: a\r\n", true)]
#[tokio::test]
async fn a_request_names_one_host(#[case] head: &str, #[case] served: bool) {
    let (router, ..) = gated();
    let running = start(router, ServeLimits::default()).await;
    let answer = rest(&mut send(running.addr, &format!("{head}Connection: close\r\n\r\n")).await).await;
    if served {
        assert!(answer.ends_with("hello"), "{answer}");
    } else {
        assert_error(&answer, 400, "invalid_request");
    }
}

/// Everything that came, though the connection may have been reset after it.
async fn all_before_reset(stream: &mut TcpStream) -> Vec<u8> {
    let (mut found, mut buffer) = (Vec::new(), [0; 1024]);
    while let Ok(Ok(read @ 1..)) = timeout(DEADLINE, stream.read(&mut buffer)).await {
        found.extend_from_slice(&buffer[..read]);
    }
    found
}

#[rstest]
#[case::headers(format!("GET / HTTP/1.1\r\nHost: x\r\nX-Large: {}\r\n\r\n", "x".repeat(20_000)), 431, "head_too_large")]
#[case::far_too_many_headers(format!("GET / HTTP/1.1\r\nHost: x\r\nX-Large: {}", "x".repeat(1 << 20)), 431, "head_too_large")]
#[case::number_of_headers(format!("GET / HTTP/1.1\r\n{}\r\n", "x: 1\r\n".repeat(500)), 431, "head_too_large")]
#[case::target(format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(20_000)), 414, "uri_too_long")]
#[case::nonsense("hello\r\n\r\n".to_owned(), 400, "invalid_request")]
#[case::bad_header("GET / HTTP/1.1\r\n: x\r\n\r\n".to_owned(), 400, "invalid_request")]
#[tokio::test]
async fn a_refused_head_is_answered_like_any_other_error(
    #[case] head: String,
    #[case] status: u16,
    #[case] code: &str,
) {
    let (router, ..) = gated();
    let running = start(router, ServeLimits::default()).await;
    assert_error(&rest(&mut send(running.addr, &head).await).await, status, code);
    // The same behind a request that was answered.
    let first = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    let answers = rest(&mut send(running.addr, &format!("{first}{head}")).await).await;
    let (hello, refusal) = answers.split_once("hello").unwrap_or_else(|| panic!("{answers:?}"));
    assert!(hello.starts_with("HTTP/1.1 200"), "{answers}");
    // Where a later head's first line ends is not known any more.
    let (status, code) = if status == 414 { (431, "head_too_large") } else { (status, code) };
    assert_error(refusal, status, code);
}

#[tokio::test]
async fn a_head_of_almost_16_kib_is_taken() {
    let (router, ..) = gated();
    let running = start(router, ServeLimits::default()).await;
    let large = "x".repeat(16_000);
    let head = format!("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Large: {large}\r\n\r\n");
    assert!(rest(&mut send(running.addr, &head).await).await.ends_with("hello"));
}

#[tokio::test]
async fn who_asks_at_once_is_served_however_many_connect_and_do_not() {
    let (router, ..) = gated();
    let running = start(router, ServeLimits { connections: 8, ..ServeLimits::default() }).await;
    let mut idle = Vec::new();
    for number in 0..100 {
        let mut stream = TcpStream::connect(running.addr).await.unwrap();
        // It may have made room for another already.
        let _ = stream.write_all(if number % 2 == 0 { b"GET / HT" } else { b"" }).await;
        idle.push(stream);
        if number % 10 == 0 {
            let ask = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
            assert!(rest(&mut send(running.addr, ask).await).await.ends_with("hello"));
        }
    }
}

#[tokio::test]
async fn over_the_limit_a_connection_waits_for_another_to_end() {
    let (router, reached, release) = gated();
    let running = start(router, ServeLimits { connections: 1, ..ServeLimits::default() }).await;
    let close = "Host: x\r\nConnection: close\r\n\r\n";
    let mut first = send(running.addr, &format!("GET /gated HTTP/1.1\r\n{close}")).await;
    timeout(DEADLINE, reached.notified()).await.unwrap();
    let mut second = send(running.addr, &format!("GET / HTTP/1.1\r\n{close}")).await;
    let mut buffer = [0; 1];
    assert!(
        timeout(Duration::from_millis(100), second.peek(&mut buffer)).await.is_err(),
        "answered too early"
    );
    release.notify_one();
    assert!(rest(&mut first).await.ends_with("done"));
    assert!(rest(&mut second).await.ends_with("hello"));
}

#[tokio::test]
async fn where_all_are_busy_newcomers_are_told_and_probes_answered() {
    let (router, reached, _release) = gated();
    let router = router.route("/health", get(async || "well"));
    let running = start(router, ServeLimits { connections: 32, ..ServeLimits::default() }).await;
    let mut busy = Vec::new();
    for _ in 0..30 {
        busy.push(send(running.addr, "GET /gated HTTP/1.1\r\nHost: x\r\n\r\n").await);
        timeout(DEADLINE, reached.notified()).await.unwrap();
    }
    for _ in 0..5 {
        let answer = rest(&mut send(running.addr, "GET / HTTP/1.1\r\nHost: x\r\n\r\n").await).await;
        assert_error(&answer, 503, "unavailable");
        let answer = rest(&mut send(running.addr, "GET /health HTTP/1.1\r\nHost: x\r\n\r\n").await).await;
        assert!(answer.ends_with("well"), "{answer}");
    }
    drop(busy);
}

#[tokio::test]
async fn a_stop_finishes_requests_closes_idle_connections_and_accepts_no_more() {
    let (router, reached, release) = gated();
    let running = start(router, ServeLimits::default()).await;
    let mut idle = TcpStream::connect(running.addr).await.unwrap();
    let mut busy = send(running.addr, "GET /gated HTTP/1.1\r\nHost: x\r\n\r\n").await;
    timeout(DEADLINE, reached.notified()).await.unwrap();
    running.stop.cancel();
    assert_eq!(rest(&mut idle).await, "");
    assert!(!running.task.is_finished());
    release.notify_one();
    let answer = rest(&mut busy).await;
    assert!(answer.ends_with("done"), "{answer}");
    assert_eq!(timeout(DEADLINE, running.task).await.unwrap().unwrap(), Ended { cut: 0 });
    assert!(TcpStream::connect(running.addr).await.is_err());
}

/// 32 MiB do not fit into any buffer on the way: without lingering the client would see a reset instead of the answer.
#[tokio::test]
async fn a_client_that_is_refused_in_mid_upload_gets_to_read_why() {
    let router = Router::new().route("/", post(|| async { (StatusCode::PAYLOAD_TOO_LARGE, "too large") }));
    let running = start(router, ServeLimits::default()).await;
    let length = 32 * 1024 * 1024;
    let head = format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n");
    let mut stream = send(running.addr, &head).await;
    stream.write_all(&vec![0; length]).await.expect("the connection was reset in mid-upload");
    stream.shutdown().await.unwrap();
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 413") && answer.ends_with("too large"), "{answer}");
}

#[tokio::test]
async fn a_client_that_does_not_read_its_answer_is_given_up() {
    let router = Router::new().route("/", get(|| async { vec![0_u8; 64 * 1024 * 1024] }));
    let limits =
        ServeLimits { write_stall: Duration::from_millis(100), connections: 1, ..ServeLimits::default() };
    let running = start(router.route("/small", get(|| async { "small" })), limits).await;
    let _deaf = send(running.addr, "GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    // There is room for one connection only: an answer here means that the first one has ended.
    let mut next = send(running.addr, "GET /small HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert!(rest(&mut next).await.ends_with("small"));
}

#[tokio::test]
async fn an_abort_drops_what_is_left() {
    let (router, reached, _release) = gated();
    let running = start(router, ServeLimits::default()).await;
    let mut busy = send(running.addr, "GET /gated HTTP/1.1\r\nHost: x\r\n\r\n").await;
    timeout(DEADLINE, reached.notified()).await.unwrap();
    running.stop.cancel();
    running.abort.cancel();
    assert_eq!(timeout(DEADLINE, running.task).await.unwrap().unwrap(), Ended { cut: 1 });
    assert_eq!(rest(&mut busy).await, "");
}
