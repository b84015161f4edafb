//! What a person's browser visits: to the identity provider, back, and the answer to what it is asked.
//!
//! An error is a page for whoever asks for one, and JSON as everywhere for everybody else. Nothing here is kept by a browser's cache, and no
//! address is told to the next page.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::header::{ACCEPT, CACHE_CONTROL, COOKIE, LOCATION, REFERRER_POLICY, SET_COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use minitower_teams::Teams;
use minitower_teams::sign_in::{Begin, Decision, LIFE, Next, Return};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::page;
use crate::extract::{Peer, Query, body};
use crate::openapi::errors;
use crate::{ApiError, HttpState};

/// Most bytes of the form.
const FORM_BYTES: u64 = 128 * 1024;

/// How a browser begins.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct StartQuery {
    /// Which command line waits for it: part of `verification_uri`.
    device: Option<String>,
    /// The slug of the team that the token shall be for.
    team: Option<String>,
    /// The path on this server where the browser goes afterwards, with `#code=…` behind it. By default `/`.
    return_to: Option<String>,
}

errors! { StartErrors {
    InvalidRequest: "A parameter is none that this server has given out.",
    InvalidSlug: "`team` is not a valid slug.",
    NotFound: "The server has no identity provider.",
    Unavailable: "The identity provider does not answer, or does not fit together with this server.",
} }

/// Sends a browser to the identity provider.
#[utoipa::path(get, path = "/api/v1/auth/oidc/start", operation_id = "start_sign_in", tag = "Sign-in", params(StartQuery),
    responses((status = 303, description = "To the identity provider, with a cookie for the way back."), StartErrors))]
pub(crate) async fn start(
    State(state): State<HttpState>,
    headers: HeaderMap,
    Query(query): Query<StartQuery>,
) -> Response {
    let StartQuery { device, team, return_to } = query;
    let (teams, browser) = (state.teams(), cookie(state.teams(), &headers));
    match teams.begin_sign_in(Begin { device, team, return_to }, browser.as_deref()).await {
        Ok(to) => {
            let mut response = redirect(&to.location);
            keep_cookie(teams, &to.browser, &mut response);
            response
        }
        Err(error) => refused(&headers, error.into()),
    }
}

/// What the identity provider sends with a browser. Providers add parameters of their own.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct CallbackQuery {
    /// What the browser was sent with.
    state: Option<String>,
    /// The provider's code.
    code: Option<String>,
    /// Why there is none.
    error: Option<String>,
    /// The same in words.
    error_description: Option<String>,
    /// The provider's issuer (RFC 9207).
    iss: Option<String>,
}

errors! { CallbackErrors {
    InvalidRequest: "This browser did not begin the sign-in, or too long ago, or the code was used already.",
    Forbidden: "The identity provider has not signed the person in, its ID token is refused, or no group of the person belongs to a team.",
    NotFound: "The server has no identity provider.",
    RateLimited: "Too many sign-ins come from this address. `Retry-After` says when to try again.",
    Unavailable: "The identity provider does not answer, or does not fit together with this server.",
} }

/// Takes a browser that comes back from the identity provider.
#[utoipa::path(get, path = "/api/v1/auth/oidc/callback", operation_id = "finish_sign_in", tag = "Sign-in",
    params(CallbackQuery),
    responses(
        (status = 200, description = "A page that asks the person to confirm what a command line has begun.", body = String,
            content_type = "text/html"),
        (status = 303, description = "Back to the page, with `#code=…` for `POST /api/v1/auth/oidc/token`."),
        CallbackErrors,
    ))]
pub(crate) async fn callback(
    State(state): State<HttpState>,
    headers: HeaderMap,
    Peer(address): Peer,
    Query(query): Query<CallbackQuery>,
) -> Response {
    let CallbackQuery { state: sent, code, error, error_description, iss } = query;
    let back = Return { state: sent, code, error, error_description, iss };
    let browser = cookie(state.teams(), &headers);
    match state.teams().finish_sign_in(back, browser.as_deref(), address).await {
        Ok(Next::Confirm(confirm)) => private(page::confirm(&confirm)),
        Ok(Next::Return(place)) => redirect(&place),
        Err(error) => refused(&headers, error.into()),
    }
}

/// The form of the page that asks the person to confirm.
#[derive(Debug, ToSchema)]
#[allow(dead_code, reason = "it describes the form, which is read by hand")]
pub(crate) struct ConfirmForm {
    /// What the page was given.
    ticket: String,
    /// The slug of the team.
    team: Option<String>,
    /// `allow` or `deny`.
    decision: String,
}

