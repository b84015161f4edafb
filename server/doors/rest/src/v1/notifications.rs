//! Notifications: who is told of which runs, and what became of telling them.

use axum::extract::State;
use http::StatusCode;
use minitower_kernel::page::Page;
use minitower_notifications::domain::delivery as outbox;
use minitower_notifications::domain::notification as domain;
use minitower_notifications::{Change, ListedDelivery, Made, New, WantedTarget, masked};
use minitower_teams::team::TeamPrincipal;
use minitower_vocabulary::ids::{DeliveryId, NotificationId};
use minitower_vocabulary::wire::notifications::{
    CreateNotification, Deliveries, Delivery, DeliveryAttempt, DeliveryStatus, Notification, Notifications,
    Target, TargetKind, UpdateNotification,
};
use serde::Deserialize;
use serde_json::Value;
use utoipa::IntoParams;

use super::params::Before;
use crate::auth::Caller;
use crate::extract::{Json, Path, Query};
use crate::openapi::errors;
use crate::render::{milliseconds, moment};
use crate::{ApiError, HttpState};

/// `{id}` of a notification.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct NotificationPath {
    /// The notification's id.
    id: i64,
}

/// `{id}` of a notification, and `{delivery}`.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct DeliveryPath {
    /// The notification's id.
    id: i64,
    /// The delivery's id.
    delivery: i64,
}

/// Lists the team's notifications, newest first.
///
/// The end of the list is an empty page.
#[utoipa::path(get, path = "/api/v1/notifications", operation_id = "list_notifications", tag = "Notifications",
    params(
        ("before" = Option<i64>, Query, description = "Only notifications with a smaller id."),
        ("limit" = Option<i64>, Query, minimum = 1, maximum = 1000, description = "At most this many. Default 1000."),
    ),
    responses((status = 200, description = "One page of notifications.", body = Notifications)))]
pub(crate) async fn list(
    State(state): State<HttpState>,
    Caller(caller): Caller<TeamPrincipal>,
    Query(Before { before, limit }): Query<Before<i64>>,
) -> Result<Json<Notifications>, ApiError> {
    let page = Page::new(before.map(NotificationId), limit)?;
    let listed = state.notifications().list(&caller, page).await?;
    Ok(Json(Notifications { notifications: listed.into_iter().map(|one| shown(one, None)).collect() }))
}

errors! { CreateErrors {
    NotFound: "The team has no app with the slug of `app`.",
    Conflict: "The team has a notification of this name, or as many as it may have.",
} }

/// Creates a notification.
///
/// From the answer on, the team is told of what happens to its runs. If the answer has a `secret` in its target, it is shown
/// only this once. A URL that leads to a private address is refused.
#[utoipa::path(post, path = "/api/v1/notifications", operation_id = "create_notification", tag = "Notifications",
    request_body = CreateNotification,
    responses((status = 201, description = "The new notification.", body = Notification), CreateErrors))]
pub(crate) async fn create(
    State(state): State<HttpState>,
    Caller(caller): Caller<TeamPrincipal>,
    Json(body): Json<CreateNotification>,
) -> Result<(StatusCode, Json<Notification>), ApiError> {
    let CreateNotification { name, on, app, environment, label, target, enabled } = body;
    let target = target.map(wanted);
    let new = New { name, on, app, environment, label, target, enabled: enabled.unwrap_or(true) };
    let made = state.notifications().create(&caller, new).await?;
    Ok((StatusCode::CREATED, Json(shown_once(made))))
}

errors! { ShowErrors { NotFound: "The team has no notification with this id.", } }

/// Shows a notification.
#[utoipa::path(get, path = "/api/v1/notifications/{id}", operation_id = "show_notification", tag = "Notifications",
    params(NotificationPath),
    responses((status = 200, description = "The notification.", body = Notification), ShowErrors))]
