//! What shows of each field that it is read. A new field has to be added here.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use http::Method;
use minitower_vocabulary::limits::LimitName;
use serde_json::{Value, json};

use super::{Call, Proof, Who, notifications, waiting};
use crate::matrix::bed::{ARTIFACT, BOUNDARY, Bed, INSTANCE, PASSWORD, Things};

/// An operation, a field, and what shows it.
pub(super) type Row = (&'static str, &'static str, Proof);

pub(super) fn call(who: Who, method: &Method, path: &str, body: &Value) -> Call {
    let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    Call { who, method: method.clone(), path: path.to_owned(), headers: Vec::new(), body, form: false }
}

fn get(path: &str) -> Call {
    call(Who::Admin, &Method::GET, path, &Value::Null)
}

pub(super) fn post(who: Who, path: &str, body: &Value) -> Call {
    call(who, &Method::POST, path, body)
}

pub(super) fn differs(one: Call, other: Call) -> Proof {
    Proof::Differs { calls: [one, other], first: Vec::new(), then: None }
}

fn then(one: Call, other: Call, then: Call) -> Proof {
    Proof::Differs { calls: [one, other], first: Vec::new(), then: Some(then) }
}

/// An id that is none of any stream.
const LONG: &str = "longer than 64 characters longer than 64 characters longer than 64";

/// A stream of events that goes on behind one.
fn resumed(path: &str, id: &'static str) -> Call {
    let headers = vec![("accept", "text/event-stream"), ("last-event-id", id)];
    Call { headers, ..get(&format!("/runs/{path}")) }
}

pub(super) fn refused(one: Call, other: Call, word: &'static str) -> Proof {
    Proof::Refused { calls: [one, other], word }
}

/// More of acme's things than the matrix has, so that lists have more than one item.
pub(super) async fn furnish(bed: &Bed, things: &Things) {
    let app = |slug: &str| post(Who::Admin, "/apps", &json!({"slug": slug}));
    let run = |body: &Value| post(Who::Admin, "/apps/acme-app/runs", body);
    let mut keyed = run(&json!({}));
    keyed.headers.push(("idempotency-key", "k"));
    let pooled = json!({"name": "acme-pooled", "environment": "zeta", "pool": "cpu", "labels": {"a": "1"}});
    let line =
        |seq, stream| json!({"seq": seq, "stream": stream, "line": "l", "logged_at": "2026-01-02T03:04:05Z"});
    for call in [
        app("acme-b"),
        version(&[("artifact", archive()), ("entrypoint", b"main.py".to_vec())]),
        run(&json!({"environment": "zeta", "labels": {"a": "1"}})),
        keyed,
        call(Who::Admin, &Method::PUT, "/environments/acme-zone/secrets/B", &json!({"value": "more"})),
        post(Who::Registration, "/runners/register", &pooled),
        post(Who::Admin, "/admin/runners/acme-pooled/drain", &json!({"owner": "x"})),
        call(Who::Holder, &Method::PUT, "/runs/{run}/artifacts/acme/second.txt", &json!("x")),
        post(Who::Holder, "/runs/{run}/logs", &json!({"logs": [line(2, "stderr"), line(3, "stdout")]})),
    ] {
        let answer = call.send(bed, things).await;
        assert!(answer.status.is_success(), "{call:?}: {answer:?}");
    }
}

