//! Lists by pages: every item comes once, in order, and another team's never.

use std::path::Path;

use minitower_kernel::events::Subscribers;
use minitower_kernel::{Db, Hooks, Store, StoreError, Tx};
use minitower_vocabulary::ids::TeamId;
use minitower_vocabulary::time::Timestamp;

use super::{environments, registration_tokens, teams};

const NOW: Timestamp = Timestamp(0);

fn open(folder: &Path) -> Store {
    let hooks = Hooks { batch: Box::new(|_| {}), fatal: Box::new(|why| panic!("{why}")) };
    Store::open(&folder.join("m.db"), Subscribers::default(), hooks).unwrap()
}

/// Two teams, both with what `make` makes; the first one's id.
async fn twice(store: &Store, make: fn(&Tx<'_>, TeamId) -> Result<(), StoreError>) -> TeamId {
    let made = store.write(move |tx| {
        let [first, second] = ["first", "second"].map(|slug| teams::insert(tx, slug, slug, None, NOW));
        let (first, second) = (first?, second?);
        make(tx, first.id)?;
        make(tx, second.id)?;
        Ok::<_, StoreError>(first.id)
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
async fn environments_come_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let team = twice(&store, |tx, team| {
        for name in ["beta", "a-b", "gamma", "a1b", "delta"] {
            environments::insert(tx, team, name, NOW)?;
        }
        Ok(())
    })
    .await;
    let expected = [vec!["a-b", "a1b"], vec!["beta", "delta"], vec!["gamma"]];
    let list =
        move |db: &Db, after: Option<&String>| environments::list(db, team, after.map(String::as_str), 2);
    assert_eq!(pages(&store, list, |environment| environment.name).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn registration_tokens_come_newest_first() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let team = twice(&store, |tx, team| {
        for n in 0..3 {
            let mut hash = [n; 32];
            hash[0] = u8::try_from(team.0).unwrap();
            registration_tokens::insert(tx, team, hash, false, NOW)?;
        }
        Ok(())
    })
    .await;
    let list = move |db: &Db, before: Option<&_>| registration_tokens::list(db, team, before.copied(), 2);
    let found = pages(&store, list, |token| token.id).await;
    assert_eq!(found.iter().map(Vec::len).collect::<Vec<_>>(), [2, 1]);
    assert!(found.concat().is_sorted_by(|newer, older| newer > older));
}
