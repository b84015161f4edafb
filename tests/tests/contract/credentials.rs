//! Who may call what: every route with every kind of credential.

use std::fs;

use minitower_tests::programs::source_root;
use minitower_tests::server::{BOOTSTRAP_TOKEN, OPERATOR_TOKEN, REGISTRATION_TOKEN};
use minitower_tests::{Runner, Server, Team};
use serde_json::{Value, json};

/// The kinds of credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Nothing,
    Unknown,
    Bootstrap,
    PlatformRegistration,
    TeamRegistration,
    Member,
    Admin,
    Runner,
    Operator,
}

use Kind::{Admin, Bootstrap, Member, Operator, PlatformRegistration, TeamRegistration};

const TEAM: &[Kind] = &[Member, Admin];
const TEAM_ADMIN: &[Kind] = &[Admin];
const ADMIN: &[Kind] = &[Admin, Operator];
const RUNNER: &[Kind] = &[Kind::Runner];

/// Every route that asks for a credential: method, path with ids that are none, and who may call it.
const ROUTES: &[(&str, &str, &[Kind])] = &[
    ("POST", "/bootstrap/team", &[Bootstrap]),
    ("GET", "/me", TEAM),
    ("POST", "/tokens", TEAM),
    ("GET", "/tokens", TEAM_ADMIN),
    ("DELETE", "/tokens/abc", TEAM_ADMIN),
    ("GET", "/registration-tokens", TEAM_ADMIN),
    ("POST", "/registration-tokens", TEAM_ADMIN),
    ("DELETE", "/registration-tokens/abc", TEAM_ADMIN),
    ("GET", "/audit", TEAM_ADMIN),
    ("GET", "/admin/audit", &[Operator]),
    ("GET", "/limits", TEAM),
    ("PUT", "/limits", TEAM_ADMIN),
    ("GET", "/retention", TEAM),
    ("PUT", "/retention", TEAM_ADMIN),
    ("GET", "/environments", TEAM),
    ("POST", "/environments", TEAM),
    ("GET", "/environments/x/secrets", TEAM_ADMIN),
    ("PUT", "/environments/x/secrets/NOTHING", TEAM_ADMIN),
    ("DELETE", "/environments/x/secrets/NOTHING", TEAM_ADMIN),
    ("GET", "/apps", TEAM),
    ("POST", "/apps", TEAM),
    ("GET", "/apps/nothing", TEAM),
    ("PATCH", "/apps/nothing", TEAM),
    ("GET", "/apps/nothing/versions", TEAM),
    ("POST", "/apps/nothing/versions", TEAM),
    ("GET", "/apps/nothing/versions/abc", TEAM),
    ("GET", "/apps/nothing/runs", TEAM),
    ("POST", "/apps/nothing/runs", TEAM),
    ("GET", "/runs", TEAM),
    ("GET", "/runs/summary", TEAM),
    ("GET", "/runs/events", TEAM),
    ("GET", "/runs/abc", TEAM),
    ("GET", "/runs/abc/attempts", TEAM),
    ("GET", "/runs/abc/explain", TEAM),
    ("GET", "/runs/abc/logs", TEAM),
    ("GET", "/runs/abc/artifacts", TEAM),
    ("GET", "/runs/abc/artifacts/file", TEAM),
    ("DELETE", "/apps/nobodys", TEAM_ADMIN),
    ("DELETE", "/apps/nobodys/versions/abc", TEAM_ADMIN),
    ("DELETE", "/runs/abc", TEAM_ADMIN),
    ("DELETE", "/runs/abc/artifacts/file", TEAM_ADMIN),
    ("POST", "/runs/abc/cancel", TEAM),
    ("POST", "/runs/abc/retry", TEAM),
    ("POST", "/runs/cancel", TEAM),
    ("POST", "/runs/retry", TEAM),
    ("GET", "/notifications", TEAM),
    ("POST", "/notifications", TEAM_ADMIN),
    ("GET", "/notifications/abc", TEAM),
    ("PATCH", "/notifications/abc", TEAM_ADMIN),
    ("DELETE", "/notifications/abc", TEAM_ADMIN),
    ("POST", "/notifications/abc/test", TEAM_ADMIN),
    ("GET", "/notifications/abc/deliveries", TEAM),
    ("POST", "/notifications/abc/deliveries/abc/retry", TEAM_ADMIN),
    ("POST", "/runners/register", &[PlatformRegistration, TeamRegistration]),
    ("POST", "/runners/sign-off", RUNNER),
    ("POST", "/runs/lease", RUNNER),
    ("POST", "/runs/abc/start", RUNNER),
    ("POST", "/runs/abc/heartbeat", RUNNER),
    ("POST", "/runs/abc/logs", RUNNER),
    ("POST", "/runs/abc/result", RUNNER),
    ("GET", "/runs/abc/artifact", RUNNER),
    ("PUT", "/runs/abc/artifacts/file", RUNNER),
    ("POST", "/runs/abc/release", RUNNER),
    ("GET", "/admin/demand", ADMIN),
    ("GET", "/admin/runners", ADMIN),
    ("POST", "/admin/runners/nobody/drain", ADMIN),
    ("DELETE", "/admin/runners/nobody/drain", ADMIN),
    ("POST", "/admin/runners/nobody/ended", ADMIN),
    ("DELETE", "/admin/runners/nobody", ADMIN),
    ("GET", "/admin/pools", &[Operator]),
    ("PUT", "/admin/pools/nowhere/nobodys", &[Operator]),
    ("DELETE", "/admin/pools/nowhere/nobodys", &[Operator]),
    ("POST", "/admin/pools/nowhere/nobodys/token", &[Operator]),
    ("DELETE", "/admin/pools/nowhere/nobodys/token", &[Operator]),
    ("GET", "/admin/teams/nobody/limits", &[Operator]),
    ("PUT", "/admin/teams/nobody/limits", &[Operator]),
    // The same once more with ids that exist, so that a right answer cannot come from a wrong id.
    ("GET", "/runs/1", TEAM),
    ("GET", "/apps/hello", TEAM),
    ("GET", "/apps/hello/versions/1", TEAM),
    ("POST", "/runs/1/heartbeat", RUNNER),
];

