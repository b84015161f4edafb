//! The registration token of a pool that names none.

use minitower_tests::{Runner, wait};
use serde_json::json;

use crate::controller::bed::{Bed, SOON, bed, give_registration_rights};

/// The token in the pool's Secret.
fn token(bed: &Bed) -> Option<String> {
    let template = r#"-o=go-template={{index .data "registration-token" | base64decode}}"#;
    let said = bed.cluster.kubectl(&["get", "secret", "p-registration", template], None);
    said.ok.then_some(said.out)
}

#[test]
fn it_registers_the_pools_runners_is_renewed_and_ends_with_the_pool() {
    let Some(bed) = bed("registration") else { return };
    let operator = bed.operator("op").leads();
    bed.apply(&json!({ "registrationTokenSecretRef": null, "replicas": 1 }));
    wait::until("the missing right is told", SOON, || {
        (bed.wait_condition("Ready", "False").0 == "RightsMissing").then_some(())
    });
    give_registration_rights(&bed.cluster, "p");
    let first = wait::until("the Secret is there", SOON, || token(&bed));
    let [pod] = &bed.wait_pods(1)[..] else { unreachable!("one was waited for") };
    let body = json!({ "name": pod, "pool": format!("{}/p", bed.cluster.name()) });
    Runner::register_with(&bed.server, &first, body.clone()).idle();

    bed.apply(&json!({ "registrationTokenSecretRef": null, "replicas": 1, "environment": "gpu" }));
    let second = wait::until("another token", SOON, || token(&bed).filter(|token| *token != first));
    bed.cluster.kubectl(&["delete", "rp", "p", "--timeout=20s"], None).expect_ok();
    let register = |token: &str| {
        let call = bed.server.http().post("/api/v1/runners/register");
        call.bearer(token).json(body.clone()).send().status
    };
    for token in [&first, &second] {
        wait::until("the token is dead", SOON, || (register(token) == 401).then_some(()));
    }
    // Here it lacked its rights on purpose.
    drop(operator);
}
