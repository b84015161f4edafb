//! Calls of a team, against a server on a loopback port.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{Multipart, Path, RawQuery};
use axum::http::HeaderMap;
use axum::routing::{get, post};
use minitower_client::wire::auth::Login;
use minitower_client::{Client, Error, LogFilter, RunFilter, TeamClient, Upload};
use support::{json, serve};

const VERSION: &str = r#"{"version_id":1,"version_no":3,"entrypoint":"main.py","artifact_sha256":"ab","created_at":"2026-01-02T03:04:05Z"}"#;

#[tokio::test]
async fn the_team_token_travels_as_a_bearer() {
    let router = Router::new().route(
        "/api/v1/me",
        get(|headers: HeaderMap| async move {
            assert_eq!(headers["authorization"], "Bearer mtk_x");
            json(200, r#"{"team_id":1,"team_slug":"acme","token_id":2,"role":"member","newer_field":1}"#)
        }),
    );
    let team = TeamClient::new(&serve(router).await, "mtk_x").unwrap();
    assert_eq!(team.me().await.unwrap().team_slug, "acme");
    assert!(!format!("{team:?}").contains("mtk_x"));
}

#[tokio::test]
async fn a_server_below_a_path_is_found_and_names_are_escaped() {
    let router = Router::new().route(
        "/tower/api/v1/apps/{app}",
        get(|Path(app): Path<String>| async move {
            assert_eq!(app, "a/b c");
            json(404, r#"{"error":{"code":"not_found","message":"no app `a/b c`"}}"#)
        }),
    );
    let mut config = serve(router).await;
    config.server_url.push_str("tower");
    let error = TeamClient::new(&config, "t").unwrap().app("a/b c").await.unwrap_err();
    assert_eq!((error.status(), error.code()), (Some(404), Some("not_found")));
}

#[tokio::test]
async fn filters_become_queries() {
    let router = Router::new()
        .route(
            "/api/v1/runs",
            get(|RawQuery(query): RawQuery| async move {
                assert_eq!(query.as_deref(), Some("limit=5&status=queued"));
                json(200, r#"{"runs":[]}"#)
            }),
        )
        .route(
            "/api/v1/runs/7/logs",
            get(|RawQuery(query): RawQuery| async move {
                assert_eq!(query.as_deref(), Some("after_seq=3"));
                json(200, r#"{"logs":[]}"#)
            }),
        );
    let team = TeamClient::new(&serve(router).await, "t").unwrap();
    let filter = RunFilter { limit: Some(5), status: Some("queued".to_owned()), ..RunFilter::default() };
    assert!(team.runs(&filter).await.unwrap().runs.is_empty());
    let filter = LogFilter { after_seq: Some(3), ..LogFilter::default() };
    assert!(team.logs(7, &filter).await.unwrap().logs.is_empty());
}

#[tokio::test]
async fn throttling_says_when_to_come_back() {
    let router = Router::new().route(
        "/api/v1/teams/login",
        post(|| async {
            let body = r#"{"error":{"code":"rate_limited","message":"too many failed logins"}}"#;
            let mut response = json(429, body);
            response.headers_mut().insert("retry-after", "17".parse().unwrap());
            response
        }),
    );
    let client = Client::new(&serve(router).await).unwrap();
    let login = Login { slug: "acme".to_owned(), password: "x".to_owned() };
    let error = client.login(&login).await.err().unwrap();
    assert_eq!(error.retry_after(), Some(Duration::from_secs(17)));
    assert!(error.is_retryable());
}

#[tokio::test]
async fn nobody_listening_is_a_transport_error_naming_the_server() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let config = minitower_client::ClientConfig::new(format!("http://{address}"));
    let error = TeamClient::new(&config, "mtk_secret").unwrap().me().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("cannot reach http://{address}: connection refused; is minitowerd running?")
    );
    assert!(!format!("{error:?}").contains("mtk_secret"));
}

#[tokio::test]
async fn a_silent_server_is_given_up_at_the_deadline() {
    let router = Router::new().route("/api/v1/me", get(std::future::pending::<String>));
    let mut config = serve(router).await;
    config.request_timeout = Duration::from_millis(50);
    let error = TeamClient::new(&config, "t").unwrap().me().await.unwrap_err();
    assert!(error.is_transport() && error.to_string().contains("no answer within 50ms"), "{error}");
}

#[tokio::test]
async fn a_page_instead_of_json_asks_whether_the_url_is_right() {
    let router = Router::new().route("/api/v1/me", get(|| async { "<html>hello</html>" }));
    let error = TeamClient::new(&serve(router).await, "t").unwrap().me().await.unwrap_err();
    assert!(matches!(error, Error::Decode { .. }), "{error:?}");
    assert!(error.to_string().contains("is it a MiniTower server"), "{error}");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let router = Router::new().route(
        "/api/v1/me",
        get(|| async { axum::response::Redirect::temporary("http://127.0.0.1:1/elsewhere") }),
    );
    let error = TeamClient::new(&serve(router).await, "t").unwrap().me().await.unwrap_err();
    assert_eq!(error.status(), Some(307));
}

#[tokio::test]
async fn an_upload_streams_the_file_and_reports_its_progress() {
    let router = Router::new().route(
        "/api/v1/apps/hello/versions",
        post(|mut form: Multipart| async move {
            let mut fields = Vec::new();
            while let Some(field) = form.next_field().await.unwrap() {
                let (name, file) = (field.name().unwrap().to_owned(), field.file_name().map(str::to_owned));
                fields.push((name, file, field.bytes().await.unwrap().len()));
            }
            let expected = [
                ("entrypoint".to_owned(), None, 7),
                ("timeout_seconds".to_owned(), None, 2),
                ("artifact".to_owned(), Some("a.tgz".to_owned()), 200_000),
            ];
            assert_eq!(fields, expected);
            json(201, VERSION)
        }),
    );
    let mut archive = tempfile::tempfile().unwrap();
    archive.write_all(&vec![7; 200_000]).unwrap();
    let steps = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&steps);
    let upload = Upload {
        entrypoint: Some("main.py".to_owned()),
        timeout_seconds: Some(60),
        ..Upload::new(archive, "a.tgz")
    };
    let team = TeamClient::new(&serve(router).await, "t").unwrap();
    let version = team.upload_version("hello", upload, move |sent| heard.lock().unwrap().push(sent)).await;
    assert_eq!(version.unwrap().version_no, 3);
    let steps = steps.lock().unwrap();
    assert!(steps.len() > 1 && steps.is_sorted() && steps.last() == Some(&200_000), "{steps:?}");
}

#[tokio::test]
async fn an_upload_the_server_never_answers_is_given_up() {
    let router = Router::new()
        .route("/api/v1/apps/hello/versions", post(|_: Multipart| std::future::pending::<String>()));
    let archive = tempfile::tempfile().unwrap();
    let mut config = serve(router).await;
    config.request_timeout = Duration::from_millis(50);
    let upload = Upload::new(archive, "a.tgz");
    let team = TeamClient::new(&config, "t").unwrap();
    let error = team.upload_version("hello", upload, |_| {}).await.unwrap_err();
    assert!(error.is_transport(), "{error}");
}

#[tokio::test]
async fn an_upload_cut_off_by_the_server_asks_whether_it_is_too_large() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = minitower_client::ClientConfig::new(format!("http://{}", listener.local_addr().unwrap()));
    tokio::spawn(async move {
        let (mut connection, _) = listener.accept().await.unwrap();
        tokio::io::AsyncReadExt::read(&mut connection, &mut [0; 1000]).await.unwrap();
    });
    let archive = tempfile::tempfile().unwrap();
    archive.set_len(50_000_000).unwrap();
    let upload = Upload::new(archive, "a.tgz");
    let error =
        TeamClient::new(&config, "t").unwrap().upload_version("hello", upload, |_| {}).await.unwrap_err();
    assert!(error.is_transport() && error.to_string().contains("larger than the server takes"), "{error}");
}
