//! What is deleted is hidden at once, goes in slices, and takes nothing with it that is not its own.

use std::time::{Duration, Instant};

use minitower_kernel::page::Page;
use minitower_runs::domain::run::Run;
use minitower_runs::{Absent, CreateRun, Error, ListRuns, LogLine, Summary, Unfinished};
use minitower_vocabulary::statuses::{ResultStatus, RunStatus};
use minitower_vocabulary::time::Timestamp;

use crate::support::{Plane, outcome};

/// Asks again until it is so.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, is_so: impl Fn() -> F) {
    let began = Instant::now();
    while !is_so().await {
        assert!(began.elapsed() < Duration::from_secs(30), "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

impl Plane {
    /// Removes what is deleted, beside the test.
    pub(crate) fn run_background(&self) {
        let app = self.app.clone();
        tokio::spawn(async move { app.run_background().await });
    }

    /// A run that has ended, with a log of so many lines.
    async fn ended(&self, lines: i64) -> Run {
        let run = self.run(CreateRun::default()).await;
        let runner = self.runner("r").await;
        let grant = self.lease(&runner).await;
        assert_eq!(grant.run.id, run.id);
        let leases = self.app.leases();
        for first in (1..=lines).step_by(100) {
            let batch: Vec<LogLine> = (first..first + 100).map(line).collect();
            leases.append_logs(&runner, run.id, &grant.lease_token, batch).await.unwrap();
        }
        let ended = outcome(ResultStatus::Completed).into();
        leases.finish_run(&runner, run.id, &grant.lease_token, ended).await.unwrap();
        run
    }

    async fn until_left(&self, runs: i64) {
        let expected = Summary { total: runs, terminal: runs, ..Summary::default() };
        until("the rest is not gone", || async {
            self.app.runs().runs_summary(&self.team).await.unwrap() == expected
        })
        .await;
    }

    async fn until_objects(&self, left: usize) {
        until("the files are not gone", || async { self.objects() == left }).await;
    }

    /// How many files the object store keeps.
    fn objects(&self) -> usize {
        let files = std::fs::read_dir(self.folder.path().join("objects")).unwrap();
        files.filter(|file| file.as_ref().unwrap().metadata().unwrap().is_file()).count()
    }

    async fn listed(&self) -> Vec<i64> {
        let list = ListRuns { limit: 100, ..ListRuns::default() };
        self.app.runs().list_runs(&self.team, list).await.unwrap().iter().map(|run| run.id.0).collect()
    }
}

fn line(seq: i64) -> LogLine {
    LogLine { seq, stderr: false, line: format!("line {seq}"), logged_at: Timestamp(0) }
}

fn is_absent<T>(result: &Result<T, Error>) -> bool {
    matches!(result, Err(Error::Absent(_)))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_app_is_hidden_at_once_its_slug_is_free_and_everything_of_it_goes() {
    let plane = Plane::start().await;
    plane.run_background();
    let run = plane.ended(1_200).await;
    plane.app.apps().delete_app(&plane.team, "jobs".to_owned(), Unfinished::Keep).await.unwrap();
    let apps = plane.app.apps();
    assert!(is_absent(&apps.app(&plane.team, "jobs".to_owned()).await));
    assert!(is_absent(&plane.app.runs().run(&plane.team, run.id).await));
    assert_eq!(
        (plane.listed().await, apps.apps(&plane.team, Page::default()).await.unwrap().len()),
        (vec![], 0)
    );
    apps.create_app(&plane.team, "jobs", None).await.unwrap();
    let none = plane.app.runs().create_run(&plane.team, "jobs".to_owned(), CreateRun::default()).await;
    assert!(matches!(none, Err(Error::NoVersion(_))), "the new one has no version: {none:?}");
    plane.until_left(0).await;
    plane.until_objects(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_not_ended_is_in_the_way_unless_it_is_to_be_cancelled() {
    let plane = Plane::start().await;
    plane.run_background();
    let held = plane.run(CreateRun::default()).await;
    let runner = plane.runner("r").await;
    let grant = plane.lease(&runner).await;
    let queued = plane.run(CreateRun::default()).await;
    let (apps, runs, jobs) = (plane.app.apps(), plane.app.runs(), || "jobs".to_owned());
    for refused in [
        apps.delete_app(&plane.team, jobs(), Unfinished::Keep).await,
        apps.delete_version(&plane.team, jobs(), 1, Unfinished::Keep).await,
        runs.delete_run(&plane.team, held.id, Unfinished::Keep).await,
        runs.delete_run(&plane.team, queued.id, Unfinished::Keep).await,
    ] {
        assert!(
            matches!(refused, Err(Error::UnfinishedRuns { .. } | Error::UnfinishedRun(_))),
            "{refused:?}"
        );
    }
    assert_eq!(plane.listed().await, [queued.id.0, held.id.0]);

    apps.delete_app(&plane.team, jobs(), Unfinished::Cancel).await.unwrap();
    assert_eq!(plane.listed().await, [] as [i64; 0]);
    let leases = plane.app.leases();
    until("its runner is told", || async {
        let (run, _) = leases.heartbeat(&runner, held.id, &grant.lease_token).await.unwrap();
        run.status() == RunStatus::Cancelling
    })
    .await;
    let ended = outcome(ResultStatus::Cancelled).into();
    leases.finish_run(&runner, held.id, &grant.lease_token, ended).await.unwrap();
    drop((apps, runs, leases));
    // Runs that have not ended are looked at again some seconds later.
    let plane = plane.restart().await;
    plane.run_background();
    plane.until_left(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_version_takes_its_runs_and_leaves_those_of_others() {
    let plane = Plane::start().await;
    plane.run_background();
    let first = plane.ended(0).await;
    plane.upload_with_api().await;
    let second = plane.ended(10).await;
    let apps = plane.app.apps();
    apps.delete_version(&plane.team, "jobs".to_owned(), 2, Unfinished::Keep).await.unwrap();
    assert_eq!(plane.listed().await, [first.id.0]);
    plane.until_left(1).await;
    plane.until_objects(1).await;
    let gone = apps.delete_version(&plane.team, "jobs".to_owned(), 2, Unfinished::Keep).await;
    assert!(matches!(gone, Err(Error::Absent(Absent::Version { .. }))), "{gone:?}");
    let wanted = CreateRun { version_no: Some(2), ..CreateRun::default() };
    assert!(is_absent(&plane.app.runs().create_run(&plane.team, "jobs".to_owned(), wanted).await));
    assert_eq!(plane.run(CreateRun::default()).await.version_number, 1, "the newest that is left");
    plane.upload("main.py").await.unwrap();
    assert_eq!(plane.run(CreateRun::default()).await.version_number, 3, "{}: no number twice", second.id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_run_goes_with_its_log_and_a_restart_goes_on_where_it_was() {
    let plane = Plane::start().await;
    plane.run_background();
    let kept = plane.ended(10).await;
    let run = plane.ended(5_000).await;
    plane.app.runs().delete_run(&plane.team, run.id, Unfinished::Keep).await.unwrap();
    let plane = plane.restart().await;
    plane.run_background();
    assert_eq!(plane.listed().await, [kept.id.0]);
    plane.until_left(1).await;
    let plane = plane.restart().await;
    plane.until_left(1).await;
    assert_eq!(plane.app.runs().run(&plane.team, kept.id).await.unwrap().id, kept.id);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_deleted_app_or_version_starts_however_long_its_removal_takes() {
    // Nobody removes anything here.
    let plane = Plane::start().await;
    let other = plane.another_team("other").await;
    plane.upload_with_api().await;
    for n in 0..120 {
        plane.run(CreateRun { version_no: Some(1 + n % 2), ..CreateRun::default() }).await;
    }
    let theirs = plane.run_of(&other, CreateRun::default()).await;
    let apps = plane.app.apps();
    apps.delete_version(&plane.team, "jobs".to_owned(), 1, Unfinished::Cancel).await.unwrap();
    let first = plane.lease(&plane.runner("one").await).await;
    assert_eq!((first.run.team_id, first.run.version_number), (plane.team.team_id, 2));
    apps.delete_app(&plane.team, "jobs".to_owned(), Unfinished::Cancel).await.unwrap();
    assert_eq!(plane.lease(&plane.runner("two").await).await.run.id, theirs.id);
    let poll = minitower_runs::domain::claim::Poll::default();
    assert!(plane.poll(&plane.runner("three").await, poll).await.unwrap().is_none());
    let summary = plane.app.runs().runs_summary(&plane.team).await.unwrap();
    assert_eq!(summary, Summary::default(), "what is hidden is not counted");
    let renamed = format!("jobs~{}", first.run.app_id);
    assert!(is_absent(&apps.app(&plane.team, renamed).await));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_deleted_is_not_counted_however_long_its_removal_takes() {
    // Nobody removes anything here.
    let plane = Plane::start().await;
    plane.upload_with_api().await;
    let (runs, apps) = (plane.app.runs(), plane.app.apps());
    let of = |version| CreateRun { version_no: Some(version), ..CreateRun::default() };
    let ended = plane.run(of(2)).await;
    runs.cancel_run(&plane.team, ended.id).await.unwrap();
    let held = plane.run(of(2)).await;
    plane.lease(&plane.runner("one").await).await;
    let held_too = plane.run(of(1)).await;
    assert_eq!(plane.lease(&plane.runner("two").await).await.run.id, held_too.id);
    for version in [1, 2, 2] {
        plane.run(of(version)).await;
    }
    let summary = async || {
        let Summary { total, active, queued, terminal } = runs.runs_summary(&plane.team).await.unwrap();
        [total, active, queued, terminal]
    };
    assert_eq!(summary().await, [6, 2, 3, 1]);
    runs.delete_run(&plane.team, ended.id, Unfinished::Keep).await.unwrap();
    assert_eq!(summary().await, [5, 2, 3, 0]);
    runs.delete_run(&plane.team, held.id, Unfinished::Cancel).await.unwrap();
    assert_eq!(summary().await, [4, 1, 3, 0]);
    apps.delete_version(&plane.team, "jobs".to_owned(), 1, Unfinished::Cancel).await.unwrap();
    assert_eq!(summary().await, [2, 0, 2, 0]);
    assert_eq!(plane.listed().await.len(), 2);
    drop((runs, apps));
    let plane = plane.restart().await;
    let summary = plane.app.runs().runs_summary(&plane.team).await.unwrap();
    assert_eq!((summary.total, summary.queued), (2, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_made_beside_a_deletion_is_refused_or_is_in_its_way() {
    for _ in 0..20 {
        let plane = Plane::start().await;
        let mut creates = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let (runs, team) = (plane.app.runs(), plane.team.clone());
            creates.spawn(async move {
                runs.create_run(&team, "jobs".to_owned(), CreateRun::default()).await.is_ok()
            });
        }
        let apps = plane.app.apps();
        let deleted = apps.delete_version(&plane.team, "jobs".to_owned(), 1, Unfinished::Keep).await;
        let made = creates.join_all().await.into_iter().filter(|made| *made).count();
        assert!(deleted.is_err() || made == 0, "{made} runs were made of what was deleted");
        assert_eq!(plane.listed().await.len(), made);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_that_waits_holds_up_nobody_else() {
    let plane = Plane::start().await;
    let other = plane.another_team("other").await;
    let held = plane.run(CreateRun::default()).await;
    let grant = plane.lease(&plane.runner("r").await).await;
    assert_eq!(grant.run.id, held.id);
    let theirs = plane.run_of(&other, CreateRun::default()).await;
    plane.run_background();
    let (apps, jobs) = (plane.app.apps(), || "jobs".to_owned());
    apps.delete_app(&plane.team, jobs(), Unfinished::Cancel).await.unwrap();
    apps.delete_app(&other, jobs(), Unfinished::Cancel).await.unwrap();
    until("theirs is gone", || async {
        let list = ListRuns { limit: 9, ..ListRuns::default() };
        let listed = plane.app.runs().list_runs(&other, list).await.unwrap();
        listed.iter().all(|run| run.id != theirs.id) && plane.objects() == 1
    })
    .await;
}
