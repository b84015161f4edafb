//! Making a team, and logging in to one.

use axum::extract::State;
use http::StatusCode;
use minitower_teams::NewTeam;
use minitower_vocabulary::wire::auth::{
    AuthOptions, BootstrapTeam, LoggedIn, Login, Role, Signup, TeamCreated,
};

use crate::extract::{Json, Peer, SmallJson};
use crate::openapi::errors;
use crate::{ApiError, HttpState};

/// Says whether sign-up, bootstrap and sign-in through an identity provider are open.
#[utoipa::path(get, path = "/api/v1/auth/options", operation_id = "auth_options", tag = "Teams",
    responses((status = 200, description = "Which ways in are open.", body = AuthOptions)))]
pub(crate) async fn options(State(state): State<HttpState>) -> Json<AuthOptions> {
    let (signup_enabled, bootstrap_enabled) = state.teams().auth_options();
    let oidc_enabled = state.teams().oidc_enabled();
    Json(AuthOptions { signup_enabled, bootstrap_enabled, oidc_enabled })
}

errors! { BootstrapErrors {
    InvalidSlug: "`slug` is not a valid slug, or is reserved.",
    TeamExists: "The platform was bootstrapped with another team.",
} }

/// Creates the first team, or new tokens for it.
///
/// With the slug of the existing team this returns a new team token and a new registration token. Earlier team tokens
/// stay valid; the previous registration token does not. A new password replaces the previous one, which otherwise stays.
#[utoipa::path(post, path = "/api/v1/bootstrap/team", operation_id = "bootstrap_team", tag = "Teams",
    request_body = BootstrapTeam,
    responses(
        (status = 200, description = "New tokens for the existing team.", body = TeamCreated),
        (status = 201, description = "The team and its tokens. They are shown only once.", body = TeamCreated),
        BootstrapErrors,
    ))]
pub(crate) async fn bootstrap(
    State(state): State<HttpState>,
    SmallJson(body): SmallJson<BootstrapTeam>,
) -> Result<(StatusCode, Json<TeamCreated>), ApiError> {
    let BootstrapTeam { slug, name, password } = body;
    let made = state.teams().bootstrap(&slug, &name, password).await?;
    let status = if made.created { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(team_created(made))))
}

errors! { SignupErrors {
    InvalidSlug: "`slug` is not a valid slug, or is reserved.",
    Forbidden: "Sign-up is off.",
    SlugTaken: "Another team has this slug.",
    RateLimited: "Too many sign-ups from this address. `Retry-After` says when to try again.",
} }

/// Creates a team.
#[utoipa::path(post, path = "/api/v1/teams/signup", operation_id = "signup", tag = "Teams",
    request_body = Signup,
    responses(
        (status = 201, description = "The team and its tokens. They are shown only once.", body = TeamCreated),
        SignupErrors,
    ))]
pub(crate) async fn signup(
    State(state): State<HttpState>,
    Peer(address): Peer,
    SmallJson(body): SmallJson<Signup>,
) -> Result<(StatusCode, Json<TeamCreated>), ApiError> {
    let Signup { slug, name, password } = body;
    let made = state.teams().signup(&slug, &name, password, address).await?;
    Ok((StatusCode::CREATED, Json(team_created(made))))
}

errors! { LoginErrors {
    Unauthorized: "The slug or the password is wrong.",
    RateLimited: "Too many logins failed or are waiting. `Retry-After` says when to try again.",
} }

/// Exchanges a team's password for a new team token.
#[utoipa::path(post, path = "/api/v1/teams/login", operation_id = "login", tag = "Teams",
    request_body = Login,
    responses(
        (status = 201, description = "The token. It is shown only once.", body = LoggedIn),
        LoginErrors,
    ))]
pub(crate) async fn login(
    State(state): State<HttpState>,
    Peer(address): Peer,
    SmallJson(body): SmallJson<Login>,
) -> Result<(StatusCode, Json<LoggedIn>), ApiError> {
    let Login { slug, password } = body;
    let (team, token) = state.teams().login(&slug, password, address).await?;
    let logged_in =
        LoggedIn { team_id: team.id.0, token: token.token, token_id: token.id.0, role: token.role };
    Ok((StatusCode::CREATED, Json(logged_in)))
}

fn team_created(made: NewTeam) -> TeamCreated {
    let NewTeam { team, token, registration_token, created: _ } = made;
    TeamCreated {
        team_id: team.id.0,
        slug: team.slug,
        token,
        role: Role::Admin,
        registration_token: Some(registration_token),
    }
}
