//! What a team may use bounds what it does, and nobody else.

use std::collections::BTreeMap;
use std::time::Duration;

use minitower_kernel::page::Page;
use minitower_runs::domain::lease::Outcome;
use minitower_runs::{CreateRun, Error, LogLine, ReadLog, Report, Unfinished};
use minitower_teams::CreateToken;
use minitower_teams::team::TeamPrincipal;
use minitower_vocabulary::ids::RunId;
use minitower_vocabulary::limits::{LOG_LINE_OVERHEAD, LimitName};
use minitower_vocabulary::statuses::ResultStatus;
use minitower_vocabulary::time::Timestamp;
use rstest::rstest;
use serde_json::json;

use crate::deletion::until;
use crate::support::{Plane, named, outcome};

impl Plane {
    /// The administrator allows the first team that much.
    async fn allow(&self, name: LimitName, limit: u64) {
        self.app.teams().allow_limits("acme", vec![(name, Some(limit))]).await.unwrap();
    }

    async fn create(&self, team: &TeamPrincipal, new: CreateRun) -> Result<RunId, Error> {
        self.app.runs().create_run(team, "jobs".to_owned(), new).await.map(|run| run.id)
    }

    async fn used(&self, name: LimitName) -> u64 {
        let used = self.app.runs().used(self.team.team_id).await.unwrap();
        used.into_iter().find(|(of, _)| *of == name).expect("this subject counts it").1
    }

    /// The gauges of runs: what each series says, by its name and labels.
    #[expect(clippy::cast_possible_truncation, reason = "a few runs")]
    fn gauges(&self) -> BTreeMap<String, i64> {
        let mut gauges = BTreeMap::new();
        for family in self.app.subjects().metrics() {
            for metric in family.get_metric() {
                let labels: Vec<_> =
                    metric.get_label().iter().map(prometheus::proto::LabelPair::value).collect();
                let series = format!("{} {}", family.name(), labels.join(" "));
                gauges.insert(series, metric.get_gauge().get_value() as i64);
            }
        }
        gauges
    }

    async fn whole_log(&self, run: RunId) -> Vec<LogLine> {
        self.app.runs().run_logs(&self.team, run, ReadLog::default(), Some(10_000)).await.unwrap().lines
    }
}

/// The sentence of a refusal, whose limit it has to name.
fn refused<T: std::fmt::Debug>(answer: Result<T, Error>, name: LimitName) -> String {
    let error = answer.unwrap_err();
    assert!(
        matches!(
            error,
            Error::Reached(_)
                | Error::Teams(minitower_teams::Error::Reached(_) | minitower_teams::Error::TooFast { .. })
        ),
        "{error:?}"
    );
    let text = error.to_string();
    assert!(text.contains(name.as_str()), "{text}");
    text
}

fn plain() -> CreateRun {
    CreateRun::default()
}

