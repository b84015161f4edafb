//! What is laid over the pod around the runner's container.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Toleration, TopologySpreadConstraint};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{bounds, rules};

/// What is laid over the pod around the runner's container.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rules::schema(&rules::TEMPLATE)))]
pub struct Template {
    /// Further labels of the pods. Those below minitower.dev/ and app.kubernetes.io/name and managed-by are the operator's.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(
        transform = bounds::labels,
        extend("maxProperties" = 32, "x-kubernetes-validations" = rules::schema(&rules::LABELS))
    )]
    pub labels: BTreeMap<String, String>,

    /// Further annotations of the pods. Those below minitower.dev/ and controller.kubernetes.io/pod-deletion-cost are the operator's.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(
        transform = bounds::annotations,
        extend("maxProperties" = 32, "x-kubernetes-validations" = rules::schema(&rules::ANNOTATIONS))
    )]
    pub annotations: BTreeMap<String, String>,

    /// Labels of the nodes that may take the pods.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(
        transform = bounds::labels,
        extend("maxProperties" = 32, "x-kubernetes-validations" = rules::schema(&[rules::KEYS]))
    )]
    pub node_selector: BTreeMap<String, String>,

    /// Taints of nodes that the pods bear.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), extend("x-kubernetes-list-type" = "atomic"))]
    pub tolerations: Vec<Toleration>,

    /// Where the pods would rather be, as a pod's affinity (kubectl explain pod.spec.affinity).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::any_object")]
    pub affinity: Option<Map<String, Value>>,

    /// How the pods spread over zones and nodes, as a pod's topologySpreadConstraints. A constraint without labelSelector counts the
    /// pods of this pool.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub topology_spread: Vec<TopologySpreadConstraint>,

    /// The PriorityClass of the pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub priority_class: Option<String>,

    /// The RuntimeClass of the pods, such as one of gVisor.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub runtime_class: Option<String>,

    /// Further volumes of the pods, as a pod's volumes (kubectl explain pod.spec.volumes); runner.volumeMounts says where they appear. The
    /// names data, tmp and registration-token are taken.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 32),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub volumes: Vec<Volume>,

    /// Refused: jobs would see, and could signal, the processes of the node.
    #[serde(rename = "hostPID", skip_serializing_if = "Option::is_none")]
    pub host_pid: Option<bool>,

    /// Refused: jobs would see, and could signal, the processes of the pod's other containers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share_process_namespace: Option<bool>,
}

impl Template {
    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A volume of the pods.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-kubernetes-validations" = rules::schema(&rules::VOLUME)))]
pub struct Volume {
    /// Its name within the pod.
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,

    /// What it holds, such as configMap: {name: settings}: the API server checks it when the pods' Deployment is written.
    #[serde(flatten)]
    pub source: BTreeMap<String, Value>,
}
