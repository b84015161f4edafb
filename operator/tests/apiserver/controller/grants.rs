//! A pool of another namespace than the operator's own control plane.

use minitower_tests::server::OPERATOR_TOKEN;
use minitower_tests::wait;
use serde_json::json;

use crate::controller::bed::{Bed, SOON, bed};

/// The operator's own control plane. Nothing answers there.
const OWN: &str = "http://minitower.minitower-system:8080";

/// Whether the pool is not ready for this reason.
fn ready_says(bed: &Bed, reason: &str) -> bool {
    bed.wait_condition("Ready", "False").0 == reason
}

#[test]
fn it_is_served_when_its_namespace_may_and_not_before() {
    let Some(bed) = bed("grants") else { return };
    let grants = format!(r#"{{"{}":{{"teams":["acme"]}}}}"#, bed.cluster.name());
    let env = [
        ("MINITOWER_SERVER_URL", OWN),
        ("MINITOWER_OPERATOR_TOKEN", OPERATOR_TOKEN),
        ("MINITOWER_POOL_NAMESPACES", grants.as_str()),
    ];
    let operator = bed.operator_with("op", &env).leads();
    let pool = |team: &str| {
        bed.apply(&json!({
            "server": { "serviceRef": { "name": "minitower", "namespace": "minitower-system" } },
            "operatorTokenSecretRef": null, "team": team, "replicas": 1,
        }));
    };
    pool("zeta");
    wait::until("it may not serve this team", SOON, || ready_says(&bed, "ScopeNotAllowed").then_some(()));
    let (_, message) = bed.wait_condition("Ready", "False");
    assert!(message.contains("may not serve team zeta; spec.team may be acme"), "{message}");
    assert_eq!(bed.events("ScopeNotAllowed").len(), 1);
    assert_eq!(bed.sizes(), [] as [u64; 0]);
    pool("acme");
    wait::until("the pool has pods", SOON, || (bed.sizes() == [1]).then_some(()));
    wait::until("it is asked about at the control plane", SOON, || {
        (!ready_says(&bed, "ScopeNotAllowed")).then_some(())
    });
    operator.stop();
}
