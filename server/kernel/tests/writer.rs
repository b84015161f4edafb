//! The writer: what is answered is durable, what failed left nothing, and one bad command harms no other.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

use std::future::Future as _;
use std::path::Path;
use std::sync::{Arc, Mutex, mpsc};
use std::task::Poll;
use std::time::{Duration, Instant};

use minitower_kernel::events::{Subscribers, Turn};
use minitower_kernel::{Db, Hooks, OpenError, Store, StoreError, Tx};

type Log = Arc<Mutex<Vec<String>>>;

/// What the commands of these tests emit.
struct Made(String);

fn open(path: &Path, log: &Log) -> Result<Store, OpenError> {
    let (made, batches, fatal) = (Arc::clone(log), Arc::clone(log), Arc::clone(log));
    let mut subscribers = Subscribers::default();
    subscribers.on(move |event: &Made| made.lock().unwrap().push(format!("made {}", event.0)));
    Store::open(
        path,
        subscribers,
        Hooks {
            batch: Box::new(move |n| batches.lock().unwrap().push(format!("batch {n}"))),
            fatal: Box::new(move |why| fatal.lock().unwrap().push(format!("fatal {why}"))),
        },
    )
}

/// A row of a table whose slugs are unique.
fn insert(tx: &Tx<'_>, slug: &str) -> Result<(), StoreError> {
    tx.insert("INSERT INTO teams (slug, name, created_at) VALUES (?1, ?1, 0)", [slug]).map(|_| ())
}

fn insert_and_tell(tx: &Tx<'_>, slug: &str) -> Result<(), StoreError> {
    insert(tx, slug)?;
    tx.emit(Made(slug.to_owned()));
    Ok(())
}

fn is_there(db: &Db, slug: &str) -> Result<bool, StoreError> {
    Ok(db.one("SELECT 1 FROM teams WHERE slug = ?1", [slug], |_| Ok(()))?.is_some())
}

/// Lets the database grow to that many pages at most, or to its present size when that is more: how a full disk is met.
fn limit_pages(tx: &Tx<'_>, pages: i64) -> Result<(), StoreError> {
    tx.one(&format!("PRAGMA max_page_count = {pages}"), (), |_| Ok(())).map(|_| ())
}

async fn team(store: &Store, slug: &'static str) -> Result<(), StoreError> {
    store.write(move |tx| insert(tx, slug)).await
}

/// A store whose mirror says what it holds.
fn open_mirrored(path: &Path) -> (Store, Log) {
    let mirror = Log::default();
    let held = Arc::clone(&mirror);
    let mut subscribers = Subscribers::default();
    subscribers.mirror(move |event: &Made, turn| match turn {
        Turn::Done => held.lock().unwrap().push(event.0.clone()),
        Turn::Undone => assert_eq!(held.lock().unwrap().pop().as_ref(), Some(&event.0), "the latest first"),
    });
    let hooks = Hooks { batch: Box::new(|_| {}), fatal: Box::new(|why| panic!("{why}")) };
    (Store::open(path, subscribers, hooks).unwrap(), mirror)
}

