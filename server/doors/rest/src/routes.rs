//! The one table of all routes: method, path, the credential it asks for, what becomes of unknown fields, handler.
//!
//! The router and the description are built from it, and tests walk through it with every credential.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::handler::Handler;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodFilter, MethodRouter, on};
use http::Method;

use crate::HttpState;
use crate::auth::{Access, Post, guard};
use crate::middleware::{catch_panics, cors, method_not_allowed, not_found, observe, volumes};
use crate::strict::{self, Fields, Takes};
use crate::v1::{
    admin, apps, artifacts, audit, environments, lease, limits, notifications, pools, retention, runners,
    runs, secrets, sign_in, teams, tokens, versions,
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
    /// What it takes of a request.
    pub(crate) takes: Arc<Takes>,
    handler: MethodRouter<HttpState>,
}

/// Makes the table from its rows, and the list of described handlers from the same rows.
macro_rules! routes {
    ($($method:ident $path:literal $access:ident $fields:ident $($handler:ident)::+;)*) => {
        /// All routes.
        pub fn table() -> Vec<Route> {
            vec![$({
                let takes = strict::of_route(&Method::$method, $path, Fields::$fields);
                row(Method::$method, MethodFilter::$method, $path, (Access::$access, takes), $($handler)::+)
            }),*]
        }

        /// The descriptions of all handlers.
        #[derive(utoipa::OpenApi)]
        #[openapi(paths($($($handler)::+),*))]
        pub(crate) struct Described;
    };
}

