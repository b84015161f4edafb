//! The one table of all routes. The router is built from it, so that what a route asks of its caller stands beside
//! its path, and a test can walk through every route with every credential.

use std::collections::BTreeMap;

use axum::Router;
use axum::handler::Handler;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodFilter, MethodRouter, on};
use http::Method;

use crate::HttpState;
use crate::auth::{Access, Post, guard};
use crate::middleware::{cors, method_not_allowed, not_found, observe, panic};
use crate::v1;

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
    use Access::Public;
    vec![get("/health", Public, v1::health::health)]
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
    router = router.method_not_allowed_fallback(method_not_allowed).fallback(not_found).layer(panic::layer());
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
