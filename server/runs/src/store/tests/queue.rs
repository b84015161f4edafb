//! The queue: runs that are held back are not in the way of those that are ready, and come back in their order.

use super::team as new_team;
use crate::domain::after::{After, Until};
use crate::domain::labels::Labels;
use crate::domain::lease;
use crate::domain::retry::RetryPolicy;
use crate::domain::run::{Run, RunProgress, RunState, Wait};
use crate::store::runs::NewRun;
use crate::store::versions::NewVersion;
use crate::store::{apps, counts, queue, runs, versions};
use minitower_kernel::events::Subscribers;
use minitower_kernel::{Hooks, Store, StoreError, Tx};
use minitower_teams::environments;
use minitower_teams::limits::{Defaults, Limits};
use minitower_vocabulary::ids::RunId;
use minitower_vocabulary::statuses::Failure;
use minitower_vocabulary::time::Timestamp;

const NOW: Timestamp = Timestamp(1000);

fn store(folder: &tempfile::TempDir) -> Store {
    let mut subscribers = Subscribers::default();
    subscribers.fold(counts::flush);
    let hooks = Hooks { batch: Box::new(|_| {}), fatal: Box::new(|why| panic!("{why}")) };
    Store::open(&folder.path().join("m.db"), subscribers, hooks).unwrap()
}

/// A maker of runs of one app, with a policy and a timeout.
fn maker(tx: &Tx<'_>) -> Result<impl Fn(&Tx<'_>) -> Result<Run, StoreError> + use<>, StoreError> {
    let team = new_team(tx, "acme")?;
    let app = apps::insert(tx, team, "jobs", None, NOW)?;
    let new = NewVersion {
        entrypoint: "main.py".to_owned(),
        timeout_seconds: None,
        params_schema: None,
        artifact_sha256: "0".repeat(64),
        artifact_bytes: 0,
        towerfile_toml: None,
        import_paths: None,
        max_retries: 0,
        api: false,
        concurrency: None,
        secrets: Vec::new(),
        hidden_parameters: Vec::new(),
    };
    let version = versions::insert(tx, app.id, new, NOW)?;
    let limits = Limits::new(Defaults::with_storage(None));
    let (environment, _) = environments::ensure(tx, (team, &limits), "default", NOW).unwrap();
    Ok(move |tx: &Tx<'_>| {
        let new = NewRun {
            team,
            app: (app.id, "jobs".to_owned()),
            version: (version.id, version.number),
            environment: (environment, "default".to_owned()),
            input: None,
            hidden_parameters: None,
            priority: 0,
            max_retries: 2,
            policy: Some(RetryPolicy::new(&[Failure::Failed, Failure::Lost], 10, 1500, 20)),
            timeout_seconds: Some(60),
            labels: Labels::default(),
            concurrency: None,
            after: vec![After { run: RunId(7), until: Until::Ended }],
            wait: Wait::Nothing,
            retry_of: None,
        };
        Ok(runs::insert(tx, new, NOW)?.expect("its app is there"))
    })
}

fn hold_back(tx: &Tx<'_>, run: &Run, until: i64) -> Result<Run, StoreError> {
    let at = Timestamp(until);
    let state = RunState::Queued { wait: Wait::Until(at), first_started_at: None };
    let after = RunProgress { queued_at: at, state, ..run.progress.clone() };
    runs::save(tx, run.clone(), after, None)
}

fn first(tx: &Tx<'_>, of: &Run) -> Option<RunId> {
    queue::first_of_team(tx, of.team_id, "default").unwrap().map(|run| run.id)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_run_is_made_of_is_read_again_as_it_was_made() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    let made = store.write(|tx| {
        let made = maker(tx)?(tx)?;
        let held = hold_back(tx, &made, 2000)?;
        let read = runs::by_id(tx, held.id)?;
        Ok::<_, StoreError>((held, read.expect("it was written")))
    });
    let (held, read) = made.await.unwrap();
    assert_eq!(read, held);
    assert_eq!(read.after.as_deref(), Some(r#"[{"on":"ended","run_id":7}]"#));
    assert_eq!((read.timeout_seconds, read.progress.state.not_before()), (Some(60), Some(Timestamp(2000))));
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_that_are_held_back_leave_the_queue_and_the_first_due_comes_back_first() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    let done = store.write(|tx| {
        let make = maker(tx)?;
        let held: Vec<Run> =
            (0..300).map(|n| hold_back(tx, &make(tx)?, 5000 - n)).collect::<Result<_, StoreError>>()?;
        assert_eq!(first(tx, &held[0]), None);
        let ready = make(tx)?;
        assert_eq!(first(tx, &ready), Some(ready.id));

        assert_eq!(runs::next_due(tx)?, Some(Timestamp(4701)));
        assert!(runs::due(tx, Timestamp(4700), 9)?.is_empty());
        let due = runs::due(tx, Timestamp(4703), 2)?;
        let ids = |runs: &[Run]| runs.iter().map(|run| run.id).collect::<Vec<_>>();
        assert_eq!(
            ids(&due),
            [held[299].id, held[298].id],
            "those due first, and no more than were asked for"
        );
        for run in &due {
            runs::save(tx, run.clone(), lease::wake(&run.progress, Timestamp(4703)).unwrap(), None)?;
        }
        assert_eq!(runs::next_due(tx)?, Some(Timestamp(4703)));

        // Pages over all that wait, each once.
        let (mut seen, mut cursor) = (Vec::new(), (NOW, RunId(i64::MAX)));
        loop {
            let page = runs::backing_off(tx, cursor, 100)?;
            let Some(last) = page.last() else { break };
            cursor = (last.progress.state.not_before().unwrap(), last.id);
            seen.extend(ids(&page));
        }
        let mut expected = ids(&held[..298]);
        expected.reverse();
        assert_eq!(seen, expected);
        Ok::<_, StoreError>(())
    });
    done.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_that_wait_are_counted_apart_until_they_are_ready_or_cancelled() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    let held = store.write(|tx| {
        let make = maker(tx)?;
        (0..3).map(|_| hold_back(tx, &make(tx)?, 2000)).collect::<Result<Vec<Run>, StoreError>>()
    });
    let held = held.await.unwrap();
    assert_eq!(counted(&store).await, ["Blocked(Backoff) 3"]);
    let moved = store.write(move |tx| {
        runs::save(tx, held[0].clone(), lease::wake(&held[0].progress, Timestamp(2000)).unwrap(), None)?;
        runs::save(tx, held[1].clone(), lease::cancel_unheld(held[1].progress.clone(), NOW).unwrap(), None)?;
        Ok::<_, StoreError>(())
    });
    moved.await.unwrap();
    assert_eq!(counted(&store).await, ["Blocked(Backoff) 1", "Status(Cancelled) 1", "Status(Queued) 1"]);
}

async fn counted(store: &Store) -> Vec<String> {
    let all = store.read(counts::all).await.unwrap();
    let mut all: Vec<String> =
        all.iter().filter(|c| c.n != 0).map(|c| format!("{:?} {}", c.bucket, c.n)).collect();
    all.sort();
    all
}
