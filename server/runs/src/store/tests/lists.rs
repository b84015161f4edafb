//! Lists by pages: every item comes once, in order, and another's never.

use std::path::Path;

use super::team;
use crate::domain::labels::Label;
use crate::store::run_lists::Filter;
use crate::store::versions::NewVersion;
use crate::store::{apps, run_lists, runners, versions};
use minitower_kernel::events::Subscribers;
use minitower_kernel::rusqlite::params_from_iter;
use minitower_kernel::{Db, Hooks, Store, StoreError, Tx};
use minitower_vocabulary::ids::{AppId, RunId, TeamId};
use minitower_vocabulary::statuses::RunStatus;
use minitower_vocabulary::time::Timestamp;
use rstest::rstest;

const NOW: Timestamp = Timestamp(0);

fn open(folder: &Path) -> Store {
    let subscribers = Subscribers::default();
    let hooks = Hooks { batch: Box::new(|_| {}), fatal: Box::new(|why| panic!("{why}")) };
    Store::open(&folder.join("m.db"), subscribers, hooks).unwrap()
}

/// Two teams, both with what `make` makes; the first one's id.
async fn twice(store: &Store, make: fn(&Tx<'_>, TeamId) -> Result<(), StoreError>) -> TeamId {
    let made = store.write(move |tx| {
        let [first, second] = ["first", "second"].map(|slug| team(tx, slug));
        let (first, second) = (first?, second?);
        make(tx, first)?;
        make(tx, second)?;
        Ok::<_, StoreError>(first)
    });
    made.await.unwrap()
}

/// The keys on each page, up to the empty one.
async fn pages<T, C>(
    store: &Store,
    list: impl Fn(&Db, Option<&C>) -> Result<Vec<T>, StoreError> + Clone + Send + 'static,
    key: impl Fn(T) -> C,
) -> Vec<Vec<C>>
where
    T: Send + 'static,
    C: Clone + Send + 'static,
{
    let mut pages: Vec<Vec<C>> = Vec::new();
    loop {
        let cursor = pages.last().and_then(|page| page.last()).cloned();
        let list = list.clone();
        let page = store.read(move |db| list(db, cursor.as_ref())).await.unwrap();
        if page.is_empty() {
            return pages;
        }
        pages.push(page.into_iter().map(&key).collect());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn apps_come_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let team = twice(&store, |tx, team| {
        for name in ["beta", "a-b", "gamma", "a1b", "delta"] {
            apps::insert(tx, team, name, None, NOW)?;
        }
        Ok(())
    })
    .await;
    let expected = [vec!["a-b", "a1b"], vec!["beta", "delta"], vec!["gamma"]];
    let list = move |db: &Db, after: Option<&String>| apps::list(db, team, after.map(String::as_str), 2);
    assert_eq!(pages(&store, list, |app| app.slug).await, expected);
}

/// A version whose Towerfile and schema have that many bytes together.
fn version_of(bytes: usize) -> NewVersion {
    NewVersion {
        entrypoint: "main.py".to_owned(),
        timeout_seconds: None,
        params_schema: Some("s".repeat(bytes / 2)),
        artifact_sha256: "0".repeat(64),
        artifact_bytes: 1,
        towerfile_toml: Some("t".repeat(bytes - bytes / 2)),
        import_paths: None,
        max_retries: 0,
        api: false,
        concurrency: None,
        secrets: Vec::new(),
        hidden_parameters: Vec::new(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_versions_ends_early_once_its_texts_are_long_enough() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let team = twice(&store, |tx, team| {
        let app = apps::insert(tx, team, "jobs", None, NOW)?.id;
        // From the newest: a long one, and four that make a hundred bytes in threes.
        for bytes in [40, 40, 40, 40, 1000] {
            versions::insert(tx, app, version_of(bytes), NOW)?;
        }
        Ok(())
    })
    .await;
    let app: AppId =
        store.read(move |db| apps::by_slug(db, team, "jobs")).await.unwrap().expect("it was made").id;
    let numbers = |limit, max_bytes| {
        let list =
            move |db: &Db, before: Option<&i64>| versions::list(db, app, before.copied(), limit, max_bytes);
        pages(&store, list, |version| version.number)
    };
    assert_eq!(numbers(2, usize::MAX).await, [vec![5, 4], vec![3, 2], vec![1]]);
    assert_eq!(numbers(1000, 100).await, [vec![5], vec![4, 3, 2], vec![1]]);
    assert_eq!(numbers(1000, 80).await, [vec![5], vec![4, 3], vec![2, 1]], "exactly enough is enough");
}

/// With a million runs, a list that sorts or looks at each of them takes seconds.
#[rstest]
#[case::of_a_team(Filter::default())]
#[case::of_an_app(Filter { app: Some(AppId(1)), ..Filter::default() })]
#[case::of_a_status(Filter { status: Some(RunStatus::Failed), ..Filter::default() })]
#[case::before_one(Filter { app: Some(AppId(1)), before: Some(RunId(9)), ..Filter::default() })]
#[case::of_a_label(Filter { labels: vec![label("a=1")], ..Filter::default() })]
#[case::of_labels_and_all_else(Filter {
    labels: vec![label("a=1"), label("b=2")],
    app: Some(AppId(1)),
    status: Some(RunStatus::Failed),
    environment: Some("default".to_owned()),
    before: Some(RunId(9)),
    ..Filter::default()
})]
#[case::of_those_that_none_repeats(Filter {
    status: Some(RunStatus::Failed),
    not_repeated: true,
    before: Some(RunId(9)),
    ..Filter::default()
})]
#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_runs_walks_one_index_in_its_order(#[case] filter: Filter) {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let (by_label, not_repeated) = (!filter.labels.is_empty(), filter.not_repeated);
    let plan = store
        .read(move |db| {
            let (sql, values) = run_lists::statement(TeamId(1), &filter);
            let explain = format!("EXPLAIN QUERY PLAN {sql}");
            db.all(&explain, params_from_iter(values), |row| Ok(row.get::<_, String>("detail")?))
        })
        .await
        .unwrap();
    assert!(plan.iter().all(|step| !step.contains("TEMP B-TREE") && !step.contains("SCAN")), "{plan:#?}");
    let looked_up = plan.iter().any(|step| step.contains("runs_by_retry_of (retry_of=?)"));
    assert_eq!(looked_up, not_repeated, "{plan:#?}");
    assert!(!by_label || plan[0].starts_with("SEARCH l USING PRIMARY KEY"), "{plan:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_runners_of_a_pool_are_found_without_a_look_at_all_others() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let filter = runners::Filter { pool: Some("ns/cpu".to_owned()), ..runners::Filter::default() };
    let explain = format!("EXPLAIN QUERY PLAN {}", runners::statement(&filter));
    let plan =
        store.read(move |db| db.all(&explain, [None::<i64>; 5], |row| Ok(row.get::<_, String>("detail")?)));
    let plan = plan.await.unwrap();
    assert!(plan[0].contains("USING INDEX runners_by_pool (pool=? AND name>?)"), "{plan:#?}");
    assert!(plan.iter().all(|step| !step.contains("TEMP B-TREE") && !step.contains("SCAN r")), "{plan:#?}");
}

fn label(text: &str) -> Label {
    Label::parse(text).unwrap()
}
