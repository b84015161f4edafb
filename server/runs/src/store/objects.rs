//! Which files of the object store are named by a row.

use minitower_kernel::{Db, StoreError};

/// Whether any version or artifact has the content of this hash.
pub fn in_use(db: &Db, sha256: &str) -> Result<bool, StoreError> {
    let found = db.one(
        "SELECT 1 FROM app_versions WHERE artifact_sha256 = ?1 AND purged_at IS NULL
         UNION ALL SELECT 1 FROM run_artifacts WHERE sha256 = ?1 LIMIT 1",
        [sha256],
        |_| Ok(()),
    )?;
    Ok(found.is_some())
}
