//! Heads of requests, over sockets of their own: no client would send these.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use minitower_tests::wait;

use crate::bed::Bed;

/// A request for who one is, with these headers.
fn me(token: &str, headers: &str) -> Vec<u8> {
    let head = "GET /api/v1/me HTTP/1.1\r\nHost: a\r\nConnection: close\r\n";
    format!("{head}Authorization: Bearer {token}\r\n{headers}\r\n").into_bytes()
}

#[test]
fn bad_heads_are_refused_and_the_connection_is_closed() {
    let mut bed = Bed::start();
    let token = bed.team.token.clone();
    let get =
        |target: &str| format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").into_bytes();
    let many = (0..2_000).map(|number| format!("x-{number}: 1\r\n")).collect::<Vec<_>>().concat();
    for (what, request, statuses) in [
        ("a header of 1 MiB", me(&token, &format!("x: {}\r\n", "y".repeat(1 << 20))), &[431][..]),
        ("2,000 headers", me(&token, &many), &[431]),
        ("a path of 1 MiB", get(&format!("/{}", "a".repeat(1 << 20))), &[414, 431]),
        ("a query of 1 MiB", get(&format!("/health?{}", "a".repeat(1 << 20))), &[414, 431]),
        ("a NUL in a header", me(&token, "x: a\0b\r\n"), &[400]),
        ("a lone line feed in a header", me(&token, "x: a\n b\r\n"), &[400]),
        ("a space before the colon", me(&token, "x : a\r\n"), &[400]),
        ("a header without a name", me(&token, ": a\r\n"), &[400]),
        ("a folded header", me(&token, "x: a\r\n b\r\n"), &[400]),
        ("two tokens", me(&token, &format!("Authorization: Bearer {token}\r\n")), &[401]),
        ("no HTTP", b"hello\r\n\r\n".to_vec(), &[400]),
        ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(), &[400]),
        ("a version of the future", b"GET / HTTP/9.9\r\nHost: a\r\n\r\n".to_vec(), &[400]),
        ("the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), &[]),
        (
            "a method in other letters",
            b"get /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".to_vec(),
            &[405],
        ),
        ("a path that is none", get("health"), &[400, 404]),
        ("another server's address", get("http://example.com/nothing"), &[404]),
        ("a star", b"OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".to_vec(), &[404, 405]),
        (
            "a tunnel",
            b"CONNECT example.com:80 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".to_vec(),
            &[404, 405],
        ),
    ] {
        let answer = bed.raw(what, &request);
        let silent = statuses.is_empty() && answer.text.is_empty();
        let answered = answer.statuses.len() == 1 && statuses.contains(&answer.statuses[0]);
        assert!(silent || answered, "{what}: {answer:?}");
    }
    bed.end();
}

#[test]
fn a_path_is_decoded_once_and_never_climbs() {
    let mut bed = Bed::start();
    let token = bed.team.token.clone();
    for (path, status) in [
        ("/api/v1/apps/%2e%2e", 404),
        ("/api/v1/apps/../me", 404),
        ("/api/v1/apps/..%2fme", 404),
        ("/api/v1/apps/%252e%252e", 404),
        ("/api/v1/apps/%00", 404),
        ("/api/v1/apps/%ff", 400),
        ("/api/v1/apps/%zz", 404),
        ("/api/v1/apps/%", 404),
        ("/api/v1//me", 404),
        ("//api/v1/me", 404),
        ("/api/v1/me/", 404),
        ("/API/V1/ME", 404),
        ("/api/v1/me;x=1", 404),
        ("/api/v1/runs/%31x", 400),
        ("/api/v1/runs/1%00", 400),
        ("/api/v1/runs/-9223372036854775809", 400),
        ("/api/v1/apps/target'%20OR%201=1", 404),
        ("/api/v1/runs?status=%ff", 400),
        ("/api/v1/runs?limit=1&limit=2", 400),
        ("/%6d%65trics", 404),
    ] {
        let head = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n");
        let answer = bed.raw(path, format!("{head}Authorization: Bearer {token}\r\n\r\n").as_bytes());
        assert_eq!(answer.statuses, [status], "{path}: {answer:?}");
        assert!(answer.text.contains("{\"error\":{\"code\":"), "{path}: {answer:?}");
    }
    bed.end();
}

