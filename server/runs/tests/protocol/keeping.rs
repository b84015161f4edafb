//! What is kept and told: uploads, restored backups, bounds, scrapes, passwords.

use std::path::Path;
use std::time::Duration;

use minitower_kernel::OpenError;
use minitower_runs::CreateRun;
use minitower_runs::Register;
use minitower_runs::domain::claim::Poll;
use minitower_runs::domain::lease::{Outcome, Refusal};
use minitower_runs::{Error, UploadError};
use minitower_vocabulary::statuses::{ResultStatus, RunStatus};
use minitower_vocabulary::time::Timestamp;

use crate::support::{Plane, TTL, outcome, retries};

/// As `minitowerd restore` does it.
fn restore(to: &Path, from: &Path, now: Timestamp) -> Result<(), OpenError> {
    minitower_kernel::restore(to, from, |tx| minitower_runs::revive(tx, TTL, now))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_upload_leaves_nothing_on_disk_and_the_same_bytes_are_one_file() {
    let plane = Plane::start().await;
    let objects = plane.folder.path().join("objects");
    let files = || std::fs::read_dir(&objects).unwrap().count();
    assert_eq!(files(), 1);
    assert!(matches!(plane.upload("absent.py").await, Err(Error::Upload(UploadError::NoEntrypoint(_)))));
    assert!(matches!(plane.upload("").await, Err(Error::Upload(UploadError::NoTowerfile))));
    plane.upload("main.py").await.unwrap();
    assert_eq!(files(), 1);
    let mut oversized = plane.app.apps().begin_upload(&plane.team).await.unwrap();
    let refused = oversized.write(&vec![0; (1 << 20) + 1]).await;
    assert!(matches!(refused, Err(Error::TooLong { .. })));
    drop(oversized);
    assert_eq!(files(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_backup_voids_its_leases_keeps_its_runs_and_gives_out_no_id_twice() {
    let plane = Plane::start().await;
    let run = plane.run(retries(1)).await;
    let runner = plane.runner("r").await;
    let grant = plane.lease(&runner).await;
    plane.stopping.cancel();
    plane.app.close().await.unwrap();
    let (from, to) = (plane.folder.path().join("m.db"), plane.folder.path().join("restored"));
    std::fs::create_dir(&to).unwrap();
    // After the backup the run ends elsewhere; the backup does not know.
    plane.clock.advance(Duration::from_secs(1));
    restore(&to.join("m.db"), &from, plane.clock.now()).unwrap();
    let twice = restore(&to.join("m.db"), &from, plane.clock.now()).unwrap_err();
    assert!(twice.to_string().contains("move it away"), "{twice}");

    let (app, _stopping) = crate::support::open(crate::support::settings(&to), &plane.clock).await;
    let late = app.leases().heartbeat(&runner, run.id, &grant.lease_token).await;
    assert!(matches!(late, Err(Error::Refused(Refusal::Gone))), "{late:?}");
    let restored = app.runs().run(&plane.team, run.id).await.unwrap();
    assert_eq!(restored.status(), RunStatus::Leased, "it waits for the lease to run out");
    plane.clock.advance(TTL);
    let again = app.leases().lease(&runner, Poll::default(), Duration::ZERO).await.unwrap().unwrap();
    let again = again.deliver().unwrap();
    assert_eq!(again.run.id, run.id);
    assert!(again.attempt.id.0 > 1_000_000, "{}", again.attempt.id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_backup_voids_the_api_tokens_of_jobs() {
    let plane = Plane::start().await;
    plane.upload_with_api().await;
    plane.run(CreateRun::default()).await;
    let runner = plane.runner("r").await;
    let token = plane.lease(&runner).await.api_token.unwrap();
    plane.app.runs().authenticate(Some(&token)).await.unwrap();
    plane.stopping.cancel();
    plane.app.close().await.unwrap();
    let (from, to) = (plane.folder.path().join("m.db"), plane.folder.path().join("restored"));
    std::fs::create_dir(&to).unwrap();
    restore(&to.join("m.db"), &from, plane.clock.now()).unwrap();
    let (app, _stopping) = crate::support::open(crate::support::settings(&to), &plane.clock).await;
    let refused = app.runs().authenticate(Some(&token)).await;
    assert!(matches!(refused, Err(Error::Teams(minitower_teams::Error::Unauthorized))), "{refused:?}");
}

/// The lease is dead from its expiry on, reaped or not, and so is the token.
#[tokio::test(flavor = "multi_thread")]
async fn an_api_token_dies_with_the_lease_before_anybody_looks() {
    let plane = Plane::start().await;
    plane.upload_with_api().await;
    let run = plane.run(CreateRun::default()).await;
    let runner = plane.runner("r").await;
    let grant = plane.lease(&runner).await;
    let token = grant.api_token.unwrap();
    let (almost, rest) = (Duration::from_millis(59_999), Duration::from_millis(1));
    assert_eq!(almost + rest, TTL);
    plane.clock.advance(almost);
    plane.app.runs().authenticate(Some(&token)).await.unwrap();
    plane.app.leases().heartbeat(&runner, run.id, &grant.lease_token).await.unwrap();
    plane.clock.advance(almost);
    plane.app.runs().authenticate(Some(&token)).await.unwrap();
    plane.clock.advance(rest);
    for refused in [
        plane.app.runs().authenticate(Some(&token)).await,
        plane.app.runs().refuse_attempt(Some(&token)).await.map(|()| plane.team.clone()),
    ] {
        assert!(matches!(refused, Err(Error::Teams(minitower_teams::Error::Unauthorized))), "{refused:?}");
    }
    assert_eq!(plane.status(&run).await.status(), RunStatus::Leased);
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_given_out_after_a_backup_that_had_none_yet_are_not_given_out_again() {
    let plane = Plane::start().await;
    plane.stopping.cancel();
    plane.app.close().await.unwrap();
    let (from, to) = (plane.folder.path().join("m.db"), plane.folder.path().join("restored"));
    std::fs::create_dir(&to).unwrap();
    // The backup has no run and no runner; after it some were made, and people and runners know their ids.
    restore(&to.join("m.db"), &from, plane.clock.now()).unwrap();
    let (app, _stopping) = crate::support::open(crate::support::settings(&to), &plane.clock).await;
    let run = app.runs().create_run(&plane.team, "jobs".to_owned(), CreateRun::default()).await.unwrap();
    assert!(run.id.0 > 1_000_000, "{}", run.id);
    let new = Register { name: "r".to_owned(), ..Register::default() };
    let runner = app.runners().register_runner(plane.registration, new).await.unwrap();
    assert!(runner.id.0 > 1_000_000, "{}", runner.id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_megabytes_is_cut_before_it_fills_every_list() {
    let plane = Plane::start().await;
    let (run, runner) = (plane.run(CreateRun::default()).await, plane.runner("r").await);
    let grant = plane.lease(&runner).await;
    let long = Outcome { error_message: Some("ä".repeat(1 << 20)), ..outcome(ResultStatus::Failed) };
    plane.app.leases().finish_run(&runner, run.id, &grant.lease_token, long.into()).await.unwrap();
    let kept = plane.status(&run).await.progress.state.end().unwrap().error_message.clone().unwrap();
    assert!(kept.starts_with('ä') && kept.len() == 8 * 1024, "{}", kept.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn scrapes_at_the_same_time_each_see_every_gauge() {
    let plane = Plane::start().await;
    plane.run(CreateRun::default()).await;
    let scrapes: Vec<_> = (0..4)
        .map(|_| {
            let app = plane.app.clone();
            std::thread::spawn(move || {
                (0..5000)
                    .all(|_| app.subjects().metrics().iter().any(|f| f.name() == "minitower_runs_pending"))
            })
        })
        .collect();
    for scrape in scrapes {
        assert!(scrape.join().unwrap(), "a scrape met gauges that another had just emptied");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_passwords_that_come_all_at_once_are_throttled_like_those_that_come_one_by_one() {
    use minitower_teams::Error;

    let plane = Plane::start().await;
    let mut guesses = tokio::task::JoinSet::new();
    for n in 0..40 {
        let app = plane.app.clone();
        guesses.spawn(async move { app.teams().login("acme", format!("guess {n}"), None).await.map(|_| ()) });
    }
    let answers = guesses.join_all().await;
    let checked = answers.iter().filter(|a| matches!(a, Err(Error::WrongLogin))).count();
    let refused = |answer: &&Result<(), Error>| {
        matches!(answer, Err(Error::TooManyLogins { .. } | Error::TooManyWaiting { .. }))
    };
    // What is wrong counts before the next one is looked at.
    assert_eq!(checked, 20);
    assert_eq!(answers.iter().filter(refused).count(), 20);
}