struct Credentials {
    team: Team,
    member: Team,
    runner: Runner,
}

impl Credentials {
    fn token(&self, kind: Kind) -> Option<&str> {
        Some(match kind {
            Kind::Nothing => return None,
            Kind::Unknown => "mtk_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
            Bootstrap => BOOTSTRAP_TOKEN,
            PlatformRegistration => REGISTRATION_TOKEN,
            TeamRegistration => &self.team.registration_token,
            Member => &self.member.token,
            Admin => &self.team.token,
            Kind::Runner => &self.runner.token,
            Operator => OPERATOR_TOKEN,
        })
    }
}

/// Whether a path is one of a template.
fn fits(template: &str, path: &str) -> bool {
    let (wanted, found): (Vec<_>, Vec<_>) = (template.split('/').collect(), path.split('/').collect());
    wanted.len() == found.len()
        && wanted.iter().zip(found).all(|(wanted, found)| wanted.starts_with('{') || *wanted == found)
}

#[test]
fn every_described_route_that_asks_for_a_credential_is_in_the_list() {
    let text = fs::read_to_string(source_root().join("openapi.json")).unwrap();
    let description: Value = serde_json::from_str(&text).unwrap();
    let paths = description["paths"].as_object().unwrap();
    for (template, methods) in paths {
        for (method, operation) in methods.as_object().unwrap() {
            if operation["security"].as_array().is_none_or(Vec::is_empty) {
                continue;
            }
            let method = method.to_uppercase();
            // Of the templates that fit, the one with the fewest parameters is meant: `/runs/summary`, not `/runs/{run}`.
            let named = ROUTES.iter().filter(|(named, _, _)| *named == method);
            let listed = named.map(|(_, path, _)| format!("/api/v1{path}")).any(|path| {
                let fitting = paths.keys().filter(|template| fits(template, &path));
                fitting.min_by_key(|template| template.matches('{').count()) == Some(template)
            });
            assert!(listed, "{method} {template} is new: add it to ROUTES, with who may call it");
        }
    }
}

#[test]
fn a_wrong_credential_is_401_before_ids_headers_and_bodies_are_looked_at() {
    let server = Server::start();
    let team = server.bootstrap();
    team.python_app("hello", "print()");
    team.run_id("hello");
    let runner = Runner::register(&server, "r1");
    let all = Credentials { member: team.member(), team, runner };
    for &(method, path, opens) in ROUTES {
        for kind in [
            Kind::Nothing,
            Kind::Unknown,
            Bootstrap,
            PlatformRegistration,
            TeamRegistration,
            Member,
            Admin,
            Kind::Runner,
            Operator,
        ] {
            // A good stream would not end.
            let query = if path == "/runs/events" { "?no_such=1" } else { "" };
            let mut request = server.http().request(method, &format!("/api/v1{path}{query}"));
            if method != "GET" {
                request = request.body("{ no json");
            }
            if let Some(token) = all.token(kind) {
                request = request.bearer(token);
            }
            let answer = request.send();
            let seen = format!("{method} {path} with {kind:?}: {} {}", answer.status, answer.text());
            if opens.contains(&kind) {
                assert!(![401, 403].contains(&answer.status), "{seen}");
                assert!(answer.status < 500, "{seen}");
            } else if kind == Member && opens.contains(&Admin) {
                answer.expect_error(403, "forbidden");
            } else {
                assert_eq!(answer.status, 401, "{seen}");
                answer.expect_error(401, "unauthorized");
            }
        }
    }
}

