//! What the jobs' own witnesses say agrees with what the control plane says.

use std::collections::BTreeMap;

use super::{Breaches, Rule};
use crate::history::{Attempt, Ended, History, Life, Moment, Run};

/// When processes of one attempt lived: from the earliest to the latest moment known of any of them.
#[derive(Debug, Clone, Copy)]
struct Span {
    attempt: i64,
    /// The earliest moment known, as late as it may have been.
    first: Moment,
    /// The latest moment known, as early as it may have been.
    last: Moment,
}

/// Checks that no run was executed twice at once, and that what ended says so truly.
pub(super) fn check(history: &History, breaches: &mut Breaches) {
    let mut lives: BTreeMap<i64, Vec<&Life>> = BTreeMap::new();
    for life in &history.lives {
        lives.entry(life.run).or_default().push(life);
    }
    let runs: BTreeMap<i64, &Run> = history.runs.iter().map(|run| (run.id, run)).collect();
    for (id, lives) in &lives {
        let Some(run) = runs.get(id) else {
            breaches.add(Rule::NoneUnleased, format!("a job of run {id} ran, and there is no such run"));
            continue;
        };
        at_once(run, lives, breaches);
        for life in lives {
            leased(history, run, life, breaches);
        }
    }
    for run in &history.runs {
        let none = Vec::new();
        ended(history, run, lives.get(&run.id).unwrap_or(&none), breaches);
    }
}

fn at_once(run: &Run, lives: &[&Life], breaches: &mut Breaches) {
    let mut spans: BTreeMap<i64, Span> = BTreeMap::new();
    for life in lives {
        let (first, last) = (life.first + life.cut, life.last);
        let span = spans.entry(life.attempt).or_insert(Span { attempt: life.attempt, first, last });
        span.first = span.first.min(first);
        span.last = span.last.max(last);
    }
    let spans: Vec<Span> = spans.into_values().collect();
    for (index, one) in spans.iter().enumerate() {
        for other in &spans[index + 1..] {
            let both = one.last.min(other.last) - one.first.max(other.first);
            if both > 0 {
                let text = format!(
                    "run {}: attempts {} and {} lived at once for {} ms",
                    run.id,
                    one.attempt,
                    other.attempt,
                    both / 1000
                );
                breaches.add(Rule::OnceAtATime, text);
            }
        }
    }
}

/// A process belongs to an attempt that the control plane knows, and lives within its time.
fn leased(history: &History, run: &Run, life: &Life, breaches: &mut Breaches) {
    let Some(attempt) = run.attempts.iter().find(|attempt| attempt.id == life.attempt) else {
        let text = format!("a job of run {} ran as attempt {}, which it never had", run.id, life.attempt);
        breaches.add(Rule::NoneUnleased, text);
        return;
    };
    let Some(finished_at) = attempt.finished_at else { return };
    let over = life.last - history.clocks.latest(finished_at);
    if over > 0 {
        let text = format!(
            "run {}: a process of attempt {} ({}) lived {} ms after its end",
            run.id,
            attempt.id,
            attempt.status,
            over / 1000
        );
        breaches.add(Rule::NoneOutlives, text);
    }
}

/// The last attempt of a run ended as its job did, and its log is whole.
fn ended(history: &History, run: &Run, lives: &[&Life], breaches: &mut Breaches) {
    let Some(attempt) = run.attempts.last() else { return };
    let last_words =
        lives.iter().find(|life| life.attempt == attempt.id && life.is_main).and_then(|life| life.ended);
    in_order(run, attempt, breaches);
    let mut untrue = |text: String| {
        breaches.add(Rule::TrueEnd, format!("run {}, attempt {}: {text}", run.id, attempt.id));
    };
    match run.status.as_str() {
        "completed" => match last_words {
            Some(Ended { code: 0, lines }) => whole(run, attempt, lines, breaches),
            other => untrue(format!("completed, the job's last words are {other:?}")),
        },
        "failed" => match last_words {
            Some(words)
                if attempt.reason.as_deref() == Some("exit") && attempt.exit_code == Some(words.code) =>
            {
                if words.code == 0 {
                    untrue("failed, the job ended well".to_owned());
                }
                whole(run, attempt, words.lines, breaches);
            }
            // Its supervisor or one of its processes was killed.
            _ if provoked(history, attempt) => {}
            other => untrue(format!(
                "failed ({:?}, code {:?}), the job's last words are {other:?}, and nothing of it was killed",
                attempt.reason, attempt.exit_code
            )),
        },
        _ => {}
    }
}

/// Whether something of the attempt was killed while its runner went on.
fn provoked(history: &History, attempt: &Attempt) -> bool {
    let from = history.clocks.earliest(attempt.leased_at);
    let until = attempt.finished_at.map_or(Moment::MAX, |at| history.clocks.latest(at));
    history.kills.iter().any(|kill| kill.runner == attempt.runner && (from..=until).contains(&kill.at))
}

/// The numbers of a log have no gap, and the job's lines are its own, one after the other from the first.
fn in_order(run: &Run, attempt: &Attempt, breaches: &mut Breaches) {
    let out = run.log.iter().filter(|line| line.stream == "stdout");
    for (index, line) in out.enumerate() {
        let wanted = format!("line {} {} {}", run.id, attempt.id, index + 1);
        if line.text != wanted {
            let text = format!("the log of run {} says {:?} instead of {wanted:?}", run.id, line.text);
            breaches.add(Rule::WholeLog, text);
            break;
        }
    }
    for (line, wanted) in run.log.iter().zip(1_i64..) {
        if line.seq != wanted {
            let text = format!("the log of run {} has the number {} instead of {wanted}", run.id, line.seq);
            breaches.add(Rule::WholeLog, text);
            break;
        }
    }
}

fn whole(run: &Run, attempt: &Attempt, lines: i64, breaches: &mut Breaches) {
    let kept = run.log.iter().filter(|line| line.stream == "stdout").count();
    if i64::try_from(kept).ok() != Some(lines) {
        let text = format!("run {}, attempt {}: {kept} lines are kept of {lines}", run.id, attempt.id);
        breaches.add(Rule::WholeLog, text);
    }
}
