//! The objects of a pool: the pod template, its revision, and the Deployment around it.

use std::collections::BTreeMap;
use std::time::Duration;

use data_encoding::HEXLOWER;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec};
use k8s_openapi::api::core::v1::{
    Affinity, Capabilities, Container, EmptyDirVolumeSource, EnvVar, EnvVarSource, EphemeralVolumeSource,
    KeyToPath, ObjectFieldSelector, PersistentVolumeClaimSpec, PersistentVolumeClaimTemplate,
    PodSecurityContext, PodSpec, PodTemplateSpec, ResourceRequirements, SeccompProfile, SecretVolumeSource,
    SecurityContext, TopologySpreadConstraint, Volume, VolumeMount, VolumeResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use minitower_daemon::duration;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::pool::{POOL_LABEL, Pool, REVISION_LABEL};
use crate::crd;

/// The name of the runner's container.
pub const CONTAINER: &str = "runner";
/// User id and group id in the runner's image.
const USER: i64 = 10_001;
const DATA_DIR: &str = "/var/lib/minitower";
const TOKEN_DIR: &str = "/etc/minitower/registration";
const TOKEN_FILE: &str = "token";
/// Where the secrets of jobs are, and the volume that holds them.
const SECRETS_DIR: &str = "/etc/minitower/secrets";
pub(super) const SECRETS_VOLUME: &str = "run-secrets";
const TERMINATION_LOG: &str = "/dev/termination-log";
/// The runner's default time between SIGTERM and SIGKILL of a job; `MINITOWER_KILL_GRACE_PERIOD` overrides it.
const KILL_GRACE: Duration = Duration::from_secs(10);
/// The time that a stopping runner needs to release its run and sign off.
const SIGN_OFF: Duration = Duration::from_secs(10);
/// Characters of a revision: 40 bits of a hash, in hex.
const REVISION_LENGTH: usize = 10;

/// Why no pod template can be built from a pool's spec.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A part of the spec that does not have the form it has in a pod.
    #[error("spec.{field} is not valid (see kubectl explain {explained})")]
    Part {
        /// Which part.
        field: String,
        /// What `kubectl explain` is to be asked for.
        explained: &'static str,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The template cannot be serialized.
    #[error("cannot serialize the pod template")]
    Template(#[from] serde_json::Error),
}

/// A pod template with its revision.
#[derive(Debug, Clone)]
pub struct Rendered {
    /// A hash of everything in the template.
    pub revision: String,
    /// The template, labelled with the revision.
    pub template: PodTemplateSpec,
}

/// The labels of everything that belongs to a pool.
pub fn labels(pool: &str) -> BTreeMap<String, String> {
    let pairs = [
        ("app.kubernetes.io/name", "minitower-runner"),
        ("app.kubernetes.io/managed-by", "minitower-operator"),
        (POOL_LABEL, pool),
    ];
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// The name of a revision's Deployment.
pub fn deployment_name(pool: &Pool, revision: &str) -> String {
    format!("{}-{revision}", pool.name)
}

/// Renders the pod template. `image` is the default for a pool that names none.
pub fn render(pool: &Pool, image: &str) -> Result<Rendered, BuildError> {
    let mut template = template(pool, image)?;
    let digest = Sha256::digest(serde_json::to_vec(&template)?);
    let revision = HEXLOWER.encode(&digest[..REVISION_LENGTH / 2]);
    let metadata = template.metadata.get_or_insert_default();
    metadata.labels.get_or_insert_default().insert(REVISION_LABEL.to_owned(), revision.clone());
    Ok(Rendered { revision, template })
}

/// The Deployment of a revision. `replicas` is given only at its creation: afterwards its size is changed through `/scale`.
pub fn deployment(pool: &Pool, rendered: &Rendered, replicas: Option<u32>) -> Deployment {
    let revision = (REVISION_LABEL.to_owned(), rendered.revision.clone());
    let mut all = labels(&pool.name);
    all.insert(revision.0.clone(), revision.1.clone());
    let selector = [(POOL_LABEL.to_owned(), pool.name.clone()), revision];
    Deployment {
        metadata: ObjectMeta {
            name: Some(deployment_name(pool, &rendered.revision)),
            namespace: Some(pool.namespace.clone()),
            labels: Some(all),
            owner_references: Some(vec![pool.owner.clone()]),
            ..ObjectMeta::default()
        },
        spec: Some(DeploymentSpec {
            replicas: replicas.map(|n| i32::try_from(n).unwrap_or(i32::MAX)),
            // A revision has one ReplicaSet: there is nothing to roll back to.
            revision_history_limit: Some(0),
            selector: LabelSelector { match_labels: Some(selector.into()), ..LabelSelector::default() },
            template: rendered.template.clone(),
            ..DeploymentSpec::default()
        }),
        ..Deployment::default()
    }
}

fn template(pool: &Pool, image: &str) -> Result<PodTemplateSpec, BuildError> {
    let overlay = &pool.spec.template;
    let mut labels_of_pod = overlay.labels.clone();
    labels_of_pod.extend(labels(&pool.name));
    let affinity = match &overlay.affinity {
        Some(affinity) => {
            let value = Value::Object(affinity.clone());
            Some(part::<Affinity>(value, "template.affinity".to_owned(), "pod.spec.affinity")?)
        }
        None => None,
    };
    let mut volumes = own_volumes(pool);
    for volume in &overlay.volumes {
        let field = format!("template.volumes[{}]", volume.name);
        let value = serde_json::to_value(volume)?;
        volumes.push(part::<Volume>(value, field, "pod.spec.volumes")?);
    }
    let runner = &pool.spec.runner;
    let spec = PodSpec {
        affinity,
        automount_service_account_token: Some(false),
        containers: vec![container(pool, image)?],
        enable_service_links: Some(false),
        node_selector: filled_map(&overlay.node_selector),
        priority_class_name: overlay.priority_class.clone(),
        restart_policy: Some("Always".to_owned()),
        runtime_class_name: overlay.runtime_class.clone(),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            run_as_user: Some(USER),
            run_as_group: Some(USER),
            fs_group: Some(USER),
            // Otherwise the kubelet would walk through a cache of many files at each start.
            fs_group_change_policy: Some("OnRootMismatch".to_owned()),
            seccomp_profile: Some(SeccompProfile {
                type_: "RuntimeDefault".to_owned(),
                ..SeccompProfile::default()
            }),
            ..PodSecurityContext::default()
        }),
        service_account_name: runner.service_account_name.clone(),
        termination_grace_period_seconds: Some(pool.spec.shutdown_grace_seconds.into()),
        tolerations: filled(&overlay.tolerations),
        topology_spread_constraints: filled(&spread(pool)),
        volumes: Some(volumes),
        ..PodSpec::default()
    };
    let metadata = ObjectMeta {
        labels: Some(labels_of_pod),
        annotations: filled_map(&overlay.annotations),
        ..ObjectMeta::default()
    };
    Ok(PodTemplateSpec { metadata: Some(metadata), spec: Some(spec) })
}

fn container(pool: &Pool, image: &str) -> Result<Container, BuildError> {
    let runner = &pool.spec.runner;
    let mount = |name: &str, path: &str, read_only: bool| VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    };
    let part =
        |path: &str, of: &str| VolumeMount { sub_path: Some(of.to_owned()), ..mount("data", path, false) };
    let mut mounts = if runner.cache.ephemeral.is_some() {
        // Without any emptyDir, nothing has to allow for its loss when the node is drained.
        vec![part(DATA_DIR, "data"), part("/tmp", "tmp")]
    } else {
        vec![mount("data", DATA_DIR, false), mount("tmp", "/tmp", false)]
    };
    mounts.push(mount("registration-token", TOKEN_DIR, true));
    if pool.spec.secret_ref.is_some() {
        mounts.push(mount(SECRETS_VOLUME, SECRETS_DIR, true));
    }
    mounts.extend(runner.volume_mounts.iter().cloned());
    Ok(Container {
        name: CONTAINER.to_owned(),
        image: Some(runner.image.clone().unwrap_or_else(|| image.to_owned())),
        image_pull_policy: runner.image_pull_policy.map(|policy| policy.as_str().to_owned()),
        env: Some(environment(pool)),
        env_from: filled(&runner.env_from),
        resources: (!runner.resources.is_empty()).then(|| ResourceRequirements {
            requests: filled_map(&runner.resources.requests),
            limits: filled_map(&runner.resources.limits),
            ..ResourceRequirements::default()
        }),
        security_context: Some(security_context(runner.security_context.as_ref())?),
        // From a runner's last words the operator learns which process ended, and why.
        termination_message_path: Some(TERMINATION_LOG.to_owned()),
        termination_message_policy: Some("File".to_owned()),
        // No probe: one that fails on a busy machine would kill a run.
        volume_mounts: Some(mounts),
        ..Container::default()
    })
}

