//! What cannot be seen from outside the process: bodies in pieces, and callers that go away.

use std::io::Write as _;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use futures_util::{StreamExt as _, stream};
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{Method, Request, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::{Instant, timeout};

use super::{BOOTSTRAP_TOKEN, REGISTRATION_TOKEN, error, json, request, send};
use crate::{HttpConfig, HttpMetrics, HttpState, Limits, router};

/// Most bytes of an artifact in these tests; the app of the tests has the same limit.
const ARTIFACT_BYTES: usize = 64 * 1024;

struct Bed {
    service: Router,
    token: String,
    folder: TempDir,
}

impl Bed {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let subjects = super::subjects(folder.path(), Some(BOOTSTRAP_TOKEN)).await;
        let limits = Limits { artifact: ARTIFACT_BYTES as u64, ..Limits::default() };
        let config = HttpConfig { limits, ..HttpConfig::default() };
        let service = router(HttpState::new(subjects, config, HttpMetrics::new("test").unwrap()));
        let mut bed = Self { service, token: BOOTSTRAP_TOKEN.to_owned(), folder };
        let made = bed.post("/api/v1/bootstrap/team", json!({"slug": "acme", "name": "Acme"})).await;
        bed.token = made["token"].as_str().unwrap().to_owned();
        bed.post("/api/v1/apps", json!({"slug": "hello"})).await;
        bed
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        json(send(&self.service, self.signed(request(Method::POST, path, body.to_string()))).await).await
    }

    fn signed(&self, mut request: Request<Body>) -> Request<Body> {
        request.headers_mut().insert(AUTHORIZATION, format!("Bearer {}", self.token).parse().unwrap());
        request
    }

    fn upload(&self, body: Body) -> Request<Body> {
        let mut request = self.signed(request(Method::POST, "/api/v1/apps/hello/versions", body));
        request.headers_mut().insert(CONTENT_TYPE, "multipart/form-data; boundary=XX".parse().unwrap());
        request
    }

    /// The files of the object store, unfinished ones too.
    fn files(&self) -> usize {
        fn count(folder: &std::path::Path) -> usize {
            std::fs::read_dir(folder)
                .unwrap()
                .map(|entry| entry.unwrap().path())
                .map(|path| if path.is_dir() { count(&path) } else { 1 })
                .sum()
        }
        count(&self.folder.path().join("objects"))
    }
}

fn archive() -> Vec<u8> {
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    let script = b"print('hello')\n";
    let mut header = tar::Header::new_gnu();
    header.set_size(script.len() as u64);
    header.set_mode(0o644);
    tar.append_data(&mut header, "main.py", &script[..]).unwrap();
    tar.into_inner().unwrap().finish().unwrap()
}

