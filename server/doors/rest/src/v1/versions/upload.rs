//! The parts of an uploaded version. The archive goes to disk as it comes, never as a whole into memory.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Poll, ready};
use std::time::Duration;

use axum::body::Body;
use axum::extract::multipart::{Field, MultipartError};
use axum::extract::{FromRequest as _, Multipart, Request};
use futures_util::{StreamExt as _, stream};
use minitower_runs::Upload;
use minitower_runs::UploadFields;
use minitower_teams::team::TeamPrincipal;
use minitower_vocabulary::wire::error::ErrorCode;
use tokio::time::timeout;

use crate::extract::{CHUNK_DEADLINE, content_length, next_chunk, too_slow};
use crate::serve::{BodyRefused, Intake};
use crate::strict::Unread;
use crate::{ApiError, HttpState};

/// How long an upload may take, however steadily it drips.
const DEADLINE: Duration = Duration::from_hours(1);
/// Most bytes of a field beside the archive; a schema is the largest.
const FIELD_BYTES: u64 = 256 * 1024;
/// Most bytes that may come without an end of a part's head, or without any content. The parser of forms keeps a head in memory, however
/// long it is, and looks through all of it with every piece that comes.
const HEAD_BYTES: usize = 16 * 1024;
/// Most parts: more are no upload of a version.
const PARTS: usize = 32;
/// What the fields and the boundaries may add to the archive's length.
const OVERHEAD_BYTES: u64 = 1024 * 1024;

/// A complete upload.
pub(super) struct Received {
    pub(super) artifact: Upload,
    pub(super) fields: UploadFields,
}

/// Reads the whole body. What was written of a refused or broken upload is removed when its [`Upload`] is dropped.
pub(super) async fn receive(
    state: &HttpState,
    by: &TeamPrincipal,
    request: Request,
) -> Result<Received, ApiError> {
    let limit = state.limits().artifact;
    if content_length(request.headers()).is_some_and(|length| length > limit.saturating_add(OVERHEAD_BYTES)) {
        return Err(ApiError::payload_too_large("the artifact", limit));
    }
    let unread = request.extensions().get().cloned();
    Intake::of(&request).inspect(|intake| intake.is_streamed());
    let allowance = Allowance::default();
    let request = allowance.over(request);
    let mut multipart = Multipart::from_request(request, &()).await.map_err(|rejection| {
        ApiError::invalid_request(format!(
            "an upload is multipart/form-data with a part named artifact: {}",
            rejection.body_text()
        ))
    })?;
    let parts = parts((state, by), &mut multipart, &allowance, unread.as_ref());
    timeout(DEADLINE, parts).await.map_err(|_| too_slow(DEADLINE))?
}

/// What may still come before the parser has to hand something out.
#[derive(Debug, Clone)]
struct Allowance(Arc<AtomicUsize>);

impl Default for Allowance {
    fn default() -> Self {
        Self(Arc::new(AtomicUsize::new(HEAD_BYTES)))
    }
}

impl Allowance {
    /// Something came after it was used up.
    const EXCEEDED: usize = usize::MAX;

