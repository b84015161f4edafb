//! Logs of attempts that have ended leave the database, and read as before.

use std::time::Duration;

use minitower_kernel::backup::Source;
use minitower_kernel::rusqlite::Connection;
use minitower_runs::domain::run::Run;
use minitower_runs::{CreateRun, Error, LogLine, LogPage, PackLogs, ReadLog, Unfinished};
use minitower_vocabulary::statuses::ResultStatus;
use minitower_vocabulary::time::Timestamp;

use crate::deletion::until;
use crate::support::{Plane, outcome};

/// Whatever there is.
const ALL: PackLogs = PackLogs { after: Duration::ZERO, least_bytes: 0, at_latest: Duration::ZERO };

fn line(seq: i64) -> LogLine {
    let (stderr, logged_at) = (seq % 3 == 0, Timestamp(1_000 + seq));
    LogLine { seq, stderr, line: format!("line {seq} {}", "x".repeat(40)), logged_at }
}

impl Plane {
    /// A run that has ended, with a log of so many lines.
    async fn logged(&self, lines: i64) -> Run {
        let run = self.run(CreateRun::default()).await;
        let runner = self.runner("r").await;
        let grant = self.lease(&runner).await;
        let leases = self.app.leases();
        let all: Vec<_> = (1..=lines).map(line).collect();
        for batch in all.chunks(100) {
            leases.append_logs(&runner, run.id, &grant.lease_token, batch.to_vec()).await.unwrap();
        }
        let ended = outcome(ResultStatus::Completed).into();
        leases.finish_run(&runner, run.id, &grant.lease_token, ended).await.unwrap();
        run
    }

    async fn pack(&self) -> u64 {
        self.app.engine().pack_logs(ALL).await.unwrap()
    }

    async fn page(&self, run: &Run, read: ReadLog, limit: i64) -> LogPage {
        self.app.runs().run_logs(&self.team, run.id, read, Some(limit)).await.unwrap()
    }

    async fn whole(&self, run: &Run) -> Vec<LogLine> {
        let mut log = self.app.runs().open_log(&self.team, run.id, ReadLog::default()).await.unwrap();
        let mut all = Vec::new();
        while let Some(lines) = log.next_lines().await.unwrap() {
            all.extend(lines);
        }
        all
    }

    fn count(&self, sql: &str) -> i64 {
        let db = Connection::open(self.folder.path().join("m.db")).unwrap();
        db.query_row(sql, [], |row| row.get(0)).unwrap()
    }

    fn kept(&self) -> usize {
        let files = std::fs::read_dir(self.folder.path().join("objects")).unwrap();
        files.filter(|file| file.as_ref().unwrap().file_name().len() == 64).count()
    }
}

#[tokio::test]
async fn what_is_read_of_a_log_does_not_depend_on_where_it_lies() {
    let plane = Plane::start().await;
    // Several frames, and a short one.
    let (long, short) = (plane.logged(20_000).await, plane.logged(3).await);
    let reads = || {
        let streams = [None, Some(true), Some(false)];
        let places = [(None, None), (Some(7), None), (Some(19_999), None), (Some(20_000), None)];
        let tails = [1, 2, 3, 500, 7_000, 20_000, 1_000_000].map(|tail| (None, Some(tail)));
        let both = places.into_iter().chain(tails);
        both.flat_map(move |(after_seq, tail)| {
            streams.map(|stderr| ReadLog { attempt: None, after_seq, tail, stderr })
        })
    };
    let mut before = Vec::new();
    for read in reads() {
        for limit in [1, 1000, 10_000] {
            before.push((plane.page(&long, read, limit).await, plane.page(&short, read, limit).await));
        }
    }
    assert_eq!(plane.pack().await, 1, "one segment for both");
    assert_eq!(plane.count("SELECT count(*) FROM run_logs"), 0);
    assert!(plane.count("SELECT count(*) FROM log_frames") > 3);
    let mut before = before.into_iter();
    for read in reads() {
        for limit in [1, 1000, 10_000] {
            let now = (plane.page(&long, read, limit).await, plane.page(&short, read, limit).await);
            assert!(before.next() == Some(now), "{read:?}, {limit}");
        }
    }
    assert!(plane.whole(&long).await == (1..=20_000).map(line).collect::<Vec<_>>());
    assert_eq!(plane.pack().await, 0, "nothing is packed twice");
}

#[tokio::test]
async fn logs_wait_until_there_are_enough_or_they_are_old() {
    let plane = Plane::start().await;
    let run = plane.logged(10).await;
    let pack = async |plane: &Plane| plane.app.engine().pack_logs(PackLogs::default()).await.unwrap();
    assert_eq!(pack(&plane).await, 0, "it ended just now");
    plane.clock.advance(Duration::from_mins(2));
    assert_eq!(pack(&plane).await, 0, "they are few");
    plane.clock.advance(Duration::from_hours(1));
    assert_eq!(pack(&plane).await, 1, "they are old");
    assert_eq!(plane.whole(&run).await.len(), 10);
    // One that runs keeps its lines.
    let active = plane.run(CreateRun::default()).await;
    let runner = plane.runner("r").await;
    let grant = plane.lease(&runner).await;
    plane.app.leases().append_logs(&runner, active.id, &grant.lease_token, vec![line(1)]).await.unwrap();
    assert_eq!(plane.pack().await, 0);
    assert_eq!(plane.whole(&active).await, [line(1)]);
}

