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
        let content = match self.read(&object.sha256, object.bytes).await {
            // It was removed since.
            Err(ObjectError::Missing { .. }) => return Ok(()),
            content => content?,
        };
        let mut pieces = content.whole().await?;
        let mut upload = to.receive(object.bytes).await?;
        while let Some(piece) = pieces.try_next().await.map_err(ObjectError::io("reading an object"))? {
            upload.write(&piece).await?;
        }
        let received = upload.finish().await?;
        if received.sha256 != object.sha256 {
            all.damaged += 1;
            tracing::error!(sha256 = object.sha256, "an object is damaged, and is not copied");
            return Ok(());
        }
        to.keep(received).await?;
        all.copied += 1;
        all.bytes += object.bytes;
        tracing::info!(sha256 = object.sha256, bytes = object.bytes, "copied an object");
        Ok(())
    }
}
