//! Lists by pages, against a server on a loopback port.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use minitower_client::{Error, RunnerFilter, TeamClient};
use rstest::rstest;
use support::{json, serve};

const APP: &str =
    r#""app_id":1,"disabled":false,"created_at":"2026-01-02T03:04:05Z","updated_at":"2026-01-02T03:04:05Z""#;
const VERSION: &str =
    r#""version_id":1,"entrypoint":"main.py","artifact_sha256":"ab","created_at":"2026-01-02T03:04:05Z""#;

/// A client of a server that gives these answers in turn, the last one for ever, and what it was asked below `/api/v1`.
async fn script(answers: &[String]) -> (TeamClient, Arc<Mutex<Vec<String>>>) {
    type Script = (Vec<String>, Arc<Mutex<Vec<String>>>);
    async fn answer(State((answers, asked)): State<Script>, uri: Uri) -> Response {
        let mut asked = asked.lock().unwrap();
        asked.push(uri.to_string().trim_start_matches("/api/v1").to_owned());
        json(200, &answers[(asked.len() - 1).min(answers.len() - 1)])
    }
    let asked = Arc::new(Mutex::new(Vec::new()));
    let router = Router::new().fallback(answer).with_state((answers.to_vec(), Arc::clone(&asked)));
    (TeamClient::new(&serve(router).await, "t").unwrap(), asked)
}

