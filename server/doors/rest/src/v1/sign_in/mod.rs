//! Signing in through the identity provider. `browser` has what a person's browser visits, `page` what it shows; here is what programs call.

pub(crate) mod browser;
mod page;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use minitower_teams::sign_in::{Exchanged, INTERVAL, LIFE};
use minitower_vocabulary::wire::sign_in::{
    DeviceStarted, ExchangeCode, SignInPending, SignedIn, StartDevice,
};

use crate::extract::{Json, OptionalJson, SmallJson};
use crate::openapi::errors;
use crate::render::moment;
use crate::{ApiError, HttpState};

errors! { DeviceErrors {
    InvalidSlug: "`team` is not a valid slug.",
    NotFound: "The server has no identity provider.",
} }

/// Begins the sign-in of a person at a command line.
///
/// Show the person `verification_uri` and `user_code`, and call `POST /api/v1/auth/oidc/token` with `device_code` every
/// `interval` seconds. The person signs in with a browser anywhere and confirms that it shows the same `user_code`.
#[utoipa::path(post, path = "/api/v1/auth/oidc/device", operation_id = "start_device", tag = "Sign-in",
    request_body = Option<StartDevice>,
    responses((status = 200, description = "Where the person goes, and what to poll with.", body = DeviceStarted), DeviceErrors))]
pub(crate) async fn device(
    State(state): State<HttpState>,
    OptionalJson(body): OptionalJson<StartDevice>,
) -> Result<Json<DeviceStarted>, ApiError> {
    let begun = state.teams().begin_device(body.team)?;
    Ok(Json(DeviceStarted {
        device_code: begun.device_code,
        user_code: begun.user_code,
        verification_uri: begun.verification_uri,
        expires_in: LIFE.as_secs(),
        interval: INTERVAL.as_secs(),
    }))
}

errors! { TokenErrors {
    InvalidRequest: "`code` is none of this server's, or the person is in several teams and `team` names none.",
    InvalidSlug: "`team` is not a valid slug.",
    Forbidden: "The person has refused, or is not in this team.",
    NotFound: "The server has no identity provider.",
    Gone: "The code was used already or is too old.",
    RateLimited: "The code is asked for too often. `Retry-After` says when to try again.",
} }

/// Exchanges a code for the token of a person who has signed in.
///
/// A device code is answered with 202 until the person has decided. The code of a page is exchanged by the browser that has brought it, with
/// its cookie. Each code yields one token. The token's role follows from the person's groups; it expires, and so does whatever is made with it.
#[utoipa::path(post, path = "/api/v1/auth/oidc/token", operation_id = "exchange_code", tag = "Sign-in",
    request_body = ExchangeCode,
    responses(
        (status = 201, description = "The token. It is shown only once.", body = SignedIn),
        (status = 202, description = "The person has not decided yet: ask again.", body = SignInPending),
        TokenErrors,
    ))]
pub(crate) async fn token(
    State(state): State<HttpState>,
    headers: HeaderMap,
    SmallJson(body): SmallJson<ExchangeCode>,
) -> Result<Response, ApiError> {
    let ExchangeCode { code, team, former_token } = body;
    let browser = browser::cookie(state.teams(), &headers);
    let made = match state.teams().exchange_code(&code, team, former_token, browser.as_deref()).await? {
        Exchanged::Pending => {
            let pending = SignInPending { interval: INTERVAL.as_secs() };
            return Ok((StatusCode::ACCEPTED, Json(pending)).into_response());
        }
        Exchanged::Token(made) => made,
    };
    let signed_in = SignedIn {
        team_id: made.team.0,
        team_slug: made.team_slug,
        token: made.token.token,
        token_id: made.token.id.0,
        role: made.token.role,
        person: made.person,
        expires_at: moment(made.expires_at),
    };
    Ok((StatusCode::CREATED, Json(signed_in)).into_response())
}
