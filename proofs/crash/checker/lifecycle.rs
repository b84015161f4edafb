//! Each run's attempts tell one possible story.

use super::{Breaches, Rule, is_terminal};
use crate::history::{History, Run};

/// Checks every run's end, attempts and budget.
pub(super) fn check(history: &History, breaches: &mut Breaches) {
    for run in &history.runs {
        if !is_terminal(&run.status) {
            breaches.add(Rule::NoneStuck, format!("run {} is still {}", run.id, run.status));
            continue;
        }
        attempts(history, run, breaches);
        budget(run, breaches);
    }
}

fn attempts(history: &History, run: &Run, breaches: &mut Breaches) {
    let mut wrong = |text: String| {
        let story: Vec<&str> = run.attempts.iter().map(|attempt| attempt.status.as_str()).collect();
        let text = format!("run {} ({}), attempts {story:?}: {text}", run.id, run.status);
        breaches.add(Rule::Attempts, text);
    };
    for (attempt, no) in run.attempts.iter().zip(1_i64..) {
        if attempt.no != no {
            wrong(format!("number {} instead of {no}", attempt.no));
        }
        if attempt.finished_at.is_none() {
            wrong(format!("attempt {} has no end", attempt.id));
        }
    }
    let Some((last, former)) = run.attempts.split_last() else {
        if run.status != "cancelled" {
            wrong("it ended without an attempt".to_owned());
        }
        return;
    };
    for attempt in former {
        if !["expired", "released"].contains(&attempt.status.as_str()) {
            wrong(format!("attempt {} had ended the run", attempt.id));
        }
    }
    let pairs = former.iter().zip(&run.attempts[1..]);
    for (one, next) in pairs {
        if one
            .finished_at
            .is_some_and(|end| history.clocks.latest(next.leased_at) < history.clocks.earliest(end))
        {
            wrong(format!("attempt {} was leased before attempt {} had ended", next.id, one.id));
        }
    }
    let possible: &[&str] = match run.status.as_str() {
        "completed" => &["completed"],
        "failed" => &["failed"],
        "dead" => &["expired"],
        // It may have been cancelled when it was queued again.
        _ => &["cancelled", "expired", "released"],
    };
    if !possible.contains(&last.status.as_str()) {
        wrong("the last attempt ended otherwise".to_owned());
    }
}

fn budget(run: &Run, breaches: &mut Breaches) {
    let lost = run.attempts.iter().filter(|attempt| attempt.status == "expired").count();
    let lost = i64::try_from(lost).unwrap_or(i64::MAX);
    let (used, dead) = (run.retry_count, run.status == "dead");
    let wanted =
        if dead { (run.max_retries + 1, run.max_retries) } else { (lost.min(run.max_retries), lost) };
    if (lost, used) != wanted {
        let text = format!(
            "run {} ({}) was lost {lost} times with {} retries, of which {used} count as used",
            run.id, run.status, run.max_retries
        );
        breaches.add(Rule::Budget, text);
    }
}
