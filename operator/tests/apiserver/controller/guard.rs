//! The admission policy, and its absence.

use std::time::Duration;

use minitower_tests::programs::source_root;
use minitower_tests::wait;
use serde_json::json;

use crate::controller::bed::{SOON, bed};

#[test]
fn a_policy_that_somebody_removed_is_missed_within_five_seconds() {
    let Some(bed) = bed("policy") else { return };
    let operator = bed.operator("op").leads();
    bed.apply(&json!({ "replicas": 0 }));
    bed.wait_condition("Ready", "True");
    let binding = ["delete", "validatingadmissionpolicybinding", "minitower-runner-pods"];
    bed.api.kubectl(&binding, None).expect_ok();
    wait::until("it is missed", Duration::from_secs(5), || {
        (!bed.events("AdmissionPolicyMissing").is_empty()).then_some(())
    });
    let file = source_root().join("deploy/kubernetes/base/admission-policy.yaml");
    bed.api.kubectl(&["apply", "-f", file.to_str().unwrap()], None).expect_ok();
    operator.stop();
}

#[test]
fn two_pools_of_one_environment_say_so_on_both() {
    let Some(bed) = bed("shared") else { return };
    let operator = bed.operator("op").leads();
    bed.apply(&json!({ "replicas": 0 }));
    let mut other = bed.cluster.pool("p");
    other["metadata"] = json!({ "name": "q" });
    other.as_object_mut().unwrap().remove("status");
    bed.cluster.apply(&other).expect_ok();
    for pool in ["p", "q"] {
        wait::until(&format!("{pool} says so"), SOON, || {
            let all = bed.cluster.pool(pool)["status"]["conditions"].as_array()?.clone();
            all.iter().any(|one| one["type"] == "EnvironmentShared" && one["status"] == "True").then_some(())
        });
    }
    operator.stop();
}