pub(crate) async fn show(
    State(state): State<HttpState>,
    Caller(caller): Caller<TeamPrincipal>,
    Path(path): Path<NotificationPath>,
) -> Result<Json<Notification>, ApiError> {
    Ok(Json(shown(state.notifications().show(&caller, NotificationId(path.id)).await?, None)))
}

errors! { UpdateErrors {
    NotFound: "The team has no notification with this id, or no app with the slug of `app`.",
    Conflict: "The team has another notification of this name.",
} }

/// Changes a notification.
///
/// Fields that the body leaves out stay. If the answer has a `secret` in its target, it was set by this call and is shown only
/// this once.
#[utoipa::path(patch, path = "/api/v1/notifications/{id}", operation_id = "update_notification", tag = "Notifications",
    params(NotificationPath), request_body = UpdateNotification,
    responses((status = 200, description = "The notification after the call.", body = Notification), UpdateErrors))]
pub(crate) async fn update(
    State(state): State<HttpState>,
    Caller(caller): Caller<TeamPrincipal>,
    Path(path): Path<NotificationPath>,
    Json(body): Json<UpdateNotification>,
) -> Result<Json<Notification>, ApiError> {
    let UpdateNotification { name, on, app, environment, label, target, enabled } = body;
    let change = Change { name, on, app, environment, label, target: target.map(wanted), enabled };
    let made = state.notifications().update(&caller, NotificationId(path.id), change).await?;
    Ok(Json(shown_once(made)))
}

/// Deletes a notification with its deliveries.
///
/// What waits to be sent is not sent any more.
#[utoipa::path(delete, path = "/api/v1/notifications/{id}", operation_id = "delete_notification", tag = "Notifications",
    params(NotificationPath),
    responses((status = 204, description = "The notification is deleted."), ShowErrors))]
pub(crate) async fn delete(
    State(state): State<HttpState>,
    Caller(caller): Caller<TeamPrincipal>,
    Path(path): Path<NotificationPath>,
) -> Result<StatusCode, ApiError> {
    state.notifications().delete(&caller, NotificationId(path.id)).await?;
    Ok(StatusCode::NO_CONTENT)
}

errors! { TestErrors {
    NotFound: "The team has no notification with this id.",
    Conflict: "The notification is not enabled, or too many of its deliveries wait.",
} }

/// Sends a test.
///
/// The answer is the delivery. Whether it arrived is shown by the list of deliveries.
#[utoipa::path(post, path = "/api/v1/notifications/{id}/test", operation_id = "test_notification", tag = "Notifications",
    params(NotificationPath),
    responses((status = 202, description = "The test is sent.", body = Delivery), TestErrors))]
pub(crate) async fn test(
    State(state): State<HttpState>,
    Caller(caller): Caller<TeamPrincipal>,
    Path(path): Path<NotificationPath>,
) -> Result<(StatusCode, Json<Delivery>), ApiError> {
    let made = state.notifications().test(&caller, NotificationId(path.id)).await?;
    Ok((StatusCode::ACCEPTED, Json(delivery(made))))
}

/// Lists the deliveries of a notification with the attempts at them, newest first.
///
/// The end of the list is an empty page. Deliveries that have ended are kept for 30 days, and the newest 2,000 of a
/// notification.
#[utoipa::path(get, path = "/api/v1/notifications/{id}/deliveries", operation_id = "list_deliveries", tag = "Notifications",
    params(
        NotificationPath,
        ("before" = Option<i64>, Query, description = "Only deliveries with a smaller id."),
        ("limit" = Option<i64>, Query, minimum = 1, maximum = 1000, description = "At most this many. Default 1000."),
    ),
    responses((status = 200, description = "One page of deliveries.", body = Deliveries), ShowErrors))]
