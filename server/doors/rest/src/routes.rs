//! The one table of all routes: method, path, the credential it asks for, handler.
//!
//! The router and the description are built from it, and tests walk through it with every credential.

use std::collections::BTreeMap;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::handler::Handler;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodFilter, MethodRouter, on};
use http::Method;

use crate::HttpState;
use crate::auth::{Access, Post, guard};
use crate::middleware::{catch_panics, cors, method_not_allowed, not_found, observe};
use crate::v1::{
    admin, apps, artifacts, environments, lease, limits, runners, runs, teams, tokens, versions,
};
use crate::{health, openapi};

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

/// Makes the table from its rows, and the list of described handlers from the same rows.
macro_rules! routes {
    ($($method:ident $path:literal $access:ident $($handler:ident)::+;)*) => {
        /// All routes.
        pub fn table() -> Vec<Route> {
            vec![$(row(Method::$method, MethodFilter::$method, $path, Access::$access, $($handler)::+)),*]
        }

        /// The descriptions of all handlers.
        #[derive(utoipa::OpenApi)]
        #[openapi(paths($($($handler)::+),*))]
        pub(crate) struct Described;
    };
}

routes! {
    GET    "/health"                                 Public       health::live;
    GET    "/ready"                                  Public       health::ready;
    GET    "/metrics"                                Public       health::metrics;
    GET    "/version"                                Public       health::version;
    GET    "/api/openapi.json"                       Public       openapi::json;
    GET    "/api/docs"                               Public       openapi::page;

    GET    "/api/v1/auth/options"                    Public       teams::options;
    POST   "/api/v1/bootstrap/team"                  Bootstrap    teams::bootstrap;
    POST   "/api/v1/teams/signup"                    Public       teams::signup;
    POST   "/api/v1/teams/login"                     Public       teams::login;
    GET    "/api/v1/me"                              Team         tokens::me;
    POST   "/api/v1/tokens"                          Team         tokens::create;
    GET    "/api/v1/registration-tokens"             TeamAdmin    tokens::list_registration;
    POST   "/api/v1/registration-tokens"             TeamAdmin    tokens::create_registration;
    DELETE "/api/v1/registration-tokens/{id}"        TeamAdmin    tokens::delete_registration;
    GET    "/api/v1/limits"                          Team         limits::show;
    PUT    "/api/v1/limits"                          TeamAdmin    limits::set;
    GET    "/api/v1/environments"                    Team         environments::list;
    POST   "/api/v1/environments"                    Team         environments::create;

    GET    "/api/v1/apps"                            Team         apps::list;
    POST   "/api/v1/apps"                            Team         apps::create;
    GET    "/api/v1/apps/{app}"                      Team         apps::show;
    GET    "/api/v1/apps/{app}/versions"             Team         versions::list;
    POST   "/api/v1/apps/{app}/versions"             Team         versions::create;
    GET    "/api/v1/apps/{app}/versions/{no}"        Team         versions::show;
    GET    "/api/v1/apps/{app}/runs"                 Runs         runs::list::list_of_app;
    POST   "/api/v1/apps/{app}/runs"                 Runs         runs::create::create;
    GET    "/api/v1/runs"                            Runs         runs::list::list;
    GET    "/api/v1/runs/summary"                    Runs         runs::list::summary;
    GET    "/api/v1/runs/{run}"                      Runs         runs::read::show;
    GET    "/api/v1/runs/{run}/attempts"             Runs         runs::read::attempts;
    GET    "/api/v1/runs/{run}/logs"                 Runs         runs::read::logs;
    GET    "/api/v1/runs/{run}/artifacts"            Runs         artifacts::list;
    GET    "/api/v1/runs/{run}/artifacts/{*path}"    Runs         artifacts::show;
    DELETE "/api/v1/runs/{run}/artifacts/{*path}"    TeamAdmin    artifacts::delete;
    POST   "/api/v1/runs/{run}/cancel"               Team         runs::create::cancel;

    POST   "/api/v1/runners/register"                Registration runners::register;
    POST   "/api/v1/runners/sign-off"                Runner       runners::sign_off;
    POST   "/api/v1/runs/lease"                      Runner       lease::poll::poll;
    POST   "/api/v1/runs/{run}/start"                Lease        lease::attempt::start;
    POST   "/api/v1/runs/{run}/heartbeat"            Lease        lease::attempt::heartbeat;
    POST   "/api/v1/runs/{run}/logs"                 Lease        lease::attempt::logs;
    POST   "/api/v1/runs/{run}/result"               Lease        lease::attempt::result;
    POST   "/api/v1/runs/{run}/release"              Lease        lease::attempt::release;
    GET    "/api/v1/runs/{run}/artifact"             Lease        lease::files::archive;
    PUT    "/api/v1/runs/{run}/artifacts/{*path}"    Lease        lease::files::put_artifact;

    GET    "/api/v1/admin/demand"                    Admin        admin::demand;
    GET    "/api/v1/admin/runners"                   Admin        admin::list;
    POST   "/api/v1/admin/runners/{name}/drain"      Admin        admin::drain;
    DELETE "/api/v1/admin/runners/{name}/drain"      Admin        admin::undrain;
    POST   "/api/v1/admin/runners/{name}/ended"      Admin        admin::ended;
    DELETE "/api/v1/admin/runners/{name}"            Admin        admin::forget;
    GET    "/api/v1/admin/teams/{slug}/limits"       Operator     limits::show_of_team;
    PUT    "/api/v1/admin/teams/{slug}/limits"       Operator     limits::set_of_team;
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
        .layer(catch_panics());
    if let Some(cors) = cors::layer(&state.config().cors_origins) {
        router = router.layer(cors);
    }
    router.layer(from_fn_with_state(state.clone(), observe::observe)).with_state(state)
}

pub(crate) fn row<H: Handler<T, HttpState>, T: 'static>(
    method: Method,
    filter: MethodFilter,
    path: &'static str,
    access: Access,
    handler: H,
) -> Route {
    Route { method, path, access, handler: on(filter, handler) }
}
