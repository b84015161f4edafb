//! What a team asks of its runs: creating one once, finding it again, waiting for its end, reading its log.

use std::collections::BTreeMap;
use std::time::Duration;

use minitower_runs::domain::labels::BadLabel;
use minitower_runs::domain::run::Run;
use minitower_runs::domain::runner::RunnerPrincipal;
use minitower_runs::{
    Absent, CreateRun, Created, Error, Field, Grant, Idempotency, ListRuns, LogLine, LogPage, MAX_RUN_WAIT,
    ReadLog, Report, Unfinished,
};
use minitower_vocabulary::statuses::{ResultStatus, RunStatus};
use minitower_vocabulary::time::Timestamp;
use rstest::rstest;
use tokio::time::{Instant, timeout};

use crate::support::{Plane, outcome, retries};

const DAY: Duration = Duration::from_hours(24);

impl Plane {
    async fn once(&self, key: &str, priority: i64) -> Result<Created, Error> {
        let new = CreateRun { priority: Some(priority), ..CreateRun::default() };
        let once = Idempotency::new(key, "jobs", &priority.to_string()).unwrap();
        self.app.runs().create_run_once(&self.team, "jobs".to_owned(), new, once).await
    }

    async fn labelled(&self, labels: &[(&str, &str)]) -> Run {
        let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        self.run(CreateRun { labels, ..CreateRun::default() }).await
    }

    async fn found(&self, list: ListRuns) -> Vec<Run> {
        self.app.runs().list_runs(&self.team, ListRuns { limit: 100, ..list }).await.unwrap()
    }

    async fn finish(&self, by: &RunnerPrincipal, grant: &Grant) {
        let report = Report { outcome: outcome(ResultStatus::Completed), output: None, lines: Vec::new() };
        self.app.leases().finish_run(by, grant.run.id, &grant.lease_token, report).await.unwrap();
    }

    async fn log(&self, run: &Run, read: ReadLog, limit: Option<i64>) -> Result<LogPage, Error> {
        self.app.runs().run_logs(&self.team, run.id, read, limit).await
    }

    /// A run with a first attempt of one line, and a second of ten, of which every third is of standard error.
    async fn with_logs(&self) -> Run {
        let run = self.run(retries(1)).await;
        let runner = self.runner("r").await;
        let grant = self.lease(&runner).await;
        self.append(&runner, &grant, 1).await;
        self.app.leases().release_run(&runner, run.id, &grant.lease_token).await.unwrap();
        let grant = self.lease(&runner).await;
        self.append(&runner, &grant, 10).await;
        run
    }

    /// Batches of a hundred lines, each as long as a line may be.
    async fn append_long(&self, by: &RunnerPrincipal, grant: &Grant, batches: i64) {
        for batch in 0..batches {
            let line = |n| LogLine {
                seq: batch * 100 + n,
                stderr: false,
                line: "x".repeat(8192),
                logged_at: Timestamp(0),
            };
            let lines = (1..=100).map(line).collect();
            self.app.leases().append_logs(by, grant.run.id, &grant.lease_token, lines).await.unwrap();
        }
    }

