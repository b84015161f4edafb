//! What is wrong with a pool's pods, in the words of whoever said so, and what to do about it.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod as KubePod;
use kube::ResourceExt as _;

use super::observe::{Observation, container, failed_create};
use super::pool::Pool;
use crate::demand::Snapshot;

/// How long a runner that runs may take to register before that is a problem.
const REGISTERS_WITHIN: SignedDuration = SignedDuration::from_secs(30);
/// How long a pod may wait for a node, or for its container, before that is a problem: autoscalers need their time, and images theirs.
const PLACED_WITHIN: SignedDuration = SignedDuration::from_secs(20);
/// Longest message, in characters.
const MAX_MESSAGE: usize = 1000;

/// Something a person has to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// In Kubernetes' manner, such as `ImagePullFailed`.
    pub reason: &'static str,
    /// What, why, and the way out.
    pub message: String,
}

impl Problem {
    /// A problem with a text of bearable length.
    pub fn new(reason: &'static str, message: impl AsRef<str>) -> Self {
        Self { reason, message: message.as_ref().chars().take(MAX_MESSAGE).collect() }
    }
}

/// The gravest problem there is; of several pods with the same, the first speaks for all.
pub fn find(
    pool: &Pool,
    observation: &Observation,
    snapshot: Option<&Snapshot>,
    now: Timestamp,
) -> Option<Problem> {
    for deployment in observation.deployments.values() {
        if let Some(words) = failed_create(deployment) {
            return Some(refused(words));
        }
    }
    let mut found: Vec<(u8, Problem)> =
        observation.pods.values().filter_map(|pod| of_container(pool, pod, now)).collect();
    if let Some(snapshot) = snapshot {
        found.extend(unregistered(pool, observation, snapshot, now));
    }
    found.sort_by(|a, b| (a.0, &a.1.message).cmp(&(b.0, &b.1.message)));
    found.into_iter().next().map(|(_, problem)| problem)
}

/// A pod that has its node and yet no container for a while: what keeps it is told by its events alone.
pub fn stuck_in_creation(observation: &Observation, now: Timestamp) -> Option<&Arc<KubePod>> {
    observation.pods.values().find(|pod| {
        let waiting = container(pod).and_then(|c| c.state.as_ref()?.waiting.as_ref()?.reason.clone());
        waiting.as_deref() == Some("ContainerCreating") && age(pod, now) > PLACED_WITHIN
    })
}

fn age(pod: &KubePod, now: Timestamp) -> SignedDuration {
    pod.creation_timestamp().map_or(SignedDuration::ZERO, |created| now.duration_since(created.0))
}

fn refused(words: &str) -> Problem {
    if words.contains("exceeded quota") {
        let message =
            format!("pods cannot be made: {words}; raise the ResourceQuota or lower spec.maxRunners");
        return Problem::new("QuotaExceeded", message);
    }
    Problem::new("PodsRefused", format!("pods cannot be made: {words}"))
}

fn of_container(pool: &Pool, pod: &KubePod, now: Timestamp) -> Option<(u8, Problem)> {
    waiting(pool, pod).or_else(|| crashing(pool, pod, now)).or_else(|| unscheduled(pod, now))
}

/// What the kubelet says of a container that does not start.
fn waiting(pool: &Pool, pod: &KubePod) -> Option<(u8, Problem)> {
    let name = pod.name_any();
    let status = container(pod)?;
    let waiting = status.state.as_ref()?.waiting.as_ref()?;
    let words = waiting.message.as_deref().unwrap_or_default();
    let problem = match waiting.reason.as_deref()? {
        "ErrImagePull" | "ImagePullBackOff" | "InvalidImageName" | "ErrImageNeverPull" => Problem::new(
            "ImagePullFailed",
            format!(
                "pod {name}: {}; correct spec.runner.image, or give its registry's credentials to the pods' ServiceAccount",
                pull_error(words)
            ),
        ),
        reason @ ("CreateContainerConfigError" | "CreateContainerError" | "RunContainerError") => {
            Problem::new("ContainerRefused", format!("pod {name}: {reason}: {words}"))
        }
        "CrashLoopBackOff" => crash_loop(pool, pod),
        _ => return None,
    };
    Some((0, problem))
}

