//! Checking a backup: every byte of it.

use std::path::Path;

use data_encoding::HEXLOWER;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use sha2::{Digest as _, Sha256};

use super::snapshot::open_copy;
use super::there::{Hash, List, digits, hash};
use super::transfer::{Sink, within_time};
use super::{BackupError, Knows, Manifest, Step, Target, Tell};
use crate::check::{self, Verdict};
use crate::objects::ObjectError;
use crate::{Db, StoreError, identity};

/// Problems that are told one by one; the rest is counted.
const TOLD: usize = 20;
/// Hashes of rows read together.
const PAGE: i64 = 1_000;
/// Objects that are read at a time.
const AT_ONCE: usize = 4;

/// What was found.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// What is wrong, in words, as far as it is told one by one.
    pub problems: Vec<String>,
    /// How much is wrong altogether.
    pub count: u64,
    /// Objects that are there and whole.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Report {
    /// Whether everything is in order.
    pub fn is_whole(&self) -> bool {
        self.count == 0
    }

    fn note(&mut self, problem: String) {
        self.count += 1;
        if self.problems.len() < TOLD {
            self.problems.push(problem);
        }
    }

    /// Notes what says that the backup is damaged; everything else is an error.
    fn take<T>(&mut self, checked: Result<T, BackupError>) -> Result<Option<T>, BackupError> {
        match checked {
            Ok(value) => Ok(Some(value)),
            Err(BackupError::Damaged { what, .. }) => {
                self.note(what);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

/// Reads all of a backup, and checks it against its manifest, and its database by SQLite's own checks. A database from a bucket is
/// written to `temporary` meanwhile.
pub async fn verify(
    target: &Target,
    manifest: &Manifest,
    knows: Knows,
    temporary: &Path,
    tell: &Tell,
) -> Result<Report, BackupError> {
    let (mut report, name) = (Report::default(), &manifest.name);
    let list = report.take(target.read_list(manifest).await)?;
    if let Some(file) = &manifest.key_file {
        report.take(target.fetch(name, file, Sink::Nowhere, tell).await)?;
    }
    let local = target.local(name, &manifest.database.name);
    let path = local.clone().unwrap_or_else(|| temporary.join(&manifest.database.name));
    let sink = if local.is_some() { Sink::Nowhere } else { Sink::File(&path) };
    let there = report.take(target.fetch(name, &manifest.database, sink, tell).await)?;
    tell.tell(Step::Check);
    if there.is_some() {
        let (path, expected) = (path.clone(), list.clone());
        let found = tokio::task::spawn_blocking(move || check_database(&path, knows, expected.as_ref()));
        let found = found.await.map_err(|error| StoreError::Unavailable(error.to_string()))?;
        found?.into_iter().for_each(|problem| report.note(problem));
    }
    let all = list.iter().flat_map(|list| list.there.iter());
    let checked = stream::iter(all.map(|(hash, bytes)| async move {
        target.is_object_whole(hash, *bytes).await.map(|whole| (whole, *bytes))
    }));
    let mut checked = checked.buffer_unordered(AT_ONCE);
    while let Some((whole, bytes)) = checked.try_next().await? {
        match whole {
            Ok(()) => {
                report.objects += 1;
                report.bytes += bytes;
            }
            Err(problem) => report.note(problem),
        }
        tell.tell(Step::Objects { copied: report.objects, bytes: report.bytes });
    }
    drop(checked);
    Ok(report)
}

/// What is wrong with the database of a backup. `list`: the objects that it should name.
fn check_database(path: &Path, knows: Knows, list: Option<&List>) -> Result<Vec<String>, BackupError> {
    let db = match open_copy(path) {
        Ok(db) => db,
        Err(error) => return Ok(vec![format!("the database cannot be opened: {error}")]),
    };
    match check::integrity(&db.conn)? {
        Verdict::Damaged(verdict) => return Ok(vec![format!("the database is damaged: {verdict}")]),
        Verdict::Whole | Verdict::SoFar => {}
    }
    let mut problems = Vec::new();
    if let Err(error) = identity::check_triggers(&db.conn) {
        problems.push(format!("the database cannot be restored: {error}"));
    }
    let mut broken = db.conn.prepare("PRAGMA foreign_key_check")?;
    let mut broken = broken.query(())?;
    if let Some(row) = broken.next()? {
        let table: String = row.get(0)?;
        problems.push(format!("a row of {table} refers to one that does not exist"));
    }
    if let Some(list) = list {
        problems.extend(compare(&db, knows, list)?);
    }
    Ok(problems)
}

/// Whether the list has exactly what the database names.
fn compare(db: &Db, knows: Knows, list: &List) -> Result<Option<String>, BackupError> {
    let (mut after, mut named) = (String::new(), 0_usize);
    loop {
        let page = (knows.objects)(db, &after, PAGE)?;
        let Some(last) = page.last() else { break };
        last.clone_into(&mut after);
        for sha256 in &page {
            named += 1;
            let is_listed = hash(sha256)
                .is_some_and(|hash| list.there.length(&hash).is_some() || list.lost.contains(&hash));
            if !is_listed {
                return Ok(Some(format!("the database names the object {sha256}, and the list does not")));
            }
        }
    }
    let listed = list.there.iter().count() + list.lost.len();
    Ok((named != listed).then(|| format!("the list has {listed} objects, and the database names {named}")))
}

impl Target {
    /// Whether an object has the content that its name says; if not, what is wrong.
    async fn is_object_whole(&self, hash: &Hash, bytes: u64) -> Result<Result<(), String>, BackupError> {
        let sha256 = digits(hash);
        let content = match self.objects().read(&sha256, bytes).await {
            Ok(content) => content.whole().await,
            Err(error) => Err(error),
        };
        let mut pieces = match content {
            Ok(pieces) => pieces,
            Err(error @ (ObjectError::Missing { .. } | ObjectError::Damaged { .. })) => {
                return Ok(Err(error.to_string()));
            }
            Err(error) => return Err(self.failed(error)),
        };
        let mut found = Sha256::new();
        let failed = |error| self.failed(ObjectError::io("reading an object")(error));
        while let Some(piece) = within_time(pieces.try_next()).await.map_err(failed)? {
            found.update(&piece);
        }
        if HEXLOWER.encode(&found.finalize()) == sha256 {
            return Ok(Ok(()));
        }
        Ok(Err(format!("the object {sha256} is damaged: its content is not what its name says")))
    }
}