fn environment(pool: &Pool) -> Vec<EnvVar> {
    let text =
        |name: &str, value: String| EnvVar { name: name.to_owned(), value: Some(value), ..EnvVar::default() };
    let pod_name = EnvVar {
        name: "MINITOWER_RUNNER_NAME".to_owned(),
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector {
                field_path: "metadata.name".to_owned(),
                ..ObjectFieldSelector::default()
            }),
            ..EnvVarSource::default()
        }),
        ..EnvVar::default()
    };
    let mut all = vec![
        text("MINITOWER_SERVER_URL", pool.server_url.clone()),
        pod_name,
        text("MINITOWER_RUNNER_ENVIRONMENT", pool.spec.environment.clone()),
        text("MINITOWER_RUNNER_POOL", pool.qualified_name()),
        text("MINITOWER_RUNNER_REGISTRATION_TOKEN_FILE", format!("{TOKEN_DIR}/{TOKEN_FILE}")),
        text("MINITOWER_DATA_DIR", DATA_DIR.to_owned()),
        text("MINITOWER_SHUTDOWN_GRACE", format!("{}s", shutdown_grace(pool).as_secs())),
        text("MINITOWER_TERMINATION_LOG", TERMINATION_LOG.to_owned()),
    ];
    if let Some(python) = &pool.spec.runner.python_bin {
        all.push(text("MINITOWER_PYTHON_BIN", python.clone()));
    }
    if pool.spec.secret_ref.is_some() {
        all.push(text("MINITOWER_RUN_SECRETS_DIR", SECRETS_DIR.to_owned()));
    }
    all.extend(pool.spec.runner.env.iter().cloned());
    all
}