    async fn append(&self, by: &RunnerPrincipal, grant: &Grant, lines: i64) {
        let attempt = grant.attempt.number;
        let line = |seq| LogLine {
            seq,
            stderr: seq % 3 == 0,
            line: format!("{attempt}.{seq}"),
            logged_at: Timestamp(seq),
        };
        let lines = (1..=lines).map(line).collect();
        self.app.leases().append_logs(by, grant.run.id, &grant.lease_token, lines).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_makes_one_run_a_day_whatever_becomes_of_the_app() {
    let plane = Plane::start().await;
    let Created::New(first) = plane.once("k", 1).await.unwrap() else { panic!("it is there already") };
    let before = Created::Before(first.clone());
    assert_eq!(plane.once("k", 1).await.unwrap(), before);
    assert!(matches!(plane.once("k", 2).await, Err(Error::KeyReused)));
    assert!(matches!(plane.once("other", 1).await.unwrap(), Created::New(_)));
    plane.upload("main.py").await.unwrap();
    assert_eq!(plane.once("k", 1).await.unwrap(), before, "another version is the newest");

    let plane = plane.restart().await;
    assert_eq!(plane.once("k", 1).await.unwrap(), before);
    plane.clock.advance(DAY);
    let Created::New(next) = plane.once("k", 2).await.unwrap() else { panic!("the key is of yesterday") };
    assert_ne!(next.id, first.id);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_request_at_the_same_time_makes_one_run() {
    let plane = Plane::start().await;
    let both = tokio::join!(plane.once("k", 1), plane.once("k", 1), plane.once("k", 1));
    let made = [both.0, both.1, both.2].map(Result::unwrap);
    assert_eq!(made.iter().filter(|made| matches!(made, Created::New(_))).count(), 1);
    assert_eq!(plane.found(ListRuns::default()).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_keys_of_yesterday_are_forgotten_and_those_of_today_are_not() {
    let plane = Plane::start().await;
    plane.once("old", 1).await.unwrap();
    plane.clock.advance(DAY / 2);
    plane.once("new", 1).await.unwrap();
    plane.clock.advance(DAY / 2);
    let app = plane.app.clone();
    tokio::spawn(async move { app.run_background().await });
    let db = rusqlite::Connection::open(plane.folder.path().join("m.db")).unwrap();
    let keys = || -> String {
        let all = "SELECT group_concat(key) FROM idempotency_keys";
        db.query_row(all, [], |row| row.get(0)).unwrap()
    };
    let forgotten = timeout(Duration::from_secs(20), async {
        while keys() != "new" {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    forgotten.await.unwrap();
}

#[rstest]
#[case("", true)]
#[case("a b", true)]
#[case("schlüssel", true)]
#[case(&"k".repeat(256), true)]
#[case(&"k".repeat(255), false)]
#[case("5d41402a-bc4b:1", false)]
fn a_key_is_short_and_plain(#[case] key: &str, #[case] refused: bool) {
    assert_eq!(Idempotency::new(key, "jobs", "").is_err(), refused);
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_are_found_by_all_of_the_labels_asked_for() {
    let plane = Plane::start().await;
    let blue = plane.labelled(&[("team", "blue"), ("stage", "test")]).await;
    let red = plane.labelled(&[("team", "red"), ("stage", "test")]).await;
    let plain = plane.labelled(&[]).await;
    assert_eq!(blue.labels.as_deref(), Some(r#"{"stage":"test","team":"blue"}"#));
    assert_eq!(plane.status(&blue).await, blue);
    assert_eq!(plain.labels, None);

    for (labels, expected) in [
        (vec!["team=blue"], vec![blue.id]),
        (vec!["stage=test"], vec![red.id, blue.id]),
        (vec!["stage=test", "team=red"], vec![red.id]),
        (vec!["team=blue", "team=red"], vec![]),
        (vec!["team="], vec![]),
    ] {
        let labels: Vec<String> = labels.into_iter().map(str::to_owned).collect();
        let found = |list: ListRuns| plane.found(ListRuns { labels: labels.clone(), ..list });
        let ids: Vec<_> = found(ListRuns::default()).await.iter().map(|run| run.id).collect();
        assert_eq!(ids, expected, "{labels:?}");
        let of_app = ListRuns {
            app: Some("jobs".to_owned()),
            status: Some(RunStatus::Queued),
            environment: Some("default".to_owned()),
            before: Some(red.id),
            ..ListRuns::default()
        };
        let ids: Vec<_> = found(of_app).await.iter().map(|run| run.id).collect();
        let expected: Vec<_> = expected.into_iter().filter(|id| *id != red.id).collect();
        assert_eq!(ids, expected, "{labels:?} before the red one");
    }
    let bad = ListRuns { labels: vec!["team".to_owned()], limit: 1, ..ListRuns::default() };
    let refused = plane.app.runs().list_runs(&plane.team, bad).await;
    assert!(matches!(refused, Err(Error::Label(BadLabel::Form))));
    let labels = BTreeMap::from([("no key".to_owned(), String::new())]);
    let new = CreateRun { labels, ..CreateRun::default() };
    let refused = plane.app.runs().create_run(&plane.team, "jobs".to_owned(), new).await;
    assert!(matches!(refused, Err(Error::Label(BadLabel::Key { .. }))));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_for_a_run_hears_of_its_end() {
    let plane = Plane::start().await;
    let run = plane.run(CreateRun::default()).await;
    let runner = plane.runner("r").await;
    let grant = plane.lease(&runner).await;
    let runs = plane.app.runs();
    let waiting = runs.run_ended(&plane.team, run.id, MAX_RUN_WAIT);
    let ending = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        plane.app.leases().start_run(&runner, run.id, &grant.lease_token).await.unwrap();
        plane.finish(&runner, &grant).await;
    };
    let (ended, ()) =
        timeout(Duration::from_secs(10), async { tokio::join!(waiting, ending) }).await.unwrap();
    assert_eq!(ended.unwrap().status(), RunStatus::Completed);
    let began = Instant::now();
    let again = plane.app.runs().run_ended(&plane.team, run.id, MAX_RUN_WAIT).await.unwrap();
    assert_eq!(again.status(), RunStatus::Completed);
    assert!(began.elapsed() < Duration::from_secs(5), "it has ended already");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_is_over_in_time_and_when_the_server_stops() {
    let plane = Plane::start().await;
    let run = plane.run(CreateRun::default()).await;
    let runs = plane.app.runs();
    let wait = |wait| runs.run_ended(&plane.team, run.id, wait);
    assert_eq!(wait(Duration::from_millis(50)).await.unwrap().status(), RunStatus::Queued);
    let refused = wait(MAX_RUN_WAIT + Duration::from_secs(1)).await;
    assert!(matches!(refused, Err(Error::Field { name: "wait", problem: Field::NotBetween { .. } })));
    let stopping = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        plane.stopping.cancel();
    };
    let (run, ()) =
        timeout(Duration::from_secs(10), async { tokio::join!(wait(MAX_RUN_WAIT), stopping) }).await.unwrap();
    assert_eq!(run.unwrap().status(), RunStatus::Queued);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_deleted_while_it_is_read_is_not_taken_for_whole_and_leaves_its_key() {
    let plane = Plane::start().await;
    let Created::New(run) = plane.once("k", 1).await.unwrap() else { panic!("it is there already") };
    let runner = plane.runner("r").await;
    let grant = plane.lease(&runner).await;
    plane.append_long(&runner, &grant, 1).await;
    let mut whole = plane.app.runs().open_log(&plane.team, run.id, ReadLog::default()).await.unwrap();
    assert!(whole.next_lines().await.unwrap().is_some_and(|lines| lines.len() < 100));
    plane.app.runs().delete_run(&plane.team, run.id, Unfinished::Cancel).await.unwrap();
    assert!(matches!(whole.next_lines().await, Err(Error::Absent(Absent::Run(id))) if id == run.id));
    let Created::New(next) = plane.once("k", 2).await.unwrap() else { panic!("its run is gone") };
    assert_ne!(next.id, run.id);
}

/// The pages of a log, as the numbers of their lines.
#[rstest]
#[case(ReadLog::default(), 4, "1 2 3 4 | 5 6 7 8 | 9 10")]
#[case(ReadLog::default(), 5, "1 2 3 4 5 | 6 7 8 9 10")]
#[case(ReadLog { attempt: Some(1), ..ReadLog::default() }, 5, "1")]
#[case(ReadLog { attempt: Some(2), after_seq: Some(8), ..ReadLog::default() }, 5, "9 10")]
#[case(ReadLog { stderr: Some(true), ..ReadLog::default() }, 2, "3 6 | 9")]
#[case(ReadLog { stderr: Some(false), ..ReadLog::default() }, 5, "1 2 4 5 7 | 8 10")]
#[case(ReadLog { tail: Some(3), ..ReadLog::default() }, 2, "8 9 | 10")]
#[case(ReadLog { tail: Some(99), ..ReadLog::default() }, 10, "1 2 3 4 5 6 7 8 9 10")]
#[case(ReadLog { tail: Some(3), after_seq: Some(9), ..ReadLog::default() }, 2, "10")]
#[case(ReadLog { tail: Some(2), stderr: Some(true), ..ReadLog::default() }, 2, "6 9")]
#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_read_to_its_end_page_by_page(
    #[case] read: ReadLog,
    #[case] limit: i64,
    #[case] expected: &str,
) {
    let plane = Plane::start().await;
    let run = plane.with_logs().await;
    let (mut pages, mut next) = (Vec::new(), read);
    loop {
        let page = plane.log(&run, next, Some(limit)).await.unwrap();
        pages.push(shown(&page.lines));
        match page.next_seq {
            Some(seq) => next = ReadLog { after_seq: Some(seq), ..next },
            None => break,
        }
    }
    assert_eq!(pages.join(" | "), expected);
    let mut whole = plane.app.runs().open_log(&plane.team, run.id, read).await.unwrap();
    let mut lines = Vec::new();
    while let Some(piece) = whole.next_lines().await.unwrap() {
        lines.extend(piece);
    }
    assert_eq!(shown(&lines), expected.replace(" | ", " "));
}

fn shown(lines: &[LogLine]) -> String {
    lines.iter().map(|line| line.seq.to_string()).collect::<Vec<_>>().join(" ")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_long_lines_ends_early_and_says_so() {
    let plane = Plane::start().await;
    let run = plane.run(CreateRun::default()).await;
    let runner = plane.runner("r").await;
    let grant = plane.lease(&runner).await;
    plane.append_long(&runner, &grant, 6).await;
    let first = plane.log(&run, ReadLog::default(), None).await.unwrap();
    assert_eq!((first.lines.len(), first.next_seq), (512, Some(512)), "4 MiB");
    let rest = ReadLog { after_seq: first.next_seq, ..ReadLog::default() };
    let rest = plane.log(&run, rest, None).await.unwrap();
    assert_eq!((rest.lines.len(), rest.next_seq), (88, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_log_cannot_be_asked_for_is_refused_by_name() {
    let plane = Plane::start().await;
    let run = plane.with_logs().await;
    for (read, limit, refused) in [
        (ReadLog { after_seq: Some(-1), ..ReadLog::default() }, None, "after_seq"),
        (ReadLog { tail: Some(0), ..ReadLog::default() }, None, "tail"),
        (ReadLog { tail: Some(1_000_001), ..ReadLog::default() }, None, "tail"),
        (ReadLog::default(), Some(0), "limit"),
        (ReadLog::default(), Some(10_001), "limit"),
    ] {
        let error = plane.log(&run, read, limit).await.unwrap_err();
        assert!(matches!(error, Error::Field { name, .. } if name == refused), "{error}");
    }
    let absent = plane.log(&run, ReadLog { attempt: Some(3), ..ReadLog::default() }, None).await;
    assert!(matches!(absent, Err(Error::Absent(Absent::Attempt { number: 3, .. }))));
    let queued = plane.run(CreateRun::default()).await;
    assert_eq!(plane.log(&queued, ReadLog::default(), None).await.unwrap(), LogPage::default());
}
