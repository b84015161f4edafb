//! The Secret with a pool's own registration token: of a pool that names none, made by the control plane for this pool alone.
//!
//! The control plane is asked only while the Secret does not hold a token for what the pool is now. If the answer or the write is lost, the
//! next attempt makes another token, and the control plane keeps the former ones until the new one is used.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use minitower_daemon::backoff::pause_after;
use minitower_daemon::clock::boottime;
use minitower_daemon::errors::chain;
use serde_json::json;

use super::build;
use super::plan::Elapsed;
use super::pool::Pool;
use super::problems::{GIVE_RIGHTS, Problem};
use super::reconcile::Context;
use crate::calls::{self, CALL, CallError, FIELD_MANAGER, written_by_operator};
use crate::demand::{ControlPlane, ControlPlaneError};
use crate::leader::NotLeader;

/// How long a Secret that was found good is not looked at again.
const GOOD_FOR: Duration = Duration::from_secs(60);
/// The pause after the first failed attempt. It doubles with each further failure.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// The annotations that say what the token in the Secret is for.
const ENVIRONMENT: &str = "minitower.dev/environment";
const TEAM: &str = "minitower.dev/team";
const SERVER: &str = "minitower.dev/server";

/// What is remembered of a pool's own registration token between two reconciles.
#[derive(Debug)]
pub struct Registration {
    /// What the pool needs a token for, as the Secret's annotations.
    binding: BTreeMap<String, String>,
    /// When to look again.
    again: Elapsed,
    failures: u32,
    problem: Option<Problem>,
}

