//! The objects of this subject: archives of versions, and what jobs leave behind.

use minitower_kernel::objects::{Content, ObjectError, Received, Upload as Stored};
use minitower_kernel::volumes::Volumes;
use minitower_vocabulary::ids::TeamId;

use crate::store::objects;
use crate::{Error, Shared};

/// An object that is being received, with the words for whoever sends too much.
#[derive(Debug)]
pub struct Upload {
    stored: Stored,
    limit: Limit,
    volumes: Volumes,
}

/// How long an object may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limit {
    /// Most bytes.
    pub(crate) bytes: u64,
    /// What it is, and what decides the limit, for the message.
    pub(crate) what: &'static str,
    pub(crate) decided_by: &'static str,
}

impl Limit {
    /// Refuses what is longer.
    pub(crate) fn check(self, bytes: u64) -> Result<(), Error> {
        if bytes <= self.bytes {
            return Ok(());
        }
        let Self { bytes, what, decided_by } = self;
        Err(Error::TooLong { what, bytes, decided_by })
    }
}

impl Upload {
    /// Takes the next bytes.
    pub async fn write(&mut self, chunk: &[u8]) -> Result<(), Error> {
        // An upload that began in time must not fill the volume either.
        self.volumes.room_for_objects()?;
        match self.stored.write(chunk).await {
            Err(ObjectError::TooLong { limit }) => self.limit.check(limit.saturating_add(1)),
            written => Ok(written?),
        }
    }

    pub(crate) async fn finish(self) -> Result<Received, Error> {
        Ok(self.stored.finish().await?)
    }
}

impl Shared {
    /// Opens an object of so many bytes. One that is missing or not whole is not found: no retry of the caller's brings it back, so the
    /// answer says what it was and the way out.
    pub(crate) async fn open_object(
        &self,
        sha256: &str,
        bytes: i64,
        what: impl Fn() -> String,
        way_out: &'static str,
    ) -> Result<Content, Error> {
        self.objects.read(sha256, bytes.unsigned_abs()).await.map_err(|source| match source {
            ObjectError::Missing { .. } | ObjectError::Damaged { .. } => {
                tracing::error!(%source, "an object has changed since it was stored");
                Error::Lost { what: what(), way_out, source }
            }
            ObjectError::Full(_)
            | ObjectError::NoPlace(_)
            | ObjectError::NoFiles(_)
            | ObjectError::Io { .. }
            | ObjectError::Bucket { .. }
            | ObjectError::TooLong { .. } => source.into(),
        })
    }

    pub(crate) async fn begin_object(&self, team: TeamId, limit: Limit) -> Result<Upload, Error> {
        let volumes = self.store.volumes().clone();
        volumes.room_for_objects()?;
        Ok(Upload { stored: self.objects.begin(team.0, limit.bytes).await?, limit, volumes })
    }

    /// Removes an object unless something names it.
    pub(crate) async fn forget_if_unused(&self, sha256: String) {
        let name = sha256.clone();
        let used = self.store.read(move |db| Ok::<_, Error>(objects::in_use(db, &name)?));
        if let Err(error) = self.objects.remove_unless(&sha256, used).await {
            tracing::warn!(%error, sha256, "an object that nothing names is left until the next look at the store");
        }
    }
}
