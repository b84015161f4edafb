//! What clients were told stays true.

use std::collections::{BTreeMap, BTreeSet};

use super::{Breaches, Rule, is_terminal};
use crate::history::{Fence, History, Run};

/// Checks creates, cancels, reads, uploads and fences.
pub(super) fn check(history: &History, breaches: &mut Breaches) {
    let runs: BTreeMap<i64, &Run> = history.runs.iter().map(|run| (run.id, run)).collect();
    creates(history, &runs, breaches);
    cancels(history, &runs, breaches);
    reads(history, &runs, breaches);
    let versions: BTreeSet<_> = history.versions.iter().collect();
    for version in &history.deployed {
        if !versions.contains(version) {
            breaches.add(Rule::VersionKept, format!("{version:?} was acknowledged and is gone"));
        }
    }
    for fence in &history.fences {
        fenced(history, fence, breaches);
    }
}

fn creates(history: &History, runs: &BTreeMap<i64, &Run>, breaches: &mut Breaches) {
    let mut by_input = BTreeMap::new();
    for asked in &history.asked {
        by_input.insert(asked.input.to_string(), asked);
        let Some(id) = asked.run else { continue };
        let Some(run) = runs.get(&id) else {
            breaches.add(Rule::RunKept, format!("run {id} was acknowledged and is gone"));
            continue;
        };
        let kept = (&run.input, run.priority, run.max_retries);
        if kept != (&asked.input, asked.priority, asked.max_retries) {
            let (is, was) = (&run.input["nonce"], &asked.input["nonce"]);
            let text = format!("run {id} is not the one that was acknowledged: number {is} instead of {was}");
            breaches.add(Rule::RunKept, text);
        }
    }
    let mut seen = BTreeMap::new();
    for run in &history.runs {
        let input = run.input.to_string();
        match by_input.get(&input) {
            None => breaches.add(Rule::RunAsked, format!("nobody asked for run {}: {input}", run.id)),
            Some(asked) if asked.run.is_some_and(|id| id != run.id) => {
                breaches.add(Rule::RunAsked, format!("run {} was asked for as {:?}", run.id, asked.run));
            }
            Some(_) => {}
        }
        if let Some(other) = seen.insert(input, run.id) {
            breaches.add(Rule::RunAsked, format!("runs {other} and {} were asked for once", run.id));
        }
    }
}

fn cancels(history: &History, runs: &BTreeMap<i64, &Run>, breaches: &mut Breaches) {
    for cancel in &history.cancels {
        // A run that is gone is a breach of its own.
        let Some(run) = runs.get(&cancel.run) else { continue };
        let wanted = match cancel.answered.as_str() {
            ended if is_terminal(ended) => ended,
            "cancelling" => "cancelled",
            other => {
                let text = format!("the cancel of run {} was answered with {other}", run.id);
                breaches.add(Rule::CancelKept, text);
                continue;
            }
        };
        if run.status != wanted {
            let text = format!(
                "the cancel of run {} was answered with {}, it ended {}",
                run.id, cancel.answered, run.status
            );
            breaches.add(Rule::CancelKept, text);
        }
    }
    for run in &history.runs {
        if run.status == "cancelled" && !history.cancels_sent.contains(&run.id) {
            breaches.add(Rule::CancelKept, format!("nobody cancelled run {}", run.id));
        }
    }
}

fn reads(history: &History, runs: &BTreeMap<i64, &Run>, breaches: &mut Breaches) {
    for (id, status) in &history.ends_seen {
        if let Some(run) = runs.get(id)
            && run.status != *status
        {
            breaches.add(Rule::EndKept, format!("run {id} was {status} and is {}", run.status));
        }
    }
    for seen in &history.lines_seen {
        let Some(run) = runs.get(&seen.run) else { continue };
        // Only the newest attempt's log is shown.
        if run.attempts.last().is_none_or(|attempt| attempt.id != seen.attempt) {
            continue;
        }
        let last = format!("line {} {} {}", seen.run, seen.attempt, seen.lines);
        if !run.log.iter().any(|line| line.text == last) {
            breaches.add(Rule::LinesKept, format!("the log of run {} has lost {last:?}", run.id));
        }
    }
}

fn fenced(history: &History, fence: &Fence, breaches: &mut Breaches) {
    for run in &history.runs {
        for attempt in run.attempts.iter().filter(|attempt| attempt.runner == fence.runner) {
            let (earliest, latest) =
                (history.clocks.earliest(attempt.leased_at), history.clocks.latest(attempt.leased_at));
            if earliest > fence.from && latest < fence.until {
                let text = format!("attempt {} was leased to {} while fenced", attempt.id, fence.runner);
                breaches.add(Rule::FenceHolds, text);
            }
        }
    }
}
