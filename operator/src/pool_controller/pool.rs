//! A valid `RunnerPool`: checked once, so that the rest of the controller sees nothing else.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{Resource as _, ResourceExt as _};

use super::plan::{Damping, Policy};
use crate::crd::{RegistrationTokenRef, RunnerPool, RunnerPoolSpec, ServiceRef};
use crate::demand::RunnerView;
use crate::grants::Denied;
use crate::settings::OwnService;

/// The label with the pool that a Deployment or pod belongs to.
pub const POOL_LABEL: &str = "minitower.dev/pool";
/// The label with the revision of the pool's template that it was made from.
pub const REVISION_LABEL: &str = "minitower.dev/revision";

/// The key of the token in the Secret that the operator makes for a pool.
const REGISTRATION_KEY: &str = "registration-token";

/// A pool of runners.
#[derive(Debug, Clone)]
pub struct Pool {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The uid of the object: another pool may have had the same name.
    pub uid: String,
    /// The generation of its spec.
    pub generation: Option<i64>,
    /// The pool as the owner of Deployments.
    pub owner: OwnerReference,
    /// How it is sized.
    pub policy: Policy,
    /// The URL of its control plane, as its pods and the operator reach it.
    pub server_url: String,
    /// Where the operator's token for that control plane comes from.
    pub token: TokenSource,
    /// The Secret with the token that its runners register with: the one that the spec names, or the operator's for this pool.
    pub registration: RegistrationTokenRef,
    /// The whole spec, as it was written.
    pub spec: RunnerPoolSpec,
}

/// Where the operator's token for a pool's control plane comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenSource {
    /// The operator's own.
    Own,
    /// A Secret in the pool's namespace.
    Secret {
        /// Its name.
        name: String,
        /// The key in it.
        key: String,
    },
}

impl TokenSource {
    /// Where a pool's spec says that the token comes from. Whether the operator's own may be used is checked by [`Pool::new`].
    pub fn of(spec: &RunnerPoolSpec) -> Self {
        match &spec.operator_token_secret_ref {
            Some(secret) => Self::Secret { name: secret.name.clone(), key: secret.key.clone() },
            None => Self::Own,
        }
    }
}

/// Why a pool that the API server has accepted cannot be served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PoolError {
    /// A field is missing that the API server always sets.
    #[error("the object has no {0}")]
    Incomplete(&'static str),
    /// Neither or both of the ways to name the control plane are set.
    #[error("spec.server: set exactly one of url and serviceRef")]
    Server,
    /// The operator's own token is sent only to its own control plane.
    #[error(
        "spec.operatorTokenSecretRef is missing: Service {namespace}/{service} is not the operator's own control plane, and the operator \
         sends its token to no other; create a Secret in namespace {home} with an operator token of that control plane and name it there"
    )]
    ForeignService {
        /// The Service.
        service: String,
        /// Its namespace.
        namespace: String,
        /// The pool's namespace.
        home: String,
    },
    /// The operator's own control plane, from a namespace that may not use it so.
    #[error(
        "namespace {home}: {denied}; the operator's administrator can allow it (the chart's value operator.poolNamespaces, \
         MINITOWER_POOL_NAMESPACES), or else name a Secret with an operator token in spec.operatorTokenSecretRef"
    )]
    ScopeNotAllowed {
        /// The pool's namespace.
        home: String,
        /// What it may not have.
        denied: Denied,
    },
    /// The same for a URL.
    #[error("spec.operatorTokenSecretRef is missing: it is required with spec.server.url")]
    ForeignUrl,
}

impl PoolError {
    /// The condition's reason.
    pub fn as_reason(&self) -> &'static str {
        match self {
            Self::Incomplete(_) | Self::Server => "InvalidSpec",
            Self::ForeignService { .. } | Self::ForeignUrl => "OperatorTokenMissing",
            Self::ScopeNotAllowed { .. } => "ScopeNotAllowed",
        }
    }
}

