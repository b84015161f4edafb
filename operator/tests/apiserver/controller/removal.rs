//! A pool is deleted without the operator's help.

use std::time::Duration;

use minitower_tests::wait;
use serde_json::json;

use crate::controller::bed::{Bed, bed};

/// Every 30 s the garbage collector looks for kinds that it does not watch yet, and RunnerPool may be that new.
const COLLECTED: Duration = Duration::from_secs(60);

fn with_pods(bed: &Bed) {
    let operator = bed.operator("op").leads();
    bed.apply(&json!({ "replicas": 2 }));
    bed.wait_pods(2);
    operator.stop();
}

#[test]
fn everything_of_a_deleted_pool_is_collected_though_no_operator_runs() {
    let Some(bed) = bed("deleted") else { return };
    with_pods(&bed);
    bed.cluster.kubectl(&["delete", "rp", "p", "--timeout=20s"], None).expect_ok();
    wait::until("nothing is left", COLLECTED, || {
        (bed.list("deployments").is_empty()
            && bed.list("replicasets").is_empty()
            && bed.list("pods").is_empty())
        .then_some(())
    });
}

#[test]
fn a_namespace_goes_though_no_operator_runs() {
    let Some(bed) = bed("namespace") else { return };
    with_pods(&bed);
    bed.api.kubectl(&["delete", "namespace", bed.cluster.name(), "--timeout=30s"], None).expect_ok();
}

#[test]
fn an_operator_lives_through_the_end_of_its_namespaces_pools() {
    let Some(bed) = bed("ends") else { return };
    let operator = bed.operator("op").leads();
    bed.apply(&json!({ "replicas": 2 }));
    bed.wait_pods(2);
    bed.cluster.kubectl(&["delete", "rp", "p", "--timeout=20s"], None).expect_ok();
    wait::until("nothing is left", COLLECTED, || bed.list("pods").is_empty().then_some(()));
    bed.apply(&json!({ "replicas": 1 }));
    bed.wait_pods(1);
    operator.stop();
}
