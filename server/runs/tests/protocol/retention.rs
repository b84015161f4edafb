//! What is old goes by itself, and nothing that is still needed.

use std::time::Duration;

use minitower_kernel::rusqlite::Connection;
use minitower_runs::domain::app;
use minitower_runs::domain::retention::Change;
use minitower_runs::domain::run::Run;
use minitower_runs::{CreateRun, LogLine, PackLogs, Pruned, Retention};
use minitower_vocabulary::statuses::ResultStatus;
use minitower_vocabulary::time::Timestamp;

use crate::deletion::until;
use crate::support::{Plane, outcome};

const DAY: Duration = Duration::from_hours(24);

/// One that keeps what has ended for ten days, and the last two runs of each app.
async fn plane() -> Plane {
    Plane::start_with(|settings| {
        settings.runs.retention = Retention { runs_for: Some(10 * DAY), last: 2 };
    })
    .await
}

impl Plane {
    /// A run that has ended, with lines in its log.
    async fn over(&self, lines: i64) -> Run {
        let run = self.run(CreateRun::default()).await;
        let runner = self.runner("r").await;
        let grant = self.lease(&runner).await;
        let line = |seq| LogLine { seq, stderr: false, line: "x".repeat(50), logged_at: Timestamp(seq) };
        let all: Vec<_> = (1..=lines).map(line).collect();
        for batch in all.chunks(100) {
            let leases = self.app.leases();
            leases.append_logs(&runner, run.id, &grant.lease_token, batch.to_vec()).await.unwrap();
        }
        let ended = outcome(ResultStatus::Completed).into();
        self.app.leases().finish_run(&runner, run.id, &grant.lease_token, ended).await.unwrap();
        run
    }

    /// What the team says of all its apps.
    async fn team_keeps(&self, seconds: Option<i64>, last: Option<i64>) {
        let change = Change { seconds: Some(seconds), last: Some(last) };
        self.app.apps().set_retention(&self.team, change).await.unwrap();
    }

    /// What the app says itself.
    async fn app_keeps(&self, seconds: Option<i64>, last: Option<i64>) {
        let change = Change { seconds: Some(seconds), last: Some(last) };
        let change = app::Change { retention: Some(change), ..app::Change::default() };
        self.app.apps().change_app(&self.team, "jobs".to_owned(), change).await.unwrap();
    }

    async fn prune(&self) -> Pruned {
        self.app.engine().prune_old().await.unwrap()
    }

    fn numbers(&self, sql: &str) -> Vec<i64> {
        let db = Connection::open(self.folder.path().join("m.db")).unwrap();
        let mut rows = db.prepare(sql).unwrap();
        rows.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
    }

    fn left(&self) -> Vec<i64> {
        self.numbers("SELECT run_no FROM runs WHERE deleted_at IS NULL ORDER BY run_no")
    }
}

#[tokio::test]
async fn what_ended_long_ago_goes_but_for_the_newest_of_each_app() {
    let plane = plane().await;
    let used = "SELECT bytes FROM team_usage";
    let before = plane.numbers(used);
    for _ in 0..5 {
        plane.over(3).await;
    }
    plane.clock.advance(9 * DAY);
    assert_eq!(plane.prune().await, Pruned::default(), "not old enough");
    plane.clock.advance(2 * DAY);
    assert_eq!(plane.prune().await.runs, 3);
    assert_eq!(plane.left(), [4, 5], "the newest stay, whatever their age");
    let [kept] = plane.numbers("SELECT count(*) FROM run_logs")[..] else { panic!() };
    assert_eq!(kept, 6);
    plane.over(3).await;
    plane.over(3).await;
    assert_eq!(plane.prune().await.runs, 2);
    assert_eq!(plane.left(), [6, 7]);
    for _ in 0..2 {
        plane.clock.advance(11 * DAY);
        plane.over(0).await;
        plane.over(0).await;
        plane.prune().await;
    }
    // What the runs that went had stored is counted off: the rows of two empty ones are left.
    let empty = plane.numbers(used)[0] - before[0];
    plane.clock.advance(11 * DAY);
    plane.over(0).await;
    plane.over(0).await;
    plane.prune().await;
    assert_eq!(plane.numbers(used)[0] - before[0], empty);
}