routes! {
    GET    "/health"                                  Public       Anything health::live;
    GET    "/ready"                                   Public       Anything health::ready;
    GET    "/metrics"                                 Public       Anything health::metrics;
    GET    "/version"                                 Public       Refused  health::version;
    GET    "/api/openapi.json"                        Public       Refused  openapi::json;
    GET    "/api/docs"                                Public       Refused  openapi::page;

    GET    "/api/v1/auth/options"                     Public       Named    teams::options;
    POST   "/api/v1/auth/oidc/device"                 Public       Refused  sign_in::device;
    GET    "/api/v1/auth/oidc/start"                  Public       Refused  sign_in::browser::start;
    GET    "/api/v1/auth/oidc/callback"               Public       Anything sign_in::browser::callback;
    POST   "/api/v1/auth/oidc/confirm"                Public       Refused  sign_in::browser::confirm;
    POST   "/api/v1/auth/oidc/token"                  Public       Refused  sign_in::token;
    POST   "/api/v1/bootstrap/team"                   Bootstrap    Named    teams::bootstrap;
    POST   "/api/v1/teams/signup"                     Public       Named    teams::signup;
    POST   "/api/v1/teams/login"                      Public       Named    teams::login;
    GET    "/api/v1/me"                               Team         Named    tokens::me;
    GET    "/api/v1/tokens"                           TeamAdmin    Refused  tokens::list;
    POST   "/api/v1/tokens"                           Team         Named    tokens::create;
    DELETE "/api/v1/tokens/{id}"                      OwnToken     Refused  tokens::delete;
    GET    "/api/v1/registration-tokens"              TeamAdmin    Refused  tokens::list_registration;
    POST   "/api/v1/registration-tokens"              TeamAdmin    Refused  tokens::create_registration;
    DELETE "/api/v1/registration-tokens/{id}"         TeamAdmin    Refused  tokens::delete_registration;
    GET    "/api/v1/audit"                            TeamAdmin    Refused  audit::list;
    GET    "/api/v1/limits"                           Team         Refused  limits::show;
    PUT    "/api/v1/limits"                           TeamAdmin    Refused  limits::set;
    GET    "/api/v1/retention"                        Team         Refused  retention::show;
    PUT    "/api/v1/retention"                        TeamAdmin    Refused  retention::set;
    GET    "/api/v1/environments"                     Team         Refused  environments::list;
    POST   "/api/v1/environments"                     Team         Refused  environments::create;
    GET    "/api/v1/environments/{env}/secrets"       TeamAdmin    Refused  secrets::list;
    PUT    "/api/v1/environments/{env}/secrets/{secret}" TeamAdmin Refused  secrets::set;
    DELETE "/api/v1/environments/{env}/secrets/{secret}" TeamAdmin Refused  secrets::delete;

    GET    "/api/v1/apps"                             Team         Named    apps::list;
    POST   "/api/v1/apps"                             Team         Named    apps::create;
    GET    "/api/v1/apps/{app}"                       Team         Named    apps::show;
    PATCH  "/api/v1/apps/{app}"                       Team         Refused  apps::change;
    DELETE "/api/v1/apps/{app}"                       TeamAdmin    Refused  apps::delete;
    GET    "/api/v1/apps/{app}/versions"              Team         Named    versions::list;
    POST   "/api/v1/apps/{app}/versions"              Team         Named    versions::create;
    GET    "/api/v1/apps/{app}/versions/{no}"         Team         Refused  versions::show;
    DELETE "/api/v1/apps/{app}/versions/{no}"         TeamAdmin    Refused  versions::delete;
    GET    "/api/v1/apps/{app}/runs"                  Runs         Named    runs::list::list_of_app;
    POST   "/api/v1/apps/{app}/runs"                  Runs         Named    runs::create::create;
    GET    "/api/v1/runs"                             Runs         Named    runs::list::list;
    GET    "/api/v1/runs/summary"                     Runs         Named    runs::list::summary;
    GET    "/api/v1/runs/events"                      Runs         Refused  runs::events::events;
    GET    "/api/v1/runs/{run}"                       Runs         Named    runs::read::show;
    DELETE "/api/v1/runs/{run}"                       TeamAdmin    Refused  runs::create::delete;
    GET    "/api/v1/runs/{run}/attempts"              Runs         Refused  runs::read::attempts;
    GET    "/api/v1/runs/{run}/explain"               Runs         Refused  runs::explain::explain;
    GET    "/api/v1/runs/{run}/logs"                  Runs         Named    runs::logs::logs;
    GET    "/api/v1/runs/{run}/artifacts"             Runs         Refused  artifacts::list;
    GET    "/api/v1/runs/{run}/artifacts/{*path}"     Runs         Refused  artifacts::show;
    DELETE "/api/v1/runs/{run}/artifacts/{*path}"     TeamAdmin    Refused  artifacts::delete;
    POST   "/api/v1/runs/{run}/cancel"                Team         Named    runs::create::cancel;
    POST   "/api/v1/runs/cancel"                      Team         Refused  runs::many::cancel;
    POST   "/api/v1/runs/retry"                       Team         Refused  runs::many::retry;
    POST   "/api/v1/runs/{run}/retry"                 Runs         Refused  runs::retry::retry;

    GET    "/api/v1/notifications"                    Team         Refused  notifications::list;
    POST   "/api/v1/notifications"                    TeamAdmin    Refused  notifications::create;
    GET    "/api/v1/notifications/{id}"               Team         Refused  notifications::show;
    PATCH  "/api/v1/notifications/{id}"               TeamAdmin    Refused  notifications::update;
    DELETE "/api/v1/notifications/{id}"               TeamAdmin    Refused  notifications::delete;
    POST   "/api/v1/notifications/{id}/test"          TeamAdmin    Refused  notifications::test;
    GET    "/api/v1/notifications/{id}/deliveries"    Team         Refused  notifications::deliveries;
    POST   "/api/v1/notifications/{id}/deliveries/{delivery}/retry" TeamAdmin Refused notifications::retry;

    POST   "/api/v1/runners/register"                 Registration Named    runners::register;
    POST   "/api/v1/runners/sign-off"                 Runner       Refused  runners::sign_off;
    POST   "/api/v1/runs/lease"                       Runner       Named    lease::poll::poll;
    POST   "/api/v1/runs/{run}/start"                 Lease        Named    lease::attempt::start;
    POST   "/api/v1/runs/{run}/heartbeat"             Lease        Named    lease::attempt::heartbeat;
    POST   "/api/v1/runs/{run}/logs"                  Lease        Named    lease::attempt::logs;
    POST   "/api/v1/runs/{run}/result"                Lease        Named    lease::attempt::result;
    POST   "/api/v1/runs/{run}/release"               Lease        Refused  lease::attempt::release;
    GET    "/api/v1/runs/{run}/artifact"              Lease        Named    lease::files::archive;
    PUT    "/api/v1/runs/{run}/artifacts/{*path}"     Lease        Refused  lease::files::put_artifact;

    GET    "/api/v1/admin/demand"                     Admin        Refused  admin::demand;
    GET    "/api/v1/admin/runners"                    Admin        Named    admin::list;
    POST   "/api/v1/admin/runners/{name}/drain"       Admin        Refused  admin::drain;
    DELETE "/api/v1/admin/runners/{name}/drain"       Admin        Refused  admin::undrain;
    POST   "/api/v1/admin/runners/{name}/ended"       Admin        Refused  admin::ended;
    DELETE "/api/v1/admin/runners/{name}"             Admin        Refused  admin::forget;
    GET    "/api/v1/admin/pools"                      Operator     Refused  pools::list;
    PUT    "/api/v1/admin/pools/{namespace}/{pool}"   Operator     Refused  pools::report;
    DELETE "/api/v1/admin/pools/{namespace}/{pool}"   Operator     Refused  pools::forget;
    POST   "/api/v1/admin/pools/{namespace}/{pool}/token" Operator Refused pools::create_token;
    DELETE "/api/v1/admin/pools/{namespace}/{pool}/token" Operator Refused pools::delete_token;
    GET    "/api/v1/admin/audit"                      Operator     Refused  audit::list_all;
    GET    "/api/v1/admin/teams/{slug}/limits"        Operator     Refused  limits::show_of_team;
    PUT    "/api/v1/admin/teams/{slug}/limits"        Operator     Refused  limits::set_of_team;
}

/// Where the metrics are.
const METRICS: &str = "/metrics";

/// The service: all routes, each behind its guard, inside the middleware.
pub fn router(state: HttpState) -> Router {
    let mut table = table();
    if state.config().metrics_elsewhere {
        table.retain(|route| route.path != METRICS);
    }
    assemble(table, state)
}

/// What watches the server, for an address that only those can reach who watch it: the metrics and the probes.
pub fn watching_router(state: HttpState) -> Router {
    let mut table = table();
    table.retain(|route| [METRICS, "/health", "/ready"].contains(&route.path));
    assemble(table, state)
}

pub(crate) fn assemble(table: Vec<Route>, state: HttpState) -> Router {
    let mut paths: BTreeMap<&'static str, MethodRouter<HttpState>> = BTreeMap::new();
    for Route { path, access, takes, handler, .. } in table {
        let post = Post { state: state.clone(), access, takes };
        let guarded = handler.route_layer(from_fn_with_state(post, guard));
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
        .layer(from_fn_with_state(state.clone(), volumes::refuse_in_trouble))
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
    (access, takes): (Access, Arc<Takes>),
    handler: H,
) -> Route {
    Route { method, path, access, takes, handler: on(filter, handler) }
}