pub(crate) async fn deliveries(
    State(state): State<HttpState>,
    Caller(caller): Caller<TeamPrincipal>,
    Path(path): Path<NotificationPath>,
    Query(Before { before, limit }): Query<Before<i64>>,
) -> Result<Json<Deliveries>, ApiError> {
    let page = Page::new(before.map(DeliveryId), limit)?;
    let listed = state.notifications().deliveries(&caller, NotificationId(path.id), page).await?;
    Ok(Json(Deliveries { deliveries: listed.into_iter().map(delivery).collect() }))
}

errors! { RetryErrors {
    NotFound: "The team has no notification with this id, or the notification has no such delivery.",
    Conflict: "The notification is not enabled, or too many of its deliveries wait.",
} }

/// Sends a delivery again.
///
/// The receiver finds the same `webhook-id`. It is tried as often as a new one.
#[utoipa::path(post, path = "/api/v1/notifications/{id}/deliveries/{delivery}/retry", operation_id = "retry_delivery",
    tag = "Notifications", params(DeliveryPath),
    responses((status = 202, description = "The delivery is sent again.", body = Delivery), RetryErrors))]
pub(crate) async fn retry(
    State(state): State<HttpState>,
    Caller(caller): Caller<TeamPrincipal>,
    Path(path): Path<DeliveryPath>,
) -> Result<(StatusCode, Json<Delivery>), ApiError> {
    let (id, of) = (NotificationId(path.id), DeliveryId(path.delivery));
    let again = state.notifications().resend(&caller, id, of).await?;
    Ok((StatusCode::ACCEPTED, Json(delivery(again))))
}

fn wanted(target: Target) -> WantedTarget {
    let Target { kind, url, to, secret } = target;
    WantedTarget { kind, url, to, secret }
}

fn shown_once(made: Made) -> Notification {
    shown(made.notification, made.secret)
}

fn shown(notification: domain::Notification, secret: Option<String>) -> Notification {
    let domain::Notification {
        id,
        team: _,
        name,
        filter,
        target,
        enabled,
        waiting,
        dropped,
        created_at,
        updated_at,
    } = notification;
    let kind = target.kind.as_str().to_owned();
    let target = match target.kind {
        TargetKind::Webhook => Target { kind, url: Some(target.shown), to: None, secret },
        TargetKind::Slack => Target { kind, url: Some(masked(&target.shown)), to: None, secret: None },
        TargetKind::Email => Target { kind, url: None, to: Some(target.shown), secret: None },
    };
    Notification {
        id: id.0,
        name,
        on: filter.on.into_iter().collect(),
        app: filter.app,
        environment: filter.environment,
        label: filter.label.map(|(key, value)| format!("{key}={value}")),
        target,
        enabled,
        waiting,
        dropped,
        created_at: moment(created_at),
        updated_at: moment(updated_at),
    }
}

fn delivery(listed: ListedDelivery) -> Delivery {
    let ListedDelivery { delivery, attempts } = listed;
    let (status, next_at) = match delivery.state {
        outbox::State::Waiting { next_at } => (DeliveryStatus::Waiting, Some(moment(next_at))),
        outbox::State::Delivered { .. } => (DeliveryStatus::Delivered, None),
        outbox::State::Failed { .. } => (DeliveryStatus::Failed, None),
    };
    let data: Option<Value> = serde_json::from_str(&delivery.data).ok();
    Delivery {
        id: delivery.id.0,
        webhook_id: delivery.webhook_id,
        event: delivery.event.as_str().to_owned(),
        run_id: delivery.run.map(|run| run.0),
        dropped: data.and_then(|data| data.get("dropped")?.as_i64()),
        status,
        created_at: moment(delivery.created_at),
        next_at,
        attempts: attempts.into_iter().map(attempt).collect(),
    }
}

fn attempt(attempt: outbox::Attempt) -> DeliveryAttempt {
    let outbox::Attempt { at, took, code, error, retry_after: _ } = attempt;
    let duration_ms = i64::try_from(milliseconds(took)).unwrap_or(i64::MAX);
    DeliveryAttempt { at: moment(at), duration_ms, code, error }
}
