//! The real routes on a database of their own, with a team and its app: for what cannot be seen from outside the process, such as bodies in
//! pieces, and callers that go away.

use std::io::Write as _;

use axum::Router;
use axum::body::Body;
use flate2::{Compression, write::GzEncoder};
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{Method, Request};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{BOOTSTRAP_TOKEN, json, request, send};
use crate::{HttpConfig, HttpMetrics, HttpState, Limits, router};

/// Most bytes of an artifact in these tests; the app of the tests has the same limit.
pub(crate) const ARTIFACT_BYTES: usize = 64 * 1024;

pub(crate) struct Bed {
    pub(crate) service: Router,
    token: String,
    folder: TempDir,
}

impl Bed {
    pub(crate) async fn start() -> Self {
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

    pub(crate) async fn post(&self, path: &str, body: Value) -> Value {
        json(send(&self.service, self.signed(request(Method::POST, path, body.to_string()))).await).await
    }

    pub(crate) fn signed(&self, mut request: Request<Body>) -> Request<Body> {
        request.headers_mut().insert(AUTHORIZATION, format!("Bearer {}", self.token).parse().unwrap());
        request
    }

    pub(crate) fn upload(&self, body: Body) -> Request<Body> {
        let mut request = self.signed(request(Method::POST, "/api/v1/apps/hello/versions", body));
        request.headers_mut().insert(CONTENT_TYPE, "multipart/form-data; boundary=XX".parse().unwrap());
        request
    }

    /// The files of the object store, unfinished ones too.
    pub(crate) fn files(&self) -> usize {
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

/// A small archive without a Towerfile.
pub(crate) fn archive() -> Vec<u8> {
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    let script = b"print('hello')\n";
    let mut header = tar::Header::new_gnu();
    header.set_size(script.len() as u64);
    header.set_mode(0o644);
    tar.append_data(&mut header, "main.py", &script[..]).unwrap();
    tar.into_inner().unwrap().finish().unwrap()
}

/// A multipart body with these parts.
pub(crate) fn form(parts: &[(&str, &[u8])]) -> Vec<u8> {
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