/// Why a pool has no registration token of its own.
#[derive(Debug, thiserror::Error)]
enum RegistrationError {
    /// Somebody else's Secret has the name.
    #[error(
        "Secret {secret} exists and is not this pool's: delete it, or name it in spec.registrationTokenSecretRef if its token is meant"
    )]
    NameTaken {
        /// Its namespace and name.
        secret: String,
    },
    /// A call to the API server failed.
    #[error("cannot {verb} Secret {secret}, which holds the pool's registration token")]
    Call {
        /// What was to be done with it.
        verb: &'static str,
        /// Its namespace and name.
        secret: String,
        /// How the call failed.
        source: CallError,
    },
    /// The control plane made no token.
    #[error(transparent)]
    ControlPlane(#[from] ControlPlaneError),
    /// Another replica leads now.
    #[error(transparent)]
    NotLeader(#[from] NotLeader),
}

impl RegistrationError {
    fn problem(&self) -> Problem {
        match self {
            Self::NameTaken { .. } => Problem::new("NameTaken", chain(self)),
            Self::Call { source, .. } if source.is_without_right() => {
                Problem::new("RightsMissing", format!("{}; {GIVE_RIGHTS}", chain(self)))
            }
            Self::Call { .. } | Self::NotLeader(_) => Problem::new("RegistrationTokenMissing", chain(self)),
            Self::ControlPlane(error) => Problem::new(
                error.kind().as_reason(),
                format!(
                    "{}; or name a Secret with a registration token in spec.registrationTokenSecretRef",
                    error.told()
                ),
            ),
        }
    }
}

/// Sees to it that the Secret of a pool that names none exists and holds a token for it. `control_plane` is that of a pool whose control
/// plane answers: while it does not, nothing is done, and the pool's status says so already. Returns what a person has to look at.
pub(super) async fn provide(
    pool: &Pool,
    control_plane: Option<&ControlPlane>,
    context: &Context,
    known: &mut Option<Registration>,
) -> Result<Option<Problem>, NotLeader> {
    if !pool.has_own_registration() {
        *known = None;
        return Ok(None);
    }
    let binding = binding(pool);
    let failures = match known {
        Some(known) if known.binding == binding && boottime() < known.again => {
            return Ok(known.problem.clone());
        }
        Some(known) if known.binding == binding => known.failures,
        _ => 0,
    };
    let Some(control_plane) = control_plane else { return Ok(None) };
    let (pause, failures, problem) = match ensure(pool, &binding, control_plane, context).await {
        Ok(()) => (GOOD_FOR, 0, None),
        Err(RegistrationError::NotLeader(error)) => return Err(error),
        Err(error) => {
            let failures = failures.saturating_add(1);
            (pause_after(failures, PAUSE_FIRST, PAUSE_MAX), failures, Some(error.problem()))
        }
    };
    *known = Some(Registration { binding, again: boottime() + pause, failures, problem: problem.clone() });
    Ok(problem)
}

async fn ensure(
    pool: &Pool,
    binding: &BTreeMap<String, String>,
    control_plane: &ControlPlane,
    context: &Context,
) -> Result<(), RegistrationError> {
    let (namespace, name) = (pool.namespace.as_str(), pool.registration.name.as_str());
    let shown = format!("{namespace}/{name}");
    let failed = |verb| {
        let secret = shown.clone();
        move |source| RegistrationError::Call { verb, secret, source }
    };
    let secrets: Api<Secret> = Api::namespaced(context.client.clone(), namespace);
    let found = calls::call(secrets.get_opt(name)).await.map_err(failed("read"))?;
    if let Some(secret) = &found {
        let is_own = |owner: &OwnerReference| owner.uid == pool.uid;
        if !secret.owner_references().iter().any(is_own) {
            return Err(RegistrationError::NameTaken { secret: shown });
        }
        if holds(secret, &pool.registration.key, binding) {
            return Ok(());
        }
    }
    context.leadership.check(CALL)?;
    let of = (namespace, pool.name.as_str());
    let token =
        control_plane.create_pool_token(of, &pool.spec.environment, pool.spec.team.as_deref()).await?;
    context.leadership.check(CALL)?;
    let mut secret = secret(pool, binding, &token);
    match found {
        None => {
            let params = written_by_operator();
            calls::call(secrets.create(&params, &secret)).await.map_err(failed("create"))?;
        }
        Some(found) => {
            // Of a version that somebody else has changed since, nothing is known.
            secret.metadata.resource_version = found.metadata.resource_version;
            let mut patch = json!(secret);
            // What the pool no longer names goes.
            patch["metadata"]["annotations"][TEAM] = json!(binding.get(TEAM));
            let params =
                PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
            let patch = Patch::Merge(&patch);
            calls::call(secrets.patch(name, &params, &patch)).await.map_err(failed("write"))?;
        }
    }
    tracing::info!(
        pool = pool.qualified_name(),
        secret = name,
        "the pool has a registration token of its own"
    );
    Ok(())
}

/// What the pool needs a token for, as annotations.
fn binding(pool: &Pool) -> BTreeMap<String, String> {
    let of = [
        (ENVIRONMENT, Some(&pool.spec.environment)),
        (TEAM, pool.spec.team.as_ref()),
        (SERVER, Some(&pool.server_url)),
    ];
    of.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?.clone()))).collect()
}

/// Whether a Secret holds a token for that.
fn holds(secret: &Secret, key: &str, binding: &BTreeMap<String, String>) -> bool {
    let token = secret.data.as_ref().and_then(|data| data.get(key));
    let annotation = |key: &str| secret.annotations().get(key);
    token.is_some_and(|token| !token.0.is_empty())
        && [ENVIRONMENT, TEAM, SERVER].into_iter().all(|key| annotation(key) == binding.get(key))
}

fn secret(pool: &Pool, binding: &BTreeMap<String, String>, token: &str) -> Secret {
    Secret {
        metadata: ObjectMeta {
            name: Some(pool.registration.name.clone()),
            namespace: Some(pool.namespace.clone()),
            labels: Some(build::labels(&pool.name)),
            annotations: Some(binding.clone()),
            owner_references: Some(vec![pool.owner.clone()]),
            ..ObjectMeta::default()
        },
        data: Some([(pool.registration.key.clone(), ByteString(token.as_bytes().to_vec()))].into()),
        ..Secret::default()
    }
}
