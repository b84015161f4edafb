//! Versions of an app: uploading, listing and showing them.

mod upload;

use axum::extract::{Request, State};
use http::StatusCode;
use minitower_kernel::page::Page;
use minitower_runs::Uploaded;
use minitower_runs::domain::app as domain;
use minitower_teams::team::TeamPrincipal;
use minitower_vocabulary::wire::apps::{Version, Versions};
use serde_json::Value;
use utoipa::ToSchema;

use super::params::{AppPath, Before, Deletion, VersionPath};
use crate::auth::Caller;
use crate::extract::{Json, Path, Query};
use crate::openapi::errors;
use crate::render::moment;
use crate::strict::Unread;
use crate::{ApiError, HttpState};

errors! { ListErrors { NotFound: "The team has no such app.", } }

/// Lists an app's versions, newest first.
///
/// A page may be shorter than its limit. The end of the list is an empty page.
#[utoipa::path(get, path = "/api/v1/apps/{app}/versions", operation_id = "list_versions", tag = "Versions",
    params(
        AppPath,
        ("before" = Option<i64>, Query, description = "Only versions with a smaller number."),
        ("limit" = Option<i64>, Query, minimum = 1, maximum = 1000, description = "At most this many. Default 1000."),
    ),
    responses((status = 200, description = "One page of versions.", body = Versions), ListErrors))]
pub(crate) async fn list(
    State(state): State<HttpState>,
    Caller(caller): Caller<TeamPrincipal>,
    Path(path): Path<AppPath>,
    Query(Before { before, limit }): Query<Before<i64>>,
) -> Result<Json<Versions>, ApiError> {
    let versions = state.apps().versions(&caller, path.app, Page::new(before, limit)?).await?;
    let versions = versions.into_iter().map(version).collect::<Result<_, _>>()?;
    Ok(Json(Versions { versions }))
}

/// The parts of an upload. The server reads them one by one.
#[derive(ToSchema)]
#[allow(dead_code, reason = "it is the description of a form")]
pub(crate) struct UploadForm {
    /// The archive: a tar file compressed with gzip.
    #[schema(content_media_type = "application/gzip", value_type = String, format = Binary)]
    artifact: Vec<u8>,
    /// The file to start. Only for an archive without a Towerfile.
    entrypoint: Option<String>,
    /// How long a run may take, in seconds. Only for an archive without a Towerfile.
    #[schema(minimum = 1)]
    timeout_seconds: Option<i64>,
    /// A JSON Schema (2020-12) of the input, as text. Only for an archive without a Towerfile.
    params_schema_json: Option<String>,
}

errors! { CreateErrors {
    InvalidRequest: "The body is not a form with a part `artifact`, or a field breaks a rule.",
    TowerfileMissing: "The upload names no entrypoint, and the archive has no Towerfile at its root.",
    TowerfileInvalid: "The Towerfile is wrong.",
    ArtifactInvalid: "The archive is refused: the message says why.",
    NotFound: "The team has no such app.",
    PayloadTooLarge: "The archive or a field is over its limit.",
    Conflict: "The team has as much storage as its limits allow.",
} }

/// Uploads a version.
///
/// Send the part `artifact` alone if the archive has a `Towerfile` at its root. Otherwise send `artifact` and
/// `entrypoint`, and optionally `timeout_seconds` and `params_schema_json`. Nothing of a refused upload is kept. What has
/// no effect is named in `X-Ignored-Fields`: unknown keys of the Towerfile (`Towerfile.app.timeot`), an `app.name` that
/// is not this app's (`Towerfile.app.name`), and the other parts if there is a Towerfile, which overrules them.
#[utoipa::path(post, path = "/api/v1/apps/{app}/versions", operation_id = "create_version", tag = "Versions",
    params(AppPath),
    request_body(content = UploadForm, content_type = "multipart/form-data"),
    responses((status = 201, description = "The new version.", body = Version), CreateErrors))]
pub(crate) async fn create(
    State(state): State<HttpState>,
    Caller(caller): Caller<TeamPrincipal>,
    Path(path): Path<AppPath>,
    request: Request,
) -> Result<(StatusCode, Json<Version>), ApiError> {
    // Before the body: nobody sends 100 MiB to learn that the app is not there.
    state.apps().app(&caller, path.app.clone()).await?;
    let unread: Option<Unread> = request.extensions().get().cloned();
    let upload::Received { artifact, fields } = upload::receive(&state, &caller, request).await?;
    let Uploaded { version: made, ignored } =
        state.apps().create_version(&caller, path.app, artifact, fields).await?;
    if let Some(unread) = unread {
        for name in &ignored {
            unread.note(name);
        }
    }
    Ok((StatusCode::CREATED, Json(version(made)?)))
}

errors! { ShowErrors { NotFound: "The team has no such app, or the app has no such version.", } }

/// Shows a version.
#[utoipa::path(get, path = "/api/v1/apps/{app}/versions/{no}", operation_id = "show_version", tag = "Versions",
    params(VersionPath),
    responses((status = 200, description = "The version.", body = Version), ShowErrors))]
pub(crate) async fn show(
    State(state): State<HttpState>,
    Caller(caller): Caller<TeamPrincipal>,
    Path(path): Path<VersionPath>,
) -> Result<Json<Version>, ApiError> {
    Ok(Json(version(state.apps().version(&caller, path.app, path.no).await?)?))
}

errors! { DeleteErrors {
    NotFound: "The team has no such app, or the app has no such version.",
    Conflict: "A run of the version has not ended, and `force` is not set.",
} }

/// Deletes a version with its runs, logs and artifacts.
///
/// Its number is not used again. From the answer on, no call shows the version or its runs. The server removes the rows
/// and files afterwards, a few at a time.
#[utoipa::path(delete, path = "/api/v1/apps/{app}/versions/{no}", operation_id = "delete_version", tag = "Versions",
    params(VersionPath, Deletion),
    responses((status = 204, description = "The version is deleted."), DeleteErrors))]
pub(crate) async fn delete(
    State(state): State<HttpState>,
    Caller(caller): Caller<TeamPrincipal>,
    Path(path): Path<VersionPath>,
    Query(deletion): Query<Deletion>,
) -> Result<StatusCode, ApiError> {
    state.apps().delete_version(&caller, path.app, path.no, deletion.unfinished()).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn version(version: domain::Version) -> Result<Version, ApiError> {
    let domain::Version {
        id,
        app_id: _,
        number,
        entrypoint,
        timeout_seconds,
        params_schema,
        artifact_sha256,
        artifact_bytes: _,
        towerfile_toml,
        import_paths,
        max_retries: _,
        api: _,
        concurrency: _,
        hidden_parameters,
        secrets: _,
        created_at,
    } = version;
    let mut params_schema: Option<Value> = params_schema
        .map(|text| serde_json::from_str(&text))
        .transpose()
        .map_err(|error| ApiError::internal(&error))?;
    let properties = params_schema.as_mut().and_then(|schema| schema.get_mut("properties"));
    if let Some(properties) = properties {
        for name in hidden_parameters {
            // The default of a hidden parameter is a hidden value too.
            properties.get_mut(&name).map(without_defaults);
        }
    }
    Ok(Version {
        version_id: id.0,
        version_no: number,
        entrypoint,
        timeout_seconds,
        params_schema,
        artifact_sha256,
        towerfile_toml,
        import_paths,
        created_at: moment(created_at),
    })
}

fn without_defaults(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            map.remove("default");
            map.values_mut().for_each(without_defaults);
        }
        Value::Array(items) => items.iter_mut().for_each(without_defaults),
        _ => {}
    }
}
