//! The checker objects to bad histories, each for the reason it should, and not to a good one.

use serde_json::json;

use super::{Rule, check};
use crate::history::{
    Asked, Attempt, Cancel, Clocks, Ended, Fence, History, Kill, Life, Line, LinesSeen, Run, Version,
};

/// Milliseconds since 1970 at which the clocks of these histories start; boot time 0.
const EPOCH: i64 = 1_700_000_000_000;

fn attempt(id: i64, no: i64, status: &str, from: i64, until: i64) -> Attempt {
    Attempt {
        id,
        no,
        status: status.to_owned(),
        runner: "one".to_owned(),
        reason: ["completed", "failed"].contains(&status).then(|| "exit".to_owned()),
        exit_code: (status == "completed").then_some(0),
        leased_at: EPOCH + from,
        finished_at: Some(EPOCH + until),
    }
}

fn life(run: i64, attempt: i64, first_ms: i64, last_ms: i64, ended: Option<Ended>) -> Life {
    let (first, last) = (first_ms * 1000, last_ms * 1000);
    Life { run, attempt, is_main: true, first, last, cut: 0, ended }
}

fn run(id: i64, status: &str, max_retries: i64, attempts: Vec<Attempt>) -> Run {
    let lost = attempts.iter().filter(|attempt| attempt.status == "expired").count();
    Run {
        id,
        status: status.to_owned(),
        input: json!({"nonce": id}),
        priority: 0,
        max_retries,
        retry_count: i64::try_from(lost).unwrap().min(max_retries),
        attempts,
        log: Vec::new(),
    }
}

fn asked(run: &Run) -> Asked {
    Asked { run: Some(run.id), input: run.input.clone(), priority: 0, max_retries: run.max_retries }
}

fn version() -> Version {
    Version { team: 1, app: "python".to_owned(), no: 1, sha256: "ab".to_owned() }
}

/// A run that was lost once and then completed, one that was cancelled in the queue, one that is dead.
fn good() -> History {
    let mut completed = run(
        1,
        "completed",
        1,
        vec![attempt(10, 1, "expired", 0, 1000), attempt(11, 2, "completed", 1100, 2000)],
    );
    completed.log = (1..=3)
        .map(|n| Line { seq: n, stream: "stdout".to_owned(), text: format!("line 1 11 {n}") })
        .chain([Line { seq: 4, stream: "stderr".to_owned(), text: "a note".to_owned() }])
        .collect();
    let cancelled = run(2, "cancelled", 0, Vec::new());
    let dead = run(3, "dead", 0, vec![attempt(12, 1, "expired", 3000, 4000)]);
    History {
        asked: [&completed, &cancelled, &dead].map(asked).to_vec(),
        cancels: vec![Cancel { run: 2, answered: "cancelled".to_owned() }],
        cancels_sent: [2].into(),
        ends_seen: vec![(1, "completed".to_owned())],
        lines_seen: vec![
            LinesSeen { run: 1, attempt: 10, lines: 9 },
            LinesSeen { run: 1, attempt: 11, lines: 2 },
        ],
        deployed: vec![version()],
        fences: vec![Fence { runner: "one".to_owned(), from: 2_100_000, until: 2_900_000 }],
        kills: Vec::new(),
        lives: vec![
            life(1, 10, 100, 900, None),
            life(1, 11, 1200, 1900, Some(Ended { code: 0, lines: 3 })),
            life(3, 12, 3100, 3900, None),
        ],
        runs: vec![completed, cancelled, dead],
        versions: vec![version()],
        clocks: Clocks { least: EPOCH * 1000, most: EPOCH * 1000 },
        complaints: Vec::new(),
    }
}

/// The rules that a changed history breaks.
fn broken(change: impl FnOnce(&mut History)) -> Vec<Rule> {
    let mut history = good();
    change(&mut history);
    let mut rules: Vec<Rule> = check(&history).into_iter().map(|breach| breach.rule).collect();
    rules.dedup();
    rules
}

#[test]
fn a_good_history_passes() {
    assert_eq!(broken(|_| {}), []);
}

#[test]
fn what_nobody_heard_of_may_be_there_or_not() {
    assert_eq!(broken(|it| it.asked[2].run = None), []);
    let absent = Asked { run: None, input: json!({"nonce": 9}), priority: 0, max_retries: 0 };
    assert_eq!(broken(|it| it.asked.push(absent)), []);
    assert_eq!(broken(|it| it.cancels.clear()), []);
}

#[test]
fn a_lost_create_is_noticed() {
    assert_eq!(
        broken(|it| {
            it.runs.remove(1);
        }),
        [Rule::RunKept]
    );
}

#[test]
fn a_changed_run_is_noticed() {
    assert_eq!(broken(|it| it.runs[1].priority = 1), [Rule::RunKept]);
    assert_eq!(broken(|it| it.runs[1].input = json!({"nonce": 7})), [Rule::RunKept, Rule::RunAsked]);
}

#[test]
fn a_run_that_nobody_asked_for_and_one_made_twice_are_noticed() {
    assert_eq!(
        broken(|it| {
            it.asked.remove(1);
        }),
        [Rule::RunAsked]
    );
    let twice = |it: &mut History| {
        let again = Run { id: 4, ..it.runs[1].clone() };
        it.cancels_sent.insert(4);
        it.asked[1].run = None;
        it.runs.push(again);
    };
    assert_eq!(broken(twice), [Rule::RunAsked]);
}