/// How long a stopping runner may let its run continue: the pod's grace period, less the time to stop the job and release the run.
fn shutdown_grace(pool: &Pool) -> Duration {
    let given = pool.spec.runner.env.iter().find(|variable| variable.name == "MINITOWER_KILL_GRACE_PERIOD");
    // The runner itself refuses a value that is not a duration.
    let given = given.and_then(|variable| duration::parse(variable.value.as_ref()?).ok());
    let whole = Duration::from_secs(pool.spec.shutdown_grace_seconds.into());
    whole.saturating_sub(given.unwrap_or(KILL_GRACE)).saturating_sub(SIGN_OFF)
}

fn own_volumes(pool: &Pool) -> Vec<Volume> {
    let mut data = Volume { name: "data".to_owned(), ..Volume::default() };
    match (&pool.spec.runner.cache.empty_dir, &pool.spec.runner.cache.ephemeral) {
        (_, Some(ephemeral)) => data.ephemeral = Some(claim(ephemeral)),
        (empty_dir, None) => {
            data.empty_dir = Some(EmptyDirVolumeSource {
                size_limit: empty_dir.as_ref().map(|empty_dir| empty_dir.size_limit.clone()),
                ..EmptyDirVolumeSource::default()
            });
        }
    }
    let tmp = Volume {
        name: "tmp".to_owned(),
        empty_dir: Some(EmptyDirVolumeSource::default()),
        ..Volume::default()
    };
    let secret = &pool.registration;
    let token = Volume {
        name: "registration-token".to_owned(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(secret.name.clone()),
            items: Some(vec![KeyToPath {
                key: secret.key.clone(),
                path: TOKEN_FILE.to_owned(),
                ..KeyToPath::default()
            }]),
            // Only the runner's group may read it.
            default_mode: Some(0o440),
            ..SecretVolumeSource::default()
        }),
        ..Volume::default()
    };
    let mut volumes = if data.ephemeral.is_some() { vec![data, token] } else { vec![data, tmp, token] };
    volumes.extend(pool.spec.secret_ref.as_ref().map(run_secrets));
    volumes
}