/// Two readers that see different ends of a request let a stranger put words into another's mouth: <https://www.rfc-editor.org/rfc/rfc9112#section-6.3>.
#[test]
fn no_second_request_is_smuggled_in_a_body() {
    let mut bed = Bed::start();
    let hidden = "GET /health HTTP/1.1\r\nHost: a\r\n\r\n";
    let chunk = format!("{:x}\r\n{hidden}\r\n0\r\n\r\n", hidden.len());
    for (what, headers, body) in [
        ("two lengths", "Content-Length: 0\r\nContent-Length: 33\r\n", hidden),
        ("two lengths in one header", "Content-Length: 0, 33\r\n", hidden),
        ("a negative length", "Content-Length: -1\r\n", hidden),
        ("a length with a sign", "Content-Length: +33\r\n", hidden),
        ("a length in hexadecimal", "Content-Length: 0x21\r\n", hidden),
        ("a length beyond 64 bits", "Content-Length: 99999999999999999999\r\n", hidden),
        ("a length and chunks", "Content-Length: 33\r\nTransfer-Encoding: chunked\r\n", &chunk),
        ("chunks that are not last", "Transfer-Encoding: chunked, identity\r\n", &chunk),
        ("an encoding nobody knows", "Transfer-Encoding: xchunked\r\n", hidden),
        ("an encoding behind a tab", "Transfer-Encoding:\tx\r\n", hidden),
        ("chunks twice", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", &chunk),
        ("a bad chunk size", "Transfer-Encoding: chunked\r\n", "zz\r\nhello\r\n0\r\n\r\n"),
        ("a huge chunk size", "Transfer-Encoding: chunked\r\n", "ffffffffffffffffff\r\nhello\r\n0\r\n\r\n"),
        (
            "a chunk with a long extension",
            "Transfer-Encoding: chunked\r\n",
            &format!("1;{}\r\na\r\n0\r\n\r\n", "x".repeat(1 << 20)),
        ),
    ] {
        let request = format!(
            "POST /api/v1/teams/login HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{headers}\r\n{body}"
        );
        let answer = bed.raw(what, request.as_bytes());
        assert!(answer.statuses.len() <= 1, "{what}: {answer:?}");
        assert!(answer.statuses.iter().all(|status| (400..500).contains(status)), "{what}: {answer:?}");
        assert!(!answer.text.contains("\"status\":\"ok\""), "{what}: {answer:?}");
    }
    bed.end();
}

#[test]
fn clients_that_send_a_byte_now_and_then_hold_nobody_up() {
    let mut bed = Bed::start();
    let port = bed.server.port();
    let heads: [&[u8]; 2] = [
        b"GET /health HTTP/1.1\r\nHost: ",
        b"POST /api/v1/teams/login HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n{",
    ];
    bed.within("300 slow clients", 32, |bed| {
        let mut slow: Vec<TcpStream> = (0..300)
            .map(|number| {
                let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
                stream.write_all(heads[number % 2]).unwrap();
                stream
            })
            .collect();
        for _ in 0..3 {
            for stream in &mut slow {
                stream.write_all(b" ").unwrap();
            }
            bed.server.http().get("/health").send().expect(200);
            bed.team.get("/me").send().expect(200);
            wait::pass(Duration::from_millis(50));
        }
        for stream in &mut slow {
            stream.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
            let early = stream.read(&mut [0; 1]);
            assert!(early.is_err(), "a slow client was answered before it had asked: {early:?}");
        }
    });
    bed.end();
}
