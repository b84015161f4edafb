//! What a route asks of its caller, and the guard that asks it.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::{Extensions, HeaderMap};
use minitower_runs::domain::runner::RunnerPrincipal;
use minitower_teams::AdminPrincipal;
use minitower_teams::team::TeamPrincipal;
use minitower_vocabulary::wire::headers::LEASE_TOKEN;
use tracing::Span;

use super::bearer;
use super::caller::LeaseHolder;
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
    /// The operator token, or a team token of role admin; a member gets 403.
    Admin,
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
}

/// Marks the answer to a call of the runner protocol: thousands a second, each told by what it did to its run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RunnerProtocol;

/// Lets a request through to its handler, or answers for it. Runs before the handler's extractors: a caller
/// without a credential learns nothing about paths, headers or bodies.
pub(crate) async fn guard(State(post): State<Post>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    match authenticate(&post, &parts.headers, &mut parts.extensions).await {
        Ok(()) => {
            let mut response = next.run(Request::from_parts(parts, body)).await;
            if matches!(post.access, Access::Runner | Access::Lease) {
                response.extensions_mut().insert(RunnerProtocol);
            }
            response
        }
        Err(refusal) => refusal.into_response(),
    }
}

/// Finds the caller out and leaves it in `found`, for the handler's [`Caller`](super::Caller).
async fn authenticate(post: &Post, headers: &HeaderMap, found: &mut Extensions) -> Result<(), ApiError> {
    let (teams, runs, leases) = (post.state.teams(), post.state.runs(), post.state.leases());
    let token = bearer::token(headers);
    match post.access {
        Access::Public => {}
        Access::Bootstrap => teams.authenticate_bootstrap(token)?,
        Access::Registration => {
            found.insert(teams.authenticate_registration(token).await?);
        }
        Access::Team => {
            runs.refuse_attempt(token).await?;
            found.insert(noted_team(teams.authenticate_team(token).await?));
        }
        Access::Runs => {
            found.insert(noted_team(runs.authenticate(token).await?));
        }
        Access::TeamAdmin => {
            runs.refuse_attempt(token).await?;
            found.insert(noted_team(teams.authenticate_team_admin(token).await?));
        }
        Access::Admin => {
            runs.refuse_attempt(token).await?;
            found.insert(match teams.authenticate_admin(token).await? {
                AdminPrincipal::Operator => AdminPrincipal::Operator,
                AdminPrincipal::Team(team) => AdminPrincipal::Team(noted_team(team)),
            });
        }
        Access::Runner => {
            found.insert(noted_runner(leases.authenticate(token).await?));
        }
        Access::Lease => {
            let runner = noted_runner(leases.authenticate(token).await?);
            let lease_token = headers
                .get(LEASE_TOKEN)
                .and_then(|value| value.to_str().ok())
                .filter(|value| !value.is_empty())
                .ok_or_else(|| ApiError::invalid_request("this call needs the header X-Lease-Token"))?
                .to_owned();
            found.insert(LeaseHolder { runner, lease_token });
        }
    }
    Ok(())
}

/// Notes the team for the log lines of this request.
fn noted_team(team: TeamPrincipal) -> TeamPrincipal {
    Span::current().record("team_id", team.team_id.0);
    team
}

/// Notes the runner for the log lines of this request.
fn noted_runner(runner: RunnerPrincipal) -> RunnerPrincipal {
    Span::current().record("runner_id", runner.runner_id.0);
    runner
}
