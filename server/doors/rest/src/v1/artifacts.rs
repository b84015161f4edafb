//! What jobs left behind, as their team sees it. Runners store it: see `lease::files`.

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, StatusCode};
use minitower_kernel::page::Page;
use minitower_runs::domain::artifact::content_type;
use minitower_teams::team::TeamPrincipal;
use minitower_vocabulary::wire::runs::Artifacts;

use super::params::{After, ArtifactPath, RunPath};
use crate::auth::Caller;
use crate::extract::{Json, Path, Query};
use crate::lasting::Lasting;
use crate::openapi::errors;
use crate::{ApiError, HttpState, render};

errors! { NoRun { NotFound: "The team has no such run.", } }

/// Lists the artifacts of a run by path.
///
/// The end of the list is an empty page.
#[utoipa::path(get, path = "/api/v1/runs/{run}/artifacts", operation_id = "list_artifacts", tag = "Artifacts",
    params(
        RunPath,
        ("after" = Option<String>, Query, description = "Only artifacts with a later path."),
        ("limit" = Option<i64>, Query, minimum = 1, maximum = 1000, description = "At most this many. Default 1000."),
    ),
    responses((status = 200, description = "One page of artifacts.", body = Artifacts), NoRun))]
pub(crate) async fn list(
    State(state): State<HttpState>,
    Caller(caller): Caller<TeamPrincipal>,
    Path(path): Path<RunPath>,
    Query(After { after, limit }): Query<After<String>>,
) -> Result<Json<Artifacts>, ApiError> {
    let artifacts = state.runs().artifacts(&caller, path.id(), Page::new(after, limit)?).await?;
    Ok(Json(Artifacts { artifacts: artifacts.into_iter().map(render::artifact).collect() }))
}

errors! { NoArtifact {
    InvalidRequest: "The path is not a valid path of an artifact.",
    NotFound: "The team has no such run, or the run has no such artifact.",
} }

/// Downloads an artifact.
///
/// A job wrote it, so the headers keep a browser from guessing its type and from running anything in it. Ranges are
/// not served.
#[utoipa::path(get, path = "/api/v1/runs/{run}/artifacts/{path}", operation_id = "download_artifact",
    tag = "Artifacts",
    params(
        ArtifactPath,
        ("if-none-match" = Option<String>, Header, description = "Entity tags of the content that the caller already has."),
    ),
    responses(
        (status = 200, description = "The content. The content type follows from the path's extension.",
            body = Vec<u8>, content_type = "*/*",
            headers(
                ("etag" = String, description = "The SHA-256 of the content, in quotes."),
                ("cache-control" = String, description = "`private, no-cache`"),
                ("content-security-policy" = String, description = "Keeps scripts in it from running."),
                ("x-content-type-options" = String, description = "`nosniff`"),
            )),
        (status = 304, description = "The caller has this content already.",
            headers(("etag" = String, description = "The SHA-256 of the content, in quotes."))),
        NoArtifact,
    ))]
pub(crate) async fn show(
    State(state): State<HttpState>,
    Caller(caller): Caller<TeamPrincipal>,
    Path(path): Path<ArtifactPath>,
    asked: HeaderMap,
) -> Result<Response, ApiError> {
    let (run, path) = path.parse()?;
    let (artifact, content) = state.runs().open_artifact(&caller, run, path).await?;
    let etag =
        HeaderValue::try_from(format!("\"{}\"", artifact.sha256)).map_err(|e| ApiError::internal(&e))?;
    let mut response = if knows(&asked, &artifact.sha256) {
        let mut unchanged = Response::new(Body::empty());
        *unchanged.status_mut() = StatusCode::NOT_MODIFIED;
        unchanged
    } else {
        let bytes = content.bytes();
        let content = content.whole().await.map_err(minitower_runs::Error::from)?;
        let content = Lasting::of(&state, &asked).over(content);
        let mut whole = Response::new(Body::from_stream(content));
        whole.headers_mut().insert(CONTENT_LENGTH, bytes.into());
        whole.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type(&artifact.path)));
        whole
    };
    let headers = response.headers_mut();
    headers.insert(ETAG, etag);
    // It may be replaced, and belongs to the team alone.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; sandbox"));
    Ok(response)
}

/// Deletes an artifact.
#[utoipa::path(delete, path = "/api/v1/runs/{run}/artifacts/{path}", operation_id = "delete_artifact",
    tag = "Artifacts", params(ArtifactPath),
    responses((status = 204, description = "The artifact is deleted."), NoArtifact))]
pub(crate) async fn delete(
    State(state): State<HttpState>,
    Caller(caller): Caller<TeamPrincipal>,
    Path(path): Path<ArtifactPath>,
) -> Result<StatusCode, ApiError> {
    let (run, path) = path.parse()?;
    state.runs().delete_artifact(&caller, run, path).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Whether the caller says that it has this content already (RFC 9110, section 13.1.2).
fn knows(asked: &HeaderMap, sha256: &str) -> bool {
    let values = asked.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let mut tags = values.flat_map(|value| value.split(',')).map(str::trim);
    tags.any(|tag| tag == "*" || tag.trim_start_matches("W/").trim_matches('"') == sha256)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("\"ab\"", true)]
    #[case("W/\"ab\"", true)]
    #[case("\"cd\", \"ab\"", true)]
    #[case("*", true)]
    #[case("\"abc\"", false)]
    #[case("", false)]
    fn a_tag_is_found_in_the_list(#[case] value: &'static str, #[case] known: bool) {
        let headers = HeaderMap::from_iter([(IF_NONE_MATCH, HeaderValue::from_static(value))]);
        assert_eq!(knows(&headers, "ab"), known);
    }
}
