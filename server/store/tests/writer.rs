//! The writer: what is answered is durable, what failed left nothing, and one bad command harms no other.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

use std::path::Path;
use std::sync::{Arc, Mutex};

use minitower_domain::clock::Timestamp;
use minitower_store::effects::Effect;
use minitower_store::{Hooks, OpenError, Store, StoreError, environments, teams};

type Log = Arc<Mutex<Vec<String>>>;

fn open(path: &Path, log: &Log) -> Result<Store, OpenError> {
    let (committed, batches, fatal) = (Arc::clone(log), Arc::clone(log), Arc::clone(log));
    Store::open(
        path,
        Hooks {
            committed: Box::new(move |effects| {
                for effect in effects {
                    if let Effect::EnvironmentMade { name, .. } = effect {
                        committed.lock().unwrap().push(format!("made {name}"));
                    }
                }
            }),
            batch: Box::new(move |n| batches.lock().unwrap().push(format!("batch {n}"))),
            fatal: Box::new(move |why| fatal.lock().unwrap().push(format!("fatal {why}"))),
        },
    )
}

async fn team(store: &Store, slug: &'static str) -> Result<(), StoreError> {
    store.write(move |tx| teams::insert(tx, slug, slug, None, Timestamp(0)).map(|_| ())).await
}

async fn teams_of(store: &Store) -> Vec<String> {
    let mut found = Vec::new();
    for slug in ["aaa", "bbb", "ccc", "ddd"] {
        if store.read(move |db| teams::by_slug(db, slug)).await.unwrap().is_some() {
            found.push(slug.to_owned());
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_command_leaves_nothing_and_harms_no_other_of_its_batch() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("m.db"), &Log::default()).unwrap();
    team(&store, "aaa").await.unwrap();
    // The three are sent together and may share a commit.
    let (first, second, third) = tokio::join!(
        team(&store, "bbb"),
        store.write(|tx| {
            teams::insert(tx, "ccc", "ccc", None, Timestamp(0))?;
            teams::insert(tx, "aaa", "aaa", None, Timestamp(0)).map(|_| ())
        }),
        team(&store, "ddd"),
    );
    assert!(first.is_ok() && third.is_ok());
    assert!(matches!(second, Err(StoreError::Taken)), "{second:?}");
    assert_eq!(teams_of(&store).await, ["aaa", "bbb", "ddd"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_panics_is_undone_and_the_writer_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let log = Log::default();
    let store = open(&folder.path().join("m.db"), &log).unwrap();
    let result = store
        .write(|tx| -> Result<(), StoreError> {
            teams::insert(tx, "aaa", "aaa", None, Timestamp(0))?;
            panic!("a bug");
        })
        .await;
    assert!(matches!(result, Err(StoreError::Panicked)), "{result:?}");
    team(&store, "bbb").await.unwrap();
    assert_eq!(teams_of(&store).await, ["bbb"]);
    assert!(!log.lock().unwrap().iter().any(|l| l.starts_with("fatal")));
}

#[tokio::test(flavor = "multi_thread")]
async fn effects_are_told_after_the_commit_and_before_the_answer_and_never_of_what_was_undone() {
    let folder = tempfile::tempdir().unwrap();
    let log = Log::default();
    let store = open(&folder.path().join("m.db"), &log).unwrap();
    store
        .write(|tx| {
            let team = teams::insert(tx, "aaa", "aaa", None, Timestamp(0))?;
            environments::ensure(tx, team.id, "kept", Timestamp(0)).map(|_| ())
        })
        .await
        .unwrap();
    assert_eq!(log.lock().unwrap().as_slice(), ["made kept", "batch 1"], "told by the time it is answered");
    let undone: Result<(), StoreError> = store
        .write(|tx| {
            let team = teams::by_slug(tx, "aaa")?.unwrap();
            environments::ensure(tx, team.id, "undone", Timestamp(0))?;
            Err(StoreError::Taken)
        })
        .await;
    assert!(undone.is_err());
    assert!(!log.lock().unwrap().iter().any(|l| l.contains("undone")));
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_that_wait_share_a_commit() {
    let folder = tempfile::tempdir().unwrap();
    let log = Log::default();
    let store = Arc::new(open(&folder.path().join("m.db"), &log).unwrap());
    team(&store, "aaa").await.unwrap();
    let mut writes = Vec::new();
    for n in 0..500 {
        let store = Arc::clone(&store);
        writes.push(tokio::spawn(async move {
            store
                .write(move |tx| {
                    let team = teams::by_slug(tx, "aaa")?.unwrap();
                    environments::ensure(tx, team.id, &format!("e{n}"), Timestamp(0)).map(|_| ())
                })
                .await
        }));
    }
    for write in writes {
        write.await.unwrap().unwrap();
    }
    let batches = log.lock().unwrap().iter().filter(|l| l.starts_with("batch")).count();
    assert!(batches < 250, "500 commands took {batches} commits");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_is_there_after_a_reopen() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.db");
    let store = open(&path, &Log::default()).unwrap();
    team(&store, "aaa").await.unwrap();
    store.close().await.unwrap();
    assert!(matches!(team(&store, "bbb").await, Err(StoreError::Unavailable(_))), "closed for writes");
    drop(store);
    let store = open(&path, &Log::default()).unwrap();
    assert_eq!(teams_of(&store).await, ["aaa"]);
}

#[test]
fn two_control_planes_never_share_a_database() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.db");
    let first = open(&path, &Log::default()).unwrap();
    let second = open(&path, &Log::default()).unwrap_err();
    assert!(matches!(second, OpenError::InUse(_)), "{second}");
    drop(first);
    open(&path, &Log::default()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_database_refuses_writes_and_reads_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.db");
    let log = Log::default();
    let store = open(&path, &log).unwrap();
    team(&store, "aaa").await.unwrap();
    // SQLITE_FULL as a full disk gives it: no page may be added.
    store.write(|tx| tx.limit_pages_for_tests(1)).await.unwrap();
    let big = "x".repeat(1 << 20);
    let full = store.write(move |tx| {
        // Even a command that swallows the failure keeps nothing.
        let _ = teams::insert(tx, "bbb", &big, None, Timestamp(0));
        teams::insert(tx, "ddd", "ddd", None, Timestamp(0)).map(|_| ())
    });
    let full = full.await;
    assert!(matches!(full, Err(StoreError::Unavailable(_))), "{full:?}");
    assert_eq!(teams_of(&store).await, ["aaa"]);
    store.write(|tx| tx.limit_pages_for_tests(1_000_000)).await.unwrap();
    team(&store, "ccc").await.unwrap();
    assert_eq!(teams_of(&store).await, ["aaa", "ccc"]);
    assert!(!log.lock().unwrap().iter().any(|l| l.starts_with("fatal")));
}
