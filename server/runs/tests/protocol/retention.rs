//! What is old goes by itself, and nothing that is still needed.

use std::time::Duration;

use minitower_kernel::rusqlite::Connection;
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
