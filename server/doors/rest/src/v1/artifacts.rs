//! What jobs left behind, as their team sees it. Runners store it: see `lease::files`.

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG,
    IF_NONE_MATCH, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use minitower_kernel::page::Page;
use minitower_runs::domain::artifact::content_type;
use minitower_teams::team::TeamPrincipal;
use minitower_vocabulary::wire::error::ErrorCode;
use minitower_vocabulary::wire::runs::Artifacts;

use super::params::{After, ArtifactPath, RunPath};
use super::ranges::{self, Asked};
use crate::auth::Caller;
use crate::extract::{Json, Path, Query};
use crate::lasting::Lasting;
use crate::openapi::{Binary, errors};
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

errors! { NoContent {
    InvalidRequest: "The path is not a valid path of an artifact, or `Range` is not valid.",
    NotFound: "The team has no such run, or the run has no such artifact.",
    RangeNotSatisfiable: "The range begins behind the end of the content. `Content-Range` says how long that is.",
} }

/// Downloads an artifact.
///
/// A job wrote it, so the headers keep a browser from guessing its type and from running anything in it. `Range` asks for one part of it;
/// several ranges at once are answered with the whole content.
#[utoipa::path(get, path = "/api/v1/runs/{run}/artifacts/{path}", operation_id = "download_artifact",
    tag = "Artifacts",
    params(
        ArtifactPath,
        ("if-none-match" = Option<String>, Header, description = "Entity tags of the content that the caller already has."),
        ("range" = Option<String>, Header, description = "The part that is wanted, such as `bytes=1000-`."),
        ("if-range" = Option<String>, Header, description = "The entity tag of the content that `range` is about. If it is another one by \
            now, the answer is the whole content."),
    ),
    responses(
        (status = 200, description = "The content. The content type follows from the path's extension.",
            content((inline(Binary) = "application/octet-stream"), (inline(Binary) = "*/*")),
            headers(
                ("etag" = String, description = "The SHA-256 of the content, in quotes."),
                ("accept-ranges" = String, description = "`bytes`"),
                ("cache-control" = String, description = "`private, no-cache`"),
                ("content-security-policy" = String, description = "Keeps scripts in it from running."),
                ("x-content-type-options" = String, description = "`nosniff`"),
            )),
        (status = 206, description = "The part of the content.",
            content((inline(Binary) = "application/octet-stream"), (inline(Binary) = "*/*")),
            headers(
                ("etag" = String, description = "The SHA-256 of the whole content, in quotes."),
                ("content-range" = String, description = "Which bytes of how many these are."),
            )),
        (status = 304, description = "The caller has this content already.",
            headers(("etag" = String, description = "The SHA-256 of the content, in quotes."))),
        NoContent,
    ))]
pub(crate) async fn show(
    State(state): State<HttpState>,
    Caller(caller): Caller<TeamPrincipal>,
    Path(path): Path<ArtifactPath>,
    method: Method,
    asked: HeaderMap,
) -> Result<Response, ApiError> {
    let (run, path) = path.parse()?;
    let (artifact, content) = state.runs().open_artifact(&caller, run, path).await?;
    let etag =
        HeaderValue::try_from(format!("\"{}\"", artifact.sha256)).map_err(|e| ApiError::internal(&e))?;
    let bytes = content.bytes();
    let mut response = Response::new(Body::empty());
    if knows(&asked, &artifact.sha256) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    } else {
        // A range is for GET alone (RFC 9110, section 14.2).
        let wanted = if method == Method::GET { ranges::asked(&asked, &etag, bytes)? } else { Asked::Whole };
        let part = match wanted {
            Asked::Whole => 0..bytes,
            Asked::Part(part) => {
                *response.status_mut() = StatusCode::PARTIAL_CONTENT;
                let (first, last) = (part.start, part.end - 1);
                response
                    .headers_mut()
                    .insert(CONTENT_RANGE, header(format!("bytes {first}-{last}/{bytes}"))?);
                part
            }
            Asked::Beyond => return beyond(bytes),
        };
        response.headers_mut().insert(CONTENT_LENGTH, (part.end - part.start).into());
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type(&artifact.path)));
        if method == Method::GET {
            let content = content.part(part).await.map_err(minitower_runs::Error::from)?;
            *response.body_mut() = Body::from_stream(Lasting::of(&state, &asked).over(content));
        }
    }
    let headers = response.headers_mut();
    headers.insert(ETAG, etag);
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    // It may be replaced, and belongs to the team alone.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; sandbox"));
    Ok(response)
}

/// Refuses a range that the content does not have.
fn beyond(bytes: u64) -> Result<Response, ApiError> {
    let message = format!("the range begins behind the end of the artifact, which has {bytes} bytes");
    let mut response = ApiError::new(ErrorCode::RangeNotSatisfiable, message).into_response();
    response.headers_mut().insert(CONTENT_RANGE, header(format!("bytes */{bytes}"))?);
    Ok(response)
}

fn header(text: String) -> Result<HeaderValue, ApiError> {
    HeaderValue::try_from(text).map_err(|error| ApiError::internal(&error))
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
