//! What is wrong with a pool's pods, in the words of whoever reported it, and what to do about it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod as KubePod;
use kube::ResourceExt as _;

use super::build::SECRETS_VOLUME;
use super::observe::{Observation, container, failed_create};
use super::pool::Pool;
use crate::demand::{Demand, RunnerView, Scope, Snapshot};

/// How long a runner may run without registering before that is a problem.
const REGISTERS_WITHIN: SignedDuration = SignedDuration::from_secs(30);
/// How long a pod may wait for a node or for its container before that is a problem: autoscalers and image pulls need some time.
const PLACED_WITHIN: SignedDuration = SignedDuration::from_secs(20);
/// The longest message, in characters.
const MAX_MESSAGE: usize = 1000;

/// Something a person has to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The reason in the form that Kubernetes uses, such as `ImagePullFailed`.
    pub reason: &'static str,
    /// What is wrong, why, and what to do about it.
    pub message: String,
}

impl Problem {
    /// A problem with a message that is cut to a bearable length.
    pub fn new(reason: &'static str, message: impl AsRef<str>) -> Self {
        Self { reason, message: message.as_ref().chars().take(MAX_MESSAGE).collect() }
    }
}

/// What to do when the operator lacks a right in a pool's namespace.
pub const GIVE_RIGHTS: &str = "give the operator its rights in this namespace: the chart's values operator.poolNamespaces and \
     operator.tokenSecrets, or deploy/kubernetes/README.md";

/// Reasons of problems that keep a pool from being ready, however many of its runners are online.
const GRAVE: [&str; 9] = [
    "OperatorTokenMissing",
    "TokenRefused",
    "ServerTooOld",
    "Refused",
    "CrashLoop",
    "DeploymentRefused",
    "NameTaken",
    "RegistrationTokenMissing",
    "RightsMissing",
];

/// Reasons of problems that lie with the template: its pods cannot be created, or do not start.
const OF_TEMPLATE: [&str; 8] = [
    "ImagePullFailed",
    "ContainerRefused",
    "CrashLoop",
    "PodsRefused",
    "PodNotStarting",
    "RegistrationTokenMissing",
    "SecretMissing",
    "DeploymentRefused",
];

impl Problem {
    /// Whether it keeps a pool from being ready, however many of its runners are online.
    pub fn is_grave(&self) -> bool {
        GRAVE.contains(&self.reason)
    }

    /// Whether the pods of the current template cannot serve because of it.
    pub fn is_of_template(&self) -> bool {
        OF_TEMPLATE.contains(&self.reason)
    }
}

/// How long a control plane may be silent before that is a problem: a restart takes some seconds.
const SILENT_FOR: Duration = Duration::from_secs(10);

/// Why a pool's control plane cannot be asked, unless that may pass by itself in a moment.
pub fn of_control_plane(demand: Demand<'_>) -> Option<Problem> {
    match demand {
        Demand::Known(_) => None,
        Demand::Stale { age, reason, .. } if age < SILENT_FOR && !reason.kind().is_lasting() => None,
        Demand::Stale { reason, .. } | Demand::Unknown { reason } => {
            Some(Problem::new(reason.kind().as_reason(), reason.told()))
        }
    }
}

