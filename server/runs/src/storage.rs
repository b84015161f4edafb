//! The upkeep of the object store: what nothing names is removed, what is missing is told, and a bucket that is away is asked again.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use data_encoding::HEXLOWER;
use minitower_kernel::objects::{Claim, Found};
use minitower_vocabulary::time::Timestamp;
use tokio::time::timeout;

use crate::engine::StartError;
use crate::store::objects;
use crate::{Engine, Error, Runs, Shared};

/// Objects looked at together.
const SLICE: usize = 500;
/// Hashes of rows looked for together.
const NAMED: i64 = 500;
/// How long an object that no row names is kept, unless this process knows that it is nobody's: an upload may still name it.
const GRACE: Duration = Duration::from_hours(1);
/// From one walk over all objects to the next.
const SWEEP_EVERY: Duration = Duration::from_hours(6);
/// When the first one begins after the start.
const FIRST_SWEEP: Duration = Duration::from_secs(5);
/// How often a bucket is asked how it stands while it is in trouble, and a walk that failed is begun again.
const ASK_AGAIN: Duration = Duration::from_secs(5);
/// How long the start waits for a bucket.
const START_WAITS: Duration = Duration::from_secs(5);
/// Missing objects that get a line of their own in the log.
const TOLD: usize = 20;

impl Shared {
    /// At the start: removes what a crash left in a folder, or asks a bucket whose it is. One that is away does not keep the server from
    /// starting.
    pub(crate) async fn settle_objects(&self) -> Result<(), StartError> {
        if let Err(error) = self.owner().await {
            tracing::warn!(%error, "could not give the database a name: backups need one, and the next start tries again");
        }
        let Some(location) = &self.settings.objects_url else {
            // No upload is under way yet.
            return Ok(self.sweep(Duration::ZERO).await.map(drop)?);
        };
        match timeout(START_WAITS, self.claim_objects()).await {
            Ok(Ok(Claim::Ours)) => tracing::info!(%location, "objects are kept in a bucket"),
            Ok(Ok(Claim::Foreign)) => return Err(StartError::Foreign(location.clone())),
            Ok(Err(error)) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, %location, "the object store is away; the server starts without it");
            }
            Err(_) => {
                tracing::warn!(%location, "the object store does not answer; the server starts without it");
            }
        }
        Ok(())
    }

    /// Asks whose the bucket is, and makes it this database's if it is nobody's.
    async fn claim_objects(&self) -> Result<Claim, Error> {
        let owner = self.owner().await?;
        Ok(self.objects.claim(&owner).await?)
    }

    /// The name that this database gave itself: what it stores elsewhere carries it.
    async fn owner(&self) -> Result<String, Error> {
        if let Some(owner) = self.store.read(|db| Ok::<_, Error>(objects::owner(db)?)).await? {
            return Ok(owner);
        }
        let mut random = [0_u8; 16];
        getrandom::fill(&mut random).map_err(Error::Random)?;
        let name = HEXLOWER.encode(&random);
        let named = name.clone();
        self.store.write_upkeep(move |tx| Ok::<_, Error>(objects::name_owner(tx, &named)?)).await?;
        Ok(name)
    }

    /// Removes objects that no row names and that are older than `grace`: a crash came between keeping the object and committing the row,
    /// or after deleting the row.
    async fn sweep(&self, grace: Duration) -> Result<Swept, Error> {
        let (mut walk, mut swept) = (self.objects.walk().await?, Swept::default());
        let mut after = String::new();
        loop {
            let found = walk.next(SLICE).await?;
            if self.stopping.is_cancelled() {
                return Ok(swept);
            }
            if walk.is_ordered() {
                let until = found.last().map(|found| found.sha256.clone());
                let there = found.iter().map(|found| found.sha256.clone()).collect();
                swept.missing += self.missing_between(&mut after, until, &there).await?;
            }
            if found.is_empty() {
                return Ok(swept);
            }
            let now = self.clock.now();
            let is_old = |found: &Found| {
                let age = now.since(stored_at(found.modified));
                grace.is_zero() || age >= grace
            };
            let old: Vec<String> = found.into_iter().filter(is_old).map(|found| found.sha256).collect();
            let orphans = self.store.read(move |db| {
                let mut orphans = Vec::new();
                for name in old {
                    if !objects::in_use(db, &name)? {
                        orphans.push(name);
                    }
                }
                Ok::<_, Error>(orphans)
            });
            for orphan in orphans.await? {
                // Looked at again while nobody can keep the same bytes.
                if self.objects.remove_unless(&orphan, self.is_object_used(&orphan)).await? {
                    swept.removed += 1;
                    tracing::info!(sha256 = orphan, "removed an object that nothing names");
                }
            }
        }
    }

    /// Tells which objects are missing that rows name, after one hash and up to another: the store listed `there` of them.
    async fn missing_between(
        &self,
        after: &mut String,
        until: Option<String>,
        there: &HashSet<String>,
    ) -> Result<usize, Error> {
        let mut missing = 0;
        loop {
            let from = after.clone();
            let read = self.store.read(move |db| Ok::<_, Error>(objects::named_after(db, &from, NAMED)?));
            let mut page = read.await?;
            let is_last = i64::try_from(page.len()).is_ok_and(|found| found < NAMED);
            if let Some(until) = &until {
                page.retain(|sha256| sha256 <= until);
            }
            let Some(last) = page.last() else { break };
            last.clone_into(after);
            page.retain(|sha256| !there.contains(sha256));
            missing += self.tell_missing(page).await?;
            if is_last || self.stopping.is_cancelled() {
                break;
            }
        }
        if let Some(until) = until {
            *after = until;
        }
        Ok(missing)
    }

    /// Tells which of these objects are missing.
    async fn tell_missing(&self, hashes: Vec<String>) -> Result<usize, Error> {
        let mut missing = 0;
        for sha256 in self.objects.lacks(hashes).await? {
            // Its row may have gone since it was read, and the object after it.
            if self.is_object_used(&sha256).await? {
                missing += 1;
                if missing <= TOLD {
                    tracing::error!(sha256, "an object is missing from the object store");
                }
            }
        }
        Ok(missing)
    }

    async fn is_object_used(&self, sha256: &str) -> Result<bool, Error> {
        let name = sha256.to_owned();
        self.store.read(move |db| Ok(objects::in_use(db, &name)?)).await
    }
}