async fn teams_of(store: &Store) -> Vec<String> {
    let mut found = Vec::new();
    for slug in ["aaa", "bbb", "ccc", "ddd"] {
        if store.read(move |db| is_there(db, slug)).await.unwrap() {
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
            insert(tx, "ccc")?;
            insert(tx, "aaa")
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
            insert(tx, "aaa")?;
            panic!("a bug");
        })
        .await;
    assert!(matches!(result, Err(StoreError::Panicked)), "{result:?}");
    team(&store, "bbb").await.unwrap();
    assert_eq!(teams_of(&store).await, ["bbb"]);
    assert!(!log.lock().unwrap().iter().any(|l| l.starts_with("fatal")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_holds_what_its_transaction_holds_command_by_command() {
    let folder = tempfile::tempdir().unwrap();
    let (store, mirror) = open_mirrored(&folder.path().join("m.db"));
    let seen = Arc::clone(&mirror);
    store
        .write(move |tx| {
            insert_and_tell(tx, "aaa")?;
            assert_eq!(*seen.lock().unwrap(), ["aaa"], "at once");
            Ok::<_, StoreError>(())
        })
        .await
        .unwrap();
    let refused = store.write(|tx| {
        insert_and_tell(tx, "bbb")?;
        insert_and_tell(tx, "ccc")?;
        insert(tx, "aaa")
    });
    assert!(refused.await.is_err());
    let panicked = store.write(|tx| -> Result<(), StoreError> {
        insert_and_tell(tx, "bbb")?;
        panic!("a bug");
    });
    assert!(panicked.await.is_err());
    assert_eq!(*mirror.lock().unwrap(), ["aaa"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_forgets_the_whole_batch_that_met_a_full_disk() {
    let folder = tempfile::tempdir().unwrap();
    let (store, mirror) = open_mirrored(&folder.path().join("m.db"));
    store.write(|tx| limit_pages(tx, 1)).await.unwrap();
    // They are sent together and may share a commit; where they do not, only the one that met the full disk is lost.
    let (small, large) = tokio::join!(
        store.write(|tx| insert_and_tell(tx, "small")),
        store.write(|tx| {
            insert_and_tell(tx, "large")?;
            insert(tx, &"x".repeat(10 << 20))
        }),
    );
    assert!(large.is_err());
    let kept: &[&str] = if small.is_ok() { &["small"] } else { &[] };
    assert_eq!(*mirror.lock().unwrap(), kept);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_told_after_the_commit_and_before_the_answer_and_never_of_what_was_undone() {
    let folder = tempfile::tempdir().unwrap();
    let log = Log::default();
    let store = open(&folder.path().join("m.db"), &log).unwrap();
    store.write(|tx| insert_and_tell(tx, "kept")).await.unwrap();
    assert_eq!(log.lock().unwrap().as_slice(), ["made kept", "batch 1"], "told by the time it is answered");
    let undone: Result<(), StoreError> = store
        .write(|tx| {
            insert_and_tell(tx, "undone")?;
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
        writes.push(tokio::spawn(async move { store.write(move |tx| insert(tx, &format!("e{n}"))).await }));
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

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_page_is_found_at_the_start_after_an_unclean_stop() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.db");
    let store = open(&path, &Log::default()).unwrap();
    for slug in ["aaa", "bbb"] {
        team(&store, slug).await.unwrap();
    }
    // One that the start itself does not read.
    let root = "SELECT rootpage FROM sqlite_schema WHERE name = 'sqlite_autoindex_teams_1'";
    let page = store.read(move |db| db.one(root, (), |row| Ok(row.get::<_, u32>("rootpage")?)));
    let page = page.await.unwrap().unwrap() as usize;
    store.close().await.unwrap();
    assert!(!folder.path().join("m.db-wal").exists(), "a clean stop leaves no log");
    drop(store);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[(page - 1) * 4096..page * 4096].fill(0xab);
    std::fs::write(&path, bytes).unwrap();
    // After a clean stop nothing is looked for, and the start costs nothing.
    drop(open(&path, &Log::default()).unwrap());
    // What a killed server leaves beside it.
    std::fs::write(folder.path().join("m.db-wal"), "").unwrap();
    let damaged = open(&path, &Log::default()).unwrap_err();
    assert!(matches!(damaged, OpenError::Damaged { .. }), "{damaged}");
    assert!(damaged.to_string().contains("restore a backup"), "{damaged}");
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
    store.write(|tx| limit_pages(tx, 1)).await.unwrap();
    let big = "x".repeat(1 << 20);
    let full = store.write(move |tx| {
        // Even a command that swallows the failure keeps nothing.
        let _ = insert(tx, &format!("bbb{big}"));
        insert(tx, "ddd")
    });
    let full = full.await;
    assert!(matches!(full, Err(StoreError::Unavailable(_))), "{full:?}");
    assert_eq!(teams_of(&store).await, ["aaa"]);
    store.write(|tx| limit_pages(tx, 1_000_000)).await.unwrap();
    team(&store, "ccc").await.unwrap();
    assert_eq!(teams_of(&store).await, ["aaa", "ccc"]);
    assert!(!log.lock().unwrap().iter().any(|l| l.starts_with("fatal")));
}

/// Keeps the writer busy until what it gives is dropped or sent to.
async fn busy(store: &Arc<Store>) -> (mpsc::Sender<()>, tokio::task::JoinHandle<Result<(), StoreError>>) {
    let (go_on, gate) = mpsc::channel::<()>();
    let (began, begins) = tokio::sync::oneshot::channel();
    let store = Arc::clone(store);
    let running = tokio::spawn(async move {
        store
            .write_lease(move |_| {
                began.send(()).unwrap();
                // Err: the sender is gone, which will do as well.
                let _ = gate.recv();
                Ok(())
            })
            .await
    });
    begins.await.unwrap();
    (go_on, running)
}

/// Sends a command that notes its name when it is run, and has sent it when this answers.
async fn note(store: &Arc<Store>, log: &Log, lease: bool, name: String) -> tokio::task::JoinHandle<()> {
    let (store, log) = (Arc::clone(store), Arc::clone(log));
    let mut write = Box::pin(async move {
        let job = move |_: &Tx<'_>| {
            log.lock().unwrap().push(name);
            Ok::<_, StoreError>(())
        };
        if lease { store.write_lease(job).await } else { store.write(job).await }.unwrap();
    });
    // The first poll puts it into the queue.
    let first = std::future::poll_fn(|cx| Poll::Ready(write.as_mut().poll(cx)));
    assert!(first.await.is_pending());
    tokio::spawn(write)
}

#[tokio::test(flavor = "multi_thread")]
async fn lease_traffic_goes_before_what_waited_longer_and_the_rest_has_its_share() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(open(&folder.path().join("m.db"), &Log::default()).unwrap());
    let (go_on, running) = busy(&store).await;
    let order = Log::default();
    let mut writes = Vec::new();
    for n in 0..20 {
        writes.push(note(&store, &order, false, format!("rest {n}")).await);
    }
    for n in 0..40 {
        writes.push(note(&store, &order, true, format!("lease {n}")).await);
    }
    go_on.send(()).unwrap();
    for write in writes {
        write.await.unwrap();
    }
    running.await.unwrap().unwrap();
    let order = order.lock().unwrap();
    let places = |class: &str| {
        let of_class = |(_, name): &(usize, &String)| name.starts_with(class);
        order.iter().enumerate().filter(of_class).map(|(at, _)| at).collect::<Vec<_>>()
    };
    let (lease, rest) = (places("lease"), places("rest"));
    assert!(lease.iter().max() < Some(&48), "40 commands and every eighth of another class: {order:?}");
    assert!(rest.windows(2).all(|two| two[1] - two[0] <= 8), "the rest waits for ever: {order:?}");
    let (mut kept, mut sent) = (order.clone(), order.clone());
    kept.sort_by_key(|name| name.starts_with("rest"));
    sent.sort_by_key(|name| {
        (name.starts_with("rest"), name[name.find(' ').unwrap() + 1..].parse::<u32>().unwrap())
    });
    assert_eq!(kept, sent, "each class keeps its order");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_heartbeat_is_run_next_and_committed_before_long_commands_that_came_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let log = Log::default();
    let store = Arc::new(open(&folder.path().join("m.db"), &log).unwrap());
    let (go_on, running) = busy(&store).await;
    let mut writes = Vec::new();
    for n in 0..20 {
        let (store, log) = (Arc::clone(&store), Arc::clone(&log));
        let mut write = Box::pin(async move {
            let long = move |_: &Tx<'_>| {
                let began = Instant::now();
                while began.elapsed() < Duration::from_millis(4) {
                    std::hint::spin_loop();
                }
                log.lock().unwrap().push(format!("long {n}"));
                Ok::<_, StoreError>(())
            };
            store.write(long).await.unwrap();
        });
        let first = std::future::poll_fn(|cx| Poll::Ready(write.as_mut().poll(cx)));
        assert!(first.await.is_pending());
        writes.push(tokio::spawn(write));
    }
    // It comes last, while the writer is busy.
    writes.push(note(&store, &log, true, "heartbeat".to_owned()).await);
    go_on.send(()).unwrap();
    for write in writes {
        write.await.unwrap();
    }
    running.await.unwrap().unwrap();
    let log = log.lock().unwrap();
    let committed =
        log.iter().skip_while(|line| *line != "heartbeat").position(|line| line.starts_with("batch"));
    assert!(
        log.iter().position(|line| line == "heartbeat") < log.iter().position(|line| line == "long 0"),
        "{log:?}"
    );
    assert!(committed.unwrap() < 10, "its commit waits for all the others: {log:?}");
}