errors! { ConfirmErrors {
    InvalidRequest: "This browser was not asked, or too long ago, or the person is in several teams and has chosen none.",
    Forbidden: "The person is not in this team.",
    NotFound: "The server has no identity provider.",
    Gone: "The command line has its token already.",
} }

/// Takes the person's decision about a command line.
#[utoipa::path(post, path = "/api/v1/auth/oidc/confirm", operation_id = "confirm_sign_in", tag = "Sign-in",
    request_body(content = ConfirmForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "A page that says what was done.", body = String, content_type = "text/html"),
        ConfirmErrors,
    ))]
pub(crate) async fn confirm(State(state): State<HttpState>, request: Request) -> Response {
    let (parts, sent) = request.into_parts();
    match confirmed(&state, &parts.headers, sent).await {
        Ok(text) => private(text),
        Err(error) => refused(&parts.headers, error),
    }
}

async fn confirmed(state: &HttpState, headers: &HeaderMap, sent: Body) -> Result<String, ApiError> {
    let bytes = body::read(headers, sent, FORM_BYTES.min(state.limits().request_body)).await?;
    let decision = decision(&bytes)?;
    let (teams, allowed) = (state.teams(), decision.allowed);
    let (name, team) = teams.decide_sign_in(&decision, cookie(teams, headers).as_deref())?;
    Ok(if allowed { page::allowed(&name, &team) } else { page::denied() })
}

/// Reads the form. Each field comes once, and no other does.
fn decision(bytes: &[u8]) -> Result<Decision, ApiError> {
    let (mut ticket, mut team, mut word) = (None, None, None);
    for (name, value) in form_urlencoded::parse(bytes) {
        let field = match &*name {
            "ticket" => &mut ticket,
            "team" => &mut team,
            "decision" => &mut word,
            _ => return Err(ApiError::invalid_request("the form has a field that this call does not take")),
        };
        if field.replace(value.into_owned()).is_some() {
            return Err(ApiError::invalid_request("the form has a field twice"));
        }
    }
    let allowed = match word.as_deref() {
        Some("allow") => true,
        Some("deny") => false,
        _ => return Err(ApiError::invalid_request("`decision` in the form must be allow or deny")),
    };
    let ticket = ticket.ok_or_else(|| ApiError::invalid_request("`ticket` in the form is missing"))?;
    Ok(Decision { ticket, team, allowed })
}

/// The cookie that ties a browser's return to its departure.
pub(super) fn cookie(teams: &Teams, headers: &HeaderMap) -> Option<String> {
    let name = cookie_name(teams);
    let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(known, _)| *known == name).map(|(_, value)| value.to_owned())
}

/// With this prefix no other host can set the cookie (RFC 6265bis, section 4.1.3.2). It needs https.
fn cookie_name(teams: &Teams) -> &'static str {
    if teams.is_reached_encrypted() { "__Host-minitower-sign-in" } else { "minitower-sign-in" }
}

fn keep_cookie(teams: &Teams, value: &str, response: &mut Response) {
    let (name, secure) = (cookie_name(teams), if teams.is_reached_encrypted() { "; Secure" } else { "" });
    let life = LIFE.as_secs();
    let cookie = format!("{name}={value}; Path=/; Max-Age={life}; HttpOnly; SameSite=Lax{secure}");
    if let Ok(cookie) = HeaderValue::try_from(cookie) {
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
}

fn redirect(place: &str) -> Response {
    match HeaderValue::try_from(place) {
        Ok(place) => guarded((StatusCode::SEE_OTHER, [(LOCATION, place)]).into_response()),
        Err(error) => ApiError::internal(&error).into_response(),
    }
}

fn private(text: String) -> Response {
    guarded((page::headers(), text).into_response())
}

fn guarded(mut response: Response) -> Response {
    let kept: [(HeaderName, &str); 2] = [(CACHE_CONTROL, "no-store"), (REFERRER_POLICY, "no-referrer")];
    for (name, value) in kept {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// An error, as a page for a browser.
fn refused(headers: &HeaderMap, error: ApiError) -> Response {
    let asks_for_page = headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|value| value.contains("text/html"));
    let text = asks_for_page.then(|| page::refused(error.message()));
    let mut response = guarded(error.into_response());
    if let Some(text) = text {
        response.headers_mut().extend(page::headers());
        *response.body_mut() = Body::from(text);
    }
    response
}