    /// The request, its body broken off where the allowance is used up.
    fn over(&self, request: Request) -> Request {
        let (parts, body) = request.into_parts();
        let Self(left) = self.clone();
        let (mut pieces, mut paused) = (body.into_data_stream(), true);
        let body = stream::poll_fn(move |cx| {
            // The parser takes everything that is ready before it looks at any of it: one piece at a time is.
            if !std::mem::replace(&mut paused, true) {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let Some(piece) = ready!(pieces.poll_next_unpin(cx)) else { return Poll::Ready(None) };
            paused = false;
            Poll::Ready(Some(match (piece, left.load(Ordering::Relaxed)) {
                (Err(error), _) => Err(io::Error::other(error)),
                (Ok(_), 0 | Self::EXCEEDED) => {
                    left.store(Self::EXCEEDED, Ordering::Relaxed);
                    Err(io::Error::other("the head of a part is too long"))
                }
                (Ok(piece), rest) => {
                    left.store(rest.saturating_sub(piece.len()), Ordering::Relaxed);
                    Ok(piece)
                }
            }))
        });
        Request::from_parts(parts, Body::from_stream(body))
    }

    fn renew(&self) {
        self.0.store(HEAD_BYTES, Ordering::Relaxed);
    }

    fn broken(&self, error: &MultipartError) -> ApiError {
        if self.0.load(Ordering::Relaxed) == Self::EXCEEDED {
            let message =
                format!("the headers of a part of the upload are over the limit of {HEAD_BYTES} bytes");
            return ApiError::invalid_request(message);
        }
        if let Some(refused) = BodyRefused::cause_of(error) {
            return refused;
        }
        ApiError::new(ErrorCode::InvalidRequest, format!("the upload cannot be read: {}", error.body_text()))
    }
}

async fn parts(
    (state, by): (&HttpState, &TeamPrincipal),
    multipart: &mut Multipart,
    allowance: &Allowance,
    unread: Option<&Unread>,
) -> Result<Received, ApiError> {
    let mut artifact = None;
    let mut fields = UploadFields::default();
    let mut ignored: u64 = 0;
    for _ in 0..PARTS {
        let Some(field) = next_field(multipart, allowance).await? else {
            let artifact =
                artifact.ok_or_else(|| ApiError::invalid_request("the part named artifact is missing"))?;
            return Ok(Received { artifact, fields });
        };
        let name = field.name().unwrap_or_default().to_owned();
        let mut field = Part { field, allowance };
        let known = match name.as_str() {
            "artifact" => artifact.is_some(),
            "entrypoint" => fields.entrypoint.is_some(),
            "timeout_seconds" => fields.timeout_seconds.is_some(),
            "params_schema_json" => fields.params_schema_json.is_some(),
            _ => false,
        };
        if known {
            return Err(ApiError::invalid_request(format!("there are two parts named {name}")));
        }
        match name.as_str() {
            "artifact" => artifact = Some(to_disk(state, by, &mut field).await?),
            "entrypoint" => fields.entrypoint = Some(text(&name, &mut field).await?),
            "timeout_seconds" => fields.timeout_seconds = Some(text(&name, &mut field).await?),
            "params_schema_json" => fields.params_schema_json = Some(text(&name, &mut field).await?),
            // Unknown parts are ignored and named, as unknown fields are, and not kept.
            _ => {
                if let Some(unread) = unread {
                    unread.note(&name);
                }
                while let Some(chunk) = field.chunk().await? {
                    ignored += chunk.len() as u64;
                    if ignored > OVERHEAD_BYTES {
                        return Err(ApiError::payload_too_large(
                            "what is not part of an upload",
                            OVERHEAD_BYTES,
                        ));
                    }
                }
            }
        }
    }
    Err(ApiError::invalid_request(format!("an upload has at most {PARTS} parts")))
}

async fn to_disk(state: &HttpState, by: &TeamPrincipal, field: &mut Part<'_>) -> Result<Upload, ApiError> {
    let mut upload = state.apps().begin_upload(by).await?;
    while let Some(chunk) = field.chunk().await? {
        upload.write(&chunk).await?;
    }
    Ok(upload)
}

async fn text(name: &str, field: &mut Part<'_>) -> Result<String, ApiError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = field.chunk().await? {
        if bytes.len() as u64 + chunk.len() as u64 > FIELD_BYTES {
            return Err(ApiError::payload_too_large(&format!("the field {name}"), FIELD_BYTES));
        }
        bytes.extend_from_slice(&chunk);
    }
    String::from_utf8(bytes)
        .map_err(|_| ApiError::invalid_request(format!("the field {name} is not valid UTF-8")))
}

/// A part whose head has come.
struct Part<'a> {
    field: Field<'a>,
    allowance: &'a Allowance,
}

impl Part<'_> {
    /// The next piece of its content.
    async fn chunk(&mut self) -> Result<Option<bytes::Bytes>, ApiError> {
        self.allowance.renew();
        next_chunk(&mut self.field).await?.transpose().map_err(|error| self.allowance.broken(&error))
    }
}

