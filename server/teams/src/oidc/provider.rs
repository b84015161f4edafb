//! The identity provider: what it publishes about itself, its keys, and the exchange of a code for tokens.
//!
//! Nothing is asked before somebody signs in, and the server starts without the provider. What it publishes is asked for again every hour. After a
//! failure nobody asks again for some seconds, and of many who sign in at the same time one asks.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use minitower_vocabulary::time::Timestamp;
use reqwest::Url;
use reqwest::header::CONTENT_TYPE;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::Mutex;

use super::http::{self, Answer};
use super::jws::{BadJws, Keys, Unverified};
use super::settings::keeps_secrets;
use super::{OidcSettings, SignInError};
use crate::domain::id_token::{Claims, Expected, check, groups, has_name, name};
use crate::domain::people::Person;

/// How long what the provider publishes counts.
const FRESH: Duration = Duration::from_hours(1);
/// How long a failure is answered without asking again.
const FAILED: Duration = Duration::from_secs(5);
/// A key that nobody knows makes the server ask for the keys again, at most so often.
const KEYS_AGAIN: Duration = Duration::from_secs(30);
/// Longest text of the provider that is repeated, in characters.
const REPEATED: usize = 200;

/// The provider cannot be asked, or does not answer as the standard says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// There was no answer.
    #[error(
        "the identity provider does not answer ({what}: {reason}): try again, and tell the administrator of this server if it stays so"
    )]
    Unreachable {
        /// What was asked for.
        what: &'static str,
        /// Why.
        reason: String,
    },
    /// The answer is not one of the standard, or it refuses this server.
    #[error(
        "the identity provider and this server do not fit together ({0}): tell the administrator of this server"
    )]
    Unfit(String),
}

/// What the provider says of itself (OpenID Connect Discovery 1.0, section 3).
#[derive(Debug, Clone, Deserialize)]
struct Metadata {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    userinfo_endpoint: Option<String>,
    #[serde(default)]
    token_endpoint_auth_methods_supported: Vec<String>,
    /// RFC 9207.
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

#[derive(Debug, Default)]
struct Known {
    metadata: Option<(Timestamp, Arc<Metadata>)>,
    keys: Option<(Timestamp, Arc<Keys>)>,
    failed: Option<(Timestamp, ProviderError)>,
}

/// The provider.
#[derive(Debug)]
pub(crate) struct Provider {
    settings: Arc<OidcSettings>,
    http: reqwest::Client,
    known: Mutex<Known>,
}

/// What ties the browser's return to its departure.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ties<'a> {
    pub(crate) nonce: &'a str,
    /// The secret of PKCE (RFC 7636).
    pub(crate) verifier: &'a str,
}

/// Somebody whom the provider has signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SignedIn {
    pub(crate) person: Person,
    pub(crate) groups: Vec<String>,
}

#[derive(Deserialize)]
struct Tokens {
    id_token: Option<String>,
    access_token: Option<String>,
}

#[derive(Deserialize)]
struct Refusal {
    error: String,
    error_description: Option<String>,
}

impl Provider {
    /// Fails for certificates that cannot be used.
    pub(crate) fn new(settings: Arc<OidcSettings>) -> Result<Self, String> {
        Ok(Self { http: http::client(&settings)?, settings, known: Mutex::default() })
    }