#[tokio::test]
async fn a_crash_between_the_frames_and_the_lines_shows_none_twice_and_loses_none() {
    let plane = Plane::start().await;
    let run = plane.logged(9_000).await;
    let db = Connection::open(plane.folder.path().join("m.db")).unwrap();
    db.execute_batch("CREATE TABLE copy AS SELECT * FROM run_logs").unwrap();
    plane.pack().await;
    // As after a crash behind the first frame of several: its lines are still there, and so are those of the other frames.
    db.execute_batch(
        "INSERT INTO run_logs SELECT * FROM copy;
         DELETE FROM log_frames WHERE first_seq > 1;",
    )
    .unwrap();
    let plane = plane.restart().await;
    let all: Vec<_> = (1..=9_000).map(line).collect();
    assert!(plane.whole(&run).await == all);
    let tail = ReadLog { tail: Some(8_999), ..ReadLog::default() };
    assert_eq!(plane.page(&run, tail, 1).await.lines, [line(2)]);
    let last = plane.count("SELECT last_seq FROM log_frames");
    let across = ReadLog { after_seq: Some(last - 1), ..ReadLog::default() };
    assert_eq!(plane.page(&run, across, 3).await.lines, [line(last), line(last + 1), line(last + 2)]);
    // The next time packs the rest, and removes what lies in the first frame already.
    plane.pack().await;
    plane.pack().await;
    assert_eq!(plane.count("SELECT count(*) FROM run_logs"), 0);
    assert!(plane.whole(&run).await == all);
}

#[tokio::test]
async fn segments_go_with_their_runs_and_are_written_anew_when_little_is_left() {
    let plane = Plane::start().await;
    plane.run_background();
    let used = "SELECT bytes FROM team_usage";
    let before = plane.count(used);
    let runs = [plane.logged(3_000).await, plane.logged(3_000).await, plane.logged(3_000).await];
    plane.pack().await;
    let objects = plane.kept();
    let segment = "SELECT max(id) FROM log_segments";
    let first = plane.count(segment);
    for run in &runs[..2] {
        plane.app.runs().delete_run(&plane.team, run.id, Unfinished::Keep).await.unwrap();
    }
    until("two runs are gone", || async { plane.count("SELECT count(*) FROM runs") == 1 }).await;
    assert_eq!(plane.app.engine().rewrite_segments().await.unwrap(), 1);
    assert!(plane.count(segment) > first && plane.count("SELECT count(*) FROM log_segments") == 1);
    assert_eq!(plane.kept(), objects, "a smaller one took its place");
    assert!(plane.whole(&runs[2]).await == (1..=3_000).map(line).collect::<Vec<_>>());

    plane.app.runs().delete_run(&plane.team, runs[2].id, Unfinished::Keep).await.unwrap();
    until("the last run is gone", || async { plane.count("SELECT count(*) FROM runs") == 0 }).await;
    assert_eq!(plane.app.engine().rewrite_segments().await.unwrap(), 1);
    assert_eq!((plane.count("SELECT count(*) FROM log_segments"), plane.kept()), (0, objects - 1));
    assert_eq!(plane.count(used), before, "what was counted is counted off");
}

#[tokio::test]
async fn a_segment_that_is_lost_is_told() {
    let plane = Plane::start().await;
    let run = plane.logged(3).await;
    let there: Vec<_> = std::fs::read_dir(plane.folder.path().join("objects")).unwrap().flatten().collect();
    plane.pack().await;
    for file in std::fs::read_dir(plane.folder.path().join("objects")).unwrap().flatten() {
        if !there.iter().any(|before| before.file_name() == file.file_name()) {
            std::fs::remove_file(file.path()).unwrap();
        }
    }
    let read = plane.app.runs().run_logs(&plane.team, run.id, ReadLog::default(), None).await;
    assert!(matches!(read, Err(Error::Lost { .. })), "{read:?}");
}

/// A backup has what this names. A table that names objects and is forgotten there would be missing from every backup.
#[tokio::test]
async fn every_object_that_is_kept_is_named_to_backups() {
    let plane = Plane::start().await;
    plane.logged(10).await;
    assert_eq!(plane.pack().await, 1);
    let kept = plane.kept();
    let Plane { app, folder, .. } = plane;
    app.close().await.unwrap();
    drop(app);
    let source = Source::at(&folder.path().join("m.db")).unwrap();
    let after = |hash: &str| source.read(|db| minitower_runs::objects_named_after(db, hash, 100)).unwrap();
    let named = after("");
    assert!(named.len() >= 2 && named.is_sorted(), "an archive and a segment");
    assert_eq!(named.len(), kept);
    assert_eq!(after(&named[0]).len(), kept - 1);
}
