//! The client has a method for every operation that `openapi.json` describes.
//!
//! Every method is called once and succeeds; the record of what went over the wire is compared with the description.

use std::collections::BTreeSet;
use std::io::Write as _;

use minitower_client::wire::Timestamp;
use minitower_client::wire::admin::{CreatePoolToken, Ended};
use minitower_client::wire::apps::{ChangeApp, CreateApp};
use minitower_client::wire::auth::{BootstrapTeam, CreateToken, Login, Signup};
use minitower_client::wire::limits::{LimitName, SetLimits};
use minitower_client::wire::many_runs::ManyRuns;
use minitower_client::wire::notifications::{CreateNotification, Target, UpdateNotification};
use minitower_client::wire::pools::{PoolState, ReportPool};
use minitower_client::wire::retention::SetRetention;
use minitower_client::wire::runner::{LeaseRequest, LogBatch, Register, ResultStatus, RunResult, SignOff};
use minitower_client::wire::runs::{CreateRun, LogLine, RetryRun, Stream};
use minitower_client::wire::secrets::SetSecret;
use minitower_client::wire::sign_in::{ExchangeCode, SignInPending, StartDevice};
use minitower_client::{
    AttemptClient, Client, LogFilter, RunFilter, RunnerClient, RunnerFilter, SignIn, TeamClient, Upload,
};
use minitower_test_plane::{BOOTSTRAP_TOKEN, Call, OPERATOR_TOKEN, Plane, archive};
use serde_json::Value;

const PASSWORD: &str = "correct horse battery staple";
const ARTIFACT: &str = "out/report.txt";
/// What only a person's browser visits.
const OF_BROWSERS: [&str; 3] =
    ["/api/v1/auth/oidc/start", "/api/v1/auth/oidc/callback", "/api/v1/auth/oidc/confirm"];

#[tokio::test]
async fn every_operation_has_a_method() {
    let plane = Plane::start_with_provider();
    let client = Client::new(&plane.config()).unwrap();
    let description = client.openapi().await.unwrap();
    without_a_credential(&client).await;
    let (team, registration_token) = enter(&client).await;
    of_the_team(&team).await;
    of_the_operator(&client.team(OPERATOR_TOKEN)).await;
    let runners = RunnerClient::new(&plane.config()).unwrap();
    of_runners(&runners, &team, &registration_token).await;
    deletions(&team).await;

    let operations = operations(&description);
    let mut called = BTreeSet::new();
    for request in plane.requests(Call::any()) {
        let what = format!("{} {}", request.method, request.path);
        assert!(request.answered.is_some_and(|status| status < 300), "{what}: {request:?}");
        // Of the templates that fit, the one with the fewest parameters is meant: `/runs/summary`, not `/runs/{run}`.
        let fitting = operations
            .iter()
            .filter(|(method, template)| *method == request.method.as_str() && fits(template, &request.path));
        let meant = fitting.min_by_key(|(_, template)| template.matches('{').count());
        called.insert(
            meant
                .unwrap_or_else(|| panic!("openapi.json does not describe {what}: run `make openapi`"))
                .clone(),
        );
    }
    let programs = operations.iter().filter(|(_, path)| !OF_BROWSERS.contains(&path.as_str()));
    let missing: Vec<_> = programs.filter(|operation| !called.contains(operation)).collect();
    assert!(missing.is_empty(), "the client has no method for {missing:?}, or this test does not call it");
}

/// Method and path template of each operation.
fn operations(description: &Value) -> BTreeSet<(String, String)> {
    let paths = description["paths"].as_object().unwrap();
    let all = paths.iter().flat_map(|(path, methods)| {
        methods.as_object().unwrap().keys().map(|method| (method.to_uppercase(), path.clone()))
    });
    all.collect()
}

