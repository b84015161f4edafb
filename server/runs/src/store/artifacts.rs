//! Files that jobs left behind: their paths and hashes.

use crate::domain::artifact::{Artifact, ArtifactPath, Stored};
use minitower_kernel::rusqlite::{Row, params};
use minitower_vocabulary::ids::RunId;

use minitower_kernel::{At, at};
use minitower_kernel::{Db, StoreError, Tx};

const COLUMNS: &str = "path, sha256, bytes, created_at";

/// Stores a run's artifact, in place of the one at its path.
pub fn put(tx: &Tx<'_>, run: RunId, artifact: &Artifact) -> Result<(), StoreError> {
    let Artifact { path, sha256, bytes, created_at } = artifact;
    tx.execute(
        "INSERT INTO run_artifacts (run_id, path, sha256, bytes, created_at) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT DO UPDATE SET sha256 = excluded.sha256, bytes = excluded.bytes, created_at = excluded.created_at",
        params![run.0, path.as_str(), sha256, bytes, At(*created_at)],
    )?;
    Ok(())
}

/// Deletes the run's artifact at a path.
pub fn delete(tx: &Tx<'_>, run: RunId, path: &ArtifactPath) -> Result<(), StoreError> {
    tx.execute("DELETE FROM run_artifacts WHERE run_id = ?1 AND path = ?2", params![run.0, path.as_str()])?;
    Ok(())
}

/// The run's artifact at a path.
pub fn find(db: &Db, run: RunId, path: &ArtifactPath) -> Result<Option<Artifact>, StoreError> {
    db.one(
        &format!("SELECT {COLUMNS} FROM run_artifacts WHERE run_id = ?1 AND path = ?2"),
        params![run.0, path.as_str()],
        read,
    )
}

/// A run's artifacts by path, from behind `after` if given: at most `limit`.
pub fn list(db: &Db, run: RunId, after: Option<&str>, limit: i64) -> Result<Vec<Artifact>, StoreError> {
    db.all(
        &format!(
            "SELECT {COLUMNS} FROM run_artifacts WHERE run_id = ?1 AND path > ?2 ORDER BY path LIMIT ?3"
        ),
        // No path is empty.
        params![run.0, after.unwrap_or_default(), limit],
        read,
    )
}

/// How much a run has left behind under other paths than this one.
pub fn stored_beside(db: &Db, run: RunId, path: &ArtifactPath) -> Result<Stored, StoreError> {
    let counted = db.one(
        "SELECT count(*) AS n, coalesce(sum(bytes), 0) AS bytes FROM run_artifacts WHERE run_id = ?1 AND path <> ?2",
        params![run.0, path.as_str()],
        |row| {
            // Neither is ever below zero.
            let read = |column: &str| row.get::<_, i64>(column).map(i64::unsigned_abs);
            Ok(Stored { artifacts: read("n")?, bytes: read("bytes")? })
        },
    )?;
    counted.ok_or_else(|| StoreError::Inconsistent("an aggregate without a row".to_owned()))
}

fn read(row: &Row<'_>) -> Result<Artifact, StoreError> {
    let path: String = row.get("path")?;
    Ok(Artifact {
        path: ArtifactPath::parse(&path)
            .map_err(|e| StoreError::Inconsistent(format!("artifact {path:?}: {e}")))?,
        sha256: row.get("sha256")?,
        bytes: row.get("bytes")?,
        created_at: at(row, "created_at")?,
    })
}
