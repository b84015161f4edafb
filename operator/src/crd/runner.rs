//! The runner's container.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{EnvFromSource, EnvVar, SecurityContext, VolumeMount};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{bounds, rules};

/// The runner's container.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Runner {
    /// The image, with a tag or a digest. If it is absent, the operator uses its default image, of its own version.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024), regex(pattern = r"^\S+$"))]
    pub image: Option<String>,

    /// When the image is pulled. If it is absent: Always for the tag latest or no tag, otherwise IfNotPresent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_pull_policy: Option<ImagePullPolicy>,

    /// The Python that runs .py jobs, as a name on the PATH or a path. If it is absent, the image's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub python_bin: Option<String>,

    /// Environment variables of the runner. Jobs see those that MINITOWER_RUN_ENV_PASS names. Names that begin with MINITOWER_ are reserved
    /// for the operator, except MINITOWER_RUN_ENV_PASS, MINITOWER_LOG, MINITOWER_LOG_FORMAT, MINITOWER_KILL_GRACE_PERIOD,
    /// MINITOWER_POLL_INTERVAL, MINITOWER_CA_FILE, MINITOWER_SANDBOX, MINITOWER_UV, MINITOWER_ENV_MAX_AGE,
    /// MINITOWER_PYTHON_DOWNLOADS and MINITOWER_JOB_*.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        transform = bounds::env,
        length(max = 100),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub env: Vec<EnvVar>,

    /// ConfigMaps and Secrets in the pool's namespace whose keys become variables. Variables from env and from the operator take precedence.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), extend("x-kubernetes-list-type" = "atomic"))]
    pub env_from: Vec<EnvFromSource>,

    /// The resources that a runner and its run request, and their limits.
    #[serde(skip_serializing_if = "Resources::is_empty")]
    pub resources: Resources,

    /// Where runs and prepared Python environments live: exactly one of emptyDir and ephemeral.
    pub cache: Cache,

    /// The ServiceAccount of the pods. Its token is not mounted. If it is absent, the namespace's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub service_account_name: Option<String>,

    /// Overrides fields of the container's security context. Absent fields keep the values that Pod Security restricted requires.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub security_context: Option<SecurityContext>,

    /// Where the volumes of template.volumes are mounted in the container: not below /var/lib/minitower or /etc/minitower/registration, and
    /// not at /tmp.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        transform = bounds::volume_mounts,
        length(max = 32),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["mountPath"])
    )]
    pub volume_mounts: Vec<VolumeMount>,
}

/// When the image is pulled. Absent: Always with the tag latest or none, else IfNotPresent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ImagePullPolicy {
    /// At every start of a pod.
    Always,
    /// If the node does not have it.
    IfNotPresent,
    /// Never: the node must have it.
    Never,
}

impl ImagePullPolicy {
    /// As a container's `imagePullPolicy` wants it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Always => "Always",
            Self::IfNotPresent => "IfNotPresent",
            Self::Never => "Never",
        }
    }
}

/// The resources that a container requests, and their limits.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rules::schema(&rules::RESOURCES)))]
pub struct Resources {
    /// What the node reserves for the container, such as cpu: 500m and memory: 512Mi.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(transform = bounds::quantities, extend("maxProperties" = 8))]
    pub requests: BTreeMap<String, Quantity>,

    /// The most that the container may use.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(transform = bounds::quantities, extend("maxProperties" = 8))]
    pub limits: BTreeMap<String, Quantity>,
}

impl Resources {
    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        self.requests.is_empty() && self.limits.is_empty()
    }
}

/// Where runs and prepared environments live: exactly one of `empty_dir` and `ephemeral`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rules::schema(&rules::CACHE)))]
pub struct Cache {
    /// A folder on the node, deleted with the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub empty_dir: Option<EmptyDirCache>,

    /// A separate volume for each pod, deleted with the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ephemeral: Option<EphemeralCache>,
}

/// A folder on the node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct EmptyDirCache {
    /// How much the folder may hold. The kubelet evicts a pod that holds more. The prepared environments alone may take 10Gi.
    #[schemars(extend("x-kubernetes-validations" = rules::schema(&rules::SIZE)))]
    pub size_limit: Quantity,
}

/// A separate volume for each pod.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EphemeralCache {
    /// The StorageClass. If it is absent, the cluster's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub storage_class_name: Option<String>,

    /// How large each volume is.
    #[schemars(extend("x-kubernetes-validations" = rules::schema(&rules::SIZE)))]
    pub size: Quantity,
}

impl Default for Cache {
    fn default() -> Self {
        Self { empty_dir: Some(EmptyDirCache::default()), ephemeral: None }
    }
}

impl Default for EmptyDirCache {
    /// Twice what the runner keeps of prepared environments: the other half is for workspaces and logs.
    fn default() -> Self {
        Self { size_limit: Quantity("20Gi".to_owned()) }
    }
}
