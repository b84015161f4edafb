//! Control planes that have no call for their demand: it is read from their metrics.

use std::time::{Duration, Instant};

use minitower_operator::demand::{ErrorKind, Hub};
use minitower_test_plane::{Answer, Plane};
use rstest::rstest;

use super::support::{DEMAND, METRICS, check, client, config, failure, older_plane, raw_older};

/// The content type of metrics.
const TEXT: &str = "text/plain; version=0.0.4";
/// The least that is a whole answer.
const WHOLE: &str = "minitower_build_info 1\n";

#[tokio::test]
async fn an_older_control_plane_is_understood_and_remembered() {
    let plane = older_plane();
    let team = plane.team("acme");
    team.script("hello", "print('hello')");
    for _ in 0..3 {
        team.run("hello");
    }
    let client = client(&plane);
    for _ in 0..3 {
        let snapshot = client.scrape().await.unwrap();
        assert_eq!(snapshot.pending_in("default", Some("acme")), 3);
        assert_eq!(snapshot.pending_in("gpu", None), 0);
    }
    assert_eq!((plane.count(DEMAND), plane.count(METRICS)), (1, 3));
}

#[tokio::test]
async fn a_whole_answer_without_a_series_is_zero() {
    let plane = older_plane();
    plane.always(METRICS, Answer::text(200, TEXT, WHOLE));
    assert_eq!(client(&plane).scrape().await.unwrap().pending_in("default", None), 0);
}

#[rstest]
#[case::of_an_unknown_route(404)]
#[case::of_an_unknown_method(405)]
#[tokio::test]
async fn what_is_no_control_plane_at_all_is_not_remembered_as_an_older_one(#[case] status: u16) {
    let plane = Plane::start();
    let rule = plane.always("* /**", Answer::text(status, "text/html", "<html>nothing here</html>"));
    let hub = Hub::new();
    let reading = hub.demand(&config(&plane), Duration::ZERO).await;
    assert_eq!(reading.demand(Instant::now()).reason().unwrap().kind(), ErrorKind::NotFound);
    plane.lift(rule);
    let reading = hub.demand(&config(&plane), Duration::ZERO).await;
    assert_eq!(reading.demand(Instant::now()).as_str(), "Known");
    assert_eq!((plane.count(DEMAND), plane.count(METRICS)), (2, 1));
}

#[rstest]
#[case::empty("", "lack minitower_build_info")]
#[case::a_page("<html>all is well</html>\n", "lack minitower_build_info")]
#[case::another_exporter(
    "up 1\nminitower_runs_pending{team=\"a\",environment=\"default\"} 0\n",
    "lack minitower_build_info"
)]
#[case::cut_in_a_line("minitower_build_info 1\nminitower_runs_pend", "end within a line")]
#[case::garbled("minitower_build_info 1\nminitower_runs_pending{team=\"a\"} x\n", "cannot read a line")]
#[tokio::test]
async fn metrics_that_are_not_a_control_planes_are_incomplete(
    #[case] body: &'static str,
    #[case] words: &str,
) {
    let plane = older_plane();
    plane.always(METRICS, Answer::text(200, TEXT, body));
    check(&failure(&config(&plane)).await, ErrorKind::Incomplete, words);
}

#[tokio::test]
async fn metrics_shorter_than_announced_are_no_answer() {
    let length = WHOLE.len() + 1;
    failure(&raw_older(format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{WHOLE}")).await).await;
    // Cut off between its chunks, after a line's end.
    let length = WHOLE.len();
    let answer = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{length:x}\r\n{WHOLE}\r\n");
    failure(&raw_older(answer).await).await;
}

#[tokio::test]
async fn metrics_whose_end_is_the_connections_are_no_answer() {
    let config = raw_older(format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{WHOLE}")).await;
    check(&failure(&config).await, ErrorKind::Incomplete, "how long the metrics are");
}

#[tokio::test]
async fn metrics_that_break_off_are_no_answer() {
    let plane = older_plane();
    plane.always(METRICS, Answer::break_off());
    failure(&config(&plane)).await;
}
