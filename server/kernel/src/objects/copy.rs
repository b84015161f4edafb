//! Copying all objects from one store to another, each checked by its hash.

use futures_util::TryStreamExt as _;

use super::{Found, ObjectError, Objects};

/// Objects listed together.
const SLICE: usize = 500;

/// What a copy came to.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Copied {
    /// Objects that are there now and were not before.
    pub copied: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Objects that were there already.
    pub there: u64,
    /// Objects whose content is not what their name says. They are not copied.
    pub damaged: u64,
}

impl Objects {
    /// Copies what `to` lacks. It may be broken off and begun again at any time, and another process may store and remove objects
    /// meanwhile.
    pub async fn copy_to(&self, to: &Self) -> Result<Copied, ObjectError> {
        let (mut walk, mut all) = (self.walk().await?, Copied::default());
        loop {
            let found = walk.next(SLICE).await?;
            if found.is_empty() {
                return Ok(all);
            }
            for object in found {
                match to.read(&object.sha256, object.bytes).await {
                    Ok(_) => all.there += 1,
                    Err(ObjectError::Missing { .. } | ObjectError::Damaged { .. }) => {
                        self.copy_one(to, &object, &mut all).await?;
                    }
                    Err(error) => return Err(error),
                }
            }
        }
    }

    async fn copy_one(&self, to: &Self, object: &Found, all: &mut Copied) -> Result<(), ObjectError> {
        let one = self.copy_object(to, &object.sha256, object.bytes).await;
        match one.map_err(|failed| failed.error)? {
            // It was removed since.
            One::Gone => {}
            One::Damaged => {
                all.damaged += 1;
                tracing::error!(sha256 = object.sha256, "an object is damaged, and is not copied");
            }
            One::Copied => {
                all.copied += 1;
                all.bytes += object.bytes;
                tracing::info!(sha256 = object.sha256, bytes = object.bytes, "copied an object");
            }
        }
        Ok(())
    }

    /// Copies an object of that length, and checks its content on the way.
    pub(crate) async fn copy_object(&self, to: &Self, sha256: &str, bytes: u64) -> Result<One, Failed> {
        let here = |error| Failed { there: false, error };
        let there = |error| Failed { there: true, error };
        let content = match self.read(sha256, bytes).await {
            Err(ObjectError::Missing { .. }) => return Ok(One::Gone),
            content => content.map_err(here)?,
        };
        let mut pieces = match content.whole().await {
            Err(ObjectError::Missing { .. }) => return Ok(One::Gone),
            pieces => pieces.map_err(here)?,
        };
        let mut upload = to.receive(bytes).await.map_err(there)?;
        while let Some(piece) =
            pieces.try_next().await.map_err(|error| here(ObjectError::io("reading an object")(error)))?
        {
            upload.write(&piece).await.map_err(there)?;
        }
        let received = upload.finish().await.map_err(there)?;
        if received.sha256 != sha256 {
            return Ok(One::Damaged);
        }
        to.keep(received).await.map_err(there)?;
        Ok(One::Copied)
    }
}

/// What became of one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum One {
    /// It is there now.
    Copied,
    /// It is not where it was any more.
    Gone,
    /// Its content is not what its name says.
    Damaged,
}

/// Why an object was not copied, and which store that was.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) there: bool,
    pub(crate) error: ObjectError,
}
