//! What is told live: no line is missing and none comes twice, whenever a listener joins, falls behind or comes back.

use std::sync::Arc;
use std::time::Duration;

use minitower_runs::domain::runner::RunnerPrincipal;
use minitower_runs::live::{
    FollowLog, LogEnd, LogHeard, LogPlace, LogStream, LogTold, MoveHeard, MoveStream,
};
use minitower_runs::{CreateRun, LogLine, ReadLog};
use minitower_teams::team::TeamPrincipal;
use minitower_vocabulary::ids::RunId;
use minitower_vocabulary::statuses::{ResultStatus, RunStatus};
use minitower_vocabulary::time::Timestamp;
use minitowerd::ControlPlane as App;
use tokio::time::timeout;

use crate::support::{Plane, outcome, retries};

/// How long what should come may take.
const SOON: Duration = Duration::from_secs(20);

fn lines(from: i64, to: i64, text: &str) -> Vec<LogLine> {
    let line =
        |seq| LogLine { seq, stderr: seq % 3 == 0, line: format!("{text} {seq}"), logged_at: Timestamp(seq) };
    (from..=to).map(line).collect()
}

/// One thing that a follower saw.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Seen {
    Line(i64, i64, String),
    Attempt(i64),
    End(RunStatus, Option<i64>),
    /// The stream said nothing more.
    Nothing,
}

/// What comes next; lines one by one.
async fn next(log: &mut LogStream) -> Vec<Seen> {
    let seen = |attempt, line: &LogLine| Seen::Line(attempt, line.seq, line.line.clone());
    match timeout(SOON, log.next()).await.expect("nothing comes").unwrap() {
        None => vec![Seen::Nothing],
        Some(LogHeard::Lines { attempt, lines }) => lines.iter().map(|line| seen(attempt, line)).collect(),
        Some(LogHeard::Told(piece, from)) => {
            let LogTold::Lines { attempt, lines } = &piece.value else { panic!("{piece:?}") };
            let shown =
                lines[from..].iter().filter(|line| log.stderr().is_none_or(|only| only == line.stderr));
            shown.map(|line| seen(*attempt, line)).collect()
        }
        Some(LogHeard::Attempt(number)) => vec![Seen::Attempt(number)],
        Some(LogHeard::Ended(LogEnd { status, attempt, .. })) => vec![Seen::End(status, attempt)],
    }
}

/// Everything to the end of the stream, which is in it as the last but one.
async fn to_the_end(log: &mut LogStream) -> Vec<Seen> {
    let mut all = Vec::new();
    while all.last() != Some(&Seen::Nothing) {
        all.extend(next(log).await);
    }
    all.pop();
    all
}

fn all(attempt: i64, from: i64, to: i64, text: &str) -> Vec<Seen> {
    lines(from, to, text).into_iter().map(|line| Seen::Line(attempt, line.seq, line.line)).collect()
}

/// A run that a runner holds.
struct Held {
    app: App,
    by: RunnerPrincipal,
    run: RunId,
    lease: String,
}

impl Held {
    async fn begin(plane: &Plane, by: &RunnerPrincipal) -> Self {
        let grant = plane.lease(by).await;
        plane.app.leases().start_run(by, grant.run.id, &grant.lease_token).await.unwrap();
        let (app, by) = (plane.app.clone(), by.clone());
        Self { app, by, run: grant.run.id, lease: grant.lease_token }
    }

    async fn log(&self, lines: Vec<LogLine>) {
        self.app.leases().append_logs(&self.by, self.run, &self.lease, lines).await.unwrap();
    }

    async fn end(&self, status: ResultStatus) {
        let (leases, report) = (self.app.leases(), outcome(status).into());
        leases.finish_run(&self.by, self.run, &self.lease, report).await.unwrap();
    }
}

async fn follow(app: &App, team: &TeamPrincipal, run: RunId, after: Option<LogPlace>) -> LogStream {
    let follow = FollowLog { after, ..FollowLog::default() };
    app.runs().follow_log(team, run, follow).await.unwrap()
}

