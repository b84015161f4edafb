//! Who calls: the credential that each route asks for, checked before anything else of the request is looked at.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{Extensions, HeaderMap};
use http_body::Body as _;
use minitower_kernel::acting::{self, Actor};
use minitower_runs::domain::runner::RunnerPrincipal;
use minitower_teams::audit::By;
use minitower_teams::team::TeamPrincipal;
use minitower_teams::{AdminPrincipal, Teams, secrets};
use minitower_vocabulary::ids::TokenId;
use minitower_vocabulary::wire::error::ErrorCode;
use minitower_vocabulary::wire::headers::LEASE_TOKEN;
use tracing::Span;

use crate::arriving::{self, BrokenOff};
use crate::extract::PeerAddr;
use crate::serve::Intake;
use crate::strict::{self, Takes};
use crate::{ApiError, HttpState};

/// The credential a route opens to. A missing, unknown or wrong-kind one is 401.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    /// None.
    Public,
    /// The bootstrap token; without a configured one the route answers 404.
    Bootstrap,
    /// A registration token, the platform's or a team's.
    Registration,
    /// A team token.
    Team,
    /// A team token, or the API token of an attempt; to that one, what asks for a team token only is 403.
    Runs,
    /// A team token of role admin; a member gets 403.
    TeamAdmin,
    /// A team token of role admin, or the one that the path names itself; a member gets 403 for any other.
    OwnToken,
    /// The operator token, or a team token of role admin; a member gets 403.
    Admin,
    /// The operator token.
    Operator,
    /// A runner token.
    Runner,
    /// A runner token, and a lease token beside it; without one 400.
    Lease,
}

/// What a [`guard`] needs to know.
#[derive(Clone)]
pub(crate) struct Post {
    pub(crate) state: HttpState,
    pub(crate) access: Access,
    pub(crate) takes: Arc<Takes>,
}

/// Marks the answer to a call of the runner protocol: thousands a second, each told by what it did to its run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RunnerProtocol;

/// Lets a request through to its handler, or answers for it. Runs before the handler's extractors: a caller
/// without a credential learns nothing about paths, headers or bodies.
pub(crate) async fn guard(State(post): State<Post>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let known = let_in(&post, &mut parts).await;
    if let Err(refusal) = known {
        return refusal.into_response();
    }
    let (body, broken_off) = outlasted(&post, &parts.headers, body);
    let answer = match strict::examine(&post.takes, Request::from_parts(parts, body), &post.state).await {
        Ok((request, unread)) => {
            let mut response = match acts(&post, &request) {
                Some(actor) => acting::scope(actor, next.run(request)).await,
                None => next.run(request).await,
            };
            unread.tell(response.headers_mut());
            if matches!(post.access, Access::Runner | Access::Lease) {
                response.extensions_mut().insert(RunnerProtocol);
            }
            response
        }
        Err(refusal) => refusal.into_response(),
    };
    // What was made of a body that was broken off is no answer.
    broken_off.why().map_or(answer, IntoResponse::into_response)
}

/// Who acts, for the audit log, where the request may change something. What runners do is recorded with their runs.
fn acts(post: &Post, request: &Request) -> Option<Arc<Actor>> {
    if request.method().is_safe() {
        return None;
    }
    let known = request.extensions();
    let by = match post.access {
        Access::Public => By::SigningIn,
        Access::Bootstrap => By::Bootstrap,
        Access::Team | Access::TeamAdmin | Access::OwnToken | Access::Runs => {
            By::Team(known.get::<TeamPrincipal>()?)
        }
        Access::Admin => By::Admin(known.get::<AdminPrincipal>()?),
        Access::Operator => By::Operator,
        Access::Registration | Access::Runner | Access::Lease => return None,
    };
    let address = known.get::<PeerAddr>().map(|PeerAddr(address)| address.ip().to_canonical());
    Some(post.state.teams().actor(by, address))
}

/// Finds the caller out and leaves it in `found`, for the handler's [`Caller`]. Counts the call where calls are counted.
async fn let_in(post: &Post, parts: &mut Parts) -> Result<(), ApiError> {
    let Parts { uri, headers, extensions: found, .. } = parts;
    authenticate(post, bearer(headers), found).await?;
    if post.access == Access::OwnToken
        && let Some(team) = found.get::<TeamPrincipal>()
    {
        // Before the path is looked at for anything else: to whoever may not, no id is right or wrong.
        let named = uri.path().rsplit('/').next().and_then(|id| id.parse().ok());
        if !team.may_revoke(named.map(TokenId)) {
            return Err(minitower_teams::Error::NotOwnToken.into());
        }
    }
    let team = match found.get::<AdminPrincipal>() {
        Some(AdminPrincipal::Team(team)) => Some(team),
        Some(AdminPrincipal::Operator) => None,
        None => found.get::<TeamPrincipal>(),
    };
    if let Some(team) = team {
        admit(post.state.teams(), team)?;
    }
    if let Some(runner) = found.get::<RunnerPrincipal>() {
        Span::current().record("runner_id", runner.runner_id.0);
    }
    if post.access == Access::Lease
        && let Some(runner) = found.remove::<RunnerPrincipal>()
    {
        let lease_token = headers
            .get(LEASE_TOKEN)
            .and_then(|value| value.to_str().ok())
            .filter(|value| !value.is_empty())
            .ok_or_else(|| ApiError::invalid_request("this call needs the header X-Lease-Token"))?
            .to_owned();
        found.insert(LeaseHolder { runner, lease_token });
    }
    note_token(headers, found)
}