/// A multipart body with these parts.
fn form(parts: &[(&str, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, content) in parts {
        let file = if *name == "artifact" { "; filename=\"a.tar.gz\"" } else { "" };
        write!(body, "--XX\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n").unwrap();
        body.extend_from_slice(content);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--XX--\r\n");
    body
}

fn in_pieces(body: &[u8]) -> Body {
    let pieces: Vec<_> = body.chunks(7).map(|piece| Ok::<_, std::io::Error>(piece.to_vec())).collect();
    Body::from_stream(stream::iter(pieces))
}

#[tokio::test]
async fn an_upload_in_small_pieces_becomes_a_version() {
    let bed = Bed::start().await;
    let archive = archive();
    let body = form(&[
        ("artifact", &archive),
        ("unknown", b"x"),
        ("entrypoint", b"main.py"),
        ("timeout_seconds", b"60"),
    ]);
    let response = send(&bed.service, bed.upload(in_pieces(&body))).await;
    assert_eq!(response.status(), StatusCode::CREATED);
    let version = json(response).await;
    assert_eq!((&version["version_no"], &version["entrypoint"]), (&json!(1), &json!("main.py")));
    assert_eq!(version["timeout_seconds"], 60);
    assert_eq!(bed.files(), 1);
}

#[tokio::test]
async fn a_refused_upload_says_why_and_leaves_nothing() {
    let bed = Bed::start().await;
    let archive = archive();
    let large = vec![7; ARTIFACT_BYTES + 1];
    let long = vec![b'x'; 256 * 1024 + 1];
    for (parts, status, code) in [
        (vec![("entrypoint", &b"main.py"[..])], 400, "invalid_request"),
        (vec![("artifact", &archive[..]), ("artifact", &archive[..])], 400, "invalid_request"),
        (vec![("artifact", &large[..]), ("entrypoint", b"main.py")], 413, "payload_too_large"),
        (vec![("artifact", &archive[..]), ("params_schema_json", &long[..])], 413, "payload_too_large"),
        (vec![("artifact", &archive[..]), ("entrypoint", b"\xff")], 400, "invalid_request"),
        (vec![("artifact", &archive[..])], 400, "TOWERFILE_MISSING"),
        (vec![("artifact", b"no gzip"), ("entrypoint", b"main.py")], 400, "artifact_invalid"),
    ] {
        let answer = error(send(&bed.service, bed.upload(form(&parts).into())).await).await;
        assert_eq!((answer.0, answer.1.as_str()), (status, code), "{}", answer.2);
        assert_eq!(bed.files(), 0, "left behind after: {}", answer.2);
    }
}

#[tokio::test]
async fn a_body_that_is_no_form_or_is_cut_short_is_400() {
    let bed = Bed::start().await;
    let mut body = form(&[("artifact", &archive())]);
    body.truncate(body.len() - 20);
    let cut = bed.upload(body.into());
    let plain = bed.signed(request(Method::POST, "/api/v1/apps/hello/versions", "{}"));
    for request in [cut, plain] {
        let (status, code, message) = error(send(&bed.service, request).await).await;
        assert_eq!((status, code.as_str()), (400, "invalid_request"), "{message}");
    }
    assert_eq!(bed.files(), 0);
}

#[tokio::test]
async fn a_parts_head_that_never_ends_is_refused_however_it_comes() {
    let bed = Bed::start().await;
    let head = [b"--XX\r\nx: ".to_vec(), vec![b'y'; 600 * 1024]].concat();
    let pieces: Vec<_> = head.chunks(8 * 1024).map(|piece| Ok::<_, std::io::Error>(piece.to_vec())).collect();
    for body in [Body::from_stream(stream::iter(pieces)), in_pieces(&head)] {
        let (status, code, message) = error(send(&bed.service, bed.upload(body)).await).await;
        assert_eq!((status, code.as_str()), (400, "invalid_request"), "{message}");
        assert!(message.contains("16384 bytes"), "{message}");
    }
}

#[tokio::test]
async fn an_uploader_that_goes_away_leaves_nothing() {
    let bed = Bed::start().await;
    let mut start = form(&[("artifact", &[7; 4096])]);
    start.truncate(2048);
    let body = stream::iter([Ok::<_, std::io::Error>(Bytes::from(start))]).chain(stream::pending());
    let mut answer = Box::pin(send(&bed.service, bed.upload(Body::from_stream(body))));
    let deadline = Instant::now() + Duration::from_secs(10);
    while bed.files() == 0 {
        assert!(Instant::now() < deadline, "the upload never reached the disk");
        assert!(timeout(Duration::from_millis(5), &mut answer).await.is_err());
    }
    // What becomes of the future when the connection is gone.
    drop(answer);
    assert_eq!(bed.files(), 0);
}

#[tokio::test]
async fn a_poll_whose_caller_goes_away_takes_no_run_with_it() {
    let bed = Bed::start().await;
    let body = form(&[("artifact", &archive()), ("entrypoint", b"main.py")]);
    assert_eq!(send(&bed.service, bed.upload(body.into())).await.status(), StatusCode::CREATED);
    let register = |name: &str| {
        let mut register =
            request(Method::POST, "/api/v1/runners/register", json!({"name": name}).to_string());
        register.headers_mut().insert(AUTHORIZATION, format!("Bearer {REGISTRATION_TOKEN}").parse().unwrap());
        register
    };
    let poll = |runner: &Value, wait: u32| {
        let mut poll = request(Method::POST, &format!("/api/v1/runs/lease?wait={wait}"), "");
        let token = runner["token"].as_str().unwrap();
        poll.headers_mut().insert(AUTHORIZATION, format!("Bearer {token}").parse().unwrap());
        poll
    };
    let gone = json(send(&bed.service, register("gone")).await).await;
    let there = json(send(&bed.service, register("there")).await).await;
    let waiting = send(&bed.service, poll(&gone, 60));
    assert!(timeout(Duration::from_millis(100), waiting).await.is_err());
    let run = bed.post("/api/v1/apps/hello/runs", json!({})).await;
    let leased = json(send(&bed.service, poll(&there, 10)).await).await;
    assert_eq!(leased["run_id"], run["run_id"]);
    assert_eq!(leased["attempt_no"], 1, "the poll that went away held no lease");
}