#[tokio::test]
async fn a_log_is_followed_from_before_its_first_attempt_to_its_end() {
    let plane = Plane::start().await;
    let (run, by) = (plane.run(CreateRun::default()).await, plane.runner("r").await);
    let mut early = follow(&plane.app, &plane.team, run.id, None).await;
    assert!(timeout(Duration::from_millis(50), early.next()).await.is_err(), "there is nothing yet");
    let held = Held::begin(&plane, &by).await;
    held.log(lines(1, 3, "a")).await;
    assert_eq!(next(&mut early).await, all(1, 1, 3, "a"));
    let mut late = follow(&plane.app, &plane.team, run.id, None).await;
    assert_eq!(next(&mut late).await, all(1, 1, 3, "a"));
    // Sent again, with one more: that one is new.
    held.log(lines(2, 4, "a")).await;
    for log in [&mut early, &mut late] {
        assert_eq!(next(log).await, all(1, 4, 4, "a"));
    }
    held.end(ResultStatus::Completed).await;
    for log in [&mut early, &mut late] {
        assert_eq!(to_the_end(log).await, [Seen::End(RunStatus::Completed, Some(1))]);
    }
    let mut ended = follow(&plane.app, &plane.team, run.id, None).await;
    let mut whole = all(1, 1, 4, "a");
    whole.push(Seen::End(RunStatus::Completed, Some(1)));
    assert_eq!(to_the_end(&mut ended).await, whole);
}

#[tokio::test]
async fn a_run_that_never_began_has_an_end_and_no_line() {
    let plane = Plane::start().await;
    let run = plane.run(CreateRun::default()).await;
    let mut log = follow(&plane.app, &plane.team, run.id, None).await;
    assert!(timeout(Duration::from_millis(50), log.next()).await.is_err());
    plane.app.runs().cancel_run(&plane.team, run.id).await.unwrap();
    assert_eq!(to_the_end(&mut log).await, [Seen::End(RunStatus::Cancelled, None)]);
    let mut again = follow(&plane.app, &plane.team, run.id, None).await;
    assert_eq!(to_the_end(&mut again).await, [Seen::End(RunStatus::Cancelled, None)]);
}

#[tokio::test]
async fn a_retry_is_told_and_followed_and_one_attempt_alone_ends_with_it() {
    let plane = Plane::start().await;
    let (run, by) = (plane.run(retries(1)).await, plane.runner("r").await);
    let first = Held::begin(&plane, &by).await;
    first.log(lines(1, 2, "first")).await;
    let mut log = follow(&plane.app, &plane.team, run.id, None).await;
    let read = ReadLog { attempt: Some(1), ..ReadLog::default() };
    let alone = FollowLog { read, after: None };
    let mut alone = plane.app.runs().follow_log(&plane.team, run.id, alone).await.unwrap();
    plane.app.leases().release_run(&by, run.id, &first.lease).await.unwrap();
    let second = Held::begin(&plane, &by).await;
    second.log(lines(1, 2, "second")).await;
    second.end(ResultStatus::Failed).await;
    let mut expected = all(1, 1, 2, "first");
    expected.push(Seen::Attempt(2));
    expected.extend(all(2, 1, 2, "second"));
    expected.push(Seen::End(RunStatus::Failed, Some(2)));
    assert_eq!(to_the_end(&mut log).await, expected);
    let alone = to_the_end(&mut alone).await;
    assert_eq!(alone[..2], all(1, 1, 2, "first"));
    assert!(matches!(alone[2..], [Seen::End(_, Some(1))]), "{alone:?}");
    // Whoever comes back goes on where they were, also in an attempt that is over.
    let places = [(1, 0, 0), (1, 1, 1), (1, 2, 2), (2, 0, 3), (2, 1, 4), (2, 2, 5)];
    for (attempt, seq, seen) in places {
        let after = Some(LogPlace { attempt, seq });
        let mut back = follow(&plane.app, &plane.team, run.id, after).await;
        assert_eq!(to_the_end(&mut back).await, expected[seen..], "{after:?}");
    }
    let unknown = FollowLog { after: Some(LogPlace { attempt: 3, seq: 0 }), ..FollowLog::default() };
    let refused = plane.app.runs().follow_log(&plane.team, run.id, unknown).await.unwrap_err();
    assert_eq!(refused.to_string(), format!("run {} has no attempt 3", run.id));
    let other = plane.another_team("umbrella").await;
    assert!(plane.app.runs().follow_log(&other, run.id, FollowLog::default()).await.is_err());
}

