//! The Deployments themselves: created, restored, sized, deleted.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v1::{Scale, ScaleSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt as _;
use kube::api::{DeleteParams, Preconditions};

use super::{ApplyError, Done, Executor};
use crate::calls::written_by_operator;
use crate::pool_controller::build;
use crate::pool_controller::observe::{Expected, is_controlled, is_owned};
use crate::pool_controller::plan::Elapsed;

impl Executor<'_> {
    pub(super) async fn create(
        &self,
        replicas: u32,
        expected: &mut Expected,
        done: &mut Done,
        now: Elapsed,
    ) -> Result<(), ApplyError> {
        let deployment = build::deployment(self.pool, self.rendered, Some(replicas));
        let name = deployment.name_any();
        done.writes += 1;
        let created = self
            .call(
                format!("create Deployment {name}"),
                self.deployments().create(&written_by_operator(), &deployment),
            )
            .await;
        let created = match created {
            Ok(created) => created,
            Err(error) if error.is_conflict() => return self.adopt(&name, expected, done, now).await,
            Err(error) => return Err(error),
        };
        expected.deployment(
            &name,
            &self.rendered.revision,
            replicas,
            created.metadata.resource_version.as_ref(),
            now,
        );
        Ok(())
    }

    /// A Deployment of that name exists, but the watch does not show it as this pool's: somebody removed its labels, or it belongs to somebody
    /// else.
    async fn adopt(
        &self,
        name: &str,
        expected: &mut Expected,
        done: &mut Done,
        now: Elapsed,
    ) -> Result<(), ApplyError> {
        let found = self.call(format!("read Deployment {name}"), self.deployments().get(name)).await?;
        if !is_controlled(self.pool, &found) {
            return Err(ApplyError::NameTaken { name: name.to_owned() });
        }
        if is_owned(self.pool, &found) {
            // The watch is late.
            return Err(ApplyError::conflict(format!("create Deployment {name}")));
        }
        self.restore(&found, expected, done, now).await.map(drop)
    }

    /// Restores the template that a Deployment was created with, and returns whether it had another one. The object is replaced as a whole:
    /// server-side apply would leave what others have added.
    pub async fn restore(
        &self,
        found: &Deployment,
        expected: &mut Expected,
        done: &mut Done,
        now: Elapsed,
    ) -> Result<bool, ApplyError> {
        let name = found.name_any();
        let mut restored = build::deployment(self.pool, self.rendered, None);
        let size = found.spec.as_ref().and_then(|spec| spec.replicas);
        restored.metadata.resource_version.clone_from(&found.metadata.resource_version);
        restored.metadata.annotations.clone_from(&found.metadata.annotations);
        if let Some(spec) = &mut restored.spec {
            spec.replicas = size;
        }
        done.writes += 1;
        let what = format!("restore Deployment {name}");
        let params = written_by_operator();
        let written = self.call(what, self.deployments().replace(&name, &params, &restored)).await?;
        let replicas = size.and_then(|size| u32::try_from(size).ok()).unwrap_or(0);
        let version = written.metadata.resource_version.as_ref();
        expected.deployment(&name, &self.rendered.revision, replicas, version, now);
        Ok(written.metadata.generation != found.metadata.generation)
    }

    /// The version that a Deployment has now, if its size is still the one that the decision was made on: after a pause only its status may
    /// have changed.
    pub(super) async fn version_of(&self, revision: &str, size: u32) -> Result<Option<String>, ApplyError> {
        let name = build::deployment_name(self.pool, revision);
        let found = self
            .call(format!("read the size of Deployment {name}"), self.deployments().get_scale(&name))
            .await?;
        let replicas = found.spec.and_then(|spec| spec.replicas).and_then(|n| u32::try_from(n).ok());
        if replicas.unwrap_or(0) == size {
            Ok(found.metadata.resource_version)
        } else {
            Err(ApplyError::conflict(format!("scale Deployment {name}")))
        }
    }

    pub(super) async fn scale(
        &self,
        revision: &str,
        to: u32,
        expected: &mut Expected,
        done: &mut Done,
        now: Elapsed,
    ) -> Result<(), ApplyError> {
        self.scale_from(revision, self.observation.version(revision), to, expected, done, now).await
    }

    pub(super) async fn scale_from(
        &self,
        revision: &str,
        resource_version: Option<String>,
        to: u32,
        expected: &mut Expected,
        done: &mut Done,
        now: Elapsed,
    ) -> Result<(), ApplyError> {
        let name = build::deployment_name(self.pool, revision);
        let scale = Scale {
            metadata: ObjectMeta {
                name: Some(name.clone()),
                namespace: Some(self.pool.namespace.clone()),
                resource_version,
                ..ObjectMeta::default()
            },
            spec: Some(ScaleSpec { replicas: i32::try_from(to).ok() }),
            ..Scale::default()
        };
        done.writes += 1;
        let api = self.deployments();
        let params = written_by_operator();
        let written =
            self.call(format!("scale Deployment {name}"), api.replace_scale(&name, &params, &scale)).await?;
        expected.deployment(&name, revision, to, written.metadata.resource_version.as_ref(), now);
        Ok(())
    }

    pub(super) async fn remove(&self, revision: &str, done: &mut Done) -> Result<(), ApplyError> {
        let name = build::deployment_name(self.pool, revision);
        let resource_version = self.observation.version(revision);
        let params = DeleteParams {
            preconditions: Some(Preconditions { resource_version, uid: None }),
            ..DeleteParams::background()
        };
        done.writes += 1;
        match self.call(format!("delete Deployment {name}"), self.deployments().delete(&name, &params)).await
        {
            Ok(_) => Ok(()),
            Err(error) if error.is_not_found() => Ok(()),
            Err(error) => Err(error),
        }
    }
}
