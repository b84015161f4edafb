//! Others write to the operator's objects.

use minitower_tests::wait;
use rstest::rstest;
use serde_json::Value;
use serde_json::json;

use crate::controller::bed::{Bed, SOON, bed, name};

/// The only Deployment.
fn deployment(bed: &Bed) -> Value {
    let all = bed.list("deployments");
    assert_eq!(all.len(), 1);
    all[0].clone()
}

#[rstest]
#[case::kubectl_set_image("set-image", &["set", "image"], &["runner=registry/theirs:9"])]
#[case::kubectl_rollout_restart("restart", &["rollout", "restart"], &[])]
fn a_changed_template_is_put_right_and_told(#[case] of: &str, #[case] verb: &[&str], #[case] rest: &[&str]) {
    let Some(bed) = bed(of) else { return };
    let operator = bed.operator("op").leads();
    bed.apply(&json!({ "replicas": 2 }));
    let pods = bed.wait_pods(2);
    for pod in &pods {
        let runner = bed.run_pod(pod);
        bed.team.run_id("hello");
        runner.lease_and_start();
    }
    wait::until("both are busy", SOON, || {
        (bed.cluster.pool("p")["status"]["busyRunners"] == 2).then_some(())
    });
    let before = deployment(&bed);
    let target = format!("deployment/{}", name(&before));
    bed.cluster.kubectl(&[verb, &[&target], rest].concat(), None).expect_ok();
    let note = wait::until("an Event tells", SOON, || bed.events("TemplateRestored").into_iter().next());
    assert!(note.contains("was changed by kubectl"), "{note}");
    let template = |deployment: &Value| deployment["spec"]["template"].clone();
    wait::until("the template is the pool's again", SOON, || {
        (template(&deployment(&bed)) == template(&before)).then_some(())
    });
    // Meanwhile the Deployment controller creates pods of that template, and the operator marks which of them may go.
    let sorted = |mut names: Vec<String>| {
        names.sort();
        names
    };
    let left = wait::find(SOON, || (sorted(bed.pods()) == sorted(pods.clone())).then_some(()));
    let shown = || bed.cluster.kubectl(&["get", "deployments,replicasets,pods", "-o", "wide"], None).out;
    assert!(left.is_some(), "the busy {pods:?} are to be left, and no other:\n{}", shown());
    operator.stop();
}

#[rstest]
#[case::smaller("smaller", 0)]
#[case::larger("larger", 5)]
fn a_size_that_somebody_set_is_put_right_without_a_kill(#[case] of: &str, #[case] theirs: u32) {
    let Some(bed) = bed(of) else { return };
    let operator = bed.operator("op").leads();
    bed.apply(&json!({ "replicas": 2 }));
    let pods = bed.wait_pods(2);
    for pod in &pods {
        let runner = bed.run_pod(pod);
        bed.team.run_id("hello");
        runner.lease_and_start();
    }
    wait::until("both are busy", SOON, || {
        (bed.cluster.pool("p")["status"]["busyRunners"] == 2).then_some(())
    });
    let target = format!("deployment/{}", name(&deployment(&bed)));
    let size = format!("--replicas={theirs}");
    bed.cluster.kubectl(&["scale", &target, &size], None).expect_ok();
    wait::until("the size is the pool's again", SOON, || (bed.sizes() == [2]).then_some(()));
    let left = bed.wait_pods(2);
    assert!(pods.iter().all(|pod| left.contains(pod)), "{pods:?} were busy, {left:?} are left");
    operator.stop();
}

#[test]
fn who_owns_fields_without_changing_them_is_let_be() {
    let Some(bed) = bed("co-owner") else { return };
    let operator = bed.operator("op").leads();
    bed.apply(&json!({ "replicas": 1 }));
    bed.wait_pods(1);
    let mut same = deployment(&bed);
    for field in ["managedFields", "resourceVersion", "uid", "generation", "creationTimestamp"] {
        same["metadata"].as_object_mut().unwrap().remove(field);
    }
    same.as_object_mut().unwrap().remove("status");
    let args = ["apply", "--server-side", "--force-conflicts", "--field-manager=theirs", "-f", "-"];
    bed.cluster.kubectl(&args, Some(&same)).expect_ok();
    let looks = || operator.metric("minitower_operator_reconcile_total");
    let looked = looks();
    wait::until("three looks more", SOON, || (looks() >= looked + 3.0).then_some(()));
    assert_eq!(bed.events("TemplateRestored"), [] as [String; 0]);
    operator.stop();
}
