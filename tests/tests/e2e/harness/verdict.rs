//! What the runs of a scenario are judged by: their attempts, the witness, and what the cluster did to pods.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use minitower_tests::shape::{int, text, time};
use serde_json::Value;

use super::{Kind, Scene};

/// When a runner's name is leased to again after a mark was taken from its pod, the lease may be seen before the unmarking is.
const SEEN_LATE: SignedDuration = SignedDuration::from_secs(2);

/// An attempt at a run, and the span in which its runner was busy with it.
#[derive(Debug, Clone)]
#[expect(dead_code, reason = "what is shown when something was amiss")]
struct Attempt {
    run: i64,
    runner: String,
    status: String,
    from: Timestamp,
    to: Option<Timestamp>,
}

/// A span in which a pod was chosen to go: marked, or asked to end.
#[derive(Debug, Clone)]
#[expect(dead_code, reason = "what is shown when something was amiss")]
struct Chosen {
    pod: String,
    from: Timestamp,
    /// When it was spared again.
    to: Option<Timestamp>,
    how: &'static str,
}

/// Asserts that every run completed in one attempt by its own result, that the witness saw each begin once and come to its own end, and
/// that no pod was chosen to go while its runner held a run. Yields how many runs there were and how many pods were chosen.
pub(crate) fn assert_undisturbed(scene: &Scene) -> (usize, usize) {
    let runs = scene.runs();
    for run in &runs {
        assert_eq!(run["status"], "completed", "{run}\n{}", scene.bed.team.log_text(int(run, "run_id")));
        assert_eq!(run["retry_count"], 0, "{run}");
    }
    let attempts = attempts(scene, &runs);
    let interrupted: Vec<_> = attempts.iter().filter(|attempt| attempt.status != "completed").collect();
    assert!(interrupted.is_empty(), "attempts that did not end by their own result: {interrupted:?}");
    assert_eq!(attempts.len(), runs.len(), "each run has one attempt");
    let notes = scene.bed.witness.notes(&scene.name);
    let cut: Vec<_> = notes.iter().filter(|note| !note.finished()).collect();
    assert!(cut.is_empty(), "jobs that did not come to their own end: {cut:?}");
    assert_eq!(notes.len(), runs.len(), "each run begins once");
    let busy = busy_when_chosen(scene, &attempts);
    assert!(busy.is_empty(), "busy pods were chosen: {busy:#?}");
    let pods: BTreeSet<String> = chosen(scene).into_iter().map(|choice| choice.pod).collect();
    (runs.len(), pods.len())
}

/// The pods of a scene that were marked or asked to end while their runners held a run.
pub(crate) fn busy_pods_chosen(scene: &Scene) -> BTreeSet<String> {
    let attempts = attempts(scene, &scene.runs());
    busy_when_chosen(scene, &attempts).into_iter().map(|(choice, _)| choice.pod).collect()
}

fn attempts(scene: &Scene, runs: &[Value]) -> Vec<Attempt> {
    let of_run = |run: &Value| {
        let id = int(run, "run_id");
        scene.bed.team.attempts(id).into_iter().map(move |attempt| Attempt {
            run: id,
            runner: text(&attempt, "runner"),
            status: text(&attempt, "status"),
            from: time(&attempt, "leased_at"),
            to: attempt["finished_at"].is_string().then(|| time(&attempt, "finished_at")),
        })
    };
    runs.iter().flat_map(of_run).collect()
}

fn busy_when_chosen(scene: &Scene, attempts: &[Attempt]) -> Vec<(Chosen, Attempt)> {
    let mut found = Vec::new();
    for choice in chosen(scene) {
        for attempt in attempts.iter().filter(|attempt| attempt.runner == choice.pod) {
            let busy = attempt.from < choice.from && attempt.to.is_none_or(|to| to > choice.from);
            let end = choice.to.map_or(Timestamp::MAX, |to| to - SEEN_LATE);
            let leased_afterwards = attempt.from > choice.from && attempt.from < end;
            if busy || leased_afterwards {
                found.push((choice.clone(), attempt.clone()));
            }
        }
    }
    found
}

/// Every time that a pod was marked or asked to end. Times are those at which this was seen: a little later than it was.
fn chosen(scene: &Scene) -> Vec<Chosen> {
    scene.bed.view.now(|state| {
        let mut all = Vec::new();
        let mut marked: BTreeMap<String, Chosen> = BTreeMap::new();
        let mut leaving: BTreeSet<String> = BTreeSet::new();
        for change in state.changes(Kind::Pod, &scene.name) {
            let metadata = &change.object["metadata"];
            let cost = metadata["annotations"]["controller.kubernetes.io/pod-deletion-cost"].as_str();
            let has_mark = cost.is_some_and(|cost| cost.starts_with('-'));
            let pod = change.name.clone();
            if has_mark && !marked.contains_key(&pod) {
                marked.insert(
                    pod.clone(),
                    Chosen { pod: pod.clone(), from: change.at, to: None, how: "marked" },
                );
            } else if !has_mark && let Some(mut mark) = marked.remove(&pod) {
                mark.to = Some(change.at);
                all.push(mark);
            }
            let goes = change.gone || !metadata["deletionTimestamp"].is_null();
            if goes && leaving.insert(pod.clone()) {
                all.push(Chosen { pod, from: change.at, to: None, how: "asked to end" });
            }
        }
        all.extend(marked.into_values());
        all
    })
}

/// How often the size of a scene's Deployments went down.
pub(crate) fn scale_downs(scene: &Scene) -> usize {
    scene.bed.view.now(|state| {
        let mut sizes: BTreeMap<String, i64> = BTreeMap::new();
        let mut count = 0;
        for change in state.changes(Kind::Deployment, &scene.name) {
            let size = change.object["spec"]["replicas"].as_i64().unwrap_or(1);
            let before = sizes.insert(change.name.clone(), size);
            count += usize::from(!change.gone && before.is_some_and(|before| size < before));
        }
        count
    })
}

/// How many pods of a scene there were at once at most, without those that were leaving.
pub(crate) fn most_pods(scene: &Scene) -> usize {
    scene.bed.view.now(|state| {
        let mut there = BTreeSet::new();
        let mut most = 0;
        for change in state.changes(Kind::Pod, &scene.name) {
            if change.gone || !change.object["metadata"]["deletionTimestamp"].is_null() {
                there.remove(&change.name);
            } else {
                there.insert(&change.name);
            }
            most = most.max(there.len());
        }
        most
    })
}

/// The middle and the worst-but-one-percent of some spans.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spread {
    /// Half are not longer.
    pub(crate) p50: Duration,
    /// 99 of 100 are not longer.
    pub(crate) p99: Duration,
    /// How many there are.
    pub(crate) count: usize,
}

impl Spread {
    /// Of at least one span, by the nearest rank.
    pub(crate) fn of(mut spans: Vec<Duration>) -> Self {
        spans.sort_unstable();
        let rank = |percent: usize| spans[(spans.len() * percent).div_ceil(100).max(1) - 1];
        Self { p50: rank(50), p99: rank(99), count: spans.len() }
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (p50, p99) = (self.p50.as_secs_f64(), self.p99.as_secs_f64());
        write!(f, "p50 {p50:.3} s, p99 {p99:.3} s of {}", self.count)
    }
}