async fn next_field<'a>(
    multipart: &'a mut Multipart,
    allowance: &Allowance,
) -> Result<Option<Field<'a>>, ApiError> {
    allowance.renew();
    let field = timeout(CHUNK_DEADLINE, multipart.next_field()).await;
    field.map_err(|_| too_slow(CHUNK_DEADLINE))?.map_err(|error| allowance.broken(&error))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::body::Body;
    use bytes::Bytes;
    use futures_util::{StreamExt as _, stream};
    use http::{Method, StatusCode};
    use serde_json::json;
    use tokio::time::{Instant, timeout};

    use crate::tests::bed::{ARTIFACT_BYTES, Bed, archive, form};
    use crate::tests::{error, json, request, send};

    fn in_pieces(body: &[u8]) -> Body {
        let pieces: Vec<_> = body.chunks(7).map(|piece| Ok::<_, std::io::Error>(piece.to_vec())).collect();
        Body::from_stream(stream::iter(pieces))
    }

    #[tokio::test]
    async fn an_upload_in_small_pieces_becomes_a_version() {
        let bed = Bed::start().await;
        let archive = archive();
        let body = form(&[
            ("artifact", &archive),
            ("unknown", b"x"),
            ("entrypoint", b"main.py"),
            ("timeout_seconds", b"60"),
        ]);
        let response = send(&bed.service, bed.upload(in_pieces(&body))).await;
        assert_eq!(response.status(), StatusCode::CREATED);
        assert_eq!(response.headers()["x-ignored-fields"], "unknown");
        let version = json(response).await;
        assert_eq!((&version["version_no"], &version["entrypoint"]), (&json!(1), &json!("main.py")));
        assert_eq!(version["timeout_seconds"], 60);
        assert_eq!(bed.files(), 1);
    }

    #[tokio::test]
    async fn a_refused_upload_says_why_and_leaves_nothing() {
        let bed = Bed::start().await;
        let archive = archive();
        let large = vec![7; ARTIFACT_BYTES + 1];
        let long = vec![b'x'; 256 * 1024 + 1];
        for (parts, status, code) in [
            (vec![("entrypoint", &b"main.py"[..])], 400, "invalid_request"),
            (vec![("artifact", &archive[..]), ("artifact", &archive[..])], 400, "invalid_request"),
            (vec![("entrypoint", &b"main.py"[..]), ("entrypoint", b"b.py")], 400, "invalid_request"),
            (vec![("artifact", &large[..]), ("entrypoint", b"main.py")], 413, "payload_too_large"),
            (vec![("artifact", &archive[..]), ("params_schema_json", &long[..])], 413, "payload_too_large"),
            (vec![("artifact", &archive[..]), ("entrypoint", b"\xff")], 400, "invalid_request"),
            (vec![("artifact", &archive[..])], 400, "TOWERFILE_MISSING"),
            (vec![("artifact", b"no gzip"), ("entrypoint", b"main.py")], 400, "artifact_invalid"),
        ] {
            let answer = error(send(&bed.service, bed.upload(form(&parts).into())).await).await;
            assert_eq!((answer.0, answer.1.as_str()), (status, code), "{}", answer.2);
            assert_eq!(bed.files(), 0, "left behind after: {}", answer.2);
        }
    }

    #[tokio::test]
    async fn a_body_that_is_no_form_or_is_cut_short_is_400() {
        let bed = Bed::start().await;
        let mut body = form(&[("artifact", &archive())]);
        body.truncate(body.len() - 20);
        let cut = bed.upload(body.into());
        let plain = bed.signed(request(Method::POST, "/api/v1/apps/hello/versions", "{}"));
        for request in [cut, plain] {
            let (status, code, message) = error(send(&bed.service, request).await).await;
            assert_eq!((status, code.as_str()), (400, "invalid_request"), "{message}");
        }
        assert_eq!(bed.files(), 0);
    }

    #[tokio::test]
    async fn a_parts_head_that_never_ends_is_refused_however_it_comes() {
        let bed = Bed::start().await;
        let head = [b"--XX\r\nx: ".to_vec(), vec![b'y'; 600 * 1024]].concat();
        let pieces: Vec<_> =
            head.chunks(8 * 1024).map(|piece| Ok::<_, std::io::Error>(piece.to_vec())).collect();
        for body in [Body::from_stream(stream::iter(pieces)), in_pieces(&head)] {
            let (status, code, message) = error(send(&bed.service, bed.upload(body)).await).await;
            assert_eq!((status, code.as_str()), (400, "invalid_request"), "{message}");
            assert!(message.contains("16384 bytes"), "{message}");
        }
    }

    #[tokio::test]
    async fn uploads_that_are_under_way_are_bounded() {
        let bed = Bed::start().await;
        let mut start = form(&[("artifact", &[7; 4096])]);
        start.truncate(2048);
        let slow = || {
            let body = stream::iter([Ok::<_, std::io::Error>(Bytes::from(start.clone()))]);
            Box::pin(send(&bed.service, bed.upload(Body::from_stream(body.chain(stream::pending())))))
        };
        let mut under_way = Vec::new();
        let refused = loop {
            assert!(under_way.len() <= 64, "nobody is refused");
            let mut answer = slow();
            let before = bed.files();
            let answered = loop {
                if let Ok(answer) = timeout(Duration::from_millis(5), &mut answer).await {
                    break Some(answer);
                }
                if bed.files() > before {
                    break None;
                }
            };
            match answered {
                Some(answer) => break answer,
                None => under_way.push(answer),
            }
        };
        assert_eq!(refused.headers()["retry-after"], "5");
        let (status, code, message) = error(refused).await;
        assert_eq!((status, code.as_str()), (503, "unavailable"), "{message}");
        assert!(message.contains("uploads under way"), "{message}");
        // One that ends, however it does, makes room.
        under_way.pop();
        let body = form(&[("artifact", &archive()), ("entrypoint", b"main.py")]);
        assert_eq!(send(&bed.service, bed.upload(body.into())).await.status(), StatusCode::CREATED);
    }

    #[tokio::test]
    async fn an_uploader_that_goes_away_leaves_nothing() {
        let bed = Bed::start().await;
        let mut start = form(&[("artifact", &[7; 4096])]);
        start.truncate(2048);
        let body = stream::iter([Ok::<_, std::io::Error>(Bytes::from(start))]).chain(stream::pending());
        let mut answer = Box::pin(send(&bed.service, bed.upload(Body::from_stream(body))));
        let deadline = Instant::now() + Duration::from_secs(10);
        while bed.files() == 0 {
            assert!(Instant::now() < deadline, "the upload never reached the disk");
            assert!(timeout(Duration::from_millis(5), &mut answer).await.is_err());
        }
        // What becomes of the future when the connection is gone.
        drop(answer);
        assert_eq!(bed.files(), 0);
    }
}
