//! `minitowerd restore BACKUP`.

use std::path::Path;

use minitower_app::domain::clock::Clock;
use minitower_store::OpenError;

use crate::Config;

/// Makes a backup the configured database, where there is none yet.
pub fn restore(config: &Config, backup: &Path) -> Result<(), OpenError> {
    minitower_store::restore(&config.db_path, backup, config.lease_ttl, Clock::start().now())?;
    tracing::info!(backup = %backup.display(), database = %config.db_path.display(),
        "restored; leases of the backup are void, and runs that ended after it may run again");
    Ok(())
}
