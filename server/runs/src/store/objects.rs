//! Which objects are named by a row, and whose the bucket is.

use minitower_kernel::{Db, StoreError, Tx};

/// Whether any version, artifact or segment of logs has the content of this hash.
pub fn in_use(db: &Db, sha256: &str) -> Result<bool, StoreError> {
    let found = db.one(
        "SELECT 1 FROM app_versions WHERE artifact_sha256 = ?1 AND purged_at IS NULL
         UNION ALL SELECT 1 FROM run_artifacts WHERE sha256 = ?1
         UNION ALL SELECT 1 FROM log_segments WHERE sha256 = ?1 LIMIT 1",
        [sha256],
        |_| Ok(()),
    )?;
    Ok(found.is_some())
}

/// Hashes that rows name, in their order, after one of them.
pub fn named_after(db: &Db, after: &str, most: i64) -> Result<Vec<String>, StoreError> {
    db.all(
        // Each side has an index in this order; neither is read further than its own part of the page.
        "SELECT sha256 FROM (
             SELECT DISTINCT artifact_sha256 AS sha256 FROM app_versions
                 WHERE artifact_sha256 > ?1 AND purged_at IS NULL ORDER BY 1 LIMIT ?2)
         UNION
         SELECT sha256 FROM (
             SELECT DISTINCT sha256 FROM run_artifacts WHERE sha256 > ?1 ORDER BY 1 LIMIT ?2)
         UNION
         SELECT sha256 FROM (
             SELECT DISTINCT sha256 FROM log_segments WHERE sha256 > ?1 ORDER BY 1 LIMIT ?2)
         ORDER BY 1 LIMIT ?2",
        (after, most),
        |row| Ok(row.get("sha256")?),
    )
}

/// Whose the bucket is, by the name that this database gave itself.
pub fn owner(db: &Db) -> Result<Option<String>, StoreError> {
    db.one("SELECT owner FROM object_store", (), |row| Ok(row.get("owner")?))
}

/// Gives this database a name.
pub fn name_owner(tx: &Tx<'_>, owner: &str) -> Result<(), StoreError> {
    tx.execute("INSERT INTO object_store (id, owner) VALUES (1, ?1)", [owner])?;
    Ok(())
}
