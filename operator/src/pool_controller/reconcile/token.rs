//! The operator's token for a pool's control plane.

use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::Api;

use super::{CALL, Context, State};
use crate::clock::boottime;
use crate::pool_controller::pool::{Pool, TokenSource};
use crate::pool_controller::problems::Problem;
use crate::settings::read_token;

/// How long a token read from a Secret is used before it is read again.
const TOKEN_AGE: Duration = Duration::from_secs(60);

/// The operator's token for the pool's control plane, or why there is none.
pub(super) async fn token(pool: &Pool, context: &Context, state: &mut State) -> Result<String, Problem> {
    let now = boottime();
    if let Some((source, token, read)) = &state.token
        && *source == pool.token
        && now < *read + TOKEN_AGE
    {
        return Ok(token.clone());
    }
    state.token = None;
    let TokenSource::Secret { name, key } = &pool.token else {
        let token = own(context)?;
        state.token = Some((TokenSource::Own, token.clone(), now));
        return Ok(token);
    };
    let at = format!("spec.operatorTokenSecretRef: Secret {}/{name}", pool.namespace);
    let api: Api<Secret> = Api::namespaced(context.client.clone(), &pool.namespace);
    let secret = match tokio::time::timeout(CALL, api.get_opt(name)).await {
        Ok(Ok(Some(secret))) => secret,
        Ok(Ok(None)) => {
            return Err(Problem::new("OperatorTokenMissing", format!("{at} does not exist: make it")));
        }
        Ok(Err(error)) => {
            return Err(Problem::new("OperatorTokenMissing", format!("{at} cannot be read: {error}")));
        }
        Err(_) => {
            return Err(Problem::new(
                "OperatorTokenMissing",
                format!("{at} cannot be read: no answer within {CALL:?}"),
            ));
        }
    };
    let value = secret.data.as_ref().and_then(|data| data.get(key));
    let token = value.and_then(|value| std::str::from_utf8(&value.0).ok()).map(str::trim).unwrap_or_default();
    if token.is_empty() {
        return Err(Problem::new(
            "OperatorTokenMissing",
            format!("{at} has no key {key} with a token in it"),
        ));
    }
    state.token = Some((pool.token.clone(), token.to_owned(), now));
    Ok(token.to_owned())
}

/// The operator's own: from its file, where it may have been changed, else as it was given.
fn own(context: &Context) -> Result<String, Problem> {
    let Some(own) = &context.settings.own else {
        return Err(Problem::new(
            "OperatorTokenMissing",
            "the operator has no control plane of its own: set MINITOWER_SERVER_URL and its token",
        ));
    };
    match &context.settings.own_token_file {
        // Some dozen bytes of a volume in memory.
        Some(file) => {
            read_token(file).map_err(|error| Problem::new("OperatorTokenMissing", error.to_string()))
        }
        None => Ok(own.token.clone()),
    }
}