pub(super) fn rows() -> Vec<Row> {
    [
        lists(),
        of_teams(),
        of_apps(),
        of_runs(),
        of_repeated_runs(),
        of_many_runs(),
        of_runners(),
        of_attempts(),
        deletions(),
        waiting::rows(),
        limits(),
        notifications::rows(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A limit that is set is shown.
fn limits() -> Vec<Row> {
    let mut rows = Vec::new();
    for (operation, who, path) in [
        ("set_limits", Who::Admin, "/limits"),
        ("set_team_limits", Who::Operator, "/admin/teams/acme/limits"),
    ] {
        for name in LimitName::ALL.iter().map(|name| name.as_str()) {
            let put = |body: &Value| call(who, &Method::PUT, path, body);
            rows.push((operation, name, differs(put(&json!({})), put(&json!({name: 60})))));
        }
    }
    rows
}

/// What has not ended is only deleted by force.
fn deletions() -> Vec<Row> {
    let delete = |path: &str| call(Who::Admin, &Method::DELETE, path, &Value::Null);
    let forced = |path: &str| differs(delete(path), delete(&format!("{path}?force=true")));
    vec![
        ("delete_app", "?force", forced("/apps/acme-app")),
        ("delete_version", "?force", forced("/apps/acme-app/versions/1")),
        ("delete_run", "?force", forced("/runs/{next}")),
    ]
}

/// Lists are shorter, or others, with the parameter than without.
fn lists() -> Vec<Row> {
    let all = |path: &str| call(Who::Operator, &Method::GET, path, &Value::Null);
    let everybodys = |query: &str| differs(all("/admin/audit"), all(&format!("/admin/audit?{query}")));
    let listed = |path: &str, query: &str| differs(get(path), get(&format!("{path}?{query}")));
    vec![
        ("demand", "?after", listed("/admin/demand", "after=acme/default")),
        ("demand", "?limit", listed("/admin/demand", "limit=1")),
        ("list_runners", "?pool", listed("/admin/runners", "pool=cpu")),
        ("list_runners", "?environment", listed("/admin/runners", "environment=zeta")),
        ("list_runners", "?after", listed("/admin/runners", "after=acme-pooled")),
        ("list_runners", "?limit", listed("/admin/runners", "limit=1")),
        ("list_apps", "?after", listed("/apps", "after=acme-app")),
        ("list_apps", "?limit", listed("/apps", "limit=1")),
        ("list_app_runs", "?limit", listed("/apps/acme-app/runs", "limit=1")),
        ("list_app_runs", "?offset", listed("/apps/acme-app/runs", "offset=1")),
        ("list_versions", "?before", listed("/apps/acme-app/versions", "before=2")),
        ("list_versions", "?limit", listed("/apps/acme-app/versions", "limit=1")),
        ("list_environments", "?after", listed("/environments", "after=default")),
        ("list_environments", "?limit", listed("/environments", "limit=1")),
        ("list_secrets", "?after", listed("/environments/acme-zone/secrets", "after=ACME_KEY")),
        ("list_secrets", "?limit", listed("/environments/acme-zone/secrets", "limit=1")),
        ("list_tokens", "?before", listed("/tokens", "before=1")),
        ("list_tokens", "?limit", listed("/tokens", "limit=1")),
        ("list_audit", "?before", listed("/audit", "before=1")),
        ("list_audit", "?limit", listed("/audit", "limit=1")),
        ("list_all_audit", "?before", everybodys("before=1")),
        ("list_all_audit", "?limit", everybodys("limit=1")),
        // Only a full volume shows what it does.
        ("ready", "?full_is_ready", refused(get("//ready"), get("//ready?full_is_ready=x"), "full_is_ready")),
        ("list_registration_tokens", "?before", listed("/registration-tokens", "before={registration}")),
        ("list_registration_tokens", "?limit", listed("/registration-tokens", "limit=1")),
        ("list_runs", "?limit", listed("/runs", "limit=1")),
        ("list_runs", "?offset", listed("/runs", "offset=1")),
        ("list_runs", "?before", listed("/runs", "before={next}")),
        ("list_runs", "?status", listed("/runs", "status=queued")),
        ("list_runs", "?app", listed("/runs", "app=acme-b")),
        ("list_runs", "?environment", listed("/runs", "environment=zeta")),
        ("list_runs", "?label", listed("/runs", "label=a=1")),
        ("list_artifacts", "?after", listed("/runs/{run}/artifacts", &format!("after={ARTIFACT}"))),
        ("list_artifacts", "?limit", listed("/runs/{run}/artifacts", "limit=1")),
        ("list_attempts", "?after", listed("/runs/{run}/attempts", "after=1")),
        ("list_attempts", "?limit", listed("/runs/{run}/attempts", "limit=1")),
        ("list_logs", "?attempt", listed("/runs/{run}/logs", "attempt=1")),
        ("list_logs", "?after_seq", listed("/runs/{run}/logs", "after_seq=1")),
        ("list_logs", "?tail", listed("/runs/{run}/logs", "tail=1")),
        ("list_logs", "?stream", listed("/runs/{run}/logs", "stream=stderr")),
        (
            "list_logs",
            "last-event-id",
            refused(resumed("{run}/logs", "1"), resumed("{run}/logs", "x"), "Last-Event-ID"),
        ),
        (
            "follow_runs",
            "last-event-id",
            refused(resumed("events", "x"), resumed("events", LONG), "Last-Event-ID"),
        ),
        ("list_logs", "?limit", listed("/runs/{run}/logs", "limit=1")),
        // That it waits until the run's end is shown where runs end.
        ("show_run", "?wait", refused(get("/runs/{run}?wait=0"), get("/runs/{run}?wait=61"), "wait")),
    ]
}

fn of_teams() -> Vec<Row> {
    let bootstrap = |body: Value| post(Who::Bootstrap, "/bootstrap/team", &body);
    let signup = |body: Value| post(Who::Nobody, "/teams/signup", &body);
    let login = |slug: &str, password: &str| {
        post(Who::Nobody, "/teams/login", &json!({"slug": slug, "password": password}))
    };
    let token = |body: Value| post(Who::Admin, "/tokens", &body);
    let secret = |value: &str| {
        call(Who::Admin, &Method::PUT, "/environments/acme-zone/secrets/ACME_KEY", &json!({"value": value}))
    };
    let environment = |name: &str| post(Who::Admin, "/environments", &json!({"name": name}));
    let new = "another battery staple";
    let acme = || bootstrap(json!({"slug": "acme", "name": "acme"}));
    let newcomer = || signup(json!({"slug": "newcomer", "name": "n", "password": PASSWORD}));
    vec![
        ("bootstrap_team", "slug", differs(acme(), bootstrap(json!({"slug": "else", "name": "acme"})))),
        ("bootstrap_team", "name", refused(acme(), bootstrap(json!({"slug": "acme", "name": ""})), "name")),
        (
            "bootstrap_team",
            "password",
            then(
                acme(),
                bootstrap(json!({"slug": "acme", "name": "acme", "password": new})),
                login("acme", new),
            ),
        ),
        (
            "signup",
            "slug",
            differs(newcomer(), signup(json!({"slug": "second", "name": "n", "password": PASSWORD}))),
        ),
        (
            "signup",
            "name",
            refused(
                newcomer(),
                signup(json!({"slug": "newcomer", "name": "", "password": PASSWORD})),
                "name",
            ),
        ),
        (
            "signup",
            "password",
            then(
                newcomer(),
                signup(json!({"slug": "newcomer", "name": "n", "password": new})),
                login("newcomer", PASSWORD),
            ),
        ),
        ("login", "slug", differs(login("acme", PASSWORD), login("umbrella", PASSWORD))),
        ("login", "password", differs(login("acme", PASSWORD), login("acme", new))),
        (
            "create_token",
            "expires_in",
            refused(token(json!({"expires_in": 60})), token(json!({"expires_in": 0})), "expires_in"),
        ),
        ("create_token", "name", differs(token(json!({})), token(json!({"name": "ci"})))),
        ("create_token", "role", differs(token(json!({})), token(json!({"role": "admin"})))),
        ("set_secret", "value", differs(secret("abcd"), secret("abc"))),
        ("create_environment", "name", differs(environment("fresh"), environment("stale"))),
    ]
}

/// A form with an archive without a Towerfile.
pub(super) fn version(parts: &[(&str, Vec<u8>)]) -> Call {
    let mut form = Vec::new();
    for (name, content) in parts {
        let head = format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n");
        form.extend_from_slice(head.as_bytes());
        form.extend_from_slice(content);
        form.extend_from_slice(b"\r\n");
    }
    write!(form, "--{BOUNDARY}--\r\n").unwrap();
    Call { body: form, form: true, ..post(Who::Admin, "/apps/acme-app/versions", &Value::Null) }
}

pub(super) fn archive() -> Vec<u8> {
    packed(&[("main.py", ""), ("other.py", "")])
}

/// An archive of these files.
pub(super) fn packed(files: &[(&str, &str)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, path, content.as_bytes()).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap()
}

fn of_apps() -> Vec<Row> {
    let app = |body: Value| post(Who::Admin, "/apps", &body);
    let upload = |entrypoint: &str, more: &[(&str, &str)]| {
        let mut parts = vec![("artifact", archive()), ("entrypoint", entrypoint.as_bytes().to_vec())];
        parts.extend(more.iter().map(|(name, value)| (*name, value.as_bytes().to_vec())));
        version(&parts)
    };
    let plain = || upload("main.py", &[]);
    let schema = r#"{"type":"object"}"#;
    vec![
        ("create_app", "slug", differs(app(json!({"slug": "one"})), app(json!({"slug": "two"})))),
        (
            "create_app",
            "description",
            differs(app(json!({"slug": "one"})), app(json!({"slug": "one", "description": "d"}))),
        ),
        (
            "create_version",
            "artifact",
            refused(plain(), version(&[("entrypoint", b"a.py".to_vec())]), "artifact"),
        ),
        ("create_version", "entrypoint", differs(plain(), upload("other.py", &[]))),
        (
            "create_version",
            "timeout_seconds",
            differs(plain(), upload("main.py", &[("timeout_seconds", "7")])),
        ),
        (
            "create_version",
            "params_schema_json",
            differs(plain(), upload("main.py", &[("params_schema_json", schema)])),
        ),
    ]
}

fn of_runs() -> Vec<Row> {
    let run = |body: Value| post(Who::Admin, "/apps/acme-app/runs", &body);
    let with = |body: Value| differs(run(json!({})), run(body));
    let retry = |field: &str, value: Value| {
        let mut retry = json!({"max_attempts": 3});
        retry[field] = value;
        run(json!({"retry": retry}))
    };
    // What comes of a bad one is shown where runs fail.
    let policy = |field, good, bad| refused(retry(field, good), retry(field, bad), field);
    let mut keyed = run(json!({}));
    keyed.headers.push(("idempotency-key", "k"));
    let artifact = || get(&format!("/runs/{{run}}/artifacts/{ARTIFACT}"));
    let known = Call { headers: vec![("if-none-match", "*")], ..artifact() };
    let part = Call { headers: vec![("range", "bytes=1-")], ..artifact() };
    let of_another = Call { headers: vec![("range", "bytes=1-"), ("if-range", "\"x\"")], ..artifact() };
    let first = |body: Value| {
        let mut body = body;
        body["priority"] = 9.into();
        run(body)
    };
    let poll = post(Who::Idle, "/runs/lease", &json!({}));
    vec![
        ("create_run", "idempotency-key", differs(run(json!({})), keyed)),
        ("create_run", "input", with(json!({"input": {"a": 1}}))),
        ("create_run", "version_no", with(json!({"version_no": 1}))),
        ("create_run", "priority", with(json!({"priority": 7}))),
        ("create_run", "max_retries", with(json!({"max_retries": 7}))),
        ("create_run", "environment", with(json!({"environment": "zeta"}))),
        ("create_run", "labels", with(json!({"labels": {"a": "2"}}))),
        ("create_run", "timeout_seconds", then(first(json!({})), first(json!({"timeout_seconds": 7})), poll)),
        ("create_run", "retry", with(json!({"retry": {"max_attempts": 3}}))),
        (
            "create_run",
            "retry.max_attempts",
            differs(retry("max_attempts", 3.into()), retry("max_attempts", 4.into())),
        ),
        ("create_run", "retry.on", policy("on", json!(["lost"]), json!(["sometimes"]))),
        ("create_run", "retry.backoff_initial_ms", policy("backoff_initial_ms", 5.into(), (-1).into())),
        ("create_run", "retry.backoff_multiplier", policy("backoff_multiplier", json!(1.5), json!(0.5))),
        ("create_run", "retry.backoff_max_ms", policy("backoff_max_ms", 5000.into(), (-1).into())),
        ("download_artifact", "if-none-match", differs(artifact(), known)),
        ("download_artifact", "range", differs(artifact(), part.clone())),
        ("download_artifact", "if-range", differs(part, of_another)),
    ]
}

/// A run that was cancelled is repeated as it was, or otherwise.
fn of_repeated_runs() -> Vec<Row> {
    let retry = |body: Value| post(Who::Admin, "/runs/{next}/retry", &body);
    let ended = || vec![post(Who::Admin, "/runs/{next}/cancel", &json!({}))];
    let proof = |other: Call| Proof::Differs { calls: [retry(json!({})), other], first: ended(), then: None };
    let after = |run_id: i64, on: &str| retry(json!({"after": [{"run_id": run_id, "on": on}]}));
    let mut keyed = retry(json!({}));
    keyed.headers.push(("idempotency-key", "again"));
    let mut again = retry(json!({}));
    again.headers.push(("idempotency-key", "again"));
    let mut first = ended();
    first.push(keyed);
    vec![
        (
            "retry_run",
            "idempotency-key",
            Proof::Differs { calls: [retry(json!({})), again], first, then: None },
        ),
        ("retry_run", "input", proof(retry(json!({"input": {"a": 1}})))),
        ("retry_run", "version_no", proof(retry(json!({"version_no": 2})))),
        ("retry_run", "priority", proof(retry(json!({"priority": 7})))),
        ("retry_run", "environment", proof(retry(json!({"environment": "zeta"})))),
        ("retry_run", "after", proof(after(waiting::RUN, "ended"))),
        ("retry_run", "after[].run_id", proof(after(9_999_999, "ended"))),
        ("retry_run", "after[].on", proof(after(waiting::RUN, "sometimes"))),
    ]
}

/// What is meant is counted.
fn of_many_runs() -> Vec<Row> {
    let mut rows = Vec::new();
    for (operation, path, (status, other), elsewhere) in [
        // One waits here, and one elsewhere; one was cancelled, here.
        ("cancel_runs", "/runs/cancel", ("queued", "leased"), Value::Null),
        ("retry_runs", "/runs/retry", ("cancelled", "completed"), "zeta".into()),
    ] {
        let ended = || vec![post(Who::Admin, "/runs/{next}/cancel", &json!({}))];
        let count = |field: &str, value: Value| {
            let mut body = json!({"environment": "default", "status": status, "dry_run": true});
            body[field] = value;
            post(Who::Admin, path, &body)
        };
        let all = || count("dry_run", true.into());
        let proof = |other: Call| Proof::Differs { calls: [all(), other], first: ended(), then: None };
        rows.extend([
            (operation, "app", proof(count("app", "acme-b".into()))),
            (operation, "status", proof(count("status", other.into()))),
            (operation, "environment", proof(count("environment", elsewhere))),
            (operation, "label", proof(count("label", "no=such".into()))),
            (operation, "before", proof(count("before", 1.into()))),
            (
                operation,
                "dry_run",
                Proof::Differs {
                    calls: [all(), count("dry_run", false.into())],
                    first: ended(),
                    then: Some(get("/runs")),
                },
            ),
        ]);
    }
    rows
}

fn of_pool(body: &Value) -> Call {
    post(Who::Operator, "/admin/pools/ns/cpu/token", body)
}

/// A report of a pool, with something else in it.
pub(super) fn report(more: &Value) -> Call {
    let mut body = json!({"state": "ready", "min": 0, "max": 3, "desired": 1, "ready": 1, "message": "well"});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    call(Who::Operator, &Method::PUT, "/admin/pools/ns/cpu", &body)
}

/// What a report says is listed.
fn reported(more: &Value) -> Proof {
    then(report(&json!({})), report(more), call(Who::Operator, &Method::GET, "/admin/pools", &Value::Null))
}

fn of_runners() -> Vec<Row> {
    let register = |body: Value| post(Who::Registration, "/runners/register", &body);
    let named = |more: Value| {
        let mut body = json!({"name": "fresh-runner"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        register(body)
    };
    let pool_token = |body: Value| differs(of_pool(&json!({})), of_pool(&body));
    let runners = || get("/admin/runners");
    let drain = |name: &str, body: Value| post(Who::Admin, &format!("/admin/runners/{name}/drain"), &body);
    let undrain = |name: &str, body: Value| Call { method: Method::DELETE, ..drain(name, body) };
    let ended = |body: Value| post(Who::Admin, "/admin/runners/acme-holder/ended", &body);
    let poll = |who, body: Value| post(who, "/runs/lease", &body);
    let off = |body: Value| post(Who::Idle, "/runners/sign-off", &body);
    let again = poll(Who::Idle, json!({"request_id": "q"}));
    let waits =
        |seconds: u8| Call { path: format!("/runs/lease?wait={seconds}"), ..poll(Who::Idle, json!({})) };
    let succeeds =
        |supersedes: &str| poll(Who::Holder, json!({"instance_id": "next", "supersedes": supersedes}));
    vec![
        ("register_runner", "name", differs(named(json!({})), register(json!({"name": "other-fresh"})))),
        (
            "register_runner",
            "environment",
            then(named(json!({})), named(json!({"environment": "zeta"})), runners()),
        ),
        ("register_runner", "pool", then(named(json!({})), named(json!({"pool": "cpu"})), runners())),
        (
            "register_runner",
            "labels",
            then(named(json!({})), named(json!({"labels": {"a": "1"}})), runners()),
        ),
        ("report_pool", "environment", reported(&json!({"environment": "zeta"}))),
        ("report_pool", "team", reported(&json!({"team": "acme"}))),
        ("report_pool", "state", reported(&json!({"state": "broken"}))),
        ("report_pool", "min", reported(&json!({"min": 1}))),
        ("report_pool", "max", reported(&json!({"max": 9}))),
        ("report_pool", "desired", reported(&json!({"desired": 2}))),
        ("report_pool", "ready", reported(&json!({"ready": 2}))),
        ("report_pool", "message", reported(&json!({"message": "other"}))),
        ("create_pool_token", "environment", pool_token(json!({"environment": "zeta"}))),
        ("create_pool_token", "team", pool_token(json!({"team": "acme"}))),
        (
            "drain_runner",
            "owner",
            then(
                drain("acme-runner", json!({})),
                drain("acme-runner", json!({"owner": "x"})),
                undrain("acme-runner", json!({})),
            ),
        ),
        (
            "undrain_runner",
            "owner",
            differs(undrain("acme-pooled", json!({})), undrain("acme-pooled", json!({"owner": "x"}))),
        ),
        (
            "runner_ended",
            "instance_id",
            refused(ended(json!({"instance_id": INSTANCE})), ended(json!({})), "instance_id"),
        ),
        (
            "runner_ended",
            "reason",
            then(
                ended(json!({"instance_id": INSTANCE})),
                ended(json!({"instance_id": INSTANCE, "reason": "the node was lost"})),
                get("/runs/{run}/attempts"),
            ),
        ),
        (
            "sign_off",
            "request_id",
            Proof::Differs {
                calls: [off(json!({})), off(json!({"request_id": "q"}))],
                first: vec![poll(Who::Idle, json!({"request_id": "q", "start": true}))],
                then: Some(get("/runs/{next}")),
            },
        ),
        // That it waits is shown where polls are.
        ("lease_run", "?wait", refused(waits(0), waits(61), "wait")),
        ("lease_run", "request_id", then(poll(Who::Idle, json!({})), again.clone(), again)),
        (
            "lease_run",
            "instance_id",
            then(poll(Who::Idle, json!({})), poll(Who::Idle, json!({"instance_id": "i"})), runners()),
        ),
        ("lease_run", "supersedes", differs(succeeds("nobody"), succeeds(INSTANCE))),
        ("lease_run", "start", differs(poll(Who::Idle, json!({})), poll(Who::Idle, json!({"start": true})))),
    ]
}

fn of_attempts() -> Vec<Row> {
    let line = |field: &str, value: Value| {
        let mut line =
            json!({"seq": 9, "stream": "stdout", "line": "l", "logged_at": "2026-01-02T03:04:05Z"});
        line[field] = value;
        json!([line])
    };
    let plain = || line("seq", 9.into());
    let append = |logs: Value| post(Who::Holder, "/runs/{run}/logs", &json!({"logs": logs}));
    let appended = |logs: Value| then(append(plain()), append(logs), get("/runs/{run}/logs"));
    let finish = |field: &str, value: Value| {
        let mut body = json!({"status": "failed", "exit_code": 1});
        body[field] = value;
        post(Who::Holder, "/runs/{run}/result", &body)
    };
    let failed = || finish("exit_code", 1.into());
    let finished = |field: &str, value: Value| then(failed(), finish(field, value), get("/runs/{run}"));
    let last = |logs: Value| then(finish("logs", plain()), finish("logs", logs), get("/runs/{run}/logs"));
    let later = || json!("2026-01-02T03:04:06Z");
    vec![
        ("append_logs", "logs", appended(json!([]))),
        ("append_logs", "logs[].seq", appended(line("seq", 10.into()))),
        ("append_logs", "logs[].stream", appended(line("stream", "stderr".into()))),
        ("append_logs", "logs[].line", appended(line("line", "other".into()))),
        ("append_logs", "logs[].logged_at", appended(line("logged_at", later()))),
        ("finish_attempt", "status", finished("status", "completed".into())),
        ("finish_attempt", "exit_code", finished("exit_code", 2.into())),
        ("finish_attempt", "error_message", finished("error_message", "it went wrong".into())),
        ("finish_attempt", "output", finished("output", json!({"rows": 3}))),
        (
            "finish_attempt",
            "reason",
            then(failed(), finish("reason", "timeout".into()), get("/runs/{run}/attempts")),
        ),
        ("finish_attempt", "logs", last(json!([]))),
        ("finish_attempt", "logs[].seq", last(line("seq", 10.into()))),
        ("finish_attempt", "logs[].stream", last(line("stream", "stderr".into()))),
        ("finish_attempt", "logs[].line", last(line("line", "other".into()))),
        ("finish_attempt", "logs[].logged_at", last(line("logged_at", later()))),
    ]
}