#[tokio::test]
async fn a_stream_of_the_last_lines_or_of_one_stream_shows_no_others() {
    let plane = Plane::start().await;
    let (run, by) = (plane.run(CreateRun::default()).await, plane.runner("r").await);
    let held = Held::begin(&plane, &by).await;
    held.log(lines(1, 9, "a")).await;
    let read = ReadLog { tail: Some(2), stderr: Some(true), ..ReadLog::default() };
    let mut log =
        plane.app.runs().follow_log(&plane.team, run.id, FollowLog { read, after: None }).await.unwrap();
    let of_stderr = |seqs: [i64; 2]| seqs.map(|seq| Seen::Line(1, seq, format!("a {seq}"))).to_vec();
    assert_eq!(next(&mut log).await, of_stderr([6, 9]));
    held.log(lines(10, 15, "a")).await;
    assert_eq!(next(&mut log).await, of_stderr([12, 15]));
    // A line with a smaller number than one that was sent is stored, and not sent: streams go by number.
    held.log([lines(20, 20, "a"), lines(18, 18, "a")].concat()).await;
    held.log(lines(16, 17, "a")).await;
    held.end(ResultStatus::Completed).await;
    let end = Seen::End(RunStatus::Completed, Some(1));
    assert_eq!(to_the_end(&mut log).await, [Seen::Line(1, 18, "a 18".to_owned()), end]);
}

#[tokio::test]
async fn a_follower_that_falls_behind_reads_what_it_missed() {
    let plane = Plane::start().await;
    let (run, by) = (plane.run(CreateRun::default()).await, plane.runner("r").await);
    let held = Held::begin(&plane, &by).await;
    held.log(lines(1, 1, "a")).await;
    let mut slow = follow(&plane.app, &plane.team, run.id, None).await;
    assert_eq!(next(&mut slow).await.len(), 1);
    // More than a ring holds, and one batch that alone is more.
    let long = "x".repeat(8_000);
    for batch in 0..12 {
        let text = if batch == 5 { &long } else { &long[..700] };
        held.log(lines(batch * 50 + 2, batch * 50 + 51, text)).await;
    }
    held.end(ResultStatus::Completed).await;
    let seen = to_the_end(&mut slow).await;
    let seqs: Vec<i64> = seen
        .iter()
        .filter_map(|seen| if let Seen::Line(_, seq, _) = seen { Some(*seq) } else { None })
        .collect();
    assert_eq!(seqs, (2..=601).collect::<Vec<_>>());
    assert_eq!(seen.last(), Some(&Seen::End(RunStatus::Completed, Some(1))));
}

