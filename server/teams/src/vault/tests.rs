//! Secrets against a real database and a real key file: what is kept, who opens it, and what a rotation may be interrupted by.

use std::fs;

use minitower_kernel::Hooks;
use minitower_kernel::clock::Clock;
use minitower_kernel::events::Subscribers;
use minitower_vocabulary::ids::TokenId;
use minitower_vocabulary::names::DEFAULT_ENVIRONMENT;
use minitower_vocabulary::statuses::Role;
use tempfile::TempDir;

use super::*;
use crate::domain::secret::BadValue;
use crate::domain::team::Credential;
use crate::{Memory, Settings, StartError};

const SECRET: &str = "hunter2-and-more";

struct Bed {
    folder: TempDir,
    store: Arc<Store>,
    teams: Teams,
}

fn key_file(folder: &TempDir) -> PathBuf {
    folder.path().join("secrets.key")
}

fn store(folder: &TempDir, subscribers: Subscribers) -> Arc<Store> {
    let hooks = Hooks { batch: Box::new(|_| {}), fatal: Box::new(|why| panic!("{why}")) };
    Arc::new(Store::open(&folder.path().join("m.db"), subscribers, hooks).unwrap())
}

async fn open(folder: TempDir) -> Result<Bed, (TempDir, StartError)> {
    let mut subscribers = Subscribers::default();
    let memory = Memory::new(&mut subscribers);
    let store = store(&folder, subscribers);
    let settings = Settings { secrets_key_file: key_file(&folder), ..Settings::default() };
    match Teams::open(Arc::clone(&store), Clock::start(), settings, memory).await {
        Ok(teams) => Ok(Bed { folder, store, teams }),
        Err(error) => {
            store.close().await.unwrap();
            Err((folder, error))
        }
    }
}

async fn fresh() -> Bed {
    open(tempfile::tempdir().unwrap()).await.unwrap()
}

/// A start that is refused, and why.
async fn refused(folder: TempDir) -> (TempDir, String) {
    let Err((folder, error)) = open(folder).await else { panic!("the server started") };
    let says = error.to_string();
    assert_eq!(says.lines().count(), 1, "{says}");
    (folder, says)
}

impl Bed {
    async fn team(&self, slug: &str) -> TeamPrincipal {
        let slug = slug.to_owned();
        let team = self
            .store
            .write(move |tx| crate::store::teams::insert(tx, &slug, &slug, None, Clock::start().now()));
        let team_id = team.await.unwrap().id;
        let credential = Credential::Token { id: TokenId(1), role: Role::Admin, expires_at: None };
        TeamPrincipal { team_id, team_slug: "team".to_owned(), credential }
    }

    async fn set(&self, by: &TeamPrincipal, name: &str, value: &str) -> Result<(), Error> {
        let value = SecretValue::new(value.to_owned());
        self.teams.set_secret(by, "prod".to_owned(), name.to_owned(), value).await
    }

    /// What a run of the team in `prod` gets.
    async fn opened(&self, by: &TeamPrincipal, names: &[&str]) -> Result<Vec<String>, Withheld> {
        let (teams, team) = (self.teams.clone(), by.team_id);
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let opened = self.store.read(move |db| {
            let environment = environments::id(db, team, "prod")?.unwrap_or(EnvironmentId(0));
            teams.open_secrets(db, Shelf { team, environment, environment_name: "prod" }, &names)
        });
        let opened: Result<_, Withheld> =
            opened.await.map_err(|error: StoreError| panic!("{error}")).unwrap();
        opened.map(|opened| opened.into_iter().map(|(_, value)| value.reveal().to_owned()).collect())
    }

    /// Changes the encrypted value of a secret of that team in `prod`.
    async fn spoil(
        &self,
        team: TeamId,
        name: &'static str,
        spoiled: impl FnOnce(Vec<u8>) -> Vec<u8> + Send + 'static,
    ) {
        let done = self.store.write(move |tx| {
            let environment = environments::id(tx, team, "prod")?.unwrap();
            let sealed = spoiled(secrets::sealed(tx, environment, name)?.unwrap());
            secrets::put(tx, (environment, name), &sealed, Clock::start().now())
        });
        done.await.map_err(|error: StoreError| panic!("{error}")).unwrap();
    }

