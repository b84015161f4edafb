//! The shields of busy pods, and the budget that gives them effect.

use k8s_openapi::api::core::v1::Pod as KubePod;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::Api;
use kube::ResourceExt as _;
use kube::api::{Patch, PatchParams};

use super::{ApplyError, Executor};
use crate::calls::{FIELD_MANAGER, written_by_operator};
use crate::pool_controller::observe::Expected;
use crate::pool_controller::plan::Elapsed;
use crate::pool_controller::shield;

impl Executor<'_> {
    /// Raises and takes away the shields that are due, and creates the budget before the first one. `budget` is when that was last known to
    /// exist. A pod that has changed meanwhile is left to the next reconcile.
    pub async fn shield(
        &self,
        due: &[(String, bool)],
        expected: &mut Expected,
        budget: &mut Option<Elapsed>,
        now: Elapsed,
    ) -> Result<(), ApplyError> {
        let is_known = budget.is_some_and(|at| now < at + shield::BUDGET_HOLDS);
        if !is_known && due.iter().any(|(_, raise)| *raise) {
            self.create_budget().await?;
            *budget = Some(now);
        }
        let api: Api<KubePod> = Api::namespaced(self.client.clone(), &self.pool.namespace);
        let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        for (pod, raise) in due {
            let Some(seen) = self.observation.pods.get(pod).filter(|_| !expected.awaits_pod(pod)) else {
                continue;
            };
            let patch = Patch::Merge(shield::patch(self.pool, seen, *raise));
            let verb = if *raise { "shield" } else { "unshield" };
            match self.call(format!("{verb} pod {pod}"), api.patch(pod, &params, &patch)).await {
                Ok(written) => expected.pod(pod, written.metadata.resource_version.as_ref(), now),
                Err(error) if error.is_conflict() || error.is_not_found() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn create_budget(&self) -> Result<(), ApplyError> {
        let budget = shield::budget(self.pool);
        let api: Api<PodDisruptionBudget> = Api::namespaced(self.client.clone(), &self.pool.namespace);
        let what = format!("create PodDisruptionBudget {}", budget.name_any());
        match self.call(what, api.create(&written_by_operator(), &budget)).await {
            Ok(_) => Ok(()),
            Err(error) if error.is_conflict() => Ok(()),
            Err(error) => Err(error),
        }
    }
}