#[tokio::test]
async fn what_was_left_out_of_a_log_that_is_too_long_is_told_to_a_follower_who_had_not_come_to_it() {
    use minitower_vocabulary::limits::LimitName;
    let plane = Plane::start().await;
    let few = vec![(LimitName::LogBytesPerRun, Some(100_000))];
    plane.app.teams().allow_limits("acme", few).await.unwrap();
    let (run, by) = (plane.run(CreateRun::default()).await, plane.runner("r").await);
    let held = Held::begin(&plane, &by).await;
    held.log(lines(1, 100, &"b".repeat(600))).await;
    // It has seen the beginning, and some lines that will not be kept.
    let after = Some(LogPlace { attempt: 1, seq: 99 });
    for batch in 1..9 {
        held.log(lines(batch * 100 + 1, batch * 100 + 100, &"b".repeat(600))).await;
    }
    held.end(ResultStatus::Completed).await;
    let mut back = follow(&plane.app, &plane.team, run.id, after).await;
    let seen = to_the_end(&mut back).await;
    let Seen::Line(1, gap, notice) = &seen[0] else { panic!("{seen:?}") };
    assert!(notice.contains("lines") && notice.contains("are left out here"), "{notice}");
    let Seen::Line(1, first, _) = &seen[1] else { panic!("{seen:?}") };
    assert_eq!((*first, seen.len()), (gap + 1, usize::try_from(900 - gap).unwrap() + 2));
}

#[tokio::test]
async fn a_stop_ends_every_stream_and_the_next_process_goes_on_behind_the_last_line() {
    let plane = Plane::start().await;
    let (run, by) = (plane.run(CreateRun::default()).await, plane.runner("r").await);
    let held = Held::begin(&plane, &by).await;
    held.log(lines(1, 5, "a")).await;
    let mut log = follow(&plane.app, &plane.team, run.id, None).await;
    let mut moves = plane.app.runs().follow_moves(&plane.team, None);
    let place = moves.place();
    assert_eq!(next(&mut log).await.len(), 5);
    plane.stopping.cancel();
    assert_eq!(next(&mut log).await, [Seen::Nothing]);
    assert!(timeout(SOON, moves.next()).await.unwrap().is_none());
    drop((log, moves));
    let Held { app, lease, .. } = held;
    drop(app);
    let plane = plane.restart().await;
    let held = Held { app: plane.app.clone(), by, run: run.id, lease };
    let after = Some(LogPlace { attempt: 1, seq: 4 });
    let mut back = follow(&plane.app, &plane.team, run.id, after).await;
    held.log(lines(6, 7, "a")).await;
    held.end(ResultStatus::Completed).await;
    let mut expected = all(1, 5, 7, "a");
    expected.push(Seen::End(RunStatus::Completed, Some(1)));
    assert_eq!(to_the_end(&mut back).await, expected);
    let mut moves = plane.app.runs().follow_moves(&plane.team, Some(place));
    assert!(matches!(timeout(SOON, moves.next()).await, Ok(Some(MoveHeard::Reset))), "of another process");
}

/// Listeners who join, leave and come back at random while a run prints and is retried.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whoever_joins_when_and_however_often_has_every_line_once_and_in_order() {
    const ATTEMPTS: i64 = 4;
    const BATCHES: i64 = 40;
    let plane = Arc::new(Plane::start().await);
    let (run, by) = (plane.run(retries(ATTEMPTS)).await, plane.runner("r").await);
    let text = |attempt: i64| format!("of {attempt}");
    let listeners: Vec<_> = (0..24_u64)
        .map(|number| {
            let plane = Arc::clone(&plane);
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(number * 7)).await;
                let (mut after, mut seen, mut left) = (Some(LogPlace { attempt: 1, seq: 0 }), Vec::new(), 1);
                // Those who begin before there is an attempt have no place yet.
                if number % 4 == 0 {
                    after = None;
                }
                loop {
                    let mut log = follow(&plane.app, &plane.team, run.id, after).await;
                    let stay = 3 + (number * 5 + left * 11) % 17;
                    left += 1;
                    for _ in 0..stay {
                        for one in next(&mut log).await {
                            match &one {
                                Seen::Line(attempt, seq, _) => {
                                    after = Some(LogPlace { attempt: *attempt, seq: *seq });
                                }
                                Seen::Attempt(attempt) => {
                                    after = Some(LogPlace { attempt: *attempt, seq: 0 });
                                }
                                Seen::End(..) => return seen,
                                Seen::Nothing => panic!("the server did not stop"),
                            }
                            seen.push(one);
                        }
                        if (number + left).is_multiple_of(5) {
                            tokio::time::sleep(Duration::from_millis(5)).await;
                        }
                    }
                }
            })
        })
        .collect();
    let mut expected = Vec::new();
    for attempt in 1..=ATTEMPTS {
        let held = Held::begin(&plane, &by).await;
        for batch in 0..BATCHES {
            let lines = lines(batch * 10 + 1, batch * 10 + 10, &text(attempt));
            held.log(lines).await;
            if batch % 8 == 0 {
                tokio::task::yield_now().await;
            }
        }
        expected.extend((attempt > 1).then_some(Seen::Attempt(attempt)));
        expected.extend(all(attempt, 1, BATCHES * 10, &text(attempt)));
        if attempt < ATTEMPTS {
            plane.app.leases().release_run(&by, run.id, &held.lease).await.unwrap();
        } else {
            held.end(ResultStatus::Completed).await;
        }
    }
    for (number, listener) in listeners.into_iter().enumerate() {
        let seen = timeout(SOON, listener).await.unwrap().unwrap();
        // One that began without a place began with the attempt that was the newest then.
        let from = expected.len().checked_sub(seen.len()).expect("it has more than there is");
        assert_eq!(seen[..], expected[from..], "listener {number}");
        assert!(from == 0 || number % 4 == 0, "listener {number} began at {from}");
    }
}