/// Whether a path is one of a template. The path of an artifact, at a template's end, may have several components.
fn fits(template: &str, path: &str) -> bool {
    let mut parts = path.split('/');
    template.split('/').all(|wanted| match (wanted, parts.next()) {
        ("{path}", Some(_)) => {
            parts.by_ref().for_each(drop);
            true
        }
        (wanted, Some(part)) => wanted.starts_with('{') || wanted == part,
        (_, None) => false,
    }) && parts.next().is_none()
}

async fn without_a_credential(client: &Client) {
    client.health().await.unwrap();
    client.ready().await.unwrap();
    client.version().await.unwrap();
    let mut metrics = client.metrics().await.unwrap();
    while metrics.chunk().await.unwrap().is_some() {}
    assert!(client.docs().await.unwrap().contains("openapi.json"));
    client.auth_options().await.unwrap();
    let begun = client.start_device(&StartDevice { team: Some("acme".to_owned()) }).await.unwrap();
    assert!(begun.verification_uri.ends_with("&team=acme"), "{begun:?}");
    let exchange = ExchangeCode { code: begun.device_code, ..ExchangeCode::default() };
    let pending = client.exchange_code(&exchange).await.unwrap();
    assert_eq!(pending, SignIn::Pending(SignInPending { interval: begun.interval }));
}

/// The ways to a team token, and the team's registration token.
async fn enter(client: &Client) -> (TeamClient, String) {
    let team = BootstrapTeam { slug: "acme".to_owned(), name: "Acme".to_owned(), password: None };
    let made = client.bootstrap_team(BOOTSTRAP_TOKEN, &team).await.unwrap();
    let signup =
        Signup { slug: "umbrella".to_owned(), name: "Umbrella".to_owned(), password: PASSWORD.to_owned() };
    client.signup(&signup).await.unwrap();
    client.login(&Login { slug: signup.slug, password: signup.password }).await.unwrap();
    (client.team(&made.token), made.registration_token.unwrap())
}

async fn of_the_operator(operator: &TeamClient) {
    let more = SetLimits::default().with(LimitName::Apps, Some(2_000));
    let limits = operator.set_team_limits("acme", &more).await.unwrap();
    assert_eq!((limits.apps.limit, limits.apps.allowed, limits.apps.default), (7, 2_000, 1_000));
    assert_eq!(operator.team_limits("acme").await.unwrap().apps.used, Some(1));
    let limited = operator.audit_of_all(None, 1).await.unwrap().events.remove(0);
    assert_eq!((limited.actor.as_str(), limited.team.as_deref()), ("operator", Some("acme")));
    assert_eq!(operator.audit_of_all(Some(1), 1000).await.unwrap().events, []);
    let report = ReportPool {
        environment: None,
        team: Some("acme".to_owned()),
        state: PoolState::AtMaximum,
        min: 0,
        max: 3,
        desired: 3,
        ready: 2,
        message: "5 runners are wanted".to_owned(),
    };
    operator.report_pool("ns", "cpu", &report).await.unwrap();
    let shown = operator.pools().await.unwrap().pools.remove(0);
    assert_eq!((shown.pool.as_str(), shown.environment.as_str()), ("ns/cpu", "default"));
    assert_eq!((shown.team, shown.state, shown.message), (report.team, report.state, report.message));
    operator.forget_pool("ns", "cpu").await.unwrap();
    assert_eq!(operator.pools().await.unwrap().pools, []);
    let binding = CreatePoolToken { environment: None, team: Some("acme".to_owned()) };
    let made = operator.create_pool_token("ns", "cpu", &binding).await.unwrap();
    assert_eq!((made.pool.as_str(), made.team.as_deref()), ("ns/cpu", Some("acme")));
    operator.delete_pool_token("ns", "cpu").await.unwrap();
}

