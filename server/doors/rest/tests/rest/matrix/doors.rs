//! Who is let in.

use std::collections::{BTreeMap, BTreeSet};

use axum::body::Body;
use http::{Method, Request};
use minitower_rest::{Access, HttpConfig, HttpMetrics, HttpState, Route, router, table};

use super::bed::{Answer, Template};
use super::callers::{Door, door, known, nobodies};

/// The one shape of errors.
fn is_error(answer: &Answer) -> bool {
    let body: serde_json::Value = serde_json::from_str(&answer.body).unwrap_or_default();
    let fields = |value: &serde_json::Value| value.as_object().map_or(0, serde_json::Map::len);
    answer.headers.get("content-type").is_some_and(|kind| kind == "application/json")
        && (fields(&body), fields(&body["error"])) == (1, 2)
        && body["error"]["code"].is_string()
        && body["error"]["message"].as_str().is_some_and(|text| !text.is_empty())
}

/// With ids that are no ids and a body that is no body: whoever is let in is told so, and nobody else.
#[tokio::test]
async fn each_route_opens_to_its_credentials_only_and_asks_for_them_first() {
    let template = Template::make().await;
    let bed = template.copy().await;
    let callers = [nobodies(&template.things), known(&template.things)].concat();
    let mut asked = 0;
    for route in table() {
        let Route { method, path, access, .. } = route.clone();
        let concrete = path.replace("{run}", "x").replace("{id}", "x").replace("{no}", "x");
        let concrete =
            concrete.replace("{app}", "no-such-app").replace("{name}", "%FF").replace("{*path}", "%FF");
        for caller in &callers {
            let mut request =
                Request::builder().method(&method).uri(&concrete).body(Body::from("{ no json")).unwrap();
            caller.sign(&mut request);
            let answer = bed.send(request).await;
            super::described::knows(&route, &answer);
            let found = match answer.status.as_u16() {
                401 => Door::Unauthorized,
                403 => Door::Forbidden,
                status => {
                    assert!(status < 500, "{method} {path} answers {status} to {}", caller.what);
                    Door::Open
                }
            };
            assert_eq!(found, door(access, caller.kind), "{method} {path} with {}", caller.what);
            assert!(
                found == Door::Open || is_error(&answer),
                "{method} {path} with {}: {answer:?}",
                caller.what
            );
            asked += 1;
        }
    }
    assert_eq!(asked, table().len() * callers.len());
}

#[tokio::test]
async fn a_runner_without_a_lease_token_is_told_so_and_a_wrong_one_is_gone() {
    let template = Template::make().await;
    let bed = template.copy().await;
    let (things, before) = (&template.things, bed.content());
    for route in table().into_iter().filter(super::calls::is_under_a_lease) {
        for mut caller in
            known(things).into_iter().filter(|caller| door(route.access, caller.kind) == Door::Open)
        {
            let good = std::mem::take(&mut caller.lease_token);
            for (token, status) in [
                (String::new(), 400),
                (good[..good.len() - 1].to_owned(), 410),
                (format!("{good}A"), 410),
                (good.to_uppercase(), 410),
                (things.holder.clone(), 410),
            ] {
                caller.lease_token = token;
                let request = super::calls::Call::of(&route).request(&route, things, &caller);
                let answer = bed.send(request).await;
                let what = format!("{} {} with {}: {answer:?}", route.method, route.path, caller.what);
                assert_eq!(answer.status, status, "{what}");
                assert!(is_error(&answer), "{what}");
            }
        }
    }
    assert_eq!(bed.content(), before);
}

#[test]
fn no_row_stands_in_the_table_twice() {
    let mut rows: Vec<_> = table().into_iter().map(|row| (row.path, row.method.to_string())).collect();
    let all = rows.len();
    rows.sort();
    rows.dedup();
    assert_eq!(rows.len(), all);
}

/// A route that is put into the router beside the table would have no row in any of these tests.
#[tokio::test]
async fn the_router_has_no_route_outside_the_table() {
    let template = Template::make().await;
    let bed = template.copy().await;
    let mut rows: BTreeMap<&str, BTreeSet<Method>> = BTreeMap::new();
    for row in table() {
        rows.entry(row.path).or_default().insert(row.method);
    }

    // The router tells its paths only to those who debug it; the last two are its answer to unknown paths.
    let shown = format!("{:?}", bed.router());
    let paths: BTreeSet<&str> = shown.split('"').filter(|part| part.starts_with('/')).collect();
    let expected: BTreeSet<&str> =
        rows.keys().copied().chain(["/", "/{*__private__axum_fallback}"]).collect();
    assert_eq!(paths, expected);
    for path in ["/", "/x", "/api/v1/runs/"] {
        let answer = bed.send(Request::get(path).body(Body::empty()).unwrap()).await;
        assert_eq!((answer.status.as_u16(), is_error(&answer)), (404, true), "{path}: {answer:?}");
    }

    let known = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
    let odd = [Method::OPTIONS, Method::TRACE, Method::CONNECT, Method::from_bytes(b"BREW").unwrap()];
    for (path, methods) in rows {
        let concrete = path.replace(['{', '}', '*'], "");
        for method in known.iter().chain(&odd) {
            // Every GET answers HEAD too.
            let row = if method == Method::HEAD { &Method::GET } else { method };
            if methods.contains(row) {
                continue;
            }
            let request = Request::builder().method(method).uri(&concrete).body(Body::empty()).unwrap();
            assert_eq!(bed.send(request).await.status, 405, "{method} {path} is no row of the table");
        }
    }
}

#[tokio::test]
async fn the_route_of_a_bootstrap_that_is_off_tells_everyone_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let app = super::bed::open(folder.path(), None).await;
    let service =
        router(HttpState::new(app.subjects(), HttpConfig::default(), HttpMetrics::new("test").unwrap()));
    let bed = super::bed::Bed::of(folder, service);
    for row in table().into_iter().filter(|row| row.access == Access::Bootstrap) {
        for token in ["", "Bearer x", "Bearer bootstrap-token"] {
            let request = Request::builder().method(&row.method).uri(row.path).header("authorization", token);
            let answer = bed.send(request.body(Body::empty()).unwrap()).await;
            assert_eq!(answer.status, 404, "{answer:?}");
            assert!(is_error(&answer), "{answer:?}");
        }
    }
}
