//! How many runs are where: a small table, changed in the transaction that moves a run.

use std::collections::BTreeMap;

use crate::domain::run::{Blocked, RunProgress};
use minitower_kernel::rusqlite::params;
use minitower_vocabulary::ids::{AppId, EnvironmentId, TeamId};

use crate::store::events::{CountKey, RunGone, RunMoved};
use minitower_kernel::{Db, StoreError, Tx};
use minitower_vocabulary::statuses::RunStatus;

/// What a run is counted as: its status, but queued runs that are not ready by what they wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Bucket {
    /// That status; `queued`: and ready.
    Status(RunStatus),
    /// Queued, and not ready for that reason.
    Blocked(Blocked),
}

impl Bucket {
    /// Where a run in this state is counted.
    pub fn of(run: &RunProgress) -> Self {
        run.state.blocked_by().map_or(Self::Status(run.status()), Self::Blocked)
    }

    /// The status of the runs in it.
    pub const fn status(self) -> RunStatus {
        match self {
            Self::Status(status) => status,
            Self::Blocked(_) => RunStatus::Queued,
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Status(status) => status.as_str(),
            Self::Blocked(reason) => reason.as_str(),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let status = || RunStatus::parse(text).map(Self::Status);
        Blocked::parse(text).map(Self::Blocked).or_else(status)
    }
}

/// How many runs of one place are counted as the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Count {
    /// The place.
    pub key: CountKey,
    /// Its app's slug.
    pub app: String,
    /// Whether its app was deleted.
    pub hidden: bool,
    /// What they are counted as.
    pub bucket: Bucket,
    /// How many.
    pub n: i64,
}

/// All counts; as many rows as there are (app, environment, bucket), however many runs.
pub fn all(db: &Db) -> Result<Vec<Count>, StoreError> {
    db.all(
        "SELECT c.team_id, c.app_id, c.environment_id, c.status, c.n, a.slug AS app, a.deleted_at IS NOT NULL AS hidden
         FROM run_counts c JOIN apps a ON a.id = c.app_id",
        (),
        |row| {
            let status: String = row.get("status")?;
            Ok(Count {
                key: CountKey {
                    team_id: TeamId(row.get("team_id")?),
                    app_id: AppId(row.get("app_id")?),
                    environment_id: EnvironmentId(row.get("environment_id")?),
                },
                app: row.get("app")?,
                hidden: row.get("hidden")?,
                bucket: Bucket::parse(&status)
                    .ok_or_else(|| StoreError::Inconsistent(format!("run count with status {status:?}")))?,
                n: row.get("n")?,
            })
        },
    )
}

/// How many runs of a team lists can show, by status, while some that were deleted are not gone yet. Those of a deleted version
/// that have ended are counted until they are removed, which is soon: to find them means to look at all runs of its app.
pub fn shown(db: &Db, team: TeamId) -> Result<Vec<(RunStatus, i64)>, StoreError> {
    let counts = db.all(
        "SELECT status, SUM(n) AS n FROM (
             SELECT c.status, c.n FROM run_counts c JOIN apps a ON a.id = c.app_id
             WHERE c.team_id = ?1 AND a.deleted_at IS NULL
             UNION ALL
             SELECT r.status, -1 FROM runs r INDEXED BY runs_deleted JOIN apps a ON a.id = r.app_id
             WHERE r.deleted_at IS NOT NULL AND r.team_id = ?1 AND a.deleted_at IS NULL
             UNION ALL
             SELECT r.status, -1 FROM app_versions v INDEXED BY app_versions_deleted JOIN apps a ON a.id = v.app_id
                 JOIN runs r INDEXED BY runs_by_team_status ON r.team_id = ?1 AND r.app_version_id = v.id
             WHERE v.deleted_at IS NOT NULL AND v.purged_at IS NULL AND a.team_id = ?1 AND a.deleted_at IS NULL
                 AND r.status IN ('queued', 'leased', 'running', 'cancelling') AND r.deleted_at IS NULL
         ) GROUP BY status",
        [team.0],
        |row| Ok((row.get::<_, String>("status")?, row.get::<_, i64>("n")?)),
    )?;
    let known = |(status, n): (String, i64)| {
        let bucket = Bucket::parse(&status)
            .ok_or_else(|| StoreError::Inconsistent(format!("run count with status {status:?}")))?;
        Ok((bucket.status(), n))
    };
    counts.into_iter().map(known).collect()
}

/// Folds the moves of a batch into the table: one UPDATE per place and bucket, however many runs moved.
pub(crate) fn flush(tx: &Tx<'_>, moves: &mut dyn Iterator<Item = &RunMoved>) -> Result<(), StoreError> {
    let mut deltas: BTreeMap<(CountKey, Bucket), i64> = BTreeMap::new();
    for moved in moves {
        if let Some(before) = &moved.before {
            *deltas.entry((moved.key, Bucket::of(before))).or_default() -= 1;
        }
        *deltas.entry((moved.key, Bucket::of(&moved.after))).or_default() += 1;
    }
    for ((key, bucket), delta) in deltas.into_iter().filter(|(_, delta)| *delta != 0) {
        let place = params![key.team_id.0, key.app_id.0, key.environment_id.0, bucket.as_str(), delta];
        let changed = tx.execute(
            "UPDATE run_counts SET n = n + ?5 WHERE team_id = ?1 AND app_id = ?2 AND environment_id = ?3 AND status = ?4",
            place,
        )?;
        if changed == 0 {
            tx.execute("INSERT INTO run_counts (team_id, app_id, environment_id, status, n) VALUES (?1, ?2, ?3, ?4, ?5)", place)?;
        }
    }
    Ok(())
}

/// Takes the removed runs of a batch off the table.
pub(crate) fn forget(tx: &Tx<'_>, gone: &mut dyn Iterator<Item = &RunGone>) -> Result<(), StoreError> {
    let mut fewer: BTreeMap<(CountKey, Bucket), i64> = BTreeMap::new();
    for gone in gone {
        *fewer.entry((gone.key, Bucket::of(&gone.run))).or_default() += 1;
    }
    for ((key, bucket), n) in fewer {
        // The rows of an app that is removed in the same batch have gone with it.
        tx.execute(
            "UPDATE run_counts SET n = n - ?5 WHERE team_id = ?1 AND app_id = ?2 AND environment_id = ?3 AND status = ?4",
            params![key.team_id.0, key.app_id.0, key.environment_id.0, bucket.as_str(), n],
        )?;
    }
    Ok(())
}
