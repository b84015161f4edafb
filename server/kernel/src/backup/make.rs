//! Making a backup.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use minitower_vocabulary::time::Timestamp as Ms;
use minitower_vocabulary::wire::Timestamp;
use tokio_util::sync::CancellationToken;

use super::snapshot::open_copy;
use super::there::{Hash, List, There, digits, hash};
use super::{BackupError, Key, Knows, Manifest, Name, Source, Staging, Step, Target, Tell, manifest};
use crate::objects::{Objects, One};
use crate::{Db, StoreError};

/// Hashes of rows read together.
const PAGE: i64 = 1_000;
/// Objects that are copied at a time.
const AT_ONCE: usize = 4;
/// Before the snapshot, objects are copied until that takes no longer than this, so that few are new in it; at most so many times.
const SHORT_PASS: Duration = Duration::from_secs(10);
const PASSES: usize = 3;
/// Snapshots taken until none names an object that was deleted since.
const SNAPSHOTS: usize = 5;
/// Lost objects that get a line of their own in the log.
const TOLD: usize = 20;
/// The files of a backup.
const DATABASE: &str = "minitower.db";
const LIST: &str = "objects.txt";
const KEYS: &str = "secrets.key";

/// What is to be backed up, and where to.
#[derive(Debug)]
pub struct Plan {
    /// The database.
    pub source: Source,
    /// The objects.
    pub objects: Objects,
    /// Where to.
    pub target: Target,
    /// What is known of the database.
    pub knows: Knows,
    /// The folder for what is on its way.
    pub staging: Staging,
    /// The key file, if it is to be in the backup.
    pub key: Option<PathBuf>,
    /// How many backups are kept; none: all.
    pub keep: Option<usize>,
    /// The version of the program.
    pub version: &'static str,
    /// Ends it.
    pub stop: CancellationToken,
    /// Who is told how far it is.
    pub tell: Tell,
}

/// What a backup came to.
#[derive(Debug, Clone)]
pub struct Made {
    /// What it is.
    pub manifest: Manifest,
    /// Objects that the target did not have before.
    pub copied: u64,
    /// Their bytes.
    pub copied_bytes: u64,
    /// How long it took.
    pub took: Duration,
    /// Former backups that were removed.
    pub removed: usize,
    /// Why no former ones were removed, if that failed. The backup is whole.
    pub not_removed: Option<String>,
}

/// Makes a backup as of about `now`.
pub async fn make(plan: Plan, now: Ms) -> Result<Made, BackupError> {
    let began = Instant::now();
    let owner =
        plan.blocking(|source, knows| source.read(knows.owner)).await?.ok_or(BackupError::Nameless)?;
    if let Some(key) = &plan.key
        && !key.exists()
    {
        return Err(BackupError::NoKey(key.clone()));
    }
    plan.target.claim(&owner).await?;
    let mut random = [0; 2];
    getrandom::fill(&mut random)
        .map_err(|error| BackupError::file("making a name in", plan.staging.dir())(error.into()))?;
    let name = Name::new(now, random);
    let mut pass = Pass { there: plan.target.there().await?, copied: 0, bytes: 0 };
    let made = plan.carry_out(&name, &owner, &mut pass, now, began).await;
    let manifest = match made {
        Ok(manifest) => manifest,
        Err(error) => {
            if let Err(left) = plan.target.remove(&name).await {
                tracing::warn!(error = %left, "cannot remove what is left of a backup; the next one does");
            }
            return Err(error);
        }
    };
    let pruned = plan.target.prune(&name, plan.keep).await;
    let not_removed = pruned.as_ref().err().map(ToString::to_string);
    Ok(Made {
        manifest,
        copied: pass.copied,
        copied_bytes: pass.bytes,
        took: began.elapsed(),
        removed: pruned.unwrap_or(0),
        not_removed,
    })
}

/// How far the objects are.
struct Pass {
    there: There,
    copied: u64,
    bytes: u64,
}