async fn of_notifications(team: &TeamClient) {
    let target = Target {
        kind: "webhook".to_owned(),
        url: Some("https://1.1.1.1/".to_owned()),
        to: None,
        secret: None,
    };
    let wanted = CreateNotification {
        name: "on-call".to_owned(),
        on: vec!["failed".to_owned()],
        app: None,
        environment: None,
        label: None,
        target: Some(target),
        enabled: Some(false),
    };
    let made = team.create_notification(&wanted).await.unwrap();
    assert!(made.target.secret.is_some());
    assert!(team.notification(made.id).await.unwrap().target.secret.is_none());
    assert_eq!(team.notifications().await.unwrap().notifications.len(), 1);
    let change = UpdateNotification { enabled: Some(true), ..UpdateNotification::default() };
    assert!(team.update_notification(made.id, &change).await.unwrap().enabled);
    let test = team.test_notification(made.id).await.unwrap();
    assert_eq!(team.retry_delivery(made.id, test.id).await.unwrap().webhook_id, test.webhook_id);
    assert_eq!(team.deliveries(made.id, None, 10).await.unwrap().deliveries[0].id, test.id);
    assert_eq!(team.deliveries(made.id, Some(test.id), 10).await.unwrap().deliveries, []);
    team.delete_notification(made.id).await.unwrap();
}

async fn of_the_team(team: &TeamClient) {
    team.me().await.unwrap();
    let fewer = SetLimits::default().with(LimitName::Apps, Some(7));
    assert_eq!(team.set_limits(&fewer).await.unwrap().apps.limit, 7);
    assert_eq!(team.limits().await.unwrap().tokens.used, Some(1));
    let audited = team.audit(None, 2).await.unwrap().events;
    assert_eq!((audited[0].action.as_str(), audited[0].object.as_str()), ("limit.create", "limits/apps"));
    assert_eq!(team.audit(Some(audited[0].id), 1).await.unwrap().events[0], audited[1]);
    let keep = SetRetention { keep_seconds: Some(Some(7_200)), keep_last: None };
    let kept = team.set_retention(&keep).await.unwrap();
    assert_eq!((kept.keep_seconds, kept.default.keep_seconds), (7_200, 7_776_000));
    assert_eq!(team.retention().await.unwrap(), kept);
    let token = team.create_token(&CreateToken::default()).await.unwrap();
    assert!(team.tokens().await.unwrap().tokens.len() > 1);
    team.delete_token(token.token_id).await.unwrap();
    let token = team.create_registration_token().await.unwrap();
    assert!(team.registration_tokens().await.unwrap().registration_tokens.len() > 1);
    team.delete_registration_token(token.id).await.unwrap();
    of_notifications(team).await;
    team.create_environment("fresh").await.unwrap();
    team.environments().await.unwrap();
    team.set_secret("fresh", "API_KEY", &SetSecret { value: "hunter2".to_owned() }).await.unwrap();
    assert_eq!(team.secrets("fresh").await.unwrap().secrets[0].name, "API_KEY");
    team.delete_secret("fresh", "API_KEY").await.unwrap();

    team.create_app(&CreateApp { slug: "hello".to_owned(), description: None }).await.unwrap();
    team.app("hello").await.unwrap();
    let change = ChangeApp { expect_seconds: Some(Some(60)), ..ChangeApp::default() };
    assert_eq!(team.change_app("hello", &change).await.unwrap().expect_seconds, Some(60));
    assert_eq!(team.apps().await.unwrap().apps.len(), 1);
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&archive(&[("main.py", "print('hello')\n")])).unwrap();
    let upload = Upload { entrypoint: Some("main.py".to_owned()), ..Upload::new(file, "artifact.tar.gz") };
    let version = team.upload_version("hello", upload, |_| {}).await.unwrap();
    team.version("hello", version.version_no).await.unwrap();
    assert_eq!(team.versions("hello").await.unwrap().versions.len(), 1);

    let run = team.create_run("hello", &CreateRun::default()).await.unwrap();
    let once = team.create_run_once("hello", &CreateRun::default(), "k").await.unwrap();
    assert_eq!(team.create_run_once("hello", &CreateRun::default(), "k").await.unwrap(), once);
    team.cancel_run(once.run_id).await.unwrap();
    let again = team.retry_run(once.run_id, &RetryRun::default(), None).await.unwrap();
    assert_eq!(again.retry_of, Some(once.run_id));
    let all = ManyRuns { app: Some("hello".to_owned()), dry_run: Some(true), ..ManyRuns::default() };
    assert_eq!(team.cancel_runs(&all).await.unwrap().cancelled, 2);
    assert_eq!(team.retry_runs(&all).await.unwrap().retried, 0);
    team.run(run.run_id).await.unwrap();
    team.run_ended(run.run_id, 0).await.unwrap();
    team.runs(&RunFilter::default()).await.unwrap();
    team.app_runs("hello", &RunFilter::default()).await.unwrap();
    team.runs_summary().await.unwrap();
    assert!(team.follow_runs(None).await.unwrap().is_some());
    team.attempts(run.run_id).await.unwrap();
    assert_eq!(team.explain_run(run.run_id).await.unwrap().reason, "no_runner");
    team.logs(run.run_id, &LogFilter::default()).await.unwrap();
    team.cancel_run(run.run_id).await.unwrap();
}