#[test]
fn a_lost_or_unasked_cancel_is_noticed() {
    let cancelled = |run| Cancel { run, answered: "cancelling".to_owned() };
    assert_eq!(broken(|it| it.cancels.push(cancelled(1))), [Rule::CancelKept]);
    assert_eq!(broken(|it| it.cancels[0].answered = "queued".to_owned()), [Rule::CancelKept]);
    assert_eq!(broken(|it| it.cancels_sent.clear()), [Rule::CancelKept]);
}

#[test]
fn an_end_that_changed_is_noticed() {
    assert_eq!(broken(|it| it.ends_seen.push((3, "failed".to_owned()))), [Rule::EndKept]);
}

#[test]
fn a_line_that_was_shown_and_is_gone_is_noticed() {
    assert_eq!(broken(|it| it.lines_seen[1].lines = 4), [Rule::LinesKept]);
}

#[test]
fn a_lost_upload_is_noticed() {
    assert_eq!(broken(|it| it.versions[0].sha256 = "cd".to_owned()), [Rule::VersionKept]);
}

#[test]
fn a_lease_through_a_fence_is_noticed() {
    assert_eq!(broken(|it| it.fences[0].until = 3_500_000), [Rule::FenceHolds]);
    let fence_of_another = |it: &mut History| {
        it.fences[0].until = 3_500_000;
        it.fences[0].runner = "two".to_owned();
    };
    assert_eq!(broken(fence_of_another), []);
}

#[test]
fn attempts_that_live_at_once_are_noticed() {
    // The grandchild of a lost attempt goes on into the next one.
    let child = Life { is_main: false, ..life(1, 10, 500, 1250, None) };
    assert_eq!(broken(|it| it.lives.push(child)), [Rule::OnceAtATime, Rule::NoneOutlives]);
}

#[test]
fn what_a_clock_cuts_off_is_no_proof() {
    let mut early = life(1, 11, 895, 1900, Some(Ended { code: 0, lines: 3 }));
    early.cut = 10_000;
    assert_eq!(broken(|it| it.lives[1] = early), []);
}

#[test]
fn a_process_that_outlives_its_attempt_is_noticed() {
    assert_eq!(broken(|it| it.lives[2].last = 4_010_000), [Rule::NoneOutlives]);
}

#[test]
fn a_process_without_an_attempt_is_noticed() {
    assert_eq!(broken(|it| it.lives.push(life(2, 77, 1, 2, None))), [Rule::NoneUnleased]);
    assert_eq!(broken(|it| it.lives.push(life(99, 10, 1, 2, None))), [Rule::NoneUnleased]);
}

#[test]
fn a_result_that_is_not_the_jobs_is_noticed() {
    assert_eq!(broken(|it| it.lives[1].ended = None), [Rule::TrueEnd]);
    assert_eq!(broken(|it| it.lives[1].ended = Some(Ended { code: 3, lines: 3 })), [Rule::TrueEnd]);
    let failed = |it: &mut History| {
        it.runs[0].status = "failed".to_owned();
        it.ends_seen.clear();
        it.runs[0].attempts[1].status = "failed".to_owned();
        it.runs[0].attempts[1].exit_code = Some(1);
    };
    assert_eq!(broken(failed), [Rule::TrueEnd]);
    let killed = |it: &mut History| {
        failed(it);
        it.kills.push(Kill { runner: "one".to_owned(), at: 1_500_000 });
    };
    assert_eq!(broken(killed), []);
}

#[test]
fn a_log_that_is_not_whole_is_noticed() {
    let cut = |it: &mut History| it.runs[0].log.truncate(2);
    assert_eq!(broken(cut), [Rule::WholeLog]);
    assert_eq!(
        broken(|it| {
            it.runs[0].log.remove(1);
        }),
        [Rule::WholeLog, Rule::LinesKept].into_iter().rev().collect::<Vec<_>>()
    );
    assert_eq!(broken(|it| it.runs[0].log[3].seq = 5), [Rule::WholeLog]);
    assert_eq!(broken(|it| it.runs[0].log.swap(0, 1)), [Rule::WholeLog]);
}

#[test]
fn a_run_that_is_stuck_is_noticed() {
    let stuck = |it: &mut History| it.runs[2].status = "queued".to_owned();
    assert_eq!(broken(stuck), [Rule::NoneStuck]);
}

#[test]
fn attempts_that_tell_no_possible_story_are_noticed() {
    for change in [
        (|it: &mut History| it.runs[0].attempts[1].no = 3) as fn(&mut History),
        |it| it.runs[0].attempts[0].status = "cancelled".to_owned(),
        |it| it.runs[0].attempts[1].leased_at = EPOCH + 900,
        |it| it.runs[1].status = "dead".to_owned(),
        |it| it.runs[2].attempts[0].status = "released".to_owned(),
    ] {
        assert!(broken(change).contains(&Rule::Attempts));
    }
}

#[test]
fn a_budget_that_is_not_kept_is_noticed() {
    // Dead although a retry was left.
    assert_eq!(
        broken(|it| {
            it.runs[2].max_retries = 1;
            it.asked[2].max_retries = 1;
        }),
        [Rule::Budget]
    );
    // Not dead although none was left.
    assert_eq!(
        broken(|it| {
            it.runs[0].max_retries = 0;
            it.asked[0].max_retries = 0;
        }),
        [Rule::Budget]
    );
    // A loss that was not counted.
    assert_eq!(broken(|it| it.runs[0].retry_count = 0), [Rule::Budget]);
}

#[test]
fn what_the_driver_saw_counts() {
    assert_eq!(broken(|it| it.complaints.push("a process is left".to_owned())), [Rule::Sane]);
}
