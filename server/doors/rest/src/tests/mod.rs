//! The service without a socket: the plumbing under fake routes, and what the tests of endpoints share.

pub(crate) mod bed;
mod plumbing;
mod strict;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::header::CONTENT_TYPE;
use http::{Method, Request, Response};
use http_body_util::BodyExt as _;
use minitower_kernel::clock::Clock;
use minitower_kernel::due::DueQueue;
use minitower_kernel::events::Subscribers;
use minitower_kernel::metrics::DatabaseMetrics;
use minitower_kernel::outbound::{AllowedNets, Outbound};
use minitower_kernel::trust::Trust;
use minitower_kernel::{Hooks, Store};
use minitower_notifications::Notifications;
use minitower_runs::Engine;
use minitower_teams::Teams;
use minitower_teams::secrets::Secret;
use prometheus::Registry;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::Subjects;

/// The bootstrap token.
pub(crate) const BOOTSTRAP_TOKEN: &str = "bootstrap-token";
/// The platform's registration token.
pub(crate) const REGISTRATION_TOKEN: &str = "registration-token";
/// The operator token.
pub(crate) const OPERATOR_TOKEN: &str = "operator-token";

/// Subjects whose database and objects lie in `folder`.
pub(crate) async fn subjects(folder: &Path, bootstrap_token: Option<&str>) -> Subjects {
    let (registry, mut subscribers) = (Registry::new(), Subscribers::default());
    let clock = Clock::start();
    let due = DueQueue::new(clock.clone());
    let of_teams = minitower_teams::Memory::new(&mut subscribers);
    let of_runs = minitower_runs::Memory::new(&registry, of_teams.clone(), &due, &mut subscribers).unwrap();
    let of_notifications =
        minitower_notifications::Memory::new(&registry, &due, &mut subscribers, crate::shown_run).unwrap();
    let hooks = Hooks { batch: Box::new(|_| {}), fatal: Box::new(|reason| panic!("{reason}")) };
    let store = Arc::new(Store::open(&folder.join("minitower.db"), subscribers, hooks).unwrap());
    let settings = minitower_teams::Settings {
        bootstrap_token: bootstrap_token.and_then(Secret::new),
        registration_token: Secret::new(REGISTRATION_TOKEN),
        operator_token: Secret::new(OPERATOR_TOKEN),
        signup_enabled: true,
        audit_keep: None,
        audit_keep_most: None,
        oidc: None,
        storage_bytes: None,
        secrets_key_file: folder.join("secrets.key"),
    };
    let teams = Teams::open(Arc::clone(&store), clock.clone(), settings, of_teams).await.unwrap();
    let settings = minitower_runs::Settings {
        objects_dir: folder.join("objects"),
        objects_url: None,
        retention: minitower_runs::Retention::default(),
        lease_ttl: Duration::from_mins(1),
        expiry_check_interval: Duration::from_secs(10),
        runner_prune_after: None,
        max_artifact_bytes: 64 * 1024,
    };
    let stopping = CancellationToken::new();
    let engine = Engine::open(Arc::clone(&store), clock.clone(), settings, teams.clone(), of_runs, stopping)
        .await
        .unwrap();
    let database = DatabaseMetrics::new(&registry).unwrap();
    let notifications = Notifications::open(
        Arc::clone(&store),
        clock,
        minitower_notifications::Settings::default(),
        teams.clone(),
        engine.apps(),
        Outbound::new(AllowedNets::default(), Trust::default()),
        of_notifications,
    );
    let notifications = notifications.await.unwrap();
    Subjects::new(store, teams, &engine, notifications, registry, database)
}

pub(crate) async fn send(service: &Router, request: Request<Body>) -> Response<Body> {
    service.clone().oneshot(request).await.unwrap()
}

pub(crate) fn request(method: Method, path: &str, body: impl Into<Body>) -> Request<Body> {
    Request::builder().method(method).uri(path).body(body.into()).unwrap()
}

pub(crate) async fn json(response: Response<Body>) -> Value {
    assert_eq!(response.headers()[CONTENT_TYPE], "application/json");
    serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap()
}

/// Status and code of an error answer, after a look at its shape; and its message.
pub(crate) async fn error(response: Response<Body>) -> (u16, String, String) {
    let status = response.status().as_u16();
    let body = json(response).await;
    let detail = &body["error"];
    assert_eq!(body.as_object().unwrap().len(), 1);
    assert_eq!(detail.as_object().unwrap().len(), 2);
    (status, detail["code"].as_str().unwrap().to_owned(), detail["message"].as_str().unwrap().to_owned())
}