#[tokio::test]
async fn what_has_not_ended_or_is_waited_for_stays() {
    let plane = plane().await;
    let ended = plane.over(0).await;
    let queued = plane.run(CreateRun::default()).await;
    let db = Connection::open(plane.folder.path().join("m.db")).unwrap();
    // Another run waits for the first one, as it would if that had not come to what it waits for.
    db.execute(
        "INSERT INTO run_dependencies (run_id, after_run_id, until, met) VALUES (?1, ?2, 'ended', 0)",
        [queued.id.0, ended.id.0],
    )
    .unwrap();
    for _ in 0..3 {
        plane.run(CreateRun::default()).await;
    }
    plane.clock.advance(20 * DAY);
    assert_eq!(plane.prune().await.runs, 0);
    db.execute("UPDATE run_dependencies SET met = 1", []).unwrap();
    assert_eq!(plane.prune().await.runs, 1);
    assert_eq!(plane.left(), [2, 3, 4, 5], "what has not ended stays");
}

#[tokio::test]
async fn a_key_that_still_counts_keeps_its_run() {
    let plane = Plane::start_with(|settings| {
        settings.runs.retention = Retention { runs_for: Some(Duration::from_hours(1)), last: 0 };
    })
    .await;
    let run = plane.over(0).await;
    let db = Connection::open(plane.folder.path().join("m.db")).unwrap();
    db.execute(
        "INSERT INTO idempotency_keys SELECT team_id, 'k', zeroblob(32), id, queued_at FROM runs WHERE id = ?1",
        [run.id.0],
    )
    .unwrap();
    plane.clock.advance(Duration::from_hours(2));
    assert_eq!(plane.prune().await.runs, 0);
    plane.clock.advance(Duration::from_hours(23));
    assert_eq!(plane.prune().await.runs, 1);
}

#[tokio::test]
async fn versions_that_no_run_has_go_with_their_archives_but_for_the_newest() {
    let plane = plane().await;
    plane.run_background();
    for _ in 0..4 {
        plane.upload("main.py").await.unwrap();
    }
    plane.over(0).await;
    plane.clock.advance(11 * DAY);
    assert_eq!(plane.prune().await.versions, 3);
    let left =
        plane.numbers("SELECT version_no FROM app_versions WHERE deleted_at IS NULL ORDER BY version_no");
    assert_eq!(left, [4, 5]);
    plane.run(CreateRun::default()).await;
}

#[tokio::test]
async fn a_long_log_is_hidden_at_once_and_goes_in_slices_also_out_of_segments() {
    let plane = Plane::start_with(|settings| {
        settings.runs.retention = Retention { runs_for: Some(DAY), last: 0 };
    })
    .await;
    plane.run_background();
    plane.over(30_000).await;
    plane.over(10_000).await;
    let all = PackLogs { after: Duration::ZERO, least_bytes: 0, at_latest: Duration::ZERO };
    assert_eq!(plane.app.engine().pack_logs(all).await.unwrap(), 1);
    plane.over(30_000).await;
    plane.clock.advance(2 * DAY);
    assert_eq!(plane.prune().await.runs, 3);
    assert_eq!(plane.left(), [0; 0], "nobody sees half of a log");
    let rest = "SELECT (SELECT count(*) FROM runs) + (SELECT count(*) FROM run_logs) + (SELECT count(*) FROM log_frames)";
    until("all is gone", || async { plane.numbers(rest) == [0] }).await;
    plane.app.engine().rewrite_segments().await.unwrap();
    until("the segments are gone", || async { plane.numbers("SELECT count(*) FROM log_segments") == [0] })
        .await;
}

