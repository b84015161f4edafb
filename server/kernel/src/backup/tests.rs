use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use minitower_vocabulary::time::Timestamp as Ms;
use rusqlite::{Connection, params};
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::objects::Objects;

const OWNER: &str = "11111111111111111111111111111111";

/// A control plane: a database that names objects, and the objects.
struct Bed {
    folder: tempfile::TempDir,
}

fn objects_of(db: &Db, after: &str, most: i64) -> Result<Vec<String>, StoreError> {
    let sql = "SELECT name FROM named WHERE name > ?1 ORDER BY name LIMIT ?2";
    db.all(sql, params![after, most], |row| Ok(row.get("name")?))
}

fn owner_of(db: &Db) -> Result<Option<String>, StoreError> {
    db.one("SELECT owner FROM object_store", (), |row| Ok(row.get("owner")?))
}

fn has_secrets(db: &Db) -> Result<bool, StoreError> {
    Ok(db.one("SELECT 1 FROM team_secrets LIMIT 1", (), |_| Ok(()))?.is_some())
}

/// What goes wrong with a backup in its folder; told the name of an object.
type Damage = fn(&Path, &str);

const KNOWS: Knows = Knows { objects: objects_of, owner: owner_of, secrets: has_secrets };

fn sha256(text: &str) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(text))
}

impl Bed {
    fn new() -> Self {
        let bed = Self { folder: tempfile::tempdir().unwrap() };
        let mut db = Db::open_writer(&bed.database()).unwrap();
        crate::migrate::run(&mut db, &bed.database(), crate::migrate::Before::Nothing).unwrap();
        db.batch("CREATE TABLE named (name TEXT UNIQUE)").unwrap();
        db.conn.execute("INSERT INTO object_store (id, owner) VALUES (1, ?1)", [OWNER]).unwrap();
        std::fs::create_dir(bed.objects()).unwrap();
        bed
    }

    fn database(&self) -> PathBuf {
        self.folder.path().join("m.db")
    }

    fn objects(&self) -> PathBuf {
        self.folder.path().join("objects")
    }

    fn to(&self) -> PathBuf {
        self.folder.path().join("to")
    }

    fn conn(&self) -> Connection {
        Connection::open(self.database()).unwrap()
    }

    /// Stores an object and the row that names it.
    fn store(&self, text: &str) -> String {
        let name = sha256(text);
        std::fs::write(self.objects().join(&name), text).unwrap();
        self.conn().execute("INSERT OR IGNORE INTO named VALUES (?1)", [&name]).unwrap();
        name
    }

    /// Removes the row, and then the object.
    fn delete(&self, name: &str) {
        self.conn().execute("DELETE FROM named WHERE name = ?1", [name]).unwrap();
        std::fs::remove_file(self.objects().join(name)).unwrap();
    }

    fn target(&self) -> Target {
        Target::open(&Place::Folder(self.to()), self.folder.path()).unwrap()
    }

    fn plan(&self, keep: Option<usize>, tell: Tell) -> Plan {
        Plan {
            source: Source::at(&self.database()).unwrap(),
            objects: Objects::of_folder(&self.objects()),
            target: self.target(),
            knows: KNOWS,
            staging: Staging::take(&self.objects()).unwrap(),
            key: None,
            keep,
            version: "1",
            stop: CancellationToken::new(),
            tell,
        }
    }

    async fn back_up(&self, at: i64) -> Made {
        make(self.plan(None, Tell::nobody()), Ms(at)).await.unwrap()
    }

    async fn report(&self, manifest: &Manifest) -> Report {
        verify(&self.target(), manifest, KNOWS, self.folder.path(), &Tell::nobody()).await.unwrap()
    }

    fn stored(&self) -> usize {
        std::fs::read_dir(self.to().join("objects")).unwrap().count()
    }
}

#[tokio::test]
async fn a_backup_is_whole_and_the_next_one_copies_what_is_new() {
    let bed = Bed::new();
    bed.store("one");
    let first = bed.back_up(1_000).await;
    assert_eq!((first.copied, first.manifest.objects.count, first.manifest.owner.as_str()), (1, 1, OWNER));
    bed.store("two");
    let second = bed.back_up(2_000).await;
    assert_eq!((second.copied, second.manifest.objects.count, bed.stored()), (1, 2, 2));
    for manifest in [&first.manifest, &second.manifest] {
        let report = bed.report(manifest).await;
        assert!(report.is_whole(), "{:?}", report.problems);
    }
    let listed = bed.target().list().await.unwrap();
    let names: Vec<_> = listed.into_iter().map(|listed| listed.unwrap().name).collect();
    assert_eq!(names, [first.manifest.name, second.manifest.name.clone()]);
    assert_eq!(choose(&bed.target(), None).await.unwrap().name, second.manifest.name);
    assert!(std::fs::read_dir(bed.objects().join("backup")).unwrap().count() == 1, "only the lock is left");
}

