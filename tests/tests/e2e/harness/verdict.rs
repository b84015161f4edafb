//! What the runs of a scenario are judged by: their attempts, the witness, and what the cluster did to pods.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use minitower_tests::shape::{int, text, time};
use serde_json::Value;

use super::{Kind, Scene};

/// When a runner's name is leased to again after a mark was taken from its pod, the lease may be seen before the unmarking is.
const SEEN_LATE: SignedDuration = SignedDuration::from_secs(2);

/// A span in which a runner held a run.
struct Held {
    run: i64,
    from: Timestamp,
    to: Option<Timestamp>,
}

/// A span in which a pod was chosen to go: marked, or asked to end.
#[derive(Debug)]
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
    let held = attempts(scene, &runs);
    for run in &runs {
        assert_eq!(run["status"], "completed", "{run}\n{}", scene.bed.team.log_text(int(run, "run_id")));
        assert_eq!(run["retry_count"], 0, "{run}");
    }
    let notes = scene.bed.witness.notes(&scene.name);
    let cut: Vec<_> = notes.iter().filter(|note| !note.finished()).collect();
    assert!(cut.is_empty(), "jobs that did not come to their own end: {cut:?}");
    assert_eq!(notes.len(), runs.len(), "each run begins once");
    (runs.len(), assert_no_busy_pod_chosen(scene, &held))
}

/// Asserts that every attempt ended by its own result, and yields the spans in which runners held runs.
fn attempts(scene: &Scene, runs: &[Value]) -> BTreeMap<String, Vec<Held>> {
    let mut held: BTreeMap<String, Vec<Held>> = BTreeMap::new();
    for run in runs {
        let id = int(run, "run_id");
        let attempts = scene.bed.team.attempts(id);
        assert_eq!(attempts.len(), 1, "run {id} was interrupted: {attempts:?}");
        for attempt in attempts {
            assert_eq!(attempt["status"], "completed", "an attempt of run {id}: {attempt}");
            let to = attempt["finished_at"].is_string().then(|| time(&attempt, "finished_at"));
            let span = Held { run: id, from: time(&attempt, "leased_at"), to };
            held.entry(text(&attempt, "runner")).or_default().push(span);
        }
    }
    held
}

fn assert_no_busy_pod_chosen(scene: &Scene, held: &BTreeMap<String, Vec<Held>>) -> usize {
    let chosen = chosen(scene);
    for choice in &chosen {
        for span in held.get(&choice.pod).into_iter().flatten() {
            let busy_when_chosen = span.from < choice.from && span.to.is_none_or(|to| to > choice.from);
            let end = choice.to.map_or(Timestamp::MAX, |to| to - SEEN_LATE);
            let leased_afterwards = span.from > choice.from && span.from < end;
            assert!(
                !busy_when_chosen && !leased_afterwards,
                "a busy pod was chosen ({}): {choice:?} while it held run {} from {} to {:?}",
                choice.how,
                span.run,
                span.from,
                span.to
            );
        }
    }
    chosen.len()
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