    /// The encrypted value of a secret of that team in `prod`.
    async fn sealed(&self, team: TeamId, name: &'static str) -> Vec<u8> {
        let read = self.store.read(move |db| {
            let environment = environments::id(db, team, "prod")?.unwrap();
            Ok::<_, StoreError>(secrets::sealed(db, environment, name)?.unwrap())
        });
        read.await.unwrap()
    }

    async fn stop(self) -> TempDir {
        let Self { folder, store, teams } = self;
        drop(teams);
        store.close().await.unwrap();
        drop(store);
        folder
    }
}

fn only(value: &str) -> Vec<String> {
    vec![value.to_owned()]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_set_replaced_listed_and_deleted() {
    let bed = fresh().await;
    let acme = bed.team("acme").await;
    assert!(!key_file(&bed.folder).exists(), "made on first use");
    bed.set(&acme, "A", "first value").await.unwrap();
    bed.set(&acme, "A", SECRET).await.unwrap();
    bed.set(&acme, "B", "another").await.unwrap();
    assert_eq!(bed.opened(&acme, &["B", "A"]).await, Ok(vec!["another".to_owned(), SECRET.to_owned()]));
    let page = Page::new(Some("A".to_owned()), None).unwrap();
    let listed = bed.teams.secrets(&acme, "prod".to_owned(), page).await.unwrap();
    assert_eq!(listed.iter().map(|secret| secret.name.as_str()).collect::<Vec<_>>(), ["B"]);
    let delete = || bed.teams.delete_secret(&acme, "prod".to_owned(), "A".to_owned());
    delete().await.unwrap();
    assert!(matches!(delete().await, Err(Error::NoSecret { .. })));
    let missing = bed.opened(&acme, &["B", "A"]).await.unwrap_err();
    assert!(matches!(&missing, Withheld::Missing { name, .. } if name == "A"), "{missing}");
    assert!(missing.to_string().contains("minitower secrets set A --environment prod"), "{missing}");
}

#[tokio::test(flavor = "multi_thread")]
async fn teams_do_not_share_secrets_and_values_are_checked() {
    let bed = fresh().await;
    let (acme, other) = (bed.team("acme").await, bed.team("other").await);
    bed.set(&acme, "A", SECRET).await.unwrap();
    assert!(matches!(bed.opened(&other, &["A"]).await, Err(Withheld::Missing { .. })));
    bed.set(&other, "A", "the other one's").await.unwrap();
    assert_eq!(bed.opened(&acme, &["A"]).await, Ok(only(SECRET)));
    for (value, problem) in [("", BadValue::Missing), ("abc", BadValue::TooShort), ("a\0bcd", BadValue::Nul)]
    {
        let error = bed.set(&acme, "A", value).await.unwrap_err();
        assert!(matches!(&error, Error::SecretValue(found) if *found == problem), "{error}");
    }
    assert!(matches!(bed.set(&acme, "PATH", SECRET).await, Err(Error::Name(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn environments_do_not_share_secrets() {
    let bed = fresh().await;
    let acme = bed.team("acme").await;
    let value = SecretValue::new("of the default environment".to_owned());
    bed.teams.set_secret(&acme, DEFAULT_ENVIRONMENT.to_owned(), "A".to_owned(), value).await.unwrap();
    bed.set(&acme, "B", SECRET).await.unwrap();
    assert!(matches!(bed.opened(&acme, &["A"]).await, Err(Withheld::Missing { .. })));
    bed.set(&acme, "A", "of prod").await.unwrap();
    assert_eq!(bed.opened(&acme, &["A"]).await, Ok(only("of prod")));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_is_bounded() {
    let bed = fresh().await;
    let acme = bed.team("acme").await;
    for number in 0..SECRETS {
        bed.set(&acme, &format!("S{number}"), SECRET).await.unwrap();
    }
    let error = bed.set(&acme, "ONE_MORE", SECRET).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the environment prod has 100 secrets, as many as it may have: delete one first"
    );
    let of_others = bed.store.write(move |tx| {
        let now = Clock::start().now();
        for number in 0..9 {
            let id = environments::insert(tx, acme.team_id, &format!("other{number}"), now)?;
            for secret in 0..SECRETS {
                secrets::put(tx, (id, &format!("S{secret}")), &[0; 40], now)?;
            }
        }
        Ok::<_, StoreError>(acme)
    });
    let acme = of_others.await.unwrap();
    let value = SecretValue::new(SECRET.to_owned());
    let error = bed.teams.set_secret(&acme, "new".to_owned(), "A".to_owned(), value).await.unwrap_err();
    assert_eq!(error.to_string(), "the team has 1000 secrets, as many as it may have: delete one first");
    bed.set(&acme, "S0", "a new value of an old one").await.unwrap();
    let large = "x".repeat(RUN_SECRET_BYTES / 2);
    for name in ["S1", "S2"] {
        bed.set(&acme, name, &large).await.unwrap();
    }
    assert!(bed.opened(&acme, &["S1", "S2"]).await.is_ok());
    assert_eq!(bed.opened(&acme, &["S1", "S2", "S3"]).await, Err(Withheld::TooLong));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_moved_or_changed_in_the_database_does_not_open() {
    let bed = fresh().await;
    let (acme, other) = (bed.team("acme").await, bed.team("other").await);
    bed.set(&acme, "A", SECRET).await.unwrap();
    bed.set(&acme, "B", "another").await.unwrap();
    bed.set(&other, "A", "of the other team").await.unwrap();
    let unreadable = |opened: Result<Vec<String>, Withheld>| {
        let withheld = opened.unwrap_err();
        assert!(matches!(withheld, Withheld::Unreadable { .. }), "{withheld}");
        assert!(!withheld.to_string().contains("hunter2"));
    };
    let of_acme = bed.sealed(acme.team_id, "A").await;
    for (team, name) in [(acme.team_id, "B"), (other.team_id, "A")] {
        let of_acme = of_acme.clone();
        bed.spoil(team, name, |_| of_acme).await;
    }
    assert_eq!(bed.opened(&acme, &["A"]).await, Ok(only(SECRET)));
    unreadable(bed.opened(&acme, &["B"]).await);
    unreadable(bed.opened(&other, &["A"]).await);
    let (from, to) = (acme.team_id, other.team_id);
    let moved = bed.store.write(move |tx| {
        let wrapped = secrets::team_key(tx, from)?.unwrap();
        secrets::set_team_key(tx, to, &wrapped)
    });
    moved.await.map_err(|error: StoreError| panic!("{error}")).unwrap();
    unreadable(bed.opened(&other, &["A"]).await);
    // Whoever lost them sets them again.
    bed.set(&other, "A", "set again").await.unwrap();
    assert_eq!(bed.opened(&other, &["A"]).await, Ok(only("set again")));
    bed.spoil(acme.team_id, "A", |mut sealed| {
        sealed[20] ^= 1;
        sealed
    })
    .await;
    unreadable(bed.opened(&acme, &["A"]).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_the_database_nor_its_log_holds_a_value_or_a_key() {
    let bed = fresh().await;
    let acme = bed.team("acme").await;
    bed.set(&acme, "A", SECRET).await.unwrap();
    let contains = |folder: &TempDir, needle: &[u8]| {
        let files = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
        let files: Vec<_> = files.filter(|path| !path.ends_with("secrets.key")).collect();
        assert!(!files.is_empty());
        files.iter().any(|path| fs::read(path).unwrap().windows(needle.len()).any(|window| window == needle))
    };
    let ring = key_file::read(&key_file(&bed.folder)).unwrap().unwrap();
    assert!(contains(&bed.folder, b"acme"), "the search finds what is there");
    for needle in [SECRET.as_bytes(), ring.current().bytes()] {
        assert!(!contains(&bed.folder, needle));
    }
    let folder = bed.stop().await;
    assert!(!contains(&folder, SECRET.as_bytes()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_starts_only_with_the_key_of_its_secrets() {
    let bed = fresh().await;
    let acme = bed.team("acme").await;
    bed.set(&acme, "A", SECRET).await.unwrap();
    let folder = bed.stop().await;
    let (file, kept) = (key_file(&folder), folder.path().join("kept"));
    fs::rename(&file, &kept).unwrap();
    let (folder, says) = refused(folder).await;
    assert!(says.contains("secrets.key, is missing: put it back"), "{says}");
    key_file::write(&file, &Ring::new(Key::generate().unwrap())).unwrap();
    let (folder, says) = refused(folder).await;
    assert!(says.contains("secrets.key, does not have the key that this database's"), "{says}");
    fs::write(&file, "no key\n").unwrap();
    let (folder, says) = refused(folder).await;
    assert!(says.contains("line 1 of the key file") && !says.contains("no key"), "{says}");
    fs::rename(&kept, &file).unwrap();
    let bed = open(folder).await.map_err(|(_, error)| error).unwrap();
    assert_eq!(bed.opened(&acme, &["A"]).await, Ok(only(SECRET)));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_secrets_a_lost_key_is_no_loss() {
    let bed = fresh().await;
    let acme = bed.team("acme").await;
    bed.set(&acme, "A", SECRET).await.unwrap();
    bed.teams.delete_secret(&acme, "prod".to_owned(), "A".to_owned()).await.unwrap();
    let folder = bed.stop().await;
    fs::remove_file(key_file(&folder)).unwrap();
    let bed = open(folder).await.map_err(|(_, error)| error).unwrap();
    bed.set(&acme, "A", "with a new key").await.unwrap();
    assert_eq!(bed.opened(&acme, &["A"]).await, Ok(only("with a new key")));
    let folder = bed.stop().await;
    // Lost for good: what is left is to delete the secrets.
    fs::remove_file(key_file(&folder)).unwrap();
    let (folder, says) = refused(folder).await;
    assert!(says.contains("`minitowerd secrets discard`"), "{says}");
    let offline = store(&folder, Subscribers::default());
    assert_eq!(keys::discard(&offline).await.unwrap(), 1);
    offline.close().await.unwrap();
    drop(offline);
    let bed = open(folder).await.map_err(|(_, error)| error).unwrap();
    assert!(matches!(bed.opened(&acme, &["A"]).await, Err(Withheld::Missing { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_can_be_interrupted_after_each_step() {
    let bed = fresh().await;
    let acme = bed.team("acme").await;
    bed.set(&acme, "A", SECRET).await.unwrap();
    let folder = bed.stop().await;
    let file = key_file(&folder);
    let first = key_file::read(&file).unwrap().unwrap();

    // The file has the new key, and the database goes by the former one: the start ends it.
    let second = first.with(Key::generate().unwrap());
    key_file::write(&file, &second).unwrap();
    let bed = open(folder).await.map_err(|(_, error)| error).unwrap();
    assert_eq!(bed.opened(&acme, &["A"]).await, Ok(only(SECRET)));
    let known = bed.store.read(secrets::master).await.unwrap();
    assert_eq!(known, Some(second.current().id()));
    let folder = bed.stop().await;

    // The whole of it; the former keys stay, so that a copy of the database from before still opens.
    fs::copy(folder.path().join("m.db"), folder.path().join("before.db")).unwrap();
    let offline = store(&folder, Subscribers::default());
    keys::rotate(&offline, &file, false).await.unwrap();
    offline.close().await.unwrap();
    drop(offline);
    let third = key_file::read(&file).unwrap().unwrap();
    assert_eq!(third.count(), 3);
    assert_eq!(third.of(&second.current().id()), Some(second.current()));
    fs::copy(folder.path().join("before.db"), folder.path().join("m.db")).unwrap();
    let bed = open(folder).await.map_err(|(_, error)| error).unwrap();
    assert_eq!(bed.opened(&acme, &["A"]).await, Ok(only(SECRET)));
    let folder = bed.stop().await;

    // Without the former keys; the database goes by the new one alone.
    let offline = store(&folder, Subscribers::default());
    keys::rotate(&offline, &file, true).await.unwrap();
    offline.close().await.unwrap();
    drop(offline);
    assert_eq!(key_file::read(&file).unwrap().unwrap().count(), 1);
    let bed = open(folder).await.map_err(|(_, error)| error).unwrap();
    assert_eq!(bed.opened(&acme, &["A"]).await, Ok(only(SECRET)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_file_that_cannot_be_made_keeps_no_secret() {
    let bed = fresh().await;
    let acme = bed.team("acme").await;
    fs::create_dir(key_file(&bed.folder)).unwrap();
    let error = bed.set(&acme, "A", SECRET).await.unwrap_err();
    assert!(matches!(error, Error::KeyFile(_)), "{error}");
    assert!(!bed.store.read(secrets::any).await.unwrap());
    fs::remove_dir(key_file(&bed.folder)).unwrap();
    bed.set(&acme, "A", SECRET).await.unwrap();
    assert_eq!(bed.opened(&acme, &["A"]).await, Ok(only(SECRET)));
}

#[test]
fn a_value_is_never_shown() {
    assert_eq!(format!("{:?}", SecretValue::new(SECRET.to_owned())), "SecretValue(…)");
}
