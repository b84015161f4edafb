//! The moves of a team's runs as a stream.

use axum::response::Response;
use bytes::Bytes;
use futures_util::stream::unfold;
use minitower_kernel::topics::{Place, Rendered};
use minitower_runs::Runs;
use minitower_runs::live::{MoveHeard, MoveStream, RunChange};
use minitower_teams::OpenRequest;
use minitower_teams::team::TeamPrincipal;
use minitower_vocabulary::wire::live::{RunEvent, run_event};
use serde_json::json;

use super::{frame, greeting, streamed};
use crate::lasting::Lasting;
use crate::render;

/// The id of a move: which stream of moves it belongs to, and its number there.
fn id(place: Place) -> String {
    format!("{:016x}-{}", place.epoch, place.number)
}

/// The place that an id names; none: it is no id of ours.
fn place(id: &str) -> Option<Place> {
    let (epoch, number) = id.split_once('-')?;
    Some(Place { epoch: u64::from_str_radix(epoch, 16).ok()?, number: number.parse().ok()? })
}

/// The answer that follows a team's runs, from behind the event of the id `last` if there is one.
pub(crate) fn move_stream(
    runs: &Runs,
    by: &TeamPrincipal,
    last: Option<&str>,
    lasting: Lasting,
    open: OpenRequest,
) -> Response {
    let stream = match last.map(place) {
        None => runs.follow_moves(by, None),
        Some(Some(place)) => runs.follow_moves(by, Some(place)),
        // Whoever told that one, what came after it is not known here.
        Some(None) => runs.follow_moves_anew(by),
    };
    // Who comes back keeps the id that they have until they are told of something.
    let first = greeting(last.is_none().then(|| id(stream.place())).as_deref());
    let pieces = unfold(stream, async |mut stream| {
        let heard = stream.next().await?;
        Some((Ok::<_, std::convert::Infallible>(bytes(&stream, &heard)), stream))
    });
    streamed(first, pieces, lasting, open)
}

fn bytes(stream: &MoveStream, heard: &MoveHeard) -> Bytes {
    let of_stream = stream.place();
    match heard {
        MoveHeard::Moved(piece) => {
            let rendered = piece.rendered(|piece| {
                let mut out = String::new();
                let id = id(Place { epoch: of_stream.epoch, number: piece.number });
                frame(&mut out, None, Some(&id), &event(&piece.value));
                Rendered { bytes: out.into(), ends: Vec::new() }
            });
            rendered.bytes.clone()
        }
        MoveHeard::Reset => {
            let mut out = String::new();
            frame(&mut out, Some(run_event::RESET), Some(&id(of_stream)), &json!({}));
            out.into()
        }
    }
}

fn event(run: &RunChange) -> RunEvent {
    let (state, retries) = (&run.progress.state, run.progress.retries);
    let end = state.end();
    RunEvent {
        run_id: run.id.0,
        status: state.status(),
        app_id: run.app_id.0,
        app_slug: run.app.clone(),
        run_no: run.number,
        version_no: run.version,
        environment: run.environment.clone(),
        priority: run.priority,
        max_retries: retries.max,
        retry_count: retries.used,
        attempt_no: (run.attempts > 0).then_some(run.attempts),
        cancel_requested: state.is_cancel_requested(),
        queued_at: render::moment(run.progress.queued_at),
        started_at: state.first_started_at().map(render::moment),
        finished_at: end.map(|end| render::moment(end.finished_at)),
        exit_code: end.and_then(|end| end.exit_code),
        error_message: end.and_then(|end| end.error_message.clone()),
        runner: run.runner.clone(),
        labels: render::labels(run.labels.as_deref()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_was_written_and_nothing_else_is_one() {
        let written = Place { epoch: 0x0123_4567_89ab_cdef, number: 42 };
        assert_eq!(place(&id(written)), Some(written));
        for other in ["", "7", "x-1", "1-x", "-1", "1-", "11111111111111111-1"] {
            assert_eq!(place(other), None, "{other}");
        }
    }
}