#[test]
fn bearer_is_read_in_any_case_and_other_schemes_are_401() {
    let server = Server::start();
    let team = server.bootstrap();
    let me = |value: &str| server.http().get("/api/v1/me").header("Authorization", value).send();
    for scheme in ["Bearer", "bearer", "BEARER", "bEaReR"] {
        me(&format!("{scheme} {}", team.token)).expect(200);
    }
    for value in
        [team.token.clone(), format!("Basic {}", team.token), "Bearer".to_owned(), "Bearer ".to_owned()]
    {
        me(&value).expect_error(401, "unauthorized");
    }
}

#[test]
fn a_lease_token_does_not_replace_a_runner_token() {
    let server = Server::start();
    let team = server.bootstrap();
    team.python_app("hello", "print()");
    team.run_id("hello");
    let lease = Runner::register(&server, "r1").lease();
    let path = format!("/api/v1/runs/{}/heartbeat", lease.run);
    server.http().post(&path).lease(&lease.token).send().expect_error(401, "unauthorized");
    server
        .http()
        .post(&path)
        .bearer(&lease.token)
        .lease(&lease.token)
        .send()
        .expect_error(401, "unauthorized");
    server
        .http()
        .post(&path)
        .bearer(&team.token)
        .lease(&lease.token)
        .send()
        .expect_error(401, "unauthorized");
}

#[test]
fn another_teams_objects_are_not_found() {
    let server = Server::start();
    let ours = server.bootstrap();
    let theirs = server.sign_up("other-team");
    theirs.python_app("secret-app", "print()");
    let run = theirs.run_id("secret-app");
    ours.app("our-app");
    for path in [
        "/apps/secret-app".to_owned(),
        "/apps/secret-app/versions".to_owned(),
        "/apps/secret-app/versions/1".to_owned(),
        "/apps/secret-app/runs".to_owned(),
        format!("/runs/{run}"),
        format!("/runs/{run}/logs"),
        format!("/runs/{run}/attempts"),
    ] {
        ours.get(&path).send().expect_error(404, "not_found");
    }
    ours.post("/apps/secret-app/runs").json(json!({})).send().expect_error(404, "not_found");
    ours.post(&format!("/runs/{run}/cancel")).send().expect_error(404, "not_found");
    ours.upload("secret-app", Some(b"x"), &[("entrypoint", "main.py")]).expect_error(404, "not_found");
    assert_eq!(theirs.status(run), "queued");
    assert_eq!(ours.get("/runs").send().expect_json(200), json!({"runs": []}));
    let apps = ours.get("/apps").send().expect_json(200);
    assert_eq!(apps["apps"].as_array().unwrap().len(), 1);
    let summary = ours.get("/runs/summary").send().expect_json(200);
    assert_eq!(summary["total_runs"], 0);
}

#[test]
fn tokens_carry_their_prefix_and_32_bytes() {
    let server = Server::start();
    let team = server.bootstrap();
    let runner = Runner::register(&server, "r1");
    for (token, prefix) in [(&team.token, "mtk_"), (&runner.token, "mtr_")] {
        let secret = token.strip_prefix(prefix).unwrap_or_else(|| panic!("no {prefix}: {token}"));
        assert_eq!(secret.len(), 43, "32 bytes in base64url without padding: {token}");
        assert!(secret.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
    }
}

#[test]
fn no_secret_lies_in_the_database_or_in_the_log() {
    let mut server = Server::start();
    let team = server.bootstrap();
    team.python_app("hello", "print()");
    team.run_id("hello");
    let runner = Runner::register(&server, "r1");
    let lease = runner.lease_and_start();
    server.http().get("/api/v1/me").bearer("mtk_a-wrong-token-that-is-long-enough").send().expect(401);
    lease.complete().expect(200);
    let mut bytes = server.program().log().into_bytes();
    for suffix in ["", "-wal"] {
        let mut path = server.database().into_os_string();
        path.push(suffix);
        bytes.extend(std::fs::read(path).unwrap_or_default());
    }
    let secrets = [
        team.token.as_str(),
        &team.registration_token,
        &runner.token,
        &lease.token,
        BOOTSTRAP_TOKEN,
        OPERATOR_TOKEN,
        REGISTRATION_TOKEN,
        "a-wrong-token-that-is-long-enough",
    ];
    for secret in secrets {
        let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(!found, "found the secret {secret}");
    }
}
