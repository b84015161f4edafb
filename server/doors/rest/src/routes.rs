//! The one table of all routes. The router is built from it, so that what a route asks of its caller stands beside
//! its path, and a test can walk through every route with every credential.

use std::collections::BTreeMap;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::handler::Handler;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodFilter, MethodRouter, on};
use http::Method;

use crate::HttpState;
use crate::auth::{Access, Post, guard};
use crate::health;
use crate::middleware::{cors, method_not_allowed, not_found, observe, panic};
use crate::v1::{
    admin, apps, artifacts, auth, environments, lease, registration_tokens, runners, runs, teams, tokens,
    versions,
};

/// One row of the table.
#[derive(Clone)]
pub struct Route {
    /// The method.
    pub method: Method,
    /// The path template; also the `path` label of metrics and log lines.
    pub path: &'static str,
    /// What it asks of its caller.
    pub access: Access,
    handler: MethodRouter<HttpState>,
}

/// All routes.
pub fn table() -> Vec<Route> {
    [watching(), teams(), apps_and_runs(), runners()].concat()
}

fn watching() -> Vec<Route> {
    use Access::Public;
    vec![
        get("/health", Public, health::live::live),
        get("/ready", Public, health::ready::ready),
        get("/metrics", Public, health::metrics::metrics),
        get("/version", Public, health::version::version),
    ]
}

#[rustfmt::skip]
fn teams() -> Vec<Route> {
    use Access::{Bootstrap, Public, Team, TeamAdmin};
    vec![
        get("/api/v1/auth/options", Public, auth::options::options),
        post("/api/v1/bootstrap/team", Bootstrap, teams::bootstrap::bootstrap),
        post("/api/v1/teams/signup", Public, teams::signup::signup),
        post("/api/v1/teams/login", Public, teams::login::login),
        get("/api/v1/me", Team, tokens::me::me),
        post("/api/v1/tokens", Team, tokens::create::create),
        get("/api/v1/registration-tokens", TeamAdmin, registration_tokens::list::list),
        post("/api/v1/registration-tokens", TeamAdmin, registration_tokens::create::create),
        delete("/api/v1/registration-tokens/{id}", TeamAdmin, registration_tokens::delete::delete),
        get("/api/v1/environments", Team, environments::list::list),
        post("/api/v1/environments", Team, environments::create::create),
    ]
}

#[rustfmt::skip]
fn apps_and_runs() -> Vec<Route> {
    use Access::{Runs, Team, TeamAdmin};
    vec![
        get("/api/v1/apps", Team, apps::list::list),
        post("/api/v1/apps", Team, apps::create::create),
        get("/api/v1/apps/{app}", Team, apps::show::show),
        get("/api/v1/apps/{app}/versions", Team, versions::list::list),
        post("/api/v1/apps/{app}/versions", Team, versions::create::create),
        get("/api/v1/apps/{app}/versions/{no}", Team, versions::show::show),
        get("/api/v1/apps/{app}/runs", Runs, runs::list_of_app::list_of_app),
        post("/api/v1/apps/{app}/runs", Runs, runs::create::create),
        get("/api/v1/runs", Runs, runs::list::list),
        get("/api/v1/runs/summary", Runs, runs::summary::summary),
        get("/api/v1/runs/{run}", Runs, runs::show::show),
        get("/api/v1/runs/{run}/attempts", Runs, runs::attempts::attempts),
        get("/api/v1/runs/{run}/logs", Runs, runs::logs::logs),
        get("/api/v1/runs/{run}/artifacts", Runs, artifacts::list::list),
        get("/api/v1/runs/{run}/artifacts/{*path}", Runs, artifacts::show::show),
        delete("/api/v1/runs/{run}/artifacts/{*path}", TeamAdmin, artifacts::delete::delete),
        post("/api/v1/runs/{run}/cancel", Team, runs::cancel::cancel),
    ]
}

#[rustfmt::skip]
fn runners() -> Vec<Route> {
    use Access::{Admin, Lease, Registration, Runner};
    vec![
        post("/api/v1/runners/register", Registration, runners::register::register),
        post("/api/v1/runners/sign-off", Runner, runners::sign_off::sign_off),
        post("/api/v1/runs/lease", Runner, lease::poll::poll),
        post("/api/v1/runs/{run}/start", Lease, lease::start::start),
        post("/api/v1/runs/{run}/heartbeat", Lease, lease::heartbeat::heartbeat),
        post("/api/v1/runs/{run}/logs", Lease, lease::logs::logs),
        post("/api/v1/runs/{run}/result", Lease, lease::result::result),
        post("/api/v1/runs/{run}/release", Lease, lease::release::release),
        get("/api/v1/runs/{run}/artifact", Lease, lease::artifact::artifact),
        put("/api/v1/runs/{run}/artifacts/{*path}", Lease, lease::put_artifact::put_artifact),
        get("/api/v1/admin/demand", Admin, admin::demand::demand),
        get("/api/v1/admin/runners", Admin, admin::list::list),
        post("/api/v1/admin/runners/{name}/drain", Admin, admin::drain::drain),
        delete("/api/v1/admin/runners/{name}/drain", Admin, admin::undrain::undrain),
        post("/api/v1/admin/runners/{name}/ended", Admin, admin::ended::ended),
        delete("/api/v1/admin/runners/{name}", Admin, admin::forget::forget),
    ]
}

/// The service: all routes, each behind its guard, inside the middleware.
pub fn router(state: HttpState) -> Router {
    assemble(table(), state)
}

pub(crate) fn assemble(table: Vec<Route>, state: HttpState) -> Router {
    let mut paths: BTreeMap<&'static str, MethodRouter<HttpState>> = BTreeMap::new();
    for Route { path, access, handler, .. } in table {
        let guarded = match access {
            Access::Public => handler,
            access => handler.route_layer(from_fn_with_state(Post { state: state.clone(), access }, guard)),
        };
        let merged = paths.remove(path).unwrap_or_default().merge(guarded);
        paths.insert(path, merged);
    }
    let mut router = Router::new();
    for (path, methods) in paths {
        router = router.route(path, methods);
    }
    // The last layer is the outermost: a panic and a preflight answer are observed like any other answer.
    router = router
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(not_found)
        .layer(DefaultBodyLimit::disable())
        .layer(panic::layer());
    if let Some(cors) = cors::layer(&state.config().cors_origins) {
        router = router.layer(cors);
    }
    router.layer(from_fn_with_state(state.clone(), observe::observe)).with_state(state)
}

pub(crate) fn get<H: Handler<T, HttpState>, T: 'static>(
    path: &'static str,
    access: Access,
    handler: H,
) -> Route {
    row(Method::GET, MethodFilter::GET, path, access, handler)
}

pub(crate) fn post<H: Handler<T, HttpState>, T: 'static>(
    path: &'static str,
    access: Access,
    handler: H,
) -> Route {
    row(Method::POST, MethodFilter::POST, path, access, handler)
}

fn put<H: Handler<T, HttpState>, T: 'static>(path: &'static str, access: Access, handler: H) -> Route {
    row(Method::PUT, MethodFilter::PUT, path, access, handler)
}

fn delete<H: Handler<T, HttpState>, T: 'static>(path: &'static str, access: Access, handler: H) -> Route {
    row(Method::DELETE, MethodFilter::DELETE, path, access, handler)
}

fn row<H: Handler<T, HttpState>, T: 'static>(
    method: Method,
    filter: MethodFilter,
    path: &'static str,
    access: Access,
    handler: H,
) -> Route {
    Route { method, path, access, handler: on(filter, handler) }
}
