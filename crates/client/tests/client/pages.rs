//! Lists by pages.

use std::sync::atomic::{AtomicUsize, Ordering};

use minitower_client::wire::runner::Register;
use minitower_client::{Error, RunnerFilter, TeamClient};
use minitower_test_plane::{Answer, Plane, Team};
use rstest::rstest;
use serde_json::{Value, json};

use crate::plane;

/// A control plane, and its team's calls; its team has no app.
fn empty() -> (Plane, Team, TeamClient) {
    let plane = Plane::start();
    let team = plane.team("acme");
    let client = TeamClient::new(&plane.config(), &team.token).unwrap();
    (plane, team, client)
}

/// Pages of `most` items: the server's own are longer.
fn pages(list: &'static str, most: usize) -> Answer {
    Answer::change_json(move |body| body[list].as_array_mut().unwrap().truncate(most))
}

/// The path and query of every request, below `/api/v1`.
fn asked(plane: &Plane) -> Vec<String> {
    let requests = plane.requests("* /**");
    let whole = |request: &minitower_test_plane::Request| {
        let query = request.query.as_ref().map(|query| format!("?{query}")).unwrap_or_default();
        format!("{}{query}", request.path.trim_start_matches("/api/v1"))
    };
    requests.iter().map(whole).collect()
}

async fn slugs(client: &TeamClient) -> Vec<String> {
    client.apps().await.unwrap().apps.into_iter().map(|app| app.slug).collect()
}

#[tokio::test]
async fn cursors_are_followed_until_an_empty_page() {
    let (plane, team, client) = empty();
    for slug in ["aaa", "bbb", "ccc", "ddd", "eee"] {
        team.app(slug);
    }
    plane.always("GET /apps", pages("apps", 2));
    assert_eq!(slugs(&client).await, ["aaa", "bbb", "ccc", "ddd", "eee"]);
    assert_eq!(asked(&plane), ["/apps", "/apps?after=bbb", "/apps?after=ddd", "/apps?after=eee"]);
}

#[tokio::test]
async fn a_list_from_the_newest_has_its_cursor_too() {
    let (plane, team, client) = plane();
    for text in ["2", "3"] {
        team.version("hello", minitower_test_plane::Project::new("main.py", &[("main.py", text)]));
    }
    plane.always("GET /apps/hello/versions", pages("versions", 2));
    let found = client.versions("hello").await.unwrap().versions;
    assert_eq!(found.iter().map(|version| version.version_no).collect::<Vec<_>>(), [3, 2, 1]);
    let path = "/apps/hello/versions";
    assert_eq!(asked(&plane), [path.to_owned(), format!("{path}?before=2"), format!("{path}?before=1")]);
}

#[tokio::test]
async fn every_list_has_its_cursor() {
    let (plane, team, client) = plane();
    client.create_environment("e-1").await.unwrap();
    let run = team.run("hello").run_id;
    plane.runner("r").lease();
    let before = asked(&plane).len();
    assert_eq!(client.environments().await.unwrap().environments.len(), 2);
    let tokens = client.registration_tokens().await.unwrap().registration_tokens;
    assert_eq!(client.attempts(run).await.unwrap().attempts.len(), 1);
    assert_eq!(
        asked(&plane)[before..],
        [
            "/environments".to_owned(),
            "/environments?after=e-1".to_owned(),
            "/registration-tokens".to_owned(),
            format!("/registration-tokens?before={}", tokens.last().unwrap().id),
            format!("/runs/{run}/attempts"),
            format!("/runs/{run}/attempts?after=1"),
        ]
    );
}

#[tokio::test]
async fn a_filter_travels_with_every_page() {
    let (plane, team, client) = empty();
    let register = |name: &str, pool: &str| Register {
        name: name.to_owned(),
        pool: Some(pool.to_owned()),
        ..Register::default()
    };
    plane.runner_with(&team.registration_token, register("r-1", "ns/p"));
    plane.runner_with(&team.registration_token, register("r-2", "ns/q"));
    let filter = RunnerFilter { pool: Some("ns/p".to_owned()), ..RunnerFilter::default() };
    assert_eq!(client.runners(&filter).await.unwrap().runners.len(), 1);
    let path = "/admin/runners?pool=ns%2Fp";
    assert_eq!(asked(&plane), [path.to_owned(), format!("{path}&after=r-1")]);
}

/// A list of apps whose only one has another name in each answer.
fn without_end(team: &Team) -> impl Fn(&mut Value) + use<> {
    let (app, count) = (team.get("/apps")["apps"][0].clone(), AtomicUsize::new(0));
    move |body| {
        let mut app = app.clone();
        app["slug"] = json!(format!("a{:09}", count.fetch_add(1, Ordering::Relaxed)));
        *body = json!({ "apps": [app] });
    }
}

#[tokio::test]
async fn a_list_that_would_fill_the_memory_is_given_up() {
    let (plane, team, client) = plane();
    let next = without_end(&team);
    let long = Answer::change_json(move |body| {
        next(body);
        body["filler"] = Value::from("x".repeat(60 * 1024 * 1024));
    });
    plane.always("GET /apps", long);
    let error = client.apps().await.unwrap_err();
    assert!(error.to_string().contains("more than 268435456 bytes"), "{error}");
    assert_eq!(plane.count("GET /apps"), 5);
}

#[tokio::test]
async fn a_list_without_end_is_given_up() {
    let (plane, team, client) = plane();
    plane.always("GET /apps", Answer::change_json(without_end(&team)));
    let error = client.apps().await.unwrap_err();
    assert!(matches!(error, Error::Decode { .. }), "{error:?}");
    assert!(error.to_string().contains("more than 1000 pages"), "{error}");
}

/// In the order of a server that knows no cursors, or in any other.
#[rstest]
#[case(&["aaa", "bbb", "ccc"])]
#[case(&["ccc", "aaa", "bbb"])]
#[tokio::test]
async fn a_server_without_cursors_has_said_everything_at_once(#[case] order: &'static [&'static str]) {
    let (plane, team, client) = empty();
    let apps: Vec<_> = order.iter().map(|slug| team.app(slug)).collect();
    plane.always("GET /apps", Answer::json(200, &json!({ "apps": apps })));
    assert_eq!(slugs(&client).await, order);
    assert_eq!(plane.count("GET /apps"), 2);
}

#[tokio::test]
async fn one_version_is_looked_up_without_reading_the_others() {
    let (plane, _, client) = plane();
    let number = async |wanted| client.find_version("hello", wanted).await.unwrap().map(|it| it.version_no);
    assert_eq!(number(None).await, Some(1));
    assert_eq!(number(Some(1)).await, Some(1));
    assert_eq!(number(Some(2)).await, None, "the newest one before 3 is another");
    let path = "/apps/hello/versions?limit=1";
    assert_eq!(asked(&plane), [path.to_owned(), format!("{path}&before=2"), format!("{path}&before=3")]);
}

#[tokio::test]
async fn a_version_is_found_in_the_whole_list_of_a_server_without_cursors() {
    let (plane, team, client) = plane();
    for text in ["2", "3"] {
        team.version("hello", minitower_test_plane::Project::new("main.py", &[("main.py", text)]));
    }
    plane.always("GET /apps/hello/versions", Answer::json(200, &team.get("/apps/hello/versions")));
    let found = client.find_version("hello", Some(2)).await.unwrap().map(|version| version.version_no);
    assert_eq!(found, Some(2));
}
