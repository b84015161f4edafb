//! Settings of the pod around the runner's container.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Toleration, TopologySpreadConstraint};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{bounds, rules};

/// Settings of the pod around the runner's container.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rules::schema(&rules::TEMPLATE)))]
pub struct Template {
    /// Additional labels of the pods. Those below minitower.dev/, app.kubernetes.io/name and app.kubernetes.io/managed-by are reserved for the
    /// operator.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(
        transform = bounds::labels,
        extend("maxProperties" = 32, "x-kubernetes-validations" = rules::schema(&rules::LABELS))
    )]
    pub labels: BTreeMap<String, String>,

    /// Additional annotations of the pods. Those below minitower.dev/ and controller.kubernetes.io/pod-deletion-cost are reserved for the
    /// operator.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(
        transform = bounds::annotations,
        extend("maxProperties" = 32, "x-kubernetes-validations" = rules::schema(&rules::ANNOTATIONS))
    )]
    pub annotations: BTreeMap<String, String>,

    /// Labels that a node must have to run the pods.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(
        transform = bounds::labels,
        extend("maxProperties" = 32, "x-kubernetes-validations" = rules::schema(&[rules::KEYS]))
    )]
    pub node_selector: BTreeMap<String, String>,

    /// Taints of nodes that the pods tolerate.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), extend("x-kubernetes-list-type" = "atomic"))]
    pub tolerations: Vec<Toleration>,

    /// Which nodes and neighbours the pods prefer or require, as in a pod (kubectl explain pod.spec.affinity).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::any_object")]
    pub affinity: Option<Map<String, Value>>,

    /// How the pods spread over zones and nodes, as a pod's topologySpreadConstraints. A constraint without a labelSelector applies to the
    /// pods of this pool.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub topology_spread: Vec<TopologySpreadConstraint>,

    /// The PriorityClass of the pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub priority_class: Option<String>,

    /// The RuntimeClass of the pods, such as gVisor's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub runtime_class: Option<String>,

    /// Additional volumes of the pods, as in a pod (kubectl explain pod.spec.volumes). runner.volumeMounts says where they are mounted. The
    /// names data, tmp and registration-token are reserved.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 32),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub volumes: Vec<Volume>,

    /// Refused, because jobs could see and signal the processes of the node.
    #[serde(rename = "hostPID", skip_serializing_if = "Option::is_none")]
    pub host_pid: Option<bool>,

    /// Refused, because jobs could see and signal the processes of the pod's other containers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share_process_namespace: Option<bool>,
}

impl Template {
    /// Whether nothing is set.
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

    /// What the volume holds, such as configMap: {name: settings}. The API server checks it when the operator writes the pods' Deployment.
    #[serde(flatten)]
    pub source: BTreeMap<String, Value>,
}
