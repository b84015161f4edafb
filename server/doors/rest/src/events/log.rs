//! A run's log as a stream.

use std::fmt::Write as _;

use axum::response::Response;
use bytes::Bytes;
use futures_util::stream::try_unfold;
use minitower_kernel::topics::{Piece, Rendered};
use minitower_runs::LogLine;
use minitower_runs::live::{LogEnd, LogHeard, LogPlace, LogStream, LogTold};
use minitower_teams::OpenRequest;
use minitower_vocabulary::ids::RunId;
use minitower_vocabulary::wire::live::{AttemptEvent, EndEvent, log_event};

use super::{frame, greeting, streamed};
use crate::lasting::Lasting;
use crate::{ApiError, render};

/// The id of a line: its number; of an attempt after the first with that attempt's number before it.
fn id(place: LogPlace) -> String {
    let LogPlace { attempt, seq } = place;
    if attempt <= 1 { seq.to_string() } else { format!("{attempt}-{seq}") }
}

/// The place that an id names.
pub(crate) fn log_place(id: &str) -> Result<LogPlace, ApiError> {
    let number = |text: &str| text.parse::<u32>().ok().map(i64::from);
    let place = match id.split_once('-') {
        None => number(id).map(|seq| LogPlace { attempt: 1, seq }),
        Some((attempt, seq)) => number(attempt)
            .filter(|attempt| *attempt > 0)
            .zip(number(seq))
            .map(|(attempt, seq)| LogPlace { attempt, seq }),
    };
    place.ok_or_else(|| {
        ApiError::invalid_request(
            "Last-Event-ID: it must be the id of an event of this stream: the number of a line, or of an attempt and a line, as in 2-17",
        )
    })
}

/// The answer that follows a log.
pub(crate) fn log_stream(run: RunId, log: LogStream, lasting: Lasting, open: OpenRequest) -> Response {
    let pieces = try_unfold(log, move |mut log| async move {
        let Some(heard) = log.next().await? else { return Ok::<_, minitower_runs::Error>(None) };
        Ok(Some((bytes(run, &log, heard), log)))
    });
    streamed(greeting(None), pieces, lasting, open)
}

fn bytes(run: RunId, log: &LogStream, heard: LogHeard) -> Bytes {
    match heard {
        LogHeard::Lines { attempt, lines } => rendered(attempt, &lines).bytes,
        LogHeard::Told(piece, from) => told(&piece, from, log.stderr()),
        LogHeard::Attempt(number) => {
            let mut out = String::new();
            let id = id(LogPlace { attempt: number, seq: 0 });
            let data = AttemptEvent { run_id: run.0, attempt_no: number };
            frame(&mut out, Some(log_event::ATTEMPT), Some(&id), &data);
            out.into()
        }
        LogHeard::Ended(LogEnd { status, attempt, exit_code, error_message }) => {
            let mut out = String::new();
            let data = EndEvent { run_id: run.0, status, attempt_no: attempt, exit_code, error_message };
            frame(&mut out, Some(log_event::END), None, &data);
            out.into()
        }
    }
}

/// What is told to all, for one of them: from a line on, and of one stream perhaps.
fn told(piece: &Piece<LogTold>, from: usize, stderr: Option<bool>) -> Bytes {
    let LogTold::Lines { attempt, lines } = &piece.value else { return Bytes::new() };
    let Rendered { bytes, ends } = piece.rendered(|_| rendered(*attempt, lines));
    let begin = |line: usize| line.checked_sub(1).map_or(0, |before| ends[before]);
    match stderr {
        None => bytes.slice(begin(from)..),
        Some(stderr) => {
            let shown = (from..lines.len()).filter(|line| lines[*line].stderr == stderr);
            shown.flat_map(|line| &bytes[begin(line)..ends[line]]).copied().collect()
        }
    }
}

fn rendered(attempt: i64, lines: &[LogLine]) -> Rendered {
    let text: usize = lines.iter().map(|line| line.line.len() + 128).sum();
    let (mut out, mut ends) = (String::with_capacity(text), Vec::with_capacity(lines.len()));
    let mut id_of = String::new();
    for line in lines {
        id_of.clear();
        let _ = write!(id_of, "{}", id(LogPlace { attempt, seq: line.seq }));
        frame(&mut out, None, Some(&id_of), &render::log_line(line.clone()));
        ends.push(out.len());
    }
    Rendered { bytes: out.into(), ends }
}

#[cfg(test)]
mod tests {
    use minitower_vocabulary::time::Timestamp;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("7", 1, 7)]
    #[case("0", 1, 0)]
    #[case("2-0", 2, 0)]
    #[case("12-3456", 12, 3456)]
    fn an_id_names_an_attempt_and_a_line(#[case] text: &str, #[case] attempt: i64, #[case] seq: i64) {
        let place = log_place(text).unwrap();
        assert_eq!(place, LogPlace { attempt, seq });
        assert_eq!(id(place), text);
    }

    #[rstest]
    fn what_is_no_id_is_refused(
        #[values("x", "-1", "1-", "-", "0-1", "1-2-3", "9999999999", "+-1", "1.5", " ", "1 ")] text: &str,
    ) {
        let refused = log_place(text).unwrap_err();
        assert!(refused.message().starts_with("Last-Event-ID: "), "{}", refused.message());
    }

    #[test]
    fn a_line_is_one_frame_whatever_it_holds_and_shared_frames_are_cut_at_lines() {
        let line =
            |seq, stderr, line: &str| LogLine { seq, stderr, line: line.to_owned(), logged_at: Timestamp(0) };
        let lines = [line(3, false, "a\r\nb\u{2028}"), line(4, true, ""), line(5, false, "data: c")];
        let Rendered { bytes, ends } = rendered(2, &lines);
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let at = "1970-01-01T00:00:00.000Z";
        let expected = [
            format!(
                "id: 2-3\ndata: {{\"seq\":3,\"stream\":\"stdout\",\"line\":\"a\\r\\nb\u{2028}\",\"logged_at\":\"{at}\"}}\n\n"
            ),
            format!(
                "id: 2-4\ndata: {{\"seq\":4,\"stream\":\"stderr\",\"line\":\"\",\"logged_at\":\"{at}\"}}\n\n"
            ),
            format!(
                "id: 2-5\ndata: {{\"seq\":5,\"stream\":\"stdout\",\"line\":\"data: c\",\"logged_at\":\"{at}\"}}\n\n"
            ),
        ];
        assert_eq!(text, expected.concat());
        assert_eq!(ends, [expected[0].len(), expected[0].len() + expected[1].len(), text.len()]);
    }
}
