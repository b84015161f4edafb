//! What a pool refers to: the operator's token for its control plane, and the Deployments and pods that are labelled as its own.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Pod as KubePod, Secret};
use kube::{Api, ResourceExt as _};
use minitower_daemon::clock::boottime;
use minitower_daemon::errors::chain;

use super::context::{Context, State};
use crate::calls::{self, CallError};
use crate::crd::RunnerPool;
use crate::pool_controller::pool::{POOL_LABEL, PoolError, TokenSource, is_named_after};
use crate::pool_controller::problems::{GIVE_RIGHTS, Problem};
use crate::settings::{OwnService, SettingsError, read_token};

/// How long a token from a Secret is used before the Secret is read again.
const TOKEN_AGE: Duration = Duration::from_secs(60);

/// What a pool refers to.
pub(super) struct References {
    /// The operator's token for the pool's control plane.
    pub(super) token: Result<String, TokenError>,
    /// The pool's Deployments, by their labels.
    pub(super) deployments: Vec<Arc<Deployment>>,
    /// The pool's pods, by their labels.
    pub(super) pods: Vec<Arc<KubePod>>,
}

/// Why there is no token for a pool's control plane.
#[derive(Debug, thiserror::Error)]
pub(super) enum TokenError {
    /// The pool relies on the operator's own control plane.
    #[error("the operator has no control plane of its own: set MINITOWER_SERVER_URL and its token")]
    NoOwn,
    /// The operator's own token cannot be read.
    #[error(transparent)]
    Own(#[from] SettingsError),
    /// The Secret does not exist.
    #[error("spec.operatorTokenSecretRef: Secret {secret} does not exist: create it")]
    NoSecret {
        /// Its namespace and name.
        secret: String,
    },
    /// The Secret cannot be read.
    #[error("spec.operatorTokenSecretRef: Secret {secret} cannot be read")]
    Unreadable {
        /// Its namespace and name.
        secret: String,
        /// Why.
        source: CallError,
    },
    /// The Secret holds no token.
    #[error("spec.operatorTokenSecretRef: Secret {secret} has no key {key} with a token in it")]
    NoKey {
        /// Its namespace and name.
        secret: String,
        /// The key.
        key: String,
    },
}

impl TokenError {
    /// What a person has to do something about.
    pub(super) fn problem(&self) -> Problem {
        match self {
            Self::Unreadable { source, .. } if source.is_without_right() => {
                Problem::new("RightsMissing", format!("{}; {GIVE_RIGHTS}", chain(self)))
            }
            Self::NoOwn
            | Self::Own(_)
            | Self::NoSecret { .. }
            | Self::Unreadable { .. }
            | Self::NoKey { .. } => Problem::new("OperatorTokenMissing", chain(self)),
        }
    }
}

/// How long the name of a Service may take to be resolved.
const LOOKUP: Duration = Duration::from_secs(2);

/// Whether a pool that names no operator token does so because the name of its Service is mistyped: nothing has that name.
pub(super) async fn mistyped_service(error: &PoolError, own: Option<&OwnService>) -> Option<Problem> {
    let PoolError::ForeignService { service, namespace, .. } = error else { return None };
    let name = format!("{service}.{namespace}");
    // Only the name is of interest, and a port is part of the question.
    let looked_up = tokio::time::timeout(LOOKUP, tokio::net::lookup_host((name.as_str(), 80))).await;
    match looked_up {
        Ok(Err(error)) if is_unknown(&error) => Some(no_service(service, namespace, own)),
        _ => None,
    }
}

/// Whether the resolver knows that there is no such name, and not merely no answer.
fn is_unknown(error: &io::Error) -> bool {
    let words = error.to_string();
    words.contains("not known") || words.contains("No address") || words.contains("does not resolve")
}

fn no_service(service: &str, namespace: &str, own: Option<&OwnService>) -> Problem {
    let meant = own.map_or_else(String::new, |own| {
        let elsewhere = if own.namespace == namespace {
            String::new()
        } else {
            format!(" in namespace {}", own.namespace)
        };
        format!("; the operator's own control plane is Service {}{elsewhere}, port {}", own.name, own.port)
    });
    let message = format!(
        "spec.server.serviceRef: Service {namespace}/{service} does not exist: its name cannot be resolved{meant}"
    );
    Problem::new("ServiceNotFound", message)
}

/// Looks up what the pool refers to.
pub(super) async fn dereference(object: &RunnerPool, context: &Context, state: &mut State) -> References {
    let (namespace, name) = (object.namespace(), object.name_any());
    let source = TokenSource::of(&object.spec);
    let token = token(&source, namespace.as_deref().unwrap_or_default(), context, state).await;
    let mut deployments = context.deployments.state();
    deployments.retain(|deployment| deployment.namespace() == namespace);
    let mut pods = context.pods.state();
    // A pod that merely carries the label may have the name of anybody's runner.
    let is_named = |pod: &KubePod| is_named_after(&name, &pod.name_any());
    pods.retain(|pod| {
        pod.namespace() == namespace && pod.labels().get(POOL_LABEL) == Some(&name) && is_named(pod)
    });
    References { token, deployments, pods }
}

async fn token(
    source: &TokenSource,
    namespace: &str,
    context: &Context,
    state: &mut State,
) -> Result<String, TokenError> {
    let now = boottime();
    if let Some((of, token, read)) = &state.token
        && of == source
        && now < *read + TOKEN_AGE
    {
        return Ok(token.clone());
    }
    state.token = None;
    let token = match source {
        TokenSource::Own => own(context)?,
        TokenSource::Secret { name, key } => secret(context, namespace, name, key).await?,
    };
    state.token = Some((source.clone(), token.clone(), now));
    Ok(token)
}

async fn secret(context: &Context, namespace: &str, name: &str, key: &str) -> Result<String, TokenError> {
    let shown = format!("{namespace}/{name}");
    let api: Api<Secret> = Api::namespaced(context.client.clone(), namespace);
    let secret = match calls::call(api.get_opt(name)).await {
        Ok(Some(secret)) => secret,
        Ok(None) => return Err(TokenError::NoSecret { secret: shown }),
        Err(source) => return Err(TokenError::Unreadable { secret: shown, source }),
    };
    let value = secret.data.as_ref().and_then(|data| data.get(key));
    let token = value.and_then(|value| std::str::from_utf8(&value.0).ok()).map(str::trim).unwrap_or_default();
    if token.is_empty() {
        return Err(TokenError::NoKey { secret: shown, key: key.to_owned() });
    }
    Ok(token.to_owned())
}

/// The operator's own token: from its file, where it may have changed, else as it was given.
fn own(context: &Context) -> Result<String, TokenError> {
    let own = context.settings.own.as_ref().ok_or(TokenError::NoOwn)?;
    match &context.settings.own_token_file {
        // Some dozen bytes of a volume in memory.
        Some(file) => Ok(read_token(file)?),
        None => Ok(own.token.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grants::Grants;

    fn foreign(service: &str) -> PoolError {
        PoolError::ForeignService {
            service: service.to_owned(),
            namespace: "ns".to_owned(),
            home: "ns".to_owned(),
        }
    }

    #[tokio::test]
    async fn a_service_that_nothing_is_called_like_is_told_with_the_one_that_may_be_meant() {
        let own = OwnService {
            name: "tower".to_owned(),
            namespace: "ns".to_owned(),
            port: 8080,
            grants: Grants::default(),
        };
        // A name with an empty label is refused without a question to anybody.
        let problem = mistyped_service(&foreign("towr."), Some(&own)).await.unwrap();
        assert_eq!(problem.reason, "ServiceNotFound");
        assert_eq!(
            problem.message,
            "spec.server.serviceRef: Service ns/towr. does not exist: its name cannot be resolved; the operator's own control plane is \
             Service tower, port 8080"
        );
        let elsewhere = OwnService { namespace: "other".to_owned(), ..own };
        let problem = mistyped_service(&foreign("towr."), Some(&elsewhere)).await.unwrap();
        assert!(
            problem.message.ends_with("control plane is Service tower in namespace other, port 8080"),
            "{}",
            problem.message
        );
        let problem = mistyped_service(&foreign("towr."), None).await.unwrap();
        assert!(problem.message.ends_with("cannot be resolved"), "{}", problem.message);
    }

    #[tokio::test]
    async fn a_resolver_that_does_not_answer_proves_nothing() {
        let silent =
            io::Error::other("failed to lookup address information: Temporary failure in name resolution");
        assert!(!is_unknown(&silent));
        assert_eq!(mistyped_service(&PoolError::Server, None).await, None);
    }
}
