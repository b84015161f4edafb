//! Calls of the provider: each with a deadline and a bounded answer, none redirected.

use std::error::Error as _;
use std::time::Duration;

use minitower_kernel::outbound::install_crypto_provider;
use minitower_kernel::trust;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{RequestBuilder, StatusCode};

use super::OidcSettings;
use super::provider::ProviderError;

/// How long a call may take.
const DEADLINE: Duration = Duration::from_secs(10);
/// How long a connection may take.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);
/// Longest answer, in bytes.
const MOST_BYTES: usize = 1024 * 1024;

/// An answer, read to its end.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// Whether it says that it is JSON.
    pub(crate) is_json: bool,
    pub(crate) body: Vec<u8>,
}

/// The client for one provider. Fails for certificates that cannot be used.
pub(crate) fn client(settings: &OidcSettings) -> Result<reqwest::Client, String> {
    install_crypto_provider();
    let setup = |error: reqwest::Error| trust::cannot_load(&error);
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("minitowerd/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_DEADLINE)
        .timeout(DEADLINE)
        .redirect(reqwest::redirect::Policy::none());
    builder = if settings.issuer.is_encrypted() {
        builder.tls_certs_merge(settings.trust.of_http().map_err(setup)?)
    } else {
        builder.no_proxy().tls_certs_only([])
    };
    builder.build().map_err(setup)
}

/// Sends a request and reads the answer. `what` is called so in an error.
pub(crate) async fn ask(what: &'static str, request: RequestBuilder) -> Result<Answer, ProviderError> {
    let failed = |error: &reqwest::Error| {
        let reason = if error.is_timeout() {
            format!("no answer within {} s", DEADLINE.as_secs())
        } else {
            innermost(error)
        };
        ProviderError::Unreachable { what, reason }
    };
    let mut response = request.header(ACCEPT, "application/json").send().await.map_err(|e| failed(&e))?;
    let is_json = response.headers().get(CONTENT_TYPE).is_some_and(|kind| {
        let kind = kind.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
        kind.trim().eq_ignore_ascii_case("application/json")
    });
    let (status, mut body) = (response.status(), Vec::new());
    while let Some(chunk) = response.chunk().await.map_err(|error| failed(&error))? {
        if body.len() + chunk.len() > MOST_BYTES {
            let reason = format!("its answer has more than {MOST_BYTES} bytes");
            return Err(ProviderError::Unreachable { what, reason });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer { status, is_json, body })
}

/// The cause that says most. It names no URL: one may hold what is no one's business.
fn innermost(error: &reqwest::Error) -> String {
    if let Some(reason) = trust::of_tls(error) {
        return reason;
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    if error.source().is_none() { "the request failed".to_owned() } else { cause.to_string() }
}