impl Plan {
    async fn carry_out(
        &self,
        name: &Name,
        owner: &str,
        pass: &mut Pass,
        now: Ms,
        began: Instant,
    ) -> Result<Manifest, BackupError> {
        // Without a snapshot: this may take hours.
        for _ in 0..PASSES {
            let began = Instant::now();
            self.copy_named(None, pass).await?;
            if began.elapsed() < SHORT_PASS {
                break;
            }
        }
        self.target.make_folder(name)?;
        let local = self.target.local(name, DATABASE);
        let database = local.unwrap_or_else(|| self.staging.dir().join(DATABASE));
        let mut known = BTreeSet::new();
        for _ in 0..SNAPSHOTS {
            let taken_at = now.plus(began.elapsed());
            let (to, stop, tell) = (database.clone(), self.stop.clone(), self.tell.clone());
            let staging = self.staging.dir().to_owned();
            let take = move |source: &Source, _: Knows| {
                source.check_room(&to, &staging)?;
                source.snapshot(&to, &stop, &tell)
            };
            self.blocking(take).await?;
            let missing = self.copy_named(Some(&database), pass).await?;
            // What the last snapshot lacked and this one names again was not deleted: it is lost.
            if missing.is_subset(&known) {
                return self.write(name, owner, &database, missing, pass, taken_at).await;
            }
            known = missing;
        }
        Err(BackupError::Restless)
    }

    /// Copies the objects that rows of the database, or of a copy of it, name and the target lacks. Answers those that the store lacks too.
    async fn copy_named(&self, copy: Option<&Path>, pass: &mut Pass) -> Result<BTreeSet<Hash>, BackupError> {
        let (mut after, mut missing, mut named) = (String::new(), BTreeSet::new(), 0_u64);
        loop {
            let page = self.page(copy, after.clone()).await?;
            let Some(last) = page.last() else { break };
            last.clone_into(&mut after);
            named += page.len() as u64;
            let lacking: Vec<Hash> = page
                .iter()
                .filter_map(|sha256| hash(sha256))
                .filter(|hash| pass.there.length(hash).is_none())
                .collect();
            let copied: Vec<(Hash, Option<u64>)> = stream::iter(lacking)
                .map(|hash| self.copy_one(hash))
                .buffer_unordered(AT_ONCE)
                .try_collect()
                .await?;
            let mut new = Vec::new();
            for (hash, bytes) in copied {
                match bytes {
                    None => drop(missing.insert(hash)),
                    Some(bytes) => {
                        pass.copied += 1;
                        pass.bytes += bytes;
                        new.push((hash, bytes));
                    }
                }
            }
            if !new.is_empty() {
                pass.there.extend(new);
            }
            self.tell.tell(Step::Objects { copied: pass.copied, bytes: pass.bytes });
        }
        if named > 0 && missing.len() as u64 == named {
            return Err(BackupError::AllMissing(named));
        }
        Ok(missing)
    }

    async fn page(&self, copy: Option<&Path>, after: String) -> Result<Vec<String>, BackupError> {
        let copy = copy.map(Path::to_owned);
        self.blocking(move |source, knows| {
            let page = |db: &Db| (knows.objects)(db, &after, PAGE);
            match copy {
                None => source.read(page),
                Some(copy) => Ok(page(&open_copy(&copy)?)?),
            }
        })
        .await
    }

    /// Copies an object; none: the store lacks it, or what it has is damaged.
    async fn copy_one(&self, hash: Hash) -> Result<(Hash, Option<u64>), BackupError> {
        if self.stop.is_cancelled() {
            return Err(BackupError::Stopped);
        }
        let sha256 = digits(&hash);
        let Some(bytes) = self.objects.length(&sha256).await.map_err(BackupError::Objects)? else {
            return Ok((hash, None));
        };
        match self.objects.copy_object(self.target.objects(), &sha256, bytes).await {
            Ok(One::Copied) => Ok((hash, Some(bytes))),
            Ok(One::Gone) => Ok((hash, None)),
            Ok(One::Damaged) => {
                tracing::error!(sha256, "an object is damaged, and is not in the backup");
                Ok((hash, None))
            }
            Err(failed) if failed.there => Err(self.target.failed(failed.error)),
            Err(failed) => Err(BackupError::Objects(failed.error)),
        }
    }