/// The secrets of the pool's jobs: files, so that the kubelet replaces them while the pod lives, and no variables of the runner.
fn run_secrets(secret: &crd::SecretRef) -> Volume {
    let item = |key: &String| KeyToPath { key: key.clone(), path: key.clone(), ..KeyToPath::default() };
    Volume {
        name: SECRETS_VOLUME.to_owned(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(secret.name.clone()),
            items: filled(&secret.keys.iter().map(item).collect::<Vec<_>>()),
            // Only the runner's group may read it.
            default_mode: Some(0o440),
            ..SecretVolumeSource::default()
        }),
        ..Volume::default()
    }
}

fn claim(ephemeral: &crd::EphemeralCache) -> EphemeralVolumeSource {
    let requests: BTreeMap<String, Quantity> = [("storage".to_owned(), ephemeral.size.clone())].into();
    EphemeralVolumeSource {
        volume_claim_template: Some(PersistentVolumeClaimTemplate {
            metadata: None,
            spec: PersistentVolumeClaimSpec {
                access_modes: Some(vec!["ReadWriteOnce".to_owned()]),
                resources: Some(VolumeResourceRequirements {
                    requests: Some(requests),
                    ..VolumeResourceRequirements::default()
                }),
                storage_class_name: ephemeral.storage_class_name.clone(),
                ..PersistentVolumeClaimSpec::default()
            },
        }),
    }
}

/// The spread constraints; one without a selector applies to the pool's pods.
fn spread(pool: &Pool) -> Vec<TopologySpreadConstraint> {
    let own = [(POOL_LABEL.to_owned(), pool.name.clone())];
    let mut constraints = pool.spec.template.topology_spread.clone();
    for constraint in &mut constraints {
        constraint.label_selector.get_or_insert_with(|| LabelSelector {
            match_labels: Some(own.clone().into()),
            ..LabelSelector::default()
        });
    }
    constraints
}

/// What Pod Security `restricted` requires, overridden by what the pool sets.
fn security_context(overlay: Option<&SecurityContext>) -> Result<SecurityContext, BuildError> {
    let base = SecurityContext {
        allow_privilege_escalation: Some(false),
        capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), ..Capabilities::default() }),
        read_only_root_filesystem: Some(true),
        run_as_non_root: Some(true),
        ..SecurityContext::default()
    };
    let Some(overlay) = overlay else { return Ok(base) };
    let mut merged = serde_json::to_value(base)?;
    if let (Value::Object(merged), Value::Object(overlay)) = (&mut merged, serde_json::to_value(overlay)?) {
        merged.extend(overlay);
    }
    part(merged, "runner.securityContext".to_owned(), "pod.spec.containers.securityContext")
}

fn part<T: serde::de::DeserializeOwned>(
    value: Value,
    field: String,
    explained: &'static str,
) -> Result<T, BuildError> {
    serde_json::from_value(value).map_err(|source| BuildError::Part { field, explained, source })
}

fn filled<T: Clone>(list: &[T]) -> Option<Vec<T>> {
    (!list.is_empty()).then(|| list.to_vec())
}

fn filled_map<V: Clone>(map: &BTreeMap<String, V>) -> Option<BTreeMap<String, V>> {
    (!map.is_empty()).then(|| map.clone())
}