fn lines(seqs: std::ops::RangeInclusive<i64>, bytes: usize) -> Vec<LogLine> {
    let line = |seq| LogLine { seq, stderr: false, line: "x".repeat(bytes), logged_at: Timestamp(seq) };
    seqs.map(line).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_takes_no_more_runs_of_its_team_until_one_has_left_it() {
    let plane = Plane::start().await;
    let other = plane.another_team("other").await;
    plane.allow(LimitName::QueuedRuns, 2).await;
    let first = plane.create(&plane.team, plain()).await.unwrap();
    plane.create(&plane.team, plain()).await.unwrap();
    refused(plane.create(&plane.team, plain()).await, LimitName::QueuedRuns);
    plane.create(&other, plain()).await.unwrap();
    plane.app.runs().cancel_run(&plane.team, first).await.unwrap();
    plane.create(&plane.team, plain()).await.unwrap();
    refused(plane.create(&plane.team, plain()).await, LimitName::QueuedRuns);
    assert_eq!(plane.used(LimitName::QueuedRuns).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_creations_at_once_do_not_pass_the_limit() {
    let plane = Plane::start().await;
    plane.allow(LimitName::QueuedRuns, 10).await;
    let creations = (0..50).map(|_| {
        let (runs, team) = (plane.app.runs(), plane.team.clone());
        tokio::spawn(async move { runs.create_run(&team, "jobs".to_owned(), plain()).await.is_ok() })
    });
    let mut made = 0;
    for creation in creations.collect::<Vec<_>>() {
        made += i32::from(creation.await.unwrap());
    }
    assert_eq!(made, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_runs_of_a_day_are_counted_over_a_restart_and_anew_the_next_day() {
    let plane = Plane::start().await;
    plane.allow(LimitName::RunsPerDay, 3).await;
    for _ in 0..2 {
        plane.create(&plane.team, plain()).await.unwrap();
    }
    let plane = plane.restart().await;
    assert_eq!(plane.used(LimitName::RunsPerDay).await, 2);
    plane.create(&plane.team, plain()).await.unwrap();
    let error = plane.create(&plane.team, plain()).await;
    let Err(Error::Teams(minitower_teams::Error::TooFast { retry_after, .. })) = &error else {
        panic!("{error:?}")
    };
    let day = Duration::from_hours(24);
    assert_eq!(
        *retry_after,
        day.saturating_sub(Timestamp(1_000_000).since(Timestamp(0))),
        "the end of the day"
    );
    plane.clock.advance(day);
    plane.create(&plane.team, plain()).await.unwrap();
    assert_eq!(plane.used(LimitName::RunsPerDay).await, 1);
}

#[rstest]
#[case(LimitName::PriorityMax, CreateRun { priority: Some(11), ..plain() })]
#[case(LimitName::PriorityMax, CreateRun { priority: Some(-11), ..plain() })]
#[case(LimitName::TimeoutSeconds, CreateRun { timeout_seconds: Some(11), ..plain() })]
#[tokio::test(flavor = "multi_thread")]
async fn numbers_of_a_run_beyond_a_limit_are_refused_by_name(
    #[case] name: LimitName,
    #[case] new: CreateRun,
) {
    let plane = Plane::start().await;
    plane.create(&plane.team, new.clone()).await.unwrap();
    plane.allow(name, 10).await;
    let error = plane.create(&plane.team, new).await.unwrap_err().to_string();
    assert!(error.contains(name.as_str()) && error.contains("10"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_that_was_lowered_shortens_the_timeouts_of_what_is_there() {
    let plane = Plane::start().await;
    plane.create(&plane.team, CreateRun { timeout_seconds: Some(60), ..plain() }).await.unwrap();
    plane.allow(LimitName::TimeoutSeconds, 10).await;
    let grant = plane.lease(&plane.runner("r").await).await;
    assert_eq!(grant.run.timeout_seconds, Some(10));
}

#[tokio::test(flavor = "multi_thread")]
async fn apps_environments_and_tokens_are_counted() {
    let plane = Plane::start().await;
    let (teams, apps) = (plane.app.teams(), plane.app.apps());
    plane.create(&plane.team, plain()).await.unwrap();
    for name in [LimitName::Apps, LimitName::Environments, LimitName::Tokens] {
        plane.allow(name, 2).await;
    }
    apps.create_app(&plane.team, "second", None).await.unwrap();
    refused(apps.create_app(&plane.team, "third", None).await, LimitName::Apps);
    assert!(matches!(apps.create_app(&plane.team, "second", None).await, Err(Error::AppExists(_))));

    let elsewhere = |name: &str| CreateRun { environment: Some(name.to_owned()), ..plain() };
    plane.create(&plane.team, elsewhere("second")).await.unwrap();
    refused(plane.create(&plane.team, elsewhere("third")).await, LimitName::Environments);
    let made = teams.create_environment(&plane.team, "third".to_owned()).await;
    assert!(matches!(made, Err(minitower_teams::Error::Reached(_))), "{made:?}");
    plane.create(&plane.team, elsewhere("second")).await.unwrap();

    teams.create_token(&plane.team, CreateToken::default()).await.unwrap();
    let third = teams.create_token(&plane.team, CreateToken::default()).await.map(|token| token.id);
    assert!(matches!(third, Err(minitower_teams::Error::Reached(_))), "{third:?}");
    let list = apps.apps(&plane.team, Page::new(None, None).unwrap()).await.unwrap();
    assert_eq!((list.len(), plane.used(LimitName::Apps).await), (2, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_team_has_no_more_active_runs_than_it_may_and_others_do_not_wait_for_it() {
    let plane = Plane::start().await;
    let other = plane.another_team("other").await;
    plane.allow(LimitName::ActiveRuns, 1).await;
    for _ in 0..3 {
        plane.run(CreateRun { priority: Some(9), ..plain() }).await;
    }
    plane.run_of(&other, plain()).await;
    let runner = plane.runner("one").await;
    let first = plane.lease(&runner).await;
    assert_eq!(first.run.team_id, plane.team.team_id);
    assert_eq!(plane.lease(&plane.runner("two").await).await.run.team_id, other.team_id);
    let (third, own) = (plane.runner("three").await, plane.own_runner("own").await);
    for runner in [&third, &own] {
        assert!(plane.poll(runner, named("i")).await.unwrap().is_none(), "the team is at its limit");
    }
    let plane = plane.restart().await;
    assert!(plane.poll(&own, named("i")).await.unwrap().is_none(), "after a restart, too");
    let ended = outcome(ResultStatus::Completed).into();
    plane.app.leases().finish_run(&runner, first.run.id, &first.lease_token, ended).await.unwrap();
    assert!(plane.poll(&own, named("i")).await.unwrap().is_some());
    assert!(plane.poll(&third, named("i")).await.unwrap().is_none());
    plane.allow(LimitName::ActiveRuns, 2).await;
    assert!(plane.poll(&third, named("i")).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poll_waits_for_a_run_of_its_team_to_end() {
    let plane = Plane::start().await;
    plane.allow(LimitName::ActiveRuns, 1).await;
    plane.run(plain()).await;
    plane.run(plain()).await;
    let runner = plane.runner("one").await;
    let first = plane.lease(&runner).await;
    let waits = plane.runner("two").await;
    let leases = plane.app.leases();
    let poll = tokio::spawn(async move {
        let offer = leases.lease(&waits, named("i"), Duration::from_secs(30)).await.unwrap();
        offer.and_then(minitower_runs::Offer::deliver)
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!poll.is_finished());
    let ended = outcome(ResultStatus::Completed).into();
    plane.app.leases().finish_run(&runner, first.run.id, &first.lease_token, ended).await.unwrap();
    let second = tokio::time::timeout(Duration::from_secs(10), poll).await.unwrap().unwrap();
    assert!(second.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_that_only_the_limit_holds_back_are_blocked_and_no_demand() {
    let plane = Plane::start().await;
    plane.allow(LimitName::ActiveRuns, 2).await;
    let elsewhere = || CreateRun { environment: Some("elsewhere".to_owned()), ..plain() };
    for new in [plain(), plain(), plain(), elsewhere(), elsewhere()] {
        plane.run(new).await;
    }
    let grant = plane.lease(&plane.runner("r").await).await;
    assert_eq!(grant.run.environment, "default");
    let gauges = plane.gauges();
    let all = |name: &str| -> i64 {
        gauges.iter().filter(|(series, _)| series.starts_with(name)).map(|(_, value)| value).sum()
    };
    assert_eq!(all("minitower_runs_pending"), 1, "{gauges:?}");
    assert_eq!((all("minitower_runs_blocked"), all("minitower_runs_active")), (3, 1), "{gauges:?}");
    assert!(gauges.keys().any(|series| series.contains("limit")), "{gauges:?}");
    let list = minitower_runs::ListDemand::default();
    let demand = plane.app.runners().demand(&minitower_teams::AdminPrincipal::Operator, &list).unwrap();
    assert_eq!(demand.environments.iter().map(|of| of.pending).sum::<u64>(), 1);
    plane.allow(LimitName::ActiveRuns, 100).await;
    let gauges = plane.gauges();
    assert!(!gauges.keys().any(|series| series.starts_with("minitower_runs_blocked")), "{gauges:?}");
}

/// What a line counts.
fn measured(bytes: usize) -> u64 {
    bytes as u64 + LOG_LINE_OVERHEAD
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_too_long_keeps_its_beginning_and_its_end_and_says_what_is_missing() {
    let plane = Plane::start().await;
    plane.allow(LimitName::LogBytesPerRun, 100 * measured(1_000)).await;
    plane.run(plain()).await;
    let runner = plane.runner("r").await;
    let grant = plane.lease(&runner).await;
    let run = grant.run.id;
    let append = async |plane: &Plane, lines: Vec<LogLine>| {
        plane.app.leases().append_logs(&runner, run, &grant.lease_token, lines).await.unwrap();
    };
    append(&plane, lines(1..=100, 1_000)).await;
    assert_eq!(plane.whole_log(run).await, lines(1..=100, 1_000), "as long as it may be");
    append(&plane, lines(101..=200, 1_000)).await;
    append(&plane, lines(101..=200, 1_000)).await;

    // What is left out is known after a restart.
    let plane = plane.restart().await;
    append(&plane, lines(151..=250, 1_000)).await;
    let last = Report { lines: lines(251..=300, 1_000), ..outcome(ResultStatus::Completed).into() };
    plane.app.leases().finish_run(&runner, run, &grant.lease_token, last).await.unwrap();

    let log = plane.whole_log(run).await;
    let notice = log.iter().position(|line| line.stderr).unwrap();
    assert_eq!(log[..notice], lines(1..=51, 1_000));
    assert_eq!(log[notice].seq, 52);
    assert!(log[notice].line.contains("200 lines (200000 bytes)"), "{}", log[notice].line);
    assert_eq!(log[notice + 1..], lines(252..=300, 1_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_attempt_has_a_log_of_its_own() {
    let plane = Plane::start().await;
    plane.allow(LimitName::LogBytesPerRun, 64 * 1024).await;
    plane.run(plain()).await;
    let runner = plane.runner("r").await;
    for _ in 0..2 {
        let grant = plane.lease(&runner).await;
        let (run, token) = (grant.run.id, &grant.lease_token);
        plane.app.leases().append_logs(&runner, run, token, lines(1..=60, 1_000)).await.unwrap();
        assert_eq!(plane.whole_log(run).await.len(), 60);
        plane.app.leases().release_run(&runner, run, token).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_team_that_has_used_up_its_storage_stores_nothing_more_and_ends_its_runs() {
    let plane = Plane::start().await;
    plane.run(plain()).await;
    let runner = plane.runner("r").await;
    let grant = plane.lease(&runner).await;
    let (run, token) = (grant.run.id, &grant.lease_token);
    let before = plane.used(LimitName::StorageBytes).await;
    assert!(before > 0, "the archive of the version");
    plane.app.leases().append_logs(&runner, run, token, lines(1..=10, 1_000)).await.unwrap();
    assert_eq!(plane.used(LimitName::StorageBytes).await, before + 10 * measured(1_000));

    plane.allow(LimitName::StorageBytes, before + 10 * measured(1_000)).await;
    // Whatever a run is made of, the database holds it.
    refused(plane.create(&plane.team, plain()).await, LimitName::StorageBytes);
    let more = plane.app.leases().append_logs(&runner, run, token, lines(11..=11, 1)).await;
    refused(more, LimitName::StorageBytes);
    refused(plane.upload("main.py").await, LimitName::StorageBytes);
    let last = Report { lines: lines(11..=11, 1_000), ..outcome(ResultStatus::Completed).into() };
    plane.app.leases().finish_run(&runner, run, token, last).await.unwrap();
    assert_eq!(plane.whole_log(run).await.len(), 11, "the last lines tell how it ended");

    let plane = plane.restart().await;
    assert_eq!(plane.used(LimitName::StorageBytes).await, before + 11 * measured(1_000) + ATTEMPT_ROW);
    refused(plane.create(&plane.team, plain()).await, LimitName::StorageBytes);
}

/// What a run and an attempt count besides their texts.
const RUN_ROW: u64 = 1024;
const ATTEMPT_ROW: u64 = 512;

#[tokio::test(flavor = "multi_thread")]
async fn what_the_database_holds_of_a_team_counts_until_it_is_deleted() {
    let plane = Plane::start().await;
    let used = async |plane: &Plane| plane.used(LimitName::StorageBytes).await;
    let before = used(&plane).await;

    plane.run(plain()).await;
    assert_eq!(used(&plane).await, before + RUN_ROW);
    let label = ("k".repeat(60), "v".repeat(250));
    let labels = BTreeMap::from([label.clone()]);
    let texts = json!({"k": "v"}).to_string().len() as u64 + 3 * json!(labels).to_string().len() as u64;
    plane.run(CreateRun { input: Some(json!({"k": "v"})), labels, ..plain() }).await;
    assert_eq!(used(&plane).await, before + 2 * RUN_ROW + texts);

    // A message counts once, however often it is told.
    let runner = plane.runner("r").await;
    let grant = plane.lease(&runner).await;
    let ended = Outcome { error_message: Some("m".repeat(300)), ..outcome(ResultStatus::Failed) };
    for _ in 0..2 {
        let report: Report = ended.clone().into();
        plane.app.leases().finish_run(&runner, grant.run.id, &grant.lease_token, report).await.unwrap();
    }
    let held = before + 2 * RUN_ROW + texts + ATTEMPT_ROW + 300;
    assert_eq!(used(&plane).await, held);

    let towerfile = format!("[app]\nname = \"jobs\"\nscript = \"main.py\"\n# {}\n", "x".repeat(100_000));
    plane.upload_files(&plane.team, &[("Towerfile", &towerfile), ("main.py", "")], "").await.unwrap();
    assert!(used(&plane).await > held + 100_000);

    // A restart counts the same, and what is deleted counts no more.
    let full = used(&plane).await;
    let plane = plane.restart().await;
    assert_eq!(used(&plane).await, full);
    plane.app.apps().delete_app(&plane.team, "jobs".to_owned(), Unfinished::Cancel).await.unwrap();
    plane.run_background();
    until("what is deleted counts", || async { used(&plane).await == 0 }).await;
    let plane = plane.restart().await;
    assert_eq!(used(&plane).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_and_open_requests_are_bounded_for_each_team_alone() {
    let plane = Plane::start().await;
    let (teams, team) = (plane.app.teams(), plane.team.team_id);
    let other = plane.another_team("other").await.team_id;
    plane.allow(LimitName::RequestsPerSecond, 5).await;
    for _ in 0..5 {
        teams.admit(team).unwrap();
    }
    assert!(matches!(teams.admit(team), Err(minitower_teams::Error::TooFast { .. })));
    teams.admit(other).unwrap();
    plane.clock.advance(Duration::from_millis(200));
    teams.admit(team).unwrap();

    plane.allow(LimitName::LongPolls, 1).await;
    let open = teams.open_request(team, LimitName::LongPolls).unwrap();
    assert!(matches!(
        teams.open_request(team, LimitName::LongPolls),
        Err(minitower_teams::Error::TooFast { .. })
    ));
    let (_, used) = teams.limits_and_use(&plane.team).await.unwrap();
    assert!(
        used.contains(&(LimitName::LongPolls, 1)) && used.contains(&(LimitName::RequestsPerSecond, 5)),
        "{used:?}"
    );
    let _others = teams.open_request(other, LimitName::LongPolls).unwrap();
    drop(open);
    let _again = teams.open_request(team, LimitName::LongPolls).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_outlast_a_restart_and_a_refused_change_changes_nothing() {
    let plane = Plane::start().await;
    plane.allow(LimitName::Apps, 5).await;
    let (teams, team) = (plane.app.teams(), plane.team.team_id);
    teams.choose_limits(&plane.team, vec![(LimitName::Apps, Some(3))]).await.unwrap();
    let both = vec![(LimitName::Apps, Some(4)), (LimitName::QueuedRuns, Some(u64::MAX))];
    assert!(teams.choose_limits(&plane.team, both).await.is_err());
    assert!(teams.allow_limits("nobody", Vec::new()).await.is_err());
    let plane = plane.restart().await;
    let limits = plane.app.teams().limits(team);
    assert_eq!((limits.of(LimitName::Apps), limits.allowed(LimitName::Apps)), (3, 5));
    plane.app.teams().choose_limits(&plane.team, vec![(LimitName::Apps, None)]).await.unwrap();
    assert_eq!(plane.app.teams().limit(team, LimitName::Apps), 5);
}
