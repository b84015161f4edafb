//! Answers that take long: they end soon after the token that asked for them is revoked or has expired.

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt as _, stream};
use http::HeaderMap;
use tokio::time::{Instant, sleep};

use crate::arriving::LOOK_AGAIN;
use crate::auth::bearer;
use crate::{ApiError, HttpState};

/// Most bytes of a stream that are handed on between two looks at the time: a slow reader takes long for a piece.
const PART_BYTES: usize = 32 * 1024;

/// What a stream can end with.
type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The token of a request that takes long: a team's, or that of an attempt.
pub(crate) struct Lasting {
    state: HttpState,
    token: Option<String>,
}

impl Lasting {
    /// That of a request with these headers.
    pub(crate) fn of(state: &HttpState, headers: &HeaderMap) -> Self {
        Self { state: state.clone(), token: bearer(headers).map(str::to_owned) }
    }

    /// Whether the token still holds.
    pub(crate) async fn check(&self) -> Result<(), ApiError> {
        self.state.runs().authenticate(self.token.as_deref()).await?;
        Ok(())
    }

    /// What comes of `work`, unless the token does not hold as long: then whoever waits is told nothing.
    pub(crate) async fn during<T>(&self, work: impl Future<Output = T>) -> Result<T, ApiError> {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => {
                    self.check().await?;
                    return Ok(done);
                }
                () = sleep(LOOK_AGAIN) => self.check().await?,
            }
        }
    }

    /// The same pieces, broken off when the token does not hold any more.
    pub(crate) fn over<S, E>(self, pieces: S) -> impl Stream<Item = Result<Bytes, BoxError>> + Send
    where
        S: Stream<Item = Result<Bytes, E>> + Send + Unpin,
        E: Into<BoxError>,
    {
        let start = (self, pieces, Bytes::new(), Instant::now());
        stream::try_unfold(start, async |(lasting, mut pieces, mut rest, mut looked)| {
            if looked.elapsed() >= LOOK_AGAIN {
                lasting.check().await?;
                looked = Instant::now();
            }
            if rest.is_empty() {
                match pieces.try_next().await.map_err(Into::into)? {
                    Some(piece) => rest = piece,
                    None => return Ok(None),
                }
            }
            let part = rest.split_to(rest.len().min(PART_BYTES));
            Ok(Some((part, (lasting, pieces, rest, looked))))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::{HeaderValue, Method, StatusCode};
    use http_body_util::BodyExt as _;
    use rstest::rstest;
    use serde_json::{Value, json};
    use tokio::time::timeout;

    use super::*;
    use crate::tests::bed::{Bed, archive, form};
    use crate::tests::{REGISTRATION_TOKEN, json, request, send};

    /// A request with these credentials.
    fn signed(path: &str, token: &Value, body: &Value) -> http::Request<axum::body::Body> {
        let mut request = request(Method::POST, path, body.to_string());
        let token = format!("Bearer {}", token.as_str().unwrap());
        request.headers_mut().insert("authorization", token.parse().unwrap());
        request
    }

    /// A run with a log of 800 kB and an artifact of as much, and the token and its id that the team reads them with.
    async fn run_that_left_much(bed: &Bed) -> (Value, Value) {
        let body = form(&[("artifact", &archive()), ("entrypoint", b"main.py")]);
        assert_eq!(send(&bed.service, bed.upload(body.into())).await.status(), StatusCode::CREATED);
        let run = bed.post("/api/v1/apps/hello/runs", json!({})).await;
        let register = signed("/api/v1/runners/register", &REGISTRATION_TOKEN.into(), &json!({"name": "r"}));
        let runner = json(send(&bed.service, register).await).await;
        let lease =
            send(&bed.service, signed("/api/v1/runs/lease", &runner["token"], &json!({"start": true})));
        let lease = json(lease.await).await;
        let line = "x".repeat(8000);
        let lines: Vec<Value> = (1..=100)
            .map(|seq| json!({"seq": seq, "stream": "stdout", "line": line, "logged_at": "2026-01-02T03:04:05Z"}))
            .collect();
        let path = format!("/api/v1/runs/{}/logs", run["run_id"]);
        let mut logs = signed(&path, &runner["token"], &json!({"logs": lines}));
        let lease_token: HeaderValue = lease["lease_token"].as_str().unwrap().parse().unwrap();
        logs.headers_mut().insert("x-lease-token", lease_token.clone());
        assert_eq!(send(&bed.service, logs).await.status(), StatusCode::OK);
        let path = format!("/api/v1/runs/{}/artifacts/big", run["run_id"]);
        let mut artifact = signed(&path, &runner["token"], &"x".repeat(800_000).into());
        *artifact.method_mut() = Method::PUT;
        artifact.headers_mut().insert("x-lease-token", lease_token);
        assert_eq!(send(&bed.service, artifact).await.status(), StatusCode::CREATED);
        (run["run_id"].clone(), bed.post("/api/v1/tokens", json!({"name": "reader"})).await)
    }

    fn get(path: &str, token: &Value) -> http::Request<axum::body::Body> {
        let mut get = signed(path, token, &Value::Null);
        *get.method_mut() = Method::GET;
        get.headers_mut().insert("accept", "text/plain".parse().unwrap());
        get
    }

    async fn revoke(bed: &Bed, reader: &Value) {
        let path = format!("/api/v1/tokens/{}", reader["token_id"]);
        let revoked = send(&bed.service, bed.signed(request(Method::DELETE, &path, ""))).await;
        assert_eq!(revoked.status(), StatusCode::NO_CONTENT);
    }

    #[rstest]
    #[case::log("logs", 100 * 8001)]
    #[case::artifact("artifacts/big", 800_002)]
    #[tokio::test]
    async fn what_takes_long_breaks_off_soon_after_its_token_is_revoked(
        #[case] what: &str,
        #[case] bytes: usize,
    ) {
        let bed = Bed::start().await;
        let (run, reader) = run_that_left_much(&bed).await;
        let all = |token| send(&bed.service, get(&format!("/api/v1/runs/{run}/{what}"), token));
        let whole = all(&reader["token"]).await.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(whole.len(), bytes);
        let mut slowly = all(&reader["token"]).await.into_body();
        let first = slowly.frame().await.unwrap().unwrap().into_data().unwrap();
        assert!(first.len() <= PART_BYTES, "{}", first.len());
        revoke(&bed, &reader).await;
        sleep(LOOK_AGAIN).await;
        assert!(slowly.frame().await.unwrap().is_err(), "it goes on");
    }

    #[tokio::test]
    async fn who_waits_for_a_run_is_sent_away_soon_after_the_token_is_revoked() {
        let bed = Bed::start().await;
        let (run, reader) = run_that_left_much(&bed).await;
        let waits = send(&bed.service, get(&format!("/api/v1/runs/{run}?wait=60"), &reader["token"]));
        let revoked = async {
            sleep(Duration::from_millis(100)).await;
            revoke(&bed, &reader).await;
        };
        let both = async { tokio::join!(waits, revoked).0.status() };
        let status = timeout(Duration::from_secs(5), both).await.expect("it waits on");
        assert_eq!(status, StatusCode::UNAUTHORIZED);
    }
}