/// A container between two ends of a loop: it runs for a moment, or has just ended.
fn crashing(pool: &Pool, pod: &KubePod, now: Timestamp) -> Option<(u8, Problem)> {
    let status = container(pod)?;
    let state = status.state.as_ref()?;
    status.last_state.as_ref()?.terminated.as_ref()?;
    let started = state.running.as_ref().and_then(|running| running.started_at.as_ref());
    let for_a_moment = started.is_some_and(|since| now.duration_since(since.0) <= REGISTERS_WITHIN);
    (status.restart_count >= 2 && (for_a_moment || state.terminated.is_some()))
        .then(|| (0, crash_loop(pool, pod)))
}

fn crash_loop(pool: &Pool, pod: &KubePod) -> Problem {
    let words = last_words(pod);
    let mut message = format!("pod {}: {words}", pod.name_any());
    if words.contains("401") {
        let secret = &pool.spec.registration_token_secret_ref;
        message = format!(
            "{message}; correct the Secret that spec.registrationTokenSecretRef names ({}/{}, key {})",
            pool.namespace, secret.name, secret.key
        );
    }
    Problem::new("CrashLoop", message)
}

/// The kubelet alternates between the error and its back-off, which quotes the error: only the error is told.
fn pull_error(words: &str) -> &str {
    words.split_once(": ErrImagePull: ").map_or(words, |(_, error)| error)
}

/// How the container ended last, and what it said.
fn last_words(pod: &KubePod) -> String {
    let ended = container(pod).and_then(|c| c.last_state.as_ref()?.terminated.clone());
    let Some(ended) = ended else { return "the runner ends again and again; see kubectl logs".to_owned() };
    let why = ended.reason.as_deref().unwrap_or("Error");
    // The first line is the process's name.
    let words =
        ended.message.as_deref().and_then(|message| message.lines().nth(1)).unwrap_or_default().trim();
    if words.is_empty() {
        let hint = if why == "OOMKilled" {
            "raise spec.runner.resources.limits.memory"
        } else {
            "see kubectl logs --previous"
        };
        return format!("the runner ends again and again: {why}, exit code {}; {hint}", ended.exit_code);
    }
    format!("the runner ends again and again: {words}")
}

fn unscheduled(pod: &KubePod, now: Timestamp) -> Option<(u8, Problem)> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let placed = conditions.iter().find(|condition| condition.type_ == "PodScheduled")?;
    if placed.status != "False" || age(pod, now) < PLACED_WITHIN {
        return None;
    }
    let words = placed.message.as_deref().unwrap_or("no node takes it");
    let message = format!("pod {} finds no node: {words}", pod.name_any());
    Some((2, Problem::new("Unschedulable", message)))
}

/// A runner that runs and that the control plane has never heard of.
fn unregistered(
    pool: &Pool,
    observation: &Observation,
    snapshot: &Snapshot,
    now: Timestamp,
) -> Option<(u8, Problem)> {
    let online: HashMap<&str, bool> =
        snapshot.runners.iter().map(|runner| (runner.name.as_str(), runner.online)).collect();
    let pod = observation.pods.values().find(|pod| {
        let running = container(pod).and_then(|c| c.state.as_ref()?.running.as_ref()?.started_at.clone());
        running.is_some_and(|since| now.duration_since(since.0) > REGISTERS_WITHIN)
            && !online.get(pod.name_any().as_str()).copied().unwrap_or(false)
    })?;
    let name = pod.name_any();
    let message = format!(
        "pod {name} runs and its runner is not online at {}: see kubectl -n {} logs {name}; check that pods may reach that address, and \
         the token in spec.registrationTokenSecretRef",
        pool.server_url, pool.namespace
    );
    Some((1, Problem::new("RunnerNotRegistered", message)))
}
