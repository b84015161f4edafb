//! Whether the admission policy exists that stops the ReplicaSet controller from deleting pods without a mark.

use std::sync::atomic::Ordering;
use std::time::Duration;

use k8s_openapi::api::admissionregistration::v1::{
    ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
};
use kube::Api;
use minitower_daemon::errors::chain;

use super::reconcile::Context;
use crate::calls;

/// Name of the policy and of its binding.
const POLICY: &str = "minitower-runner-pods";
/// What a person is told when it is missing.
pub const MISSING: &str = "the admission policy minitower-runner-pods or its binding is missing: the operator waits 2 s between mark and shrink; \
     install the policy, or set MINITOWER_ADMISSION_POLICY=false";
/// How often to look for it.
const EVERY: Duration = Duration::from_secs(3);

/// Looks for the policy until it is dropped.
pub async fn watch(context: &Context) {
    if !context.settings.admission_policy {
        return std::future::pending().await;
    }
    loop {
        if let Some(seen) = look(context).await {
            let before = context.policy_seen.swap(seen, Ordering::Relaxed);
            if before && !seen {
                tracing::warn!("{MISSING}");
            }
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// `None` if the API server does not say.
async fn look(context: &Context) -> Option<bool> {
    let policies: Api<ValidatingAdmissionPolicy> = Api::all(context.client.clone());
    let bindings: Api<ValidatingAdmissionPolicyBinding> = Api::all(context.client.clone());
    let found =
        async { Ok(policies.get_opt(POLICY).await?.is_some() && bindings.get_opt(POLICY).await?.is_some()) };
    calls::call(found)
        .await
        .inspect_err(|error| {
            tracing::warn!(error = %chain(error), "cannot tell whether the admission policy {POLICY} exists");
        })
        .ok()
}