/// A moment of the store's own clock.
fn stored_at(modified: SystemTime) -> Timestamp {
    let since = modified.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// What a walk over all objects came to.
#[derive(Debug, Default, Clone, Copy)]
struct Swept {
    removed: u64,
    missing: usize,
}

impl Engine {
    /// Asks a bucket how it stands. A folder is watched with its volume.
    pub(crate) async fn ask_objects_due(self) -> Option<Timestamp> {
        if !self.0.objects.is_remote() {
            return None;
        }
        if self.0.objects.is_to_be_asked() {
            match self.0.claim_objects().await {
                Ok(Claim::Ours) => self.0.objects.give_up_left().await,
                Ok(Claim::Foreign) => tracing::error!(
                    "the bucket of the objects belongs to another control plane: uploads are refused"
                ),
                Err(error) => tracing::debug!(%error, "the object store is away"),
            }
        }
        Some(self.0.clock.now().plus(ASK_AGAIN))
    }

    /// Walks over all objects and all rows that name one.
    pub(crate) async fn sweep_objects_due(self) -> Option<Timestamp> {
        let shared = &self.0;
        if shared.objects.trouble().is_some() {
            return Some(shared.clock.now().plus(ASK_AGAIN));
        }
        let swept = async {
            let mut swept = shared.sweep(GRACE).await?;
            if !shared.objects.is_remote() {
                // A folder has no order: each file is looked for.
                swept.missing = shared.missing_between(&mut String::new(), None, &HashSet::new()).await?;
            }
            Ok::<_, Error>(swept)
        };
        match swept.await {
            Ok(Swept { removed, missing }) => {
                shared.memory.metrics.objects_removed.inc_by(removed);
                shared.memory.metrics.objects_missing.set(i64::try_from(missing).unwrap_or(i64::MAX));
                if missing > 0 {
                    tracing::error!(missing, "objects are missing: what needs them answers 404");
                }
                Some(shared.clock.now().plus(SWEEP_EVERY))
            }
            Err(error) => {
                tracing::warn!(%error, "could not walk over the objects");
                Some(shared.clock.now().plus(ASK_AGAIN))
            }
        }
    }

    /// Gives the due-queue the upkeep of the object store.
    pub(crate) fn register_storage(&self) {
        let (memory, now) = (&self.0.memory, self.0.clock.now());
        memory.objects_due.call(self.job(Self::ask_objects_due));
        memory.sweep_due.call(self.job(Self::sweep_objects_due));
        memory.packing_due.call(self.job(Self::pack_logs_due));
        memory.objects_due.at(now);
        memory.packing_due.at(now.plus(FIRST_SWEEP));
        memory.sweep_due.at(now.plus(FIRST_SWEEP));
    }
}

impl Runs {
    /// Why the object store cannot be used, if that is so.
    pub fn objects_trouble(&self) -> Option<Arc<str>> {
        self.0.objects.trouble()
    }
}