/// Each change of a backup that matters is found.
#[tokio::test]
async fn what_is_damaged_is_found() {
    let damages: [(&str, Damage); 7] = [
        ("minitower.db is not what was written", |backup, _| {
            let path = backup.join("minitower.db");
            let mut bytes = std::fs::read(&path).unwrap();
            bytes[5_000] ^= 1;
            std::fs::write(path, bytes).unwrap();
        }),
        ("minitower.db has", |backup, _| std::fs::write(backup.join("minitower.db"), "short").unwrap()),
        ("minitower.db is missing", |backup, _| std::fs::remove_file(backup.join("minitower.db")).unwrap()),
        ("objects.txt is missing", |backup, _| std::fs::remove_file(backup.join("objects.txt")).unwrap()),
        ("objects.txt has more than", |backup, name| {
            let text = std::fs::read_to_string(backup.join("objects.txt")).unwrap();
            std::fs::write(backup.join("objects.txt"), format!("{text}{name} 3\n")).unwrap();
        }),
        ("is missing", |backup, name| {
            std::fs::remove_file(backup.parent().unwrap().join("objects").join(name)).unwrap();
        }),
        ("its content is not", |backup, name| {
            std::fs::write(backup.parent().unwrap().join("objects").join(name), "eno").unwrap();
        }),
    ];
    for (said, damage) in damages {
        let bed = Bed::new();
        let name = bed.store("one");
        let made = bed.back_up(1_000).await;
        damage(&bed.to().join(made.manifest.name.as_str()), &name);
        let report = bed.report(&made.manifest).await;
        assert!(!report.is_whole() && report.problems[0].contains(said), "{said}: {:?}", report.problems);
    }
}

#[tokio::test]
async fn an_object_that_is_deleted_meanwhile_is_not_in_the_backup_and_one_that_is_lost_is_told() {
    let bed = Arc::new(Bed::new());
    bed.store("kept");
    let lost = bed.store("lost");
    std::fs::remove_file(bed.objects().join(&lost)).unwrap();
    // Between the snapshot and what is copied after it: one goes that the snapshot names.
    let (late, checks) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let (other, looked, counted) = (Arc::clone(&bed), Arc::clone(&late), Arc::clone(&checks));
    let tell = Tell::to(move |step| match step {
        Step::Database { .. } if !looked.swap(true, Ordering::SeqCst) => drop(other.store("late")),
        Step::Check if counted.fetch_add(1, Ordering::SeqCst) == 0 => other.delete(&sha256("late")),
        _ => {}
    });
    let made = make(bed.plan(None, tell), Ms(1_000)).await.unwrap();
    assert!(checks.load(Ordering::SeqCst) >= 2, "another snapshot was taken");
    assert_eq!((made.manifest.objects.count, made.manifest.objects.missing), (1, 1));
    let report = bed.report(&made.manifest).await;
    assert!(report.is_whole(), "what was lost before is no damage of the backup: {:?}", report.problems);
    assert_eq!(report.objects, 1);
}

#[tokio::test]
async fn what_a_snapshot_names_is_in_the_backup_whatever_the_database_names_by_then() {
    let bed = Arc::new(Bed::new());
    bed.store("kept");
    let (other, late, gone) = (Arc::clone(&bed), AtomicBool::new(false), AtomicBool::new(false));
    let tell = Tell::to(move |step| match step {
        Step::Database { .. } if !late.swap(true, Ordering::SeqCst) => drop(other.store("late")),
        // The row alone: the object follows, but not at once.
        Step::Check if !gone.swap(true, Ordering::SeqCst) => {
            other.conn().execute("DELETE FROM named WHERE name = ?1", [sha256("late")]).unwrap();
        }
        _ => {}
    });
    let made = make(bed.plan(None, tell), Ms(1_000)).await.unwrap();
    let report = bed.report(&made.manifest).await;
    assert!(report.is_whole(), "{:?}", report.problems);
    assert_eq!((made.manifest.objects.count, report.objects), (2, 2));
}

