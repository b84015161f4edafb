//! Lists by pages: `limit`, and the cursor each list has.

use minitower_tests::{Artifact, Runner, Server, Team, shape};
use serde_json::{Value, json};

/// A list under test.
struct List<'a> {
    team: &'a Team,
    path: &'a str,
    /// The list's field in an answer.
    field: &'a str,
    /// What is read of each item, and given as the cursor.
    key: &'a str,
    /// The query parameter of the cursor.
    cursor: &'a str,
}

impl List<'_> {
    fn keys(&self, query: &str) -> Vec<Value> {
        let answer = self.team.get(&format!("{}{query}", self.path)).send().expect_json(200);
        shape::fields(&answer, &[self.field], &[]);
        answer[self.field].as_array().unwrap().iter().map(|item| item[self.key].clone()).collect()
    }

    /// Asserts that the pages, read with any limit until one is empty, are the list without a cursor, and yields that.
    #[track_caller]
    fn assert_paged(&self) -> Vec<Value> {
        let all = self.keys("");
        assert!(all.len() >= 3, "{all:?}");
        for limit in [1, 2, 1000] {
            let mut seen: Vec<Value> = Vec::new();
            loop {
                let from = seen.last().map_or_else(String::new, |last| {
                    let last = last.as_str().map_or_else(|| last.to_string(), str::to_owned);
                    format!("&{}={last}", self.cursor)
                });
                let page = self.keys(&format!("?limit={limit}{from}"));
                assert!(page.len() <= limit, "limit={limit}{from}: {page:?}");
                if page.is_empty() {
                    break;
                }
                seen.extend(page);
                assert!(seen.len() <= all.len(), "{seen:?} instead of {all:?}");
            }
            assert_eq!(seen, all, "limit={limit}");
        }
        // The operator reads all runners at once.
        let too_many = if self.path == "/admin/runners" { "10001" } else { "1001" };
        for limit in ["0", too_many, "-1", "many", "1.5", ""] {
            let path = format!("{}?limit={limit}", self.path);
            let message = self.team.get(&path).send().expect_error(400, "invalid_request");
            assert!(message.contains("limit"), "{path}: {message}");
        }
        all
    }

    /// Asserts that a cursor that is no number is refused.
    #[track_caller]
    fn assert_number(&self) {
        for text in ["x", "1.5", "99999999999999999999"] {
            let path = format!("{}?{}={text}", self.path, self.cursor);
            let message = self.team.get(&path).send().expect_error(400, "invalid_request");
            assert!(message.contains(self.cursor), "{path}: {message}");
        }
    }
}

#[test]
fn apps_are_paged_by_slug() {
    let server = Server::start();
    let team = server.bootstrap();
    for slug in ["gamma", "alpha", "beta"] {
        team.app(slug);
    }
    let list = List { team: &team, path: "/apps", field: "apps", key: "slug", cursor: "after" };
    assert_eq!(list.assert_paged(), ["alpha", "beta", "gamma"]);
    assert_eq!(list.keys("?after=az"), ["beta", "gamma"], "the cursor need not exist");
}

#[test]
fn environments_are_paged_by_name() {
    let server = Server::start();
    let team = server.bootstrap();
    for name in ["staging", "eu-west.1_b", "gpu"] {
        team.post("/environments").json(json!({"name": name})).send().expect(201);
    }
    let list =
        List { team: &team, path: "/environments", field: "environments", key: "name", cursor: "after" };
    let names = list.assert_paged();
    assert!(names.iter().is_sorted_by_key(|name| name.as_str()), "{names:?}");
}

#[test]
fn versions_are_paged_by_number() {
    let server = Server::start();
    let team = server.bootstrap();
    team.app("hello");
    for number in 0..3 {
        team.version("hello", &Artifact::python(&format!("{number}")), "main.py");
    }
    let path = "/apps/hello/versions";
    let list = List { team: &team, path, field: "versions", key: "version_no", cursor: "before" };
    assert_eq!(list.assert_paged(), [3, 2, 1]);
    list.assert_number();
    team.get("/apps/nothing/versions?before=1").send().expect_error(404, "not_found");
}

#[test]
fn registration_tokens_are_paged_by_id() {
    let server = Server::start();
    let team = server.bootstrap();
    for _ in 0..3 {
        team.post("/registration-tokens").send().expect(201);
    }
    let path = "/registration-tokens";
    let list = List { team: &team, path, field: "registration_tokens", key: "id", cursor: "before" };
    let ids = list.assert_paged();
    assert!(ids.iter().is_sorted_by(|newer, older| newer.as_i64() > older.as_i64()), "{ids:?}");
    list.assert_number();
}

#[test]
fn attempts_are_paged_by_number() {
    let server = Server::start();
    let team = server.bootstrap();
    team.python_app("hello", "print()");
    let run = team.run_id("hello");
    let runner = Runner::register(&server, "r1");
    for _ in 0..3 {
        runner.lease().release().expect(200);
    }
    let path = format!("/runs/{run}/attempts");
    let list = List { team: &team, path: &path, field: "attempts", key: "attempt_no", cursor: "after" };
    assert_eq!(list.assert_paged(), [1, 2, 3]);
    list.assert_number();
}

#[test]
fn runners_are_paged_by_name() {
    let server = Server::start();
    let team = server.bootstrap();
    for name in ["r1", "r2", "r3"] {
        Runner::register(&server, name);
    }
    let list = List { team: &team, path: "/admin/runners", field: "runners", key: "name", cursor: "after" };
    assert_eq!(list.assert_paged(), ["r1", "r2", "r3"]);
}
