//! What goes wrong is said, with what to do about it, and heals when it is mended.

use std::time::Duration;

use serde_json::json;

use crate::harness::{Scene, bed, kubectl, secret, verdict};

const SOON: Duration = Duration::from_secs(60);
/// The kubelet's back-off goes up to minutes, so that mending may take as long to be noticed.
const HEALED: Duration = Duration::from_secs(150);

#[test]
fn an_image_that_cannot_be_pulled_is_told_in_the_kubelets_words() {
    let Some(bed) = bed() else { return };
    let scene = Scene::new(bed, "bad-image");
    scene.pool("main", json!({"runner": {"image": "registry.invalid/nobody/nothing:1"}}));
    scene.run("main", 0.5);
    scene.wait_condition("main", "Degraded", "True", &["registry.invalid/nobody/nothing:1", "pull"], SOON);
    scene.wait_condition("main", "Ready", "False", &[], SOON);
    // The kubelet alternates between the error and its back-off.
    scene.stays_condition("main", "Degraded", "True", Duration::from_secs(20));
    let events = kubectl::run(&[
        "get",
        "events",
        "-n",
        &scene.name,
        "--field-selector=involvedObject.kind=RunnerPool",
    ]);
    assert!(events.contains("registry.invalid/nobody/nothing:1"), "an Event says it too:\n{events}");
    let good = scene.manifest("main", &json!({}))["spec"]["runner"]["image"].clone();
    scene.patch("main", json!({"runner": {"image": good}}));
    scene.wait_all_ended(HEALED);
    scene.wait_condition("main", "Degraded", "False", &[], HEALED);
    scene.wait_no_pods(SOON);
    verdict::assert_undisturbed(&scene);
}

#[test]
fn a_wrong_registration_token_is_told_and_mended_by_the_secret() {
    let Some(bed) = bed() else { return };
    let scene = Scene::new(bed, "bad-token");
    kubectl::apply(&[secret(&scene.name, "minitower", "wrong", &bed.operator_token)]);
    scene.pool("main", json!({}));
    scene.run("main", 0.5);
    scene.wait_condition(
        "main",
        "Degraded",
        "True",
        &["registration token", "Secret"],
        Duration::from_secs(90),
    );
    kubectl::apply(&[secret(&scene.name, "minitower", &bed.registration_token, &bed.operator_token)]);
    scene.wait_all_ended(HEALED);
    scene.wait_condition("main", "Degraded", "False", &[], HEALED);
    scene.wait_no_pods(SOON);
    verdict::assert_undisturbed(&scene);
}

#[test]
fn a_missing_secret_is_named_and_the_pool_heals_when_it_comes() {
    let Some(bed) = bed() else { return };
    let scene = Scene::new(bed, "no-secret");
    scene.pool("main", json!({"registrationTokenSecretRef": {"name": "later"}}));
    scene.run("main", 0.5);
    scene.wait_condition("main", "Degraded", "True", &["later"], Duration::from_secs(90));
    kubectl::apply(&[secret(&scene.name, "later", &bed.registration_token, "unused")]);
    scene.wait_all_ended(HEALED);
    scene.wait_condition("main", "Degraded", "False", &[], HEALED);
    scene.wait_no_pods(SOON);
    verdict::assert_undisturbed(&scene);
}

#[test]
fn a_missing_or_wrong_operator_token_is_told_and_makes_no_pods() {
    let Some(bed) = bed() else { return };
    let scene = Scene::new(bed, "no-demand");
    scene.pool("main", json!({"operatorTokenSecretRef": {"name": "later"}}));
    scene.run("main", 0.5);
    scene.wait_condition("main", "DemandAvailable", "False", &["later"], SOON);
    kubectl::apply(&[secret(&scene.name, "later", "unused", "wrong")]);
    scene.wait_condition("main", "DemandAvailable", "False", &["token"], SOON);
    assert_eq!(scene.pods("main"), [""; 0], "unknown demand makes no pods");
    kubectl::apply(&[secret(&scene.name, "later", "unused", &bed.operator_token)]);
    scene.wait_condition("main", "DemandAvailable", "True", &[], SOON);
    scene.wait_all_ended(SOON);
    scene.wait_no_pods(SOON);
    verdict::assert_undisturbed(&scene);
}

#[test]
fn an_exceeded_quota_is_told_in_its_own_words_while_the_pods_that_fit_work() {
    let Some(bed) = bed() else { return };
    let scene = Scene::new(bed, "quota");
    kubectl::apply(&[json!({"apiVersion": "v1", "kind": "ResourceQuota",
        "metadata": {"name": "two-pods", "namespace": scene.name}, "spec": {"hard": {"pods": "2"}}})]);
    scene.pool("main", json!({"maxRunners": 4}));
    for _ in 0..8 {
        scene.run("main", 4.0);
    }
    scene.wait_condition("main", "Degraded", "True", &["exceeded quota: two-pods"], SOON);
    scene.wait_all_ended(Duration::from_secs(120));
    scene.wait_no_pods(SOON);
    scene.wait_condition("main", "Degraded", "False", &[], HEALED);
    verdict::assert_undisturbed(&scene);
}
