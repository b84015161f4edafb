//! Whether the admission policy is there that keeps the ReplicaSet controller from pods without a mark.

use std::sync::atomic::Ordering;
use std::time::Duration;

use k8s_openapi::api::admissionregistration::v1::{
    ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
};
use kube::Api;

use super::reconcile::Context;

/// Name of the policy and of its binding.
const POLICY: &str = "minitower-runner-pods";
/// How often it is looked for.
const EVERY: Duration = Duration::from_secs(30);
/// Longest a call may take.
const CALL: Duration = Duration::from_secs(5);

/// Looks for the policy until it is dropped.
pub async fn watch(context: &Context) {
    if !context.settings.admission_policy {
        return std::future::pending().await;
    }
    loop {
        if let Some(seen) = look(context).await {
            let before = context.policy_seen.swap(seen, Ordering::Relaxed);
            if before && !seen {
                tracing::warn!(
                    "the admission policy {POLICY} or its binding is missing: shrinking waits 2 s for the marks to be seen; install it, or set \
                     MINITOWER_ADMISSION_POLICY=false"
                );
            }
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// `None`: that cannot be told.
async fn look(context: &Context) -> Option<bool> {
    let policies: Api<ValidatingAdmissionPolicy> = Api::all(context.client.clone());
    let bindings: Api<ValidatingAdmissionPolicyBinding> = Api::all(context.client.clone());
    let found =
        async { Ok(policies.get_opt(POLICY).await?.is_some() && bindings.get_opt(POLICY).await?.is_some()) };
    match tokio::time::timeout(CALL, found).await {
        Ok(Ok(seen)) => Some(seen),
        Ok(Err(error)) => {
            let error: kube::Error = error;
            tracing::warn!(%error, "it cannot be told whether the admission policy {POLICY} is there");
            None
        }
        Err(_) => None,
    }
}