#[tokio::test]
async fn an_app_its_team_and_the_server_say_how_long_in_this_order_field_by_field() {
    let plane = plane().await;
    let day = i64::try_from(DAY.as_secs()).unwrap();
    for _ in 0..6 {
        plane.over(0).await;
    }
    plane.clock.advance(5 * DAY);
    assert_eq!(plane.prune().await.runs, 0, "the server keeps them for ten days");
    plane.team_keeps(Some(day), Some(5)).await;
    assert_eq!(plane.prune().await.runs, 1, "the team for one, but for the last five");
    plane.app_keeps(Some(0), None).await;
    plane.clock.advance(100 * DAY);
    assert_eq!(plane.prune().await.runs, 0, "the app for ever");
    plane.app_keeps(None, Some(4)).await;
    assert_eq!(plane.prune().await.runs, 1, "the app but for the last four, and the team says how long");
    plane.app_keeps(None, None).await;
    plane.team_keeps(Some(0), None).await;
    assert_eq!(plane.prune().await.runs, 0, "the team for ever");
    plane.team_keeps(None, None).await;
    assert_eq!(plane.prune().await.runs, 2, "as the server says again");
    assert_eq!(plane.left(), [5, 6]);
}

#[tokio::test]
async fn a_server_that_keeps_all_removes_what_a_team_does_not_keep() {
    let plane = Plane::start_with(|settings| {
        settings.runs.retention = Retention { runs_for: None, last: 0 };
    })
    .await;
    plane.over(1).await;
    plane.clock.advance(1000 * DAY);
    assert_eq!(plane.prune().await, Pruned::default());
    let another = plane.another_team("other").await;
    let change = Change { seconds: Some(Some(3600)), last: None };
    plane.app.apps().set_retention(&another, change).await.unwrap();
    assert_eq!(plane.prune().await, Pruned::default(), "another team speaks for itself alone");
    plane.team_keeps(Some(3600), None).await;
    assert_eq!(plane.prune().await.runs, 1);
}

#[tokio::test]
async fn a_version_of_a_run_that_is_kept_stays_however_many_runs_came_after_it() {
    let plane = plane().await;
    plane.run_background();
    plane.run(CreateRun::default()).await;
    for _ in 0..3 {
        plane.upload("main.py").await.unwrap();
    }
    for _ in 0..2 {
        plane.run(CreateRun::default()).await;
    }
    plane.clock.advance(11 * DAY);
    assert_eq!(plane.prune().await, Pruned { runs: 0, versions: 1 });
    let left =
        plane.numbers("SELECT version_no FROM app_versions WHERE deleted_at IS NULL ORDER BY version_no");
    assert_eq!(left, [1, 3, 4], "the first has a run that waits");
}

#[tokio::test]
async fn the_audit_log_keeps_so_long_and_so_many_of_each_team() {
    let plane = Plane::start_with(|settings| {
        settings.teams.audit_keep = Some(10 * DAY);
        settings.teams.audit_keep_most = Some(2);
    })
    .await;
    let team = plane.team.team_id.0;
    let another = plane.another_team("other").await.team_id.0;
    let db = Connection::open(plane.folder.path().join("m.db")).unwrap();
    db.execute("DELETE FROM audit_events", []).unwrap();
    let now = plane.clock.now().0;
    let days_ago = |days: u32| now - i64::try_from((days * DAY).as_millis()).unwrap();
    let mut events = Vec::new();
    for (days, of) in
        [(11, Some(team)), (3, Some(team)), (2, None), (2, Some(team)), (1, Some(team)), (1, Some(another))]
    {
        let sql = "INSERT INTO audit_events (team_id, at, actor, action, object, after) VALUES (?1, ?2, 'a', 'b', 'c', '{}')";
        db.execute(sql, (of, days_ago(days))).unwrap();
        events.push(db.last_insert_rowid());
    }
    assert_eq!(plane.app.teams().prune_events().await.unwrap(), 2);
    let left = plane.numbers("SELECT id FROM audit_events ORDER BY id");
    assert_eq!(left, events[2..], "the one that is too old, and the third of the team");
    let sql = "INSERT INTO audit_events (team_id, at, actor, action, object, after)
               WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 2500)
               SELECT NULL, ?1, 'a', 'b', 'c', '{}' FROM n";
    db.execute(sql, [now]).unwrap();
    assert_eq!(plane.app.teams().prune_events().await.unwrap(), 2499, "the platform's, in several slices");
    assert_eq!(plane.numbers("SELECT count(*) FROM audit_events"), [5]);
}