impl Pool {
    /// Checks what the schema cannot check. `own` is the operator's own control plane.
    pub fn new(object: &RunnerPool, own: Option<&OwnService>) -> Result<Self, PoolError> {
        let namespace = object.namespace().ok_or(PoolError::Incomplete("namespace"))?;
        let owner = object.controller_owner_ref(&()).ok_or(PoolError::Incomplete("uid"))?;
        let spec = object.spec.clone();
        let server = &spec.server;
        let server_url = match (&server.url, &server.service_ref) {
            (Some(url), None) => url.trim_end_matches('/').to_owned(),
            (None, Some(service)) => {
                format!("http://{}.{}:{}", service.name, namespace_of(service, &namespace), service.port)
            }
            _ => return Err(PoolError::Server),
        };
        let token = TokenSource::of(&spec);
        if token == TokenSource::Own {
            let Some(service) = &server.service_ref else { return Err(PoolError::ForeignUrl) };
            may_use_own_token(&spec, service, &namespace, own)?;
        }
        let name = object.name_any();
        let registration = spec.registration_token_secret_ref.clone().unwrap_or_else(|| {
            RegistrationTokenRef { name: format!("{name}-registration"), key: REGISTRATION_KEY.to_owned() }
        });
        Ok(Self {
            name,
            registration,
            uid: owner.uid.clone(),
            generation: object.meta().generation,
            owner,
            policy: policy(&spec),
            server_url,
            token,
            namespace,
            spec,
        })
    }

    /// The pool's name on its control plane, with the namespace: a control plane may serve several.
    pub fn qualified_name(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// Whether the operator provides the Secret that its runners register with.
    pub fn has_own_registration(&self) -> bool {
        self.spec.registration_token_secret_ref.is_none()
    }

    /// Whether a runner under the name of one of the pool's pods is that pod's. A team's runner can have any name, and name any pool; and a
    /// pod can be given the name of another pool's runner.
    pub fn has(&self, runner: &RunnerView) -> bool {
        runner.scope.fits(self.spec.team.as_deref())
            && runner.pool.as_deref().and_then(|pool| pool.split_once('/'))
                == Some((self.namespace.as_str(), self.name.as_str()))
    }

    /// Whether the pool's pods have names like this one. Their runners have the same names.
    pub fn names(&self, pod: &str) -> bool {
        is_named_after(&self.name, pod)
    }

    /// The owner of the pool's fences, as its control plane knows it.
    pub fn fence_owner(&self) -> String {
        owner_of(&self.qualified_name())
    }

    /// The label selector of the pool's pods, of all revisions.
    pub fn selector(&self) -> String {
        format!("{POOL_LABEL}={}", self.name)
    }
}

/// Whether the pods of a pool of this name have names like that one: those of its Deployments all begin so.
pub fn is_named_after(pool: &str, pod: &str) -> bool {
    pod.strip_prefix(pool).is_some_and(|rest| rest.starts_with('-'))
}

/// The owner of the fences of the pool that its control plane knows by this name.
pub fn owner_of(qualified_name: &str) -> String {
    format!("pool:{qualified_name}")
}

/// The namespace of a Service that a pool in the namespace `home` refers to.
fn namespace_of<'a>(service: &'a ServiceRef, home: &'a str) -> &'a str {
    service.namespace.as_deref().unwrap_or(home)
}

/// Whether the operator may use its own token for a pool in the namespace `home`: with its own control plane alone, and outside of that one's
/// namespace only as far as its administrator allows.
fn may_use_own_token(
    spec: &RunnerPoolSpec,
    service: &ServiceRef,
    home: &str,
    own: Option<&OwnService>,
) -> Result<(), PoolError> {
    let namespace = namespace_of(service, home);
    let is_own = |own: &&OwnService| {
        own.name == service.name && own.namespace == namespace && own.port == service.port
    };
    let home = home.to_owned();
    let Some(own) = own.filter(is_own) else {
        let (service, namespace) = (service.name.clone(), namespace.to_owned());
        return Err(PoolError::ForeignService { service, namespace, home });
    };
    if own.namespace == home {
        return Ok(());
    }
    own.grants
        .allow(&home, spec.team.as_deref(), &spec.environment)
        .map_err(|denied| PoolError::ScopeNotAllowed { home, denied })
}

fn policy(spec: &RunnerPoolSpec) -> Policy {
    let seconds = |n: u32| Duration::from_secs(n.into());
    let (up, down) = (&spec.scaling.scale_up, &spec.scaling.scale_down);
    Policy {
        min: spec.min_runners,
        max: spec.max_runners,
        min_idle: spec.min_idle,
        replicas: spec.replicas,
        runs_per_runner: spec.scaling.runs_per_runner,
        up: Damping { stabilization: seconds(up.stabilization_seconds), max_step: up.max_step },
        down: Damping { stabilization: seconds(down.stabilization_seconds), max_step: down.max_step },
        poll: seconds(spec.scaling.poll_seconds),
        paused: spec.paused,
    }
}
