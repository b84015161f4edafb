//! `GET /runs/{run}/artifacts/{path}`.

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, StatusCode};
use minitower_runs::domain::artifact::content_type;
use minitower_teams::team::TeamPrincipal;
use tokio::io::AsyncReadExt as _;
use tokio_util::io::ReaderStream;

use crate::auth::Caller;
use crate::extract::Path;
use crate::v1::params::ArtifactPath;
use crate::{ApiError, HttpState};

/// Bytes read from disk at a time.
const CHUNK_BYTES: usize = 64 * 1024;

/// Sends a file that a run left behind. A job wrote it, so a browser neither guesses what it is nor runs anything in it.
pub(crate) async fn show(
    State(state): State<HttpState>,
    Caller(caller): Caller<TeamPrincipal>,
    Path(path): Path<ArtifactPath>,
    asked: HeaderMap,
) -> Result<Response, ApiError> {
    let (run, path) = path.parse()?;
    let (artifact, file) = state.runs().open_artifact(&caller, run, path).await?;
    let etag =
        HeaderValue::try_from(format!("\"{}\"", artifact.sha256)).map_err(|e| ApiError::internal(&e))?;
    let mut response = if knows(&asked, &artifact.sha256) {
        let mut unchanged = Response::new(Body::empty());
        *unchanged.status_mut() = StatusCode::NOT_MODIFIED;
        unchanged
    } else {
        let bytes = artifact.bytes.unsigned_abs();
        let content = ReaderStream::with_capacity(file.take(bytes), CHUNK_BYTES);
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