#[tokio::test]
async fn old_backups_go_with_what_only_they_name_and_never_before_a_newer_one_is_whole() {
    let bed = Bed::new();
    let (gone, kept) = (bed.store("gone"), bed.store("kept"));
    let first = bed.back_up(1_000).await;
    bed.delete(&gone);
    // One that fails removes nothing.
    let stopped = bed.plan(Some(1), Tell::nobody());
    stopped.stop.cancel();
    bed.store("never copied");
    assert!(matches!(make(stopped, Ms(2_000)).await, Err(BackupError::Stopped)));
    assert!(bed.report(&first.manifest).await.is_whole());
    // One that was killed half-way is not listed, and goes.
    let half = bed.to().join("19700101T000002500Z-0000");
    std::fs::create_dir(&half).unwrap();
    std::fs::write(half.join("minitower.db"), "half").unwrap();
    std::fs::write(bed.to().join("objects/upload-1"), "half").unwrap();
    assert_eq!(bed.target().list().await.unwrap().len(), 1);
    let second = make(bed.plan(Some(1), Tell::nobody()), Ms(3_000)).await.unwrap();
    assert_eq!((second.removed, second.not_removed), (1, None));
    assert!(!half.exists());
    let mut objects: Vec<_> = std::fs::read_dir(bed.to().join("objects"))
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    let mut expected = [kept.clone(), sha256("never copied")];
    objects.sort();
    expected.sort();
    assert_eq!(objects, expected);
    assert!(bed.report(&second.manifest).await.is_whole());
    // A clock that was set back does not make the new one the oldest.
    let third = make(bed.plan(Some(1), Tell::nobody()), Ms(500)).await.unwrap();
    assert_eq!(choose(&bed.target(), None).await.unwrap().name, third.manifest.name);
}

#[tokio::test]
async fn where_a_list_cannot_be_read_no_object_goes() {
    let bed = Bed::new();
    let gone = bed.store("gone");
    let (first, second) = (bed.back_up(1_000).await, bed.back_up(2_000).await);
    bed.delete(&gone);
    bed.store("other");
    std::fs::write(bed.to().join(second.manifest.name.as_str()).join("objects.txt"), "damaged").unwrap();
    let damaged = bed.to().join(first.manifest.name.as_str());
    let third = make(bed.plan(Some(2), Tell::nobody()), Ms(3_000)).await.unwrap();
    assert!(third.not_removed.is_some_and(|said| said.contains("damaged")));
    assert!(bed.to().join("objects").join(&gone).exists(), "nobody knows whether the second one needs it");
    assert!(bed.report(&third.manifest).await.is_whole());
    assert!(!damaged.exists());
}

#[tokio::test]
async fn a_manifest_that_cannot_be_read_is_told_and_does_not_hide_the_others() {
    let bed = Bed::new();
    bed.store("one");
    let (first, second) = (bed.back_up(1_000).await, bed.back_up(2_000).await);
    let path = bed.to().join(second.manifest.name.as_str()).join("manifest.json");
    let text = std::fs::read_to_string(&path).unwrap();
    for (changed, said) in [
        ("{".to_owned(), "cannot be read"),
        (text.replace("\"format\": 1", "\"format\": 2"), "only a newer version"),
        (text.replace("\"minitower.db\"", "\"../../m.db\""), "names a file"),
        (text.replace(second.manifest.name.as_str(), first.manifest.name.as_str()), "is that of"),
    ] {
        std::fs::write(&path, changed).unwrap();
        let error = choose(&bed.target(), None).await.unwrap_err().to_string();
        assert!(error.contains(said), "nothing older is restored in its place: {error}");
        assert_eq!(newest(&bed.target()).await.unwrap().unwrap().name, first.manifest.name);
        let listed = bed.target().list().await.unwrap();
        assert!(listed[0].is_ok() && listed[1].is_err());
        // The next one is made, and removes nothing, because nobody knows what the other one names.
        let next = make(bed.plan(Some(1), Tell::nobody()), Ms(3_000)).await.unwrap();
        assert!(next.not_removed.is_some());
        bed.target().remove(&next.manifest.name).await.unwrap();
    }
}

#[tokio::test]
async fn places_of_others_and_wrong_settings_are_refused() {
    let bed = Bed::new();
    bed.back_up(1_000).await;
    std::fs::write(bed.to().join("owner"), "22222222222222222222222222222222").unwrap();
    let foreign = make(bed.plan(None, Tell::nobody()), Ms(2_000)).await.unwrap_err();
    assert!(matches!(foreign, BackupError::Foreign(_)), "{foreign}");
    std::fs::write(bed.to().join("owner"), OWNER).unwrap();
    let name = bed.store("one");
    std::fs::remove_file(bed.objects().join(name)).unwrap();
    let wrong = make(bed.plan(None, Tell::nobody()), Ms(2_000)).await.unwrap_err();
    assert!(matches!(wrong, BackupError::AllMissing(1)), "{wrong}");
    assert_eq!(bed.target().list().await.unwrap().len(), 1, "nothing of it is left");
    assert!(matches!(Source::at(&bed.to().join("none.db")), Err(BackupError::NoDatabase(_))));
    let elsewhere = Target::open(&Place::Folder(bed.to().join("none")), bed.folder.path()).unwrap();
    assert!(matches!(choose(&elsewhere, None).await, Err(BackupError::None(_))));
    assert!(!bed.to().join("none").exists(), "a look makes no folder");
}

