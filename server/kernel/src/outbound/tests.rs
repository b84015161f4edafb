//! Against real receivers on this machine.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use minitower_vocabulary::time::Timestamp;
use rstest::rstest;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

/// A receiver that answers every connection with these bytes, and says what it got.
async fn receiver(answer: Vec<u8>) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let got = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&got);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (answer, told) = (answer.clone(), Arc::clone(&told));
            tokio::spawn(async move {
                let mut request = vec![0; 64 * 1024];
                let n = stream.read(&mut request).await.unwrap_or(0);
                told.lock().unwrap().push(String::from_utf8_lossy(&request[..n]).into_owned());
                let _ = stream.write_all(&answer).await;
                let _ = stream.shutdown().await;
            });
        }
    });
    (format!("http://{address}/hook?x=1"), got)
}

fn here() -> Outbound {
    Outbound::new("127.0.0.0/8".parse().unwrap(), Trust::default())
}

fn request(url: &str) -> Request {
    Request {
        method: Method::POST,
        target: Target::parse(url).unwrap(),
        headers: HeaderMap::new(),
        body: b"{}".to_vec(),
        timeout: Duration::from_secs(5),
        signing: None,
    }
}

async fn send(outbound: &Outbound, request: Request) -> Result<Answer, Failure> {
    let place = outbound.place(request.target.host()).expect("a place");
    outbound.send(place, request).await
}

#[tokio::test]
async fn what_is_sent_arrives_with_its_signature_whatever_the_headers_say() {
    let (url, got) =
        receiver(b"HTTP/1.1 429 x\r\nretry-after: 7\r\ncontent-length: 4\r\n\r\nlate".to_vec()).await;
    let mut headers = HeaderMap::new();
    headers.insert("webhook-id", "forged".parse().unwrap());
    headers.insert("x-mine", "1".parse().unwrap());
    let keys = vec![SigningKey::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap()];
    let signing = Some(Signing { id: "msg_7".to_owned(), at: Timestamp(1_614_265_330_999), keys });
    let answer = send(&here(), Request { headers, signing, ..request(&url) }).await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.retry_after), (429, Some(Duration::from_secs(7))));
    assert_eq!(answer.body, b"late");
    let got = got.lock().unwrap().join("");
    let (head, body) = got.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /hook?x=1 HTTP/1.1"), "{head}");
    for line in ["webhook-id: msg_7", "webhook-timestamp: 1614265330", "x-mine: 1", "webhook-signature: v1,"]
    {
        assert!(head.contains(line), "{line} in {head}");
    }
    assert!(!head.contains("forged") && body == "{}", "{got}");
}

#[rstest]
#[case("http://127.0.0.1:1/", "loopback")]
#[case("http://[::1]:1/", "loopback")]
#[case("http://localhost:1/", "loopback")]
#[case("http://0x7f.1/", "loopback")]
#[case("http://2130706433/", "loopback")]
#[case("http://[::ffff:169.254.169.254]/latest", "link-local")]
#[case("https://10.0.0.1/", "private")]
#[case("http://no-such-host.invalid/", "cannot be looked up")]
#[tokio::test]
async fn what_leads_inside_is_refused_before_and_when_it_is_sent(#[case] url: &str, #[case] says: &str) {
    let outbound = Outbound::new(AllowedNets::default(), Trust::default());
    let request = request(url);
    let before = outbound.check(&request.target).await.unwrap_err();
    let sent = send(&outbound, request).await.unwrap_err();
    assert_eq!(before, sent);
    assert!(sent.to_string().contains(says), "{sent}");
}

#[tokio::test]
async fn no_redirect_is_followed() {
    let (inside, got) = receiver(b"HTTP/1.1 200 x\r\ncontent-length: 0\r\n\r\n".to_vec()).await;
    let answer = format!("HTTP/1.1 307 x\r\nlocation: {inside}\r\ncontent-length: 0\r\n\r\n");
    let (url, _) = receiver(answer.into_bytes()).await;
    assert_eq!(send(&here(), request(&url)).await.unwrap().status, 307);
    assert!(got.lock().unwrap().is_empty());
}

#[tokio::test]
async fn an_answer_without_an_end_costs_bounded_memory() {
    let mut answer = b"HTTP/1.1 200 x\r\ncontent-length: 100000000\r\n\r\n".to_vec();
    answer.resize(4 * 1024 * 1024, b'x');
    let (url, _) = receiver(answer).await;
    assert_eq!(send(&here(), request(&url)).await.unwrap().body.len(), ANSWER_BYTES);
}

#[tokio::test]
async fn a_receiver_that_drips_has_no_more_time_than_one_that_is_silent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        loop {
            let _ = stream.write_all(b"HTTP/1.1 200 x\r\nx: ").await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let began = Instant::now();
    let after = Duration::from_millis(300);
    let failed = send(&here(), Request { timeout: after, ..request(&url) }).await.unwrap_err();
    assert!(began.elapsed() < Duration::from_secs(3));
    assert!(
        matches!(failed, Failure::TooSlow { after: told, .. } if told == after)
            || matches!(failed, Failure::Unreachable { .. }),
        "{failed}"
    );
}

#[tokio::test]
async fn a_dead_host_does_not_hold_up_the_others() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dead = format!("http://{}/", listener.local_addr().unwrap());
    let (alive, _) = receiver(b"HTTP/1.1 200 x\r\ncontent-length: 0\r\n\r\n".to_vec()).await;
    let outbound = here();
    let waiting = Arc::new(AtomicUsize::new(0));
    while let Some(place) = outbound.place("127.0.0.9") {
        let (outbound, dead, waiting) = (outbound.clone(), dead.clone(), Arc::clone(&waiting));
        waiting.fetch_add(1, Ordering::Relaxed);
        tokio::spawn(async move { outbound.send(place, request(&dead)).await });
    }
    assert!(waiting.load(Ordering::Relaxed) > 1);
    assert_eq!(send(&outbound, request(&alive)).await.unwrap().status, 200);
    drop(listener);
}

#[rstest]
#[case("ftp://example.com/", NotATarget::Scheme)]
#[case("file:///etc/passwd", NotATarget::Scheme)]
#[case("example.com/hook", NotATarget::NotAUrl)]
#[case("http://", NotATarget::NotAUrl)]
#[case("", NotATarget::NotAUrl)]
#[case("https://exa mple.com/", NotATarget::NotAUrl)]
#[case("https://example.com/\r\nx: y", NotATarget::NotAUrl)]
#[case("https://me:secret@example.com/", NotATarget::Credentials)]
#[case("https://me@example.com/", NotATarget::Credentials)]
#[case("https://example.com/#x", NotATarget::Fragment)]
#[case("https://example.com:0/", NotATarget::Port)]
#[case("https://example.com:99999/", NotATarget::NotAUrl)]
fn a_url_of_another_form_is_refused(#[case] url: &str, #[case] why: NotATarget) {
    assert_eq!(Target::parse(url), Err(why));
}

#[test]
fn a_url_may_be_as_long_as_it_may_and_is_not_shown() {
    let of_length = |n: usize| format!("https://example.com/{}", "x".repeat(n - 20));
    let target = Target::parse(&of_length(URL_BYTES)).unwrap();
    assert_eq!(format!("{target:?}"), "Target(example.com)");
    assert_eq!(target.origin(), "https://example.com");
    assert_eq!(Target::parse(&of_length(URL_BYTES + 1)), Err(NotATarget::TooLong));
}