fn apps(slugs: &[&str]) -> String {
    let apps: Vec<_> = slugs.iter().map(|slug| format!(r#"{{{APP},"slug":"{slug}"}}"#)).collect();
    format!(r#"{{"apps":[{}]}}"#, apps.join(","))
}

fn versions(numbers: &[i64]) -> String {
    let versions: Vec<_> =
        numbers.iter().map(|number| format!(r#"{{{VERSION},"version_no":{number}}}"#)).collect();
    format!(r#"{{"versions":[{}]}}"#, versions.join(","))
}

async fn slugs(team: &TeamClient) -> Vec<String> {
    team.apps().await.unwrap().apps.into_iter().map(|app| app.slug).collect()
}

#[tokio::test]
async fn cursors_are_followed_until_an_empty_page() {
    let (team, asked) = script(&[apps(&["a", "b"]), apps(&["c"]), apps(&["d", "e"]), apps(&[])]).await;
    assert_eq!(slugs(&team).await, ["a", "b", "c", "d", "e"]);
    assert_eq!(*asked.lock().unwrap(), ["/apps", "/apps?after=b", "/apps?after=c", "/apps?after=e"]);

    let (team, asked) = script(&[versions(&[9, 8]), versions(&[5]), versions(&[])]).await;
    let found = team.versions("hello").await.unwrap().versions;
    assert_eq!(found.iter().map(|version| version.version_no).collect::<Vec<_>>(), [9, 8, 5]);
    let path = "/apps/hello/versions";
    assert_eq!(
        *asked.lock().unwrap(),
        [path.to_owned(), format!("{path}?before=8"), format!("{path}?before=5")]
    );
}

#[tokio::test]
async fn every_list_has_its_cursor() {
    let at = r#""2026-01-02T03:04:05Z""#;
    let environments = format!(r#"{{"environments":[{{"name":"e 1","created_at":{at}}}]}}"#);
    let (team, asked) = script(&[environments, r#"{"environments":[]}"#.to_owned()]).await;
    assert_eq!(team.environments().await.unwrap().environments.len(), 1);
    assert_eq!(*asked.lock().unwrap(), ["/environments", "/environments?after=e+1"]);

    let tokens = format!(r#"{{"registration_tokens":[{{"id":7,"created_at":{at}}}]}}"#);
    let (team, asked) = script(&[tokens, r#"{"registration_tokens":[]}"#.to_owned()]).await;
    assert_eq!(team.registration_tokens().await.unwrap().registration_tokens.len(), 1);
    assert_eq!(*asked.lock().unwrap(), ["/registration-tokens", "/registration-tokens?before=7"]);

    let attempts =
        format!(r#"{{"attempts":[{{"attempt_id":3,"attempt_no":1,"status":"leased","leased_at":{at}}}]}}"#);
    let (team, asked) = script(&[attempts, r#"{"attempts":[]}"#.to_owned()]).await;
    assert_eq!(team.attempts(4).await.unwrap().attempts.len(), 1);
    assert_eq!(*asked.lock().unwrap(), ["/runs/4/attempts", "/runs/4/attempts?after=1"]);
}

#[tokio::test]
async fn a_filter_travels_with_every_page() {
    let runner = r#"{"runners":[{"runner_id":1,"name":"r 1","environment":"gpu","status":"online","scope":"team","busy":false,"draining":false}]}"#;
    let (team, asked) = script(&[runner.to_owned(), r#"{"runners":[]}"#.to_owned()]).await;
    let filter = RunnerFilter { pool: Some("ns/p".to_owned()), ..RunnerFilter::default() };
    assert_eq!(team.runners(&filter).await.unwrap().runners.len(), 1);
    let path = "/admin/runners?pool=ns%2Fp";
    assert_eq!(*asked.lock().unwrap(), [path.to_owned(), format!("{path}&after=r+1")]);
}

#[tokio::test]
async fn a_list_that_would_fill_the_memory_is_given_up() {
    async fn answer(State(count): State<Arc<AtomicUsize>>) -> Response {
        let filler = "x".repeat(60 * 1024 * 1024);
        let number = count.fetch_add(1, Ordering::Relaxed);
        json(200, &format!(r#"{{"filler":"{filler}",{}"#, &apps(&[&format!("a{number:09}")])[1..]))
    }
    let asked = Arc::new(AtomicUsize::new(0));
    let router = Router::new().fallback(answer).with_state(Arc::clone(&asked));
    let error = TeamClient::new(&serve(router).await, "t").unwrap().apps().await.unwrap_err();
    assert!(error.to_string().contains("more than 268435456 bytes"), "{error}");
    assert_eq!(asked.load(Ordering::Relaxed), 5);
}

/// In the order of a server that knows no cursors, or in any other.
#[rstest]
#[case(&["a", "b", "c"])]
#[case(&["c", "a", "b"])]
#[tokio::test]
async fn a_server_without_cursors_has_said_everything_at_once(#[case] order: &[&str]) {
    let (team, asked) = script(&[apps(order)]).await;
    assert_eq!(slugs(&team).await, order);
    assert_eq!(asked.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn a_list_without_end_is_given_up() {
    async fn answer(State(count): State<Arc<AtomicUsize>>) -> Response {
        json(200, &apps(&[&format!("a{:09}", count.fetch_add(1, Ordering::Relaxed))]))
    }
    let router = Router::new().fallback(answer).with_state(Arc::default());
    let error = TeamClient::new(&serve(router).await, "t").unwrap().apps().await.unwrap_err();
    assert!(matches!(error, Error::Decode { .. }), "{error:?}");
    assert!(error.to_string().contains("more than 1000 pages"), "{error}");
}

#[tokio::test]
async fn one_version_is_looked_up_without_reading_the_others() {
    let (team, asked) = script(&[versions(&[3])]).await;
    let number = async |wanted| team.find_version("hello", wanted).await.unwrap().map(|it| it.version_no);
    assert_eq!(number(None).await, Some(3));
    assert_eq!(number(Some(3)).await, Some(3));
    assert_eq!(number(Some(4)).await, None, "the newest one before 5 is another");
    let path = "/apps/hello/versions?limit=1";
    assert_eq!(
        *asked.lock().unwrap(),
        [path.to_owned(), format!("{path}&before=4"), format!("{path}&before=5")]
    );

    let (team, _) = script(&[versions(&[9, 8, 7])]).await;
    let found = team.find_version("hello", Some(8)).await.unwrap().map(|version| version.version_no);
    assert_eq!(found, Some(8), "a server without cursors answers all");
}