/// The body of a request with these headers, broken off when its credential is revoked or expires before all of it has come.
fn outlasted(post: &Post, headers: &HeaderMap, body: Body) -> (Body, BrokenOff) {
    if post.access == Access::Public || body.is_end_stream() {
        return (body, BrokenOff::default());
    }
    let (post, token) = (post.clone(), bearer(headers).map(str::to_owned));
    arriving::watched(body, move || {
        let (post, token) = (post.clone(), token.clone());
        async move { authenticate(&post, token.as_deref(), &mut Extensions::new()).await }
    })
}

/// Whom the token speaks for, into `found`. Changes nothing, however often it is asked.
async fn authenticate(post: &Post, token: Option<&str>, found: &mut Extensions) -> Result<(), ApiError> {
    let (teams, runs, leases) = (post.state.teams(), post.state.runs(), post.state.leases());
    if matches!(post.access, Access::Team | Access::TeamAdmin | Access::OwnToken | Access::Admin) {
        runs.refuse_attempt(token).await?;
    }
    match post.access {
        Access::Public => {}
        Access::Bootstrap => teams.authenticate_bootstrap(token)?,
        Access::Registration => {
            found.insert(teams.authenticate_registration(token).await?);
        }
        Access::Team | Access::OwnToken => {
            found.insert(teams.authenticate_team(token).await?);
        }
        Access::Runs => {
            found.insert(runs.authenticate(token).await?);
        }
        Access::TeamAdmin => {
            found.insert(teams.authenticate_team_admin(token).await?);
        }
        Access::Admin => {
            found.insert(teams.authenticate_admin(token).await?);
        }
        Access::Operator => teams.authenticate_operator(token)?,
        Access::Runner | Access::Lease => {
            found.insert(leases.authenticate(token).await?);
        }
    }
    Ok(())
}

/// Tells the connection whose it is, now that the token is known to be good.
fn note_token(headers: &HeaderMap, found: &Extensions) -> Result<(), ApiError> {
    let (Some(intake), Some(token)) = (found.get::<Intake>(), bearer(headers)) else { return Ok(()) };
    let hash = secrets::hash(token);
    if intake.has_shown(u64::from_ne_bytes(hash.first_chunk().copied().unwrap_or_default())) {
        return Ok(());
    }
    let message = "this token has as many requests under way as it may have: try again";
    Err(ApiError::new(ErrorCode::RateLimited, message).with_retry_after(Duration::from_secs(1)))
}

/// Notes the team for the log lines of this request, and counts the request for the rate that the team may have.
fn admit(teams: &Teams, team: &TeamPrincipal) -> Result<(), ApiError> {
    Span::current().record("team_id", team.team_id.0);
    Ok(teams.admit(team.team_id)?)
}

/// The token of the one `Authorization` header, its scheme `Bearer` in any case.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, token) = value.to_str().ok()?.trim().split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// What the guard of the route found out about its caller.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caller<T>(pub(crate) T);

/// A runner that shows a lease token. Whether the token holds is decided together with the call.
#[derive(Debug, Clone)]
pub(crate) struct LeaseHolder {
    pub(crate) runner: RunnerPrincipal,
    pub(crate) lease_token: String,
}

/// The guard put no such caller into the request: the route's row in the table and its handler disagree.
#[derive(Debug, thiserror::Error)]
#[error("the route's access yields no {0}")]
struct WrongAccess(&'static str);

impl<T, S> FromRequestParts<S> for Caller<T>
where
    T: Clone + Send + Sync + 'static,
    S: Sync,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        of(&parts.extensions)
    }
}

fn of<T: Clone + Send + Sync + 'static>(extensions: &Extensions) -> Result<Caller<T>, ApiError> {
    extensions
        .get::<T>()
        .cloned()
        .map(Caller)
        .ok_or_else(|| ApiError::internal(&WrongAccess(std::any::type_name::<T>())))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(&["Bearer abc"], Some("abc"))]
    #[case(&["bearer abc"], Some("abc"))]
    #[case(&["BEARER   abc "], Some("abc"))]
    #[case(&["Basic abc"], None)]
    #[case(&["Bearer"], None)]
    #[case(&["Bearer "], None)]
    #[case(&["abc"], None)]
    #[case(&[], None)]
    #[case(&["Bearer abc", "Bearer def"], None)]
    fn the_token_follows_the_scheme(#[case] values: &[&str], #[case] expected: Option<&str>) {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        }
        assert_eq!(bearer(&headers), expected);
    }
}
