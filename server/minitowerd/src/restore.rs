//! `minitowerd restore BACKUP`.

use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};

use minitower_kernel::OpenError;
use minitower_kernel::clock::Clock;

use crate::Config;

/// Makes a backup the configured database, where there is none yet.
pub fn restore(config: &Config, backup: &Path) -> Result<(), OpenError> {
    let now = Clock::start().now();
    minitower_kernel::restore(&config.db_path, backup, |tx| {
        minitower_runs::revive(tx, config.lease_ttl, now)
    })?;
    tracing::info!(backup = %backup.display(), database = %config.db_path.display(),
        "restored; leases of the backup are void, and runs that ended after it may run again");
    Ok(())
}

/// Why an unattended restore has failed.
#[derive(Debug, thiserror::Error)]
pub enum UnattendedError {
    /// The restore itself.
    #[error(transparent)]
    Restore(#[from] OpenError),
    /// The empty file in the backup's place.
    #[error("cannot create {0}: {1}")]
    Placeholder(PathBuf, #[source] io::Error),
}

/// The same for scripts that start a server again and again: only where a database is missing and a backup there.
///
/// With `placeholder`, an empty file takes the place of a backup that is not needed, for a program that fetches it only where nothing is.
pub fn restore_if_missing(config: &Config, backup: &Path, placeholder: bool) -> Result<(), UnattendedError> {
    if config.db_path.exists() {
        if placeholder {
            // An existing one is left as it is.
            OpenOptions::new()
                .create(true)
                .append(true)
                .open(backup)
                .map_err(|error| UnattendedError::Placeholder(backup.to_owned(), error))?;
        }
        tracing::info!(database = %config.db_path.display(), "there is a database: nothing restored");
        return Ok(());
    }
    if !backup.exists() {
        tracing::info!(backup = %backup.display(), "there is no backup: nothing restored");
        return Ok(());
    }
    Ok(restore(config, backup)?)
}
