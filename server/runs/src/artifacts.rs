//! Files that jobs leave behind.

use std::sync::Arc;

use crate::domain::artifact::{Artifact, ArtifactPath, TooMuch};
use crate::domain::lease::{self, Command};
use crate::domain::runner::RunnerPrincipal;
use crate::store::{artifacts, usage};
use minitower_kernel::objects::Content;
use minitower_kernel::page::Page;
use minitower_teams::secrets;
use minitower_teams::team::TeamPrincipal;
use minitower_vocabulary::ids::RunId;
use minitower_vocabulary::limits::{ARTIFACT_BYTES, LimitName};

use crate::leases::{find as find_held, held};
use crate::objects::{Limit, Upload};
use crate::runs::find;
use crate::{Absent, Error, Leases, Runs};

const LIMIT: Limit = Limit {
    bytes: ARTIFACT_BYTES,
    what: "the artifact",
    decided_by: ": leave a smaller file, or keep it elsewhere",
};

/// What became of an artifact that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// There was none at its path.
    Created,
    /// There was one with the same content; nothing changed.
    Same,
    /// It took the place of one with other content, as a later attempt's file does of an earlier one's.
    Replaced,
}

impl Leases {
    /// Begins to store a file that the job of a lease left behind. What is known to be refused is refused before its content has come:
    /// `announced` is how long it says that it is.
    pub async fn begin_artifact(
        &self,
        by: &RunnerPrincipal,
        run: RunId,
        lease_token: &str,
        path: &ArtifactPath,
        announced: Option<u64>,
    ) -> Result<Upload, Error> {
        let (by, hash, path) = (by.clone(), secrets::hash(lease_token), path.clone());
        let (now, teams) = (self.0.clock.now(), self.0.teams.clone());
        let team = self
            .0
            .store
            .read(move |db| {
                let (run, attempt) = find_held(db, &by, run, hash)?;
                lease::decide(held(&run, &attempt), Command::Artifact, now)?;
                let announced = announced.unwrap_or(0);
                LIMIT.check(announced)?;
                let limits = teams.limits(run.team_id);
                let most = limits.of(LimitName::ArtifactBytes);
                artifacts::stored_beside(db, run.id, &path)?.takes(announced, most)?;
                usage::of_team(db, run.team_id)?.admits(&limits, announced)?;
                Ok::<_, Error>(run.team_id)
            })
            .await?;
        self.0.begin_object(team, LIMIT).await
    }

    /// Stores a file that has come whole. The same content under the same path changes nothing; other content replaces it.
    pub async fn put_artifact(
        &self,
        by: &RunnerPrincipal,
        run: RunId,
        lease_token: &str,
        path: ArtifactPath,
        upload: Upload,
    ) -> Result<(Artifact, Put), Error> {
        let received = upload.finish().await?;
        let (sha256, bytes) = (received.sha256.clone(), received.bytes);
        let (by, hash, clock) = (by.clone(), secrets::hash(lease_token), self.0.clock.clone());

        // Nobody removes the object before the row that names it is committed.
        let object = self.0.objects.keep(received).await?;
        let kept = sha256.clone();
        let (teams, memory) = (self.0.teams.clone(), Arc::clone(&self.0.memory));
        let stored = self
            .0
            .store
            .write(move |tx| {
                let now = clock.now();
                let (run, attempt) = find_held(tx, &by, run, hash)?;
                lease::decide(held(&run, &attempt), Command::Artifact, now)?;
                let former = artifacts::find(tx, run.id, &path)?;
                if let Some(former) = former.as_ref().filter(|former| former.sha256 == sha256) {
                    return Ok((former.clone(), Put::Same, None));
                }
                let limits = teams.limits(run.team_id);
                let most = limits.of(LimitName::ArtifactBytes);
                artifacts::stored_beside(tx, run.id, &path)?.takes(bytes, most)?;
                let bytes = i64::try_from(bytes).map_err(|_| TooMuch::Bytes { most })?;
                let more = bytes - former.as_ref().map_or(0, |former| former.bytes);
                memory.usage.admits_bytes((run.team_id, &limits), more)?;
                let artifact = Artifact { path, sha256, bytes, created_at: now };
                artifacts::put(tx, run.id, &artifact)?;
                usage::stored(tx, run.team_id, more);
                let put = if former.is_some() { Put::Replaced } else { Put::Created };
                Ok::<_, Error>((artifact, put, former.map(|former| former.sha256)))
            })
            .await;
        let fresh = object.fresh;
        drop(object);
        match stored {
            Ok((artifact, put, replaced)) => {
                if let Some(replaced) = replaced {
                    self.0.forget_if_unused(replaced).await;
                }
                Ok((artifact, put))
            }
            Err(error) => {
                if fresh {
                    self.0.forget_if_unused(kept).await;
                }
                Err(error)
            }
        }
    }
}

impl Runs {
    /// What a run left behind, by path; the cursor is a path.
    pub async fn artifacts(
        &self,
        by: &TeamPrincipal,
        run: RunId,
        page: Page<String>,
    ) -> Result<Vec<Artifact>, Error> {
        let team = by.team_id;
        self.0
            .store
            .read(move |db| {
                find(db, team, run)?;
                Ok(artifacts::list(db, run, page.cursor.as_deref(), page.limit)?)
            })
            .await
    }

    /// The run's artifact at a path, and its content.
    pub async fn open_artifact(
        &self,
        by: &TeamPrincipal,
        run: RunId,
        path: ArtifactPath,
    ) -> Result<(Artifact, Content), Error> {
        let team = by.team_id;
        let artifact = self
            .0
            .store
            .read(move |db| {
                find(db, team, run)?;
                artifacts::find(db, run, &path)?.ok_or_else(|| no_artifact(run, &path))
            })
            .await?;
        let what = || format!("the artifact {:?} of run {run}", artifact.path.as_str());
        let content =
            self.0.open_object(&artifact.sha256, artifact.bytes, what, "start the run again").await?;
        Ok((artifact, content))
    }

    /// Deletes the run's artifact at a path.
    pub async fn delete_artifact(
        &self,
        by: &TeamPrincipal,
        run: RunId,
        path: ArtifactPath,
    ) -> Result<(), Error> {
        let team = by.team_id;
        let sha256 = self
            .0
            .store
            .write_upkeep(move |tx| {
                find(tx, team, run)?;
                let artifact = artifacts::find(tx, run, &path)?.ok_or_else(|| no_artifact(run, &path))?;
                artifacts::delete(tx, run, &path)?;
                usage::stored(tx, team, -artifact.bytes);
                Ok::<_, Error>(artifact.sha256)
            })
            .await?;
        self.0.forget_if_unused(sha256).await;
        Ok(())
    }
}

fn no_artifact(run: RunId, path: &ArtifactPath) -> Error {
    Absent::Artifact { run, path: path.as_str().to_owned() }.into()
}