/// Everything that is the team's, from the inside out.
async fn deletions(team: &TeamClient) {
    let run = team.runs(&RunFilter::default()).await.unwrap().runs[0].run_id;
    team.delete_run(run, true).await.unwrap();
    team.delete_version("hello", 1, true).await.unwrap();
    team.delete_app("hello", true).await.unwrap();
    assert!(team.apps().await.unwrap().apps.is_empty());
}

async fn of_runners(runners: &RunnerClient, team: &TeamClient, registration_token: &str) {
    let register = Register { name: "r".to_owned(), ..Register::default() };
    let token = runners.register(registration_token, &register).await.unwrap().token;

    let held = lease(runners, team, &token).await;
    held.start().await.unwrap();
    held.heartbeat().await.unwrap();
    held.artifact().await.unwrap();
    let line = LogLine {
        seq: 1,
        stream: Stream::Stdout,
        line: "hello".to_owned(),
        logged_at: Timestamp::UNIX_EPOCH,
    };
    held.logs(&LogBatch { logs: vec![line] }).await.unwrap();
    let content = futures_util::stream::iter([Ok(bytes::Bytes::from_static(b"content"))]);
    held.put_artifact(ARTIFACT, 7, content).await.unwrap();
    let runs = team.runs(&RunFilter::default()).await.unwrap().runs;
    let run = runs.iter().find(|run| run.runner.is_some()).unwrap().run_id;
    assert_eq!(team.artifacts(run).await.unwrap().artifacts.len(), 1);
    team.artifact(run, ARTIFACT).await.unwrap();
    team.delete_artifact(run, ARTIFACT).await.unwrap();
    let result = RunResult {
        status: ResultStatus::Completed,
        exit_code: Some(0),
        error_message: None,
        reason: None,
        output: None,
        logs: Vec::new(),
    };
    held.result(&result).await.unwrap();
    lease(runners, team, &token).await.release().await.unwrap();

    // The run that was given back is leased again, and its process ends.
    let request = LeaseRequest { instance_id: Some("i".to_owned()), ..LeaseRequest::default() };
    runners.lease(&token, 0, &request).await.unwrap().unwrap();
    assert_eq!(team.runners(&RunnerFilter::default()).await.unwrap().runners.len(), 1);
    assert_eq!(team.demand().await.unwrap().environments.len(), 1);
    team.drain_runner("r", None).await.unwrap();
    team.undrain_runner("r", None).await.unwrap();
    team.runner_ended("r", &Ended { instance_id: Some("i".to_owned()), reason: None }).await.unwrap();
    runners.sign_off(&token, &SignOff::default()).await.unwrap();
    team.delete_runner("r").await.unwrap();
}

/// A new run, leased.
async fn lease(runners: &RunnerClient, team: &TeamClient, token: &str) -> AttemptClient {
    team.create_run("hello", &CreateRun::default()).await.unwrap();
    let leased = runners.lease(token, 0, &LeaseRequest::default()).await.unwrap().unwrap();
    runners.attempt(token, &leased.lease)
}
