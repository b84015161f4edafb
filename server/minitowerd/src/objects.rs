//! `minitowerd objects copy`.

use std::io;
use std::path::PathBuf;

use minitower_kernel::objects::{CannotOpen, Copied, Location, ObjectError, Objects};

use crate::Config;

/// Where objects are copied to.
#[derive(Debug, Clone)]
pub enum Target {
    /// A folder.
    Folder(PathBuf),
    /// A bucket.
    Bucket(Location),
}

/// The objects cannot be copied.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// One of the stores cannot be opened.
    #[error("cannot open {0}: {1}")]
    Open(String, #[source] CannotOpen),
    /// The folder for what is on its way cannot be made.
    #[error("cannot make a temporary folder: {0}")]
    Temporary(#[source] io::Error),
    /// One of the stores refused or failed. What was copied stays.
    #[error("{0}; run the command again: it goes on where it stopped")]
    Object(#[from] ObjectError),
    /// Some are damaged where they are.
    #[error("{0} objects are damaged and were not copied: the log names them")]
    Damaged(u64),
}

/// Copies the objects of the configured store to another one.
pub async fn copy(config: &Config, to: &Target) -> Result<Copied, CopyError> {
    // Nothing of a server that may be running is touched: what is on its way lies in a folder of its own.
    let temporary = tempfile::tempdir().map_err(CopyError::Temporary)?;
    let open = |folder: &std::path::Path, bucket: Option<&Location>| {
        let named = || bucket.map_or_else(|| folder.display().to_string(), ToString::to_string);
        Objects::open_beside(folder, bucket).map_err(|error| CopyError::Open(named(), error))
    };
    let from = match &config.objects_url {
        Some(bucket) => open(temporary.path(), Some(bucket))?,
        None => open(&config.objects_dir, None)?,
    };
    let to = match to {
        Target::Folder(folder) => open(folder, None)?,
        Target::Bucket(bucket) => open(temporary.path(), Some(bucket))?,
    };
    let copied = from.copy_to(&to).await?;
    if copied.damaged > 0 { Err(CopyError::Damaged(copied.damaged)) } else { Ok(copied) }
}