    /// Where a browser is sent to sign in.
    pub(crate) async fn departure(
        &self,
        redirect_uri: &str,
        state: &str,
        (nonce, challenge): (&str, &str),
        now: Timestamp,
    ) -> Result<String, ProviderError> {
        let metadata = self.metadata(now).await?;
        let mut url = endpoint("authorization_endpoint", &metadata.authorization_endpoint)?;
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.settings.client_id)
            .append_pair("redirect_uri", redirect_uri)
            .append_pair("scope", self.settings.scopes.as_str())
            .append_pair("state", state)
            .append_pair("nonce", nonce)
            .append_pair("code_challenge", challenge)
            .append_pair("code_challenge_method", "S256");
        Ok(url.into())
    }

    /// Checks who has answered the browser, if the answer says so (RFC 9207).
    pub(crate) async fn check_answerer(
        &self,
        issuer: Option<&str>,
        now: Timestamp,
    ) -> Result<(), SignInError> {
        match issuer {
            Some(issuer) if issuer == self.settings.issuer.as_str() => Ok(()),
            None if !self.metadata(now).await?.authorization_response_iss_parameter_supported => Ok(()),
            _ => Err(SignInError::Nonsense("iss", "it does not name the identity provider of this server")),
        }
    }

    /// Exchanges the code that a browser has brought for who signed in.
    pub(crate) async fn who(
        &self,
        code: &str,
        redirect_uri: &str,
        ties: Ties<'_>,
        now: Timestamp,
    ) -> Result<SignedIn, SignInError> {
        let metadata = self.metadata(now).await?;
        let tokens = self.tokens(&metadata, code, redirect_uri, ties.verifier).await?;
        let id_token = tokens.id_token.ok_or_else(|| {
            ProviderError::Unfit("it sent no ID token: is openid one of the scopes?".to_owned())
        })?;
        let unverified = Unverified::parse(&id_token)?;
        let claims = self.verified(&unverified, &metadata, now).await?;
        let at_hash = tokens.access_token.as_deref().map(|token| unverified.hash_of(token));
        let expected = Expected {
            issuer: self.settings.issuer.as_str(),
            client_id: &self.settings.client_id,
            nonce: ties.nonce,
            at_hash: at_hash.as_deref(),
            now,
        };
        let subject = check(&claims, &expected)?.to_owned();
        let claim = &self.settings.groups_claim;
        let mut all = claims;
        let lacks_groups = groups(&all, claim).is_none();
        if (lacks_groups || !has_name(&all, self.settings.name_claim.as_deref()))
            && let (Some(place), Some(token)) = (&metadata.userinfo_endpoint, &tokens.access_token)
        {
            match self.userinfo(place, token, &subject).await {
                // What the ID token says was signed, and stays.
                Ok(more) => more.into_iter().for_each(|(name, value)| {
                    all.entry(name).or_insert(value);
                }),
                Err(error) if lacks_groups => return Err(error.into()),
                // Nobody is kept out for want of a name.
                Err(_) => {}
            }
        }
        let Some(groups) = groups(&all, claim) else {
            let too_many = all.get("_claim_names").is_some_and(|names| names.get(claim).is_some());
            return Err(SignInError::NoGroups { claim: claim.clone(), too_many });
        };
        let groups = groups.into_iter().map(str::to_owned).collect();
        let name = name(&all, self.settings.name_claim.as_deref(), &subject);
        let issuer = self.settings.issuer.as_str().to_owned();
        Ok(SignedIn { person: Person { issuer, subject, name }, groups })
    }

    async fn tokens(
        &self,
        metadata: &Metadata,
        code: &str,
        redirect_uri: &str,
        verifier: &str,
    ) -> Result<Tokens, SignInError> {
        let mut form = HashMap::from([
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", redirect_uri),
            ("code_verifier", verifier),
        ]);
        let mut request = self.http.post(endpoint("token_endpoint", &metadata.token_endpoint)?);
        let methods = &metadata.token_endpoint_auth_methods_supported;
        let takes = |method: &str| methods.iter().any(|one| one == method);
        match &self.settings.client_secret {
            // What the standard takes where nothing is said.
            Some(secret) if methods.is_empty() || takes("client_secret_basic") => {
                // RFC 6749, section 2.3.1: both are form-encoded first.
                request = request
                    .basic_auth(form_encoded(&self.settings.client_id), Some(form_encoded(secret.reveal())));
            }
            Some(secret) => {
                form.insert("client_id", &self.settings.client_id);
                form.insert("client_secret", secret.reveal());
            }
            None => {
                form.insert("client_id", &self.settings.client_id);
            }
        }
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(body);
        let answer = http::ask("its token endpoint", request).await?;
        if answer.status.is_success() {
            return Ok(decoded("its token endpoint", &answer)?);
        }
        let Ok(Refusal { error, error_description }) = serde_json::from_slice(&answer.body) else {
            let status = answer.status.as_u16();
            return Err(unfit(format!("its token endpoint answered {status}")).into());
        };
        if error == "invalid_grant" {
            return Err(SignInError::CodeRefused);
        }
        let told = said(&error, error_description.as_deref());
        Err(unfit(format!("its token endpoint answered {told}")).into())
    }

    /// What the ID token says, if the provider has signed it. A key that nobody knows may be a new one.
    async fn verified(
        &self,
        token: &Unverified<'_>,
        metadata: &Metadata,
        now: Timestamp,
    ) -> Result<Claims, SignInError> {
        let mut known = self.known.lock().await;
        if let Some((read, keys)) = known.keys.clone()
            && now.since(read) < FRESH
        {
            match token.verify(&keys) {
                Err(BadJws::NoKey) if now.since(read) >= KEYS_AGAIN => {}
                decided => return Ok(decided?),
            }
        }
        let what = "its keys";
        let answer = http::ask(what, self.http.get(endpoint("jwks_uri", &metadata.jwks_uri)?)).await?;
        let keys = Keys::parse(&answer.body).filter(|_| answer.status.is_success());
        let keys = Arc::new(keys.ok_or_else(|| unfit(format!("{what} are no key set")))?);
        known.keys = Some((now, Arc::clone(&keys)));
        drop(known);
        Ok(token.verify(&keys)?)
    }

    async fn userinfo(&self, place: &str, token: &str, subject: &str) -> Result<Claims, ProviderError> {
        let what = "its userinfo endpoint";
        let request = self.http.get(endpoint("userinfo_endpoint", place)?).bearer_auth(token);
        let answer = http::ask(what, request).await?;
        if !answer.status.is_success() {
            return Err(unfit(format!("{what} answered {}", answer.status.as_u16())));
        }
        let claims: Claims = decoded(what, &answer)?;
        // OpenID Connect Core 1.0, section 5.3.2: otherwise it may be about somebody else.
        if claims.get("sub").and_then(|sub| sub.as_str()) != Some(subject) {
            return Err(unfit(format!("{what} answered about another person")));
        }
        Ok(claims)
    }

    async fn metadata(&self, now: Timestamp) -> Result<Arc<Metadata>, ProviderError> {
        let mut known = self.known.lock().await;
        if let Some((read, metadata)) = &known.metadata
            && now.since(*read) < FRESH
        {
            return Ok(Arc::clone(metadata));
        }
        if let Some((failed, why)) = &known.failed
            && now.since(*failed) < FAILED
        {
            return Err(why.clone());
        }
        match self.discovered().await {
            Ok(metadata) => {
                let metadata = Arc::new(metadata);
                known.metadata = Some((now, Arc::clone(&metadata)));
                known.failed = None;
                Ok(metadata)
            }
            Err(error) => {
                let told = &error as &dyn std::error::Error;
                tracing::warn!(issuer = self.settings.issuer.as_str(), error = told, "nobody can sign in");
                known.failed = Some((now, error.clone()));
                Err(error)
            }
        }
    }

    async fn discovered(&self) -> Result<Metadata, ProviderError> {
        let what = "its description";
        let place = self.settings.issuer.join(".well-known/openid-configuration");
        let answer = http::ask(what, self.http.get(place)).await?;
        if answer.status.is_server_error() {
            let reason = format!("it answered {}", answer.status.as_u16());
            return Err(ProviderError::Unreachable { what, reason });
        }
        if !answer.status.is_success() {
            let status = answer.status.as_u16();
            return Err(unfit(format!(
                "{what}, /.well-known/openid-configuration below MINITOWER_OIDC_ISSUER, answered {status}"
            )));
        }
        let metadata: Metadata = decoded(what, &answer)?;
        if metadata.issuer != self.settings.issuer.as_str() {
            let found = repeated(&metadata.issuer);
            return Err(unfit(format!(
                "its issuer is {found:?}, and MINITOWER_OIDC_ISSUER must be that to the letter"
            )));
        }
        for (name, place) in [
            ("authorization_endpoint", &metadata.authorization_endpoint),
            ("token_endpoint", &metadata.token_endpoint),
            ("jwks_uri", &metadata.jwks_uri),
        ] {
            endpoint(name, place)?;
        }
        Ok(metadata)
    }
}

fn unfit(why: String) -> ProviderError {
    ProviderError::Unfit(why)
}

fn endpoint(name: &str, text: &str) -> Result<Url, ProviderError> {
    let url = Url::parse(text).ok().filter(keeps_secrets);
    url.ok_or_else(|| unfit(format!("its {name} is not an https URL")))
}

fn decoded<T: DeserializeOwned>(what: &str, answer: &Answer) -> Result<T, ProviderError> {
    if !answer.is_json {
        return Err(unfit(format!("{what} answered something else than JSON")));
    }
    // What the decoder says may quote a token.
    serde_json::from_slice(&answer.body)
        .map_err(|_| unfit(format!("{what} answered JSON that the standard does not know")))
}

fn form_encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// An error as the provider names it.
pub(crate) fn said(error: &str, description: Option<&str>) -> String {
    match description.map(repeated).filter(|text| !text.is_empty()) {
        Some(description) => format!("{}: {description}", repeated(error)),
        None => repeated(error),
    }
}

/// A text of the provider, or of whoever pretends to be it.
fn repeated(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(REPEATED).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests;