/// A pod that does not start, from its newest warning. A missing Secret is told by its name.
pub fn not_starting(pool: &Pool, pod: &str, words: &str) -> Problem {
    let secret = &pool.registration;
    let (namespace, name, key) = (&pool.namespace, &secret.name, &secret.key);
    let own = pool.has_own_registration();
    // As the kubelet says it: MountVolume.SetUp failed for volume "registration-token" : secret "minitower" not found.
    if words.contains("\"registration-token\"") {
        if words.contains(&format!("secret \"{name}\" not found")) {
            let message = if own {
                format!(
                    "Secret {namespace}/{name} is gone: the operator makes it again within a minute; pod {pod} waits for it"
                )
            } else {
                format!(
                    "spec.registrationTokenSecretRef: Secret {namespace}/{name} does not exist: create it; pod {pod} waits for it"
                )
            };
            return Problem::new("RegistrationTokenMissing", message);
        }
        if words.contains("non-existent secret key") && !own {
            let message = format!(
                "spec.registrationTokenSecretRef: Secret {namespace}/{name} has no key {key}; pod {pod} waits for it"
            );
            return Problem::new("RegistrationTokenMissing", message);
        }
    }
    if let Some(secret) = pool.spec.secret_ref.as_ref().filter(|_| words.contains(SECRETS_VOLUME)) {
        let name = &secret.name;
        let what = if words.contains("non-existent secret key") {
            let missing = words.split("non-existent secret key: ").nth(1).unwrap_or_default();
            let missing: String =
                missing.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            format!(
                "Secret {namespace}/{name} has no key {missing}: add it, or remove it from spec.secretRef.keys"
            )
        } else if words.contains(&format!("secret \"{name}\" not found")) {
            format!("Secret {namespace}/{name} does not exist: create it")
        } else {
            format!("Secret {namespace}/{name} cannot be mounted: {words}")
        };
        return Problem::new("SecretMissing", format!("spec.secretRef: {what}; pod {pod} waits for it"));
    }
    let message = format!(
        "pod {pod} does not start: {words}; check that the Secrets, ConfigMaps and volumes that the spec names exist in namespace {namespace}"
    );
    Problem::new("PodNotStarting", message)
}

/// The most serious problem of the current template: what ails the pods of a former one goes with them. If several pods have the same, the first one stands for all.
pub fn find(
    pool: &Pool,
    observation: &Observation,
    snapshot: Option<&Snapshot>,
    now: Timestamp,
) -> Option<Problem> {
    if let Some(words) = observation.current().and_then(|deployment| failed_create(deployment)) {
        return Some(refused(words));
    }
    let mut found: Vec<(u8, Problem)> =
        observation.current_pods().filter_map(|pod| of_container(pool, pod, now)).collect();
    if let Some(snapshot) = snapshot {
        found.extend(unregistered(pool, observation, snapshot, now));
    }
    found.sort_by(|a, b| (a.0, &a.1.message).cmp(&(b.0, &b.1.message)));
    found.into_iter().next().map(|(_, problem)| problem)
}

/// A pod that has had a node for a while but still no container. Only its Events tell why.
pub fn stuck_in_creation(observation: &Observation, now: Timestamp) -> Option<&Arc<KubePod>> {
    observation.current_pods().find(|pod| {
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
            format!("cannot create pods: {words}; raise the ResourceQuota or lower spec.maxRunners");
        return Problem::new("QuotaExceeded", message);
    }
    Problem::new("PodsRefused", format!("cannot create pods: {words}"))
}

fn of_container(pool: &Pool, pod: &KubePod, now: Timestamp) -> Option<(u8, Problem)> {
    waiting(pool, pod).or_else(|| crashing(pool, pod, now)).or_else(|| unscheduled(pod, now))
}

/// What the kubelet says about a container that does not start.
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

/// A container in a crash loop that runs for a moment, or has just ended.
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
        let (namespace, secret) = (&pool.namespace, &pool.registration);
        message = if pool.has_own_registration() {
            format!("{message}; delete Secret {namespace}/{}: the operator makes it again", secret.name)
        } else {
            format!(
                "{message}; correct the Secret that spec.registrationTokenSecretRef names ({namespace}/{}, key {})",
                secret.name, secret.key
            )
        };
    }
    Problem::new("CrashLoop", message)
}

/// The kubelet alternates between the error and its backoff, which quotes the error. Only the error is shown.
fn pull_error(words: &str) -> &str {
    words.split_once(": ErrImagePull: ").map_or(words, |(_, error)| error)
}

/// How the container last ended, and what it said.
fn last_words(pod: &KubePod) -> String {
    let ended = container(pod).and_then(|c| c.last_state.as_ref()?.terminated.clone());
    let Some(ended) = ended else { return "the runner keeps exiting; see kubectl logs".to_owned() };
    let why = ended.reason.as_deref().unwrap_or("Error");
    // The first line is the instance id of the process.
    let words =
        ended.message.as_deref().and_then(|message| message.lines().nth(1)).unwrap_or_default().trim();
    if words.is_empty() {
        let hint = if why == "OOMKilled" {
            "raise spec.runner.resources.limits.memory"
        } else {
            "see kubectl logs --previous"
        };
        return format!("the runner keeps exiting: {why}, exit code {}; {hint}", ended.exit_code);
    }
    format!("the runner keeps exiting: {words}")
}

