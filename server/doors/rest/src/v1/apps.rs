//! Apps.

use axum::extract::State;
use http::StatusCode;
use minitower_kernel::page::Page;
use minitower_runs::domain::app as domain;
use minitower_runs::domain::retention::{Change, Said};
use minitower_teams::team::TeamPrincipal;
use minitower_vocabulary::wire::apps::{App, Apps, ChangeApp, Concurrency, CreateApp, LogLimits};
use minitower_vocabulary::wire::retention::AppRetention;

use super::params::{After, AppPath, Deletion};
use super::retention::change as change_of;
use crate::auth::Caller;
use crate::extract::{Json, Path, Query};
use crate::openapi::errors;
use crate::render::moment;
use crate::{ApiError, HttpState};

/// Lists the team's apps by slug.
///
/// The end of the list is an empty page.
#[utoipa::path(get, path = "/api/v1/apps", operation_id = "list_apps", tag = "Apps",
    params(
        ("after" = Option<String>, Query, description = "Only apps with a later slug."),
        ("limit" = Option<i64>, Query, minimum = 1, maximum = 1000, description = "At most this many. Default 1000."),
    ),
    responses((status = 200, description = "One page of apps.", body = Apps)))]
pub(crate) async fn list(
    State(state): State<HttpState>,
    Caller(caller): Caller<TeamPrincipal>,
    Query(After { after, limit }): Query<After<String>>,
) -> Result<Json<Apps>, ApiError> {
    let apps = state.apps().apps(&caller, Page::new(after, limit)?).await?;
    Ok(Json(Apps { apps: apps.into_iter().map(app).collect() }))
}

errors! { CreateErrors {
    InvalidSlug: "`slug` is not a valid slug, or is reserved.",
    SlugTaken: "The team has an app with this slug.",
    Conflict: "The team has as many apps as its limits allow.",
} }

/// Creates an app.
#[utoipa::path(post, path = "/api/v1/apps", operation_id = "create_app", tag = "Apps",
    request_body = CreateApp,
    responses((status = 201, description = "The new app.", body = App), CreateErrors))]
pub(crate) async fn create(
    State(state): State<HttpState>,
    Caller(caller): Caller<TeamPrincipal>,
    Json(body): Json<CreateApp>,
) -> Result<(StatusCode, Json<App>), ApiError> {
    let made = state.apps().create_app(&caller, &body.slug, body.description).await?;
    Ok((StatusCode::CREATED, Json(app(made))))
}

errors! { ShowErrors { NotFound: "The team has no such app.", } }

/// Shows an app.
#[utoipa::path(get, path = "/api/v1/apps/{app}", operation_id = "show_app", tag = "Apps", params(AppPath),
    responses((status = 200, description = "The app.", body = App), ShowErrors))]
pub(crate) async fn show(
    State(state): State<HttpState>,
    Caller(caller): Caller<TeamPrincipal>,
    Path(path): Path<AppPath>,
) -> Result<Json<App>, ApiError> {
    Ok(Json(app(state.apps().app(&caller, path.app).await?)))
}

errors! { ChangeErrors {
    InvalidRequest: "A field breaks a rule, or there is no such field.",
    Forbidden: "The body has `retention`, and the team token is not of role `admin`.",
    NotFound: "The team has no such app.",
} }

/// Changes an app.
///
/// Fields that are left out stay as they are, and `null` clears a field. A disabled app refuses new runs, and its queued
/// runs wait: they go on at their old places when it is enabled again. Runs that a runner holds are not interrupted.
#[utoipa::path(patch, path = "/api/v1/apps/{app}", operation_id = "change_app", tag = "Apps", params(AppPath),
    request_body = ChangeApp,
    responses((status = 200, description = "The app after the change.", body = App), ChangeErrors))]
pub(crate) async fn change(
    State(state): State<HttpState>,
    Caller(caller): Caller<TeamPrincipal>,
    Path(path): Path<AppPath>,
    Json(body): Json<ChangeApp>,
) -> Result<Json<App>, ApiError> {
    let ChangeApp {
        description,
        disabled,
        concurrency,
        log_limits,
        retention,
        expect_seconds,
        expect_wait_seconds,
    } = body;
    let change = domain::Change {
        description,
        disabled,
        concurrency: concurrency.map(|shared| shared.map(|Concurrency { key, max }| (key, max))),
        log_bytes: log_limits.map(|limits| limits.map(|limits| limits.bytes_per_run)),
        retention: retention.map(|set| set.map_or(Change::CLEARED, change_of)),
        expect_seconds,
        expect_wait_seconds,
    };
    Ok(Json(app(state.apps().change_app(&caller, path.app, change).await?)))
}

errors! { DeleteErrors {
    NotFound: "The team has no such app.",
    Conflict: "A run of the app has not ended, and `force` is not set.",
} }

/// Deletes an app with its versions, runs, logs and artifacts.
///
/// From the answer on, no call shows the app or anything of it, and its slug is free. The server removes the rows and
/// files afterwards, a few at a time.
#[utoipa::path(delete, path = "/api/v1/apps/{app}", operation_id = "delete_app", tag = "Apps",
    params(AppPath, Deletion),
    responses((status = 204, description = "The app is deleted."), DeleteErrors))]
pub(crate) async fn delete(
    State(state): State<HttpState>,
    Caller(caller): Caller<TeamPrincipal>,
    Path(path): Path<AppPath>,
    Query(deletion): Query<Deletion>,
) -> Result<StatusCode, ApiError> {
    state.apps().delete_app(&caller, path.app, deletion.unfinished()).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn app(app: domain::App) -> App {
    let domain::App {
        id,
        team_id: _,
        slug,
        description,
        rules,
        retention,
        expect_seconds,
        expect_wait_seconds,
        created_at,
        updated_at,
    } = app;
    let concurrency = rules.concurrency.and_then(|shared| {
        let max = shared.max?;
        Some(Concurrency { key: Some(shared.key), max })
    });
    App {
        app_id: id.0,
        slug,
        description,
        disabled: rules.disabled,
        concurrency,
        log_limits: rules.log_bytes.map(|bytes| LogLimits { bytes_per_run: bytes }),
        retention: (retention != Said::default())
            .then_some(AppRetention { keep_seconds: retention.seconds, keep_last: retention.last }),
        expect_seconds,
        expect_wait_seconds,
        created_at: moment(created_at),
        updated_at: moment(updated_at),
    }
}