/// The run's status after the next move.
async fn moved(moves: &mut MoveStream) -> Option<(RunId, RunStatus, i64)> {
    match timeout(SOON, moves.next()).await.expect("nothing comes").expect("the stream ended") {
        MoveHeard::Moved(piece) => {
            let run = &piece.value;
            Some((run.id, run.progress.status(), run.attempts))
        }
        MoveHeard::Reset => None,
    }
}

#[tokio::test]
async fn a_team_hears_of_every_move_of_its_runs_and_of_no_others() {
    let plane = Plane::start().await;
    let by = plane.runner("r").await;
    let mut moves = plane.app.runs().follow_moves(&plane.team, None);
    let beginning = moves.place();
    let other = plane.another_team("umbrella").await;
    let mut theirs = plane.app.runs().follow_moves(&other, None);
    let run = plane.run(CreateRun::default()).await;
    let held = Held::begin(&plane, &by).await;
    plane.run_of(&other, CreateRun::default()).await;
    held.end(ResultStatus::Completed).await;
    let expected =
        [(RunStatus::Queued, 0), (RunStatus::Leased, 1), (RunStatus::Running, 1), (RunStatus::Completed, 1)];
    for (status, attempts) in expected {
        assert_eq!(moved(&mut moves).await, Some((run.id, status, attempts)));
    }
    assert_eq!(moved(&mut theirs).await.map(|(_, status, _)| status), Some(RunStatus::Queued));
    // Come back while nobody listened.
    let place = moves.place();
    drop(moves);
    let second = plane.run(CreateRun::default()).await;
    let mut back = plane.app.runs().follow_moves(&plane.team, Some(place));
    assert_eq!(moved(&mut back).await, Some((second.id, RunStatus::Queued, 0)));
    let mut all = plane.app.runs().follow_moves(&plane.team, Some(beginning));
    for (status, attempts) in expected {
        assert_eq!(moved(&mut all).await, Some((run.id, status, attempts)));
    }
    // More than is kept.
    for _ in 0..300 {
        plane.run(CreateRun::default()).await;
    }
    assert_eq!(moved(&mut back).await, None, "it fell behind");
    let mut late = plane.app.runs().follow_moves(&plane.team, Some(place));
    assert_eq!(moved(&mut late).await, None, "what it missed is not there any more");
    let last = plane.run(CreateRun::default()).await;
    for moves in [&mut back, &mut late] {
        // What was told after the reset comes too, without a gap.
        let (first, ..) = moved(moves).await.unwrap();
        for id in first.0 + 1..=last.id.0 {
            assert_eq!(moved(moves).await, Some((RunId(id), RunStatus::Queued, 0)));
        }
    }
}