    /// Writes everything but the objects, and the manifest last.
    async fn write(
        &self,
        name: &Name,
        owner: &str,
        database: &Path,
        lost: BTreeSet<Hash>,
        pass: &Pass,
        taken_at: Ms,
    ) -> Result<Manifest, BackupError> {
        for hash in lost.iter().take(TOLD) {
            tracing::error!(sha256 = digits(hash), "an object is lost, and is not in the backup");
        }
        let list = self.list(database, lost, &pass.there).await?;
        let text = list.to_text().into_bytes();
        let (count, bytes) = list.sums();
        let of_list = manifest::File::of(LIST, &text);
        self.target.write(&format!("{name}/{LIST}"), text).await?;
        let (path, knows) = (database.to_owned(), self.knows);
        let (schema, secrets) = tokio::task::spawn_blocking(move || {
            let db = open_copy(&path)?;
            let schema = db.conn.query_row("PRAGMA user_version", (), |row| row.get(0))?;
            Ok::<_, BackupError>((schema, (knows.secrets)(&db)?))
        })
        .await
        .map_err(|error| ended(&error))??;
        let key_file = match &self.key {
            None => None,
            Some(key) => {
                let text = std::fs::read(key).map_err(BackupError::file("reading", key))?;
                let file = manifest::File::of(KEYS, &text);
                self.target.write(&format!("{name}/{KEYS}"), text).await?;
                Some(file)
            }
        };
        let manifest = Manifest {
            format: Manifest::FORMAT,
            name: name.clone(),
            version: self.version.to_owned(),
            schema,
            taken_at: Timestamp::from_millisecond(taken_at.0).unwrap_or(Timestamp::UNIX_EPOCH),
            owner: owner.to_owned(),
            database: self.target.send(name, DATABASE, database, &self.tell).await?,
            objects: manifest::Objects { list: of_list, count, bytes, missing: list.lost.len() as u64 },
            secrets_key: match (secrets, &key_file) {
                (_, Some(_)) => Key::Included,
                (true, None) => Key::Apart,
                (false, None) => Key::NotNeeded,
            },
            key_file,
        };
        if self.stop.is_cancelled() {
            return Err(BackupError::Stopped);
        }
        self.target.write(&format!("{name}/{}", super::target::MANIFEST), manifest.to_json()).await?;
        Ok(manifest)
    }

    /// What the copy of the database names.
    async fn list(&self, database: &Path, lost: BTreeSet<Hash>, there: &There) -> Result<List, BackupError> {
        let (mut list, mut after, mut all) = (List::default(), String::new(), Vec::new());
        loop {
            let page = self.page(Some(database), after.clone()).await?;
            let Some(last) = page.last() else { break };
            last.clone_into(&mut after);
            let hashes = page.iter().filter_map(|sha256| hash(sha256));
            all.extend(hashes.filter_map(|hash| Some((hash, there.length(&hash)?))));
        }
        list.there.extend(all);
        list.lost = lost.into_iter().collect();
        Ok(list)
    }

    /// Runs what blocks elsewhere.
    async fn blocking<T: Send + 'static>(
        &self,
        f: impl FnOnce(&Source, Knows) -> Result<T, BackupError> + Send + 'static,
    ) -> Result<T, BackupError> {
        let (source, knows) = (self.source.clone(), self.knows);
        tokio::task::spawn_blocking(move || f(&source, knows)).await.map_err(|error| ended(&error))?
    }
}

fn ended(error: &tokio::task::JoinError) -> BackupError {
    StoreError::Unavailable(error.to_string()).into()
}