fn unscheduled(pod: &KubePod, now: Timestamp) -> Option<(u8, Problem)> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let placed = conditions.iter().find(|condition| condition.type_ == "PodScheduled")?;
    if placed.status != "False" || age(pod, now) < PLACED_WITHIN {
        return None;
    }
    let words = placed.message.as_deref().unwrap_or("the scheduler gives no reason");
    let message = format!("no node takes pod {}: {words}", pod.name_any());
    Some((2, Problem::new("Unschedulable", message)))
}

/// A runner that runs but is not online at the control plane.
fn unregistered(
    pool: &Pool,
    observation: &Observation,
    snapshot: &Snapshot,
    now: Timestamp,
) -> Option<(u8, Problem)> {
    let runners: HashMap<&str, &RunnerView> =
        snapshot.runners.iter().map(|runner| (runner.name.as_str(), runner)).collect();
    let is_online = |name: &str| runners.get(name).is_some_and(|runner| runner.online && pool.has(runner));
    let pod = observation.current_pods().find(|pod| {
        let running = container(pod).and_then(|c| c.state.as_ref()?.running.as_ref()?.started_at.clone());
        running.is_some_and(|since| now.duration_since(since.0) > REGISTERS_WITHIN)
            && !is_online(&pod.name_any())
    })?;
    let name = pod.name_any();
    if let Some(stranger) = runners.get(name.as_str()).filter(|runner| !pool.has(runner)) {
        let problem = if stranger.scope.fits(pool.spec.team.as_deref()) {
            of_another_pool(&name, stranger.pool.as_deref())
        } else {
            of_another_scope(pool, &name, &stranger.scope)
        };
        return Some((1, problem));
    }
    let message = format!(
        "pod {name} runs, but its runner is not online at {}: see kubectl -n {} logs {name}; check that pods can reach that address, and \
         check the token in {}",
        pool.server_url,
        pool.namespace,
        registration_of(pool)
    );
    Some((1, Problem::new("RunnerNotRegistered", message)))
}

/// The Secret with the token that the pool's runners register with, as people find it.
fn registration_of(pool: &Pool) -> String {
    if pool.has_own_registration() {
        return format!("Secret {}/{}", pool.namespace, pool.registration.name);
    }
    "the Secret that spec.registrationTokenSecretRef names".to_owned()
}

/// A pod whose name belongs to a runner that registered for another pool.
fn of_another_pool(pod: &str, registered_for: Option<&str>) -> Problem {
    let registered_for = registered_for.map_or_else(|| "no pool".to_owned(), |pool| format!("pool {pool}"));
    let message = format!(
        "runner {pod} registered for {registered_for}, and the operator leaves it alone; if it is another machine's, delete the pod: the \
         next one has another name"
    );
    Problem::new("RunnerOfAnotherPool", message)
}

/// A pod whose name belongs to a runner that is not the pool's: mostly, because the pool's token is not the one that it needs.
fn of_another_scope(pool: &Pool, pod: &str, scope: &Scope) -> Problem {
    let whose = match scope {
        Scope::Platform => "the platform's registration token".to_owned(),
        Scope::Team(None) => "a team's registration token".to_owned(),
        Scope::Team(Some(team)) => format!("a registration token of team {team}"),
    };
    let secret = registration_of(pool);
    let way_out = match (&pool.spec.team, scope) {
        (Some(team), _) => format!(
            "the pool is for team {team}: put a registration token of that team into {secret}, or remove spec.team"
        ),
        (None, Scope::Team(Some(team))) => format!(
            "the pool is for all teams: put the platform's registration token into {secret}, or set spec.team to {team}"
        ),
        (None, _) => format!(
            "the pool is for all teams: put the platform's registration token into {secret}, or set spec.team"
        ),
    };
    let message =
        format!("runner {pod} registered with {whose}, and the operator leaves it alone; {way_out}");
    Problem::new("RunnerOfAnotherScope", message)
}