/// While a thread moves money between two rows and the log is folded and begun anew, every snapshot has all of it.
#[test]
fn a_snapshot_under_load_is_a_state_that_the_database_had() {
    let bed = Bed::new();
    let writer = Db::open_writer(&bed.database()).unwrap();
    let filled = "CREATE TABLE money (id INTEGER PRIMARY KEY, n INTEGER, filler BLOB);
        WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 4000)
        INSERT INTO money SELECT n, 1000, zeroblob(900) FROM n; PRAGMA wal_autocheckpoint = 100";
    writer.batch(filled).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let moves = std::thread::spawn(move || {
        let mut n = 1_u64;
        while !stopped.load(Ordering::SeqCst) {
            n = n.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let (from, to) = (1 + (n >> 33) % 4000, 1 + (n >> 13) % 4000);
            let moved = format!(
                "BEGIN IMMEDIATE; UPDATE money SET n = n - 1, filler = zeroblob(900) WHERE id = {from};
                 UPDATE money SET n = n + 1 WHERE id = {to}; COMMIT"
            );
            writer.batch(&moved).unwrap();
        }
    });
    let source = Source::beside(&bed.database()).unwrap();
    for round in 0..60 {
        let to = bed.folder.path().join("copy.db");
        source.snapshot(&to, &CancellationToken::new(), &Tell::nobody()).unwrap();
        let db = snapshot::open_copy(&to).unwrap();
        let sum: i64 = db.conn.query_row("SELECT sum(n) FROM money", (), |row| row.get(0)).unwrap();
        assert_eq!(sum, 4_000_000, "round {round}");
        assert_eq!(crate::check::integrity(&db.conn).unwrap(), crate::check::Verdict::Whole, "round {round}");
    }
    stop.store(true, Ordering::SeqCst);
    moves.join().unwrap();
}

/// All of the log is in the database when the copy begins, so the log may begin anew while it is copied: what was read of the former one
/// would take pages back.
#[test]
fn a_log_that_begins_anew_while_it_is_copied_is_copied_again() {
    let bed = Bed::new();
    let writer = Db::open_writer(&bed.database()).unwrap();
    let filled = "CREATE TABLE money (id INTEGER PRIMARY KEY, n INTEGER, filler BLOB);
        WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 4000)
        INSERT INTO money SELECT n, 1000, zeroblob(900) FROM n";
    writer.batch(filled).unwrap();
    writer.checkpoint_whole().unwrap();
    let much = "UPDATE money SET filler = randomblob(900) WHERE id BETWEEN 100 AND 3900";
    for moved in [
        "UPDATE money SET n = n + CASE id WHEN 1 THEN -1 ELSE 1 END WHERE id IN (1, 4000)",
        much,
        "UPDATE money SET n = n + CASE id WHEN 1 THEN -1 ELSE 1 END WHERE id IN (1, 2000)",
    ] {
        writer.batch(moved).unwrap();
    }
    assert_eq!(writer.checkpoint_passive().unwrap(), 0, "all of the log is in the database");
    let (writer, passes) = (std::sync::Mutex::new(writer), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&passes);
    // The database is the first pass, each copy of the log another one; the first piece of the log was just read.
    let tell = Tell::to(move |step| {
        if let Step::Database { done: 1_048_576, .. } = step
            && counted.fetch_add(1, Ordering::SeqCst) == 1
        {
            writer.lock().unwrap().batch(much).unwrap();
        }
    });
    let to = bed.folder.path().join("copy.db");
    Source::beside(&bed.database()).unwrap().snapshot(&to, &CancellationToken::new(), &tell).unwrap();
    let db = snapshot::open_copy(&to).unwrap();
    let sum: i64 = db.conn.query_row("SELECT sum(n) FROM money", (), |row| row.get(0)).unwrap();
    assert_eq!(sum, 4_000_000);
    assert_eq!(passes.load(Ordering::SeqCst), 3, "the log was copied twice");
}
