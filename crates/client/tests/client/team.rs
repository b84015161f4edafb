//! Calls of a team.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use minitower_client::wire::auth::Login;
use minitower_client::{Client, Error, LogFilter, RunFilter, TeamClient, Upload};
use minitower_test_plane::{Answer, Plane, archive};

use crate::{noise, plane};

#[tokio::test]
async fn the_team_token_travels_as_a_bearer_and_newer_fields_do_no_harm() {
    let (plane, team, client) = plane();
    plane.once("GET /me", Answer::change_json(|body| body["newer_field"] = 1.into()));
    assert_eq!(client.me().await.unwrap().team_slug, "acme");
    assert_eq!(plane.requests("GET /me")[0].token(), Some(team.token.as_str()));
    assert!(!format!("{client:?}").contains(&team.token));
}

#[tokio::test]
async fn a_server_below_a_path_is_found_and_names_are_escaped() {
    let plane = Plane::start();
    plane.always("* /tower/**", Answer::refusal(404, "not_found", "no app `a/b c`"));
    let mut config = plane.config();
    config.server_url.push_str("/tower");
    let error = TeamClient::new(&config, "t").unwrap().app("a/b c").await.unwrap_err();
    assert_eq!((error.status(), error.code()), (Some(404), Some("not_found")));
    assert_eq!(plane.requests("* /**")[0].path, "/tower/api/v1/apps/a%2Fb%20c");
}

#[tokio::test]
async fn filters_become_queries() {
    let (plane, team, client) = plane();
    let run = team.run("hello").run_id;
    let filter = RunFilter { limit: Some(5), status: Some("queued".to_owned()), ..RunFilter::default() };
    assert_eq!(client.runs(&filter).await.unwrap().runs.len(), 1);
    let filter = LogFilter { after_seq: Some(3), ..LogFilter::default() };
    assert!(client.logs(run, &filter).await.unwrap().logs.is_empty());
    assert_eq!(plane.requests("GET /runs")[0].query.as_deref(), Some("limit=5&status=queued"));
    assert_eq!(plane.requests("GET /runs/*/logs")[0].query.as_deref(), Some("after_seq=3"));
}

#[tokio::test]
async fn throttling_says_when_to_come_back() {
    let plane = Plane::start();
    let slower = Answer::refusal(429, "rate_limited", "too many failed logins").header("retry-after", "17");
    plane.once("POST /teams/login", slower);
    let login = Login { slug: "acme".to_owned(), password: "x".to_owned() };
    let error = Client::new(&plane.config()).unwrap().login(&login).await.err().unwrap();
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
    let plane = Plane::start();
    plane.once("GET /me", Answer::hang());
    let mut config = plane.config();
    config.request_timeout = Duration::from_millis(50);
    let error = TeamClient::new(&config, "t").unwrap().me().await.unwrap_err();
    assert!(error.is_transport() && error.to_string().contains("no answer within 50ms"), "{error}");
}

#[tokio::test]
async fn an_answer_that_is_lost_is_a_transport_error() {
    let (plane, _, client) = plane();
    for answer in [Answer::cut(), Answer::cut().after_effect(), Answer::break_off()] {
        plane.once("GET /me", answer);
        assert!(client.me().await.unwrap_err().is_transport());
    }
}

#[tokio::test]
async fn a_page_instead_of_json_asks_whether_the_url_is_right() {
    let plane = Plane::start();
    plane.once("GET /me", Answer::text(200, "text/html", "<html>hello</html>"));
    let error = TeamClient::new(&plane.config(), "t").unwrap().me().await.unwrap_err();
    assert!(matches!(error, Error::Decode { .. }), "{error:?}");
    assert!(error.to_string().contains("is it a MiniTower server"), "{error}");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let plane = Plane::start();
    let elsewhere = Answer::text(307, "text/plain", "").header("location", "http://127.0.0.1:1/elsewhere");
    plane.once("GET /me", elsewhere);
    let error = TeamClient::new(&plane.config(), "t").unwrap().me().await.unwrap_err();
    assert_eq!(error.status(), Some(307));
}

#[tokio::test]
async fn an_upload_streams_the_file_and_reports_its_progress() {
    let (plane, _, client) = plane();
    let bytes = archive(&[("main.py", ""), ("noise", &noise(400_000))]);
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&bytes).unwrap();
    let steps = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&steps);
    let upload = Upload {
        entrypoint: Some("main.py".to_owned()),
        timeout_seconds: Some(60),
        ..Upload::new(file, "a.tgz")
    };
    let version = client.upload_version("hello", upload, move |sent| heard.lock().unwrap().push(sent)).await;
    let version = version.unwrap();
    assert_eq!((version.version_no, version.timeout_seconds), (2, Some(60)));
    assert_eq!(version.entrypoint, "main.py");
    let steps = steps.lock().unwrap();
    assert!(steps.len() > 1 && steps.is_sorted() && steps.last() == Some(&(bytes.len() as u64)), "{steps:?}");
    // The small fields first, so that a server that streams knows them when the archive begins.
    let body = plane.requests("POST /apps/hello/versions")[0].body.clone();
    let text = String::from_utf8_lossy(&body);
    let places: Vec<_> = ["\"entrypoint\"", "\"timeout_seconds\"", "filename=\"a.tgz\""]
        .map(|name| text.find(name).unwrap())
        .into();
    assert!(places.is_sorted(), "{places:?}");
}

#[tokio::test]
async fn an_upload_the_server_never_answers_is_given_up() {
    let plane = Plane::start();
    plane.once("POST /apps/hello/versions", Answer::hang());
    let archive = tempfile::tempfile().unwrap();
    let mut config = plane.config();
    config.request_timeout = Duration::from_millis(50);
    let upload = Upload::new(archive, "a.tgz");
    let error =
        TeamClient::new(&config, "t").unwrap().upload_version("hello", upload, |_| {}).await.unwrap_err();
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
