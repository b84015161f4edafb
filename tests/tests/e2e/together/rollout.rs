//! A changed template replaces pods without a run noticing.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Kind, Scene, bed, verdict};

/// How many Deployments a pool has.
fn deployments(scene: &Scene) -> usize {
    scene.bed.view.now(|state| state.all(Kind::Deployment, &scene.name).len())
}

fn wait_one_deployment_other_than(scene: &Scene, former: &str) -> String {
    let found = scene.bed.view.find(Duration::from_secs(120), |state| {
        let all = state.all(Kind::Deployment, &scene.name);
        let name = all.first()?["metadata"]["name"].as_str()?.to_owned();
        (all.len() == 1 && name != former).then_some(name)
    });
    found.unwrap_or_else(|| panic!("the former Deployments stay\n{}", scene.glance()))
}

#[test]
fn template_and_image_changes_under_load_interrupt_no_run_and_a_bad_image_never_empties_the_pool() {
    let Some(bed) = bed() else { return };
    let scene = Scene::new(bed, "rollout");
    scene.pool("main", json!({"minRunners": 2, "maxRunners": 4}));
    scene.wait_runners("main", 2, Duration::from_secs(60));
    let first = wait_one_deployment_other_than(&scene, "");

    // A changed template while runs are in flight and queued.
    for number in 0..8 {
        scene.run("main", 4.0 + f64::from(number));
    }
    scene.wait_pods("main", 4, Duration::from_secs(30));
    scene.patch("main", json!({"template": {"annotations": {"example.org/change": "1"}}}));
    let second = wait_one_deployment_other_than(&scene, &first);
    scene.wait_all_ended(Duration::from_secs(180));

    // An image that is nowhere: the pool goes on with what it has, and says what the kubelet says.
    let bad = "docker.io/minitower/minitower-runner:no-such-tag";
    let good = scene.manifest("main", &Value::Null)["spec"]["runner"]["image"].clone();
    scene.wait_runners("main", 2, Duration::from_secs(60));
    scene.patch("main", json!({"runner": {"image": bad}}));
    scene.wait_condition("main", "Degraded", "True", &["no-such-tag"], Duration::from_secs(90));
    assert_eq!(deployments(&scene), 2, "the good one and the bad one\n{}", scene.glance());
    for _ in 0..6 {
        scene.run("main", 1.0);
    }
    scene.wait_all_ended(Duration::from_secs(120));
    let emptied = scene.bed.view.now(|state| state.one(Kind::Deployment, &scene.name, &second));
    let left = emptied.map_or(0, |it| it["status"]["readyReplicas"].as_i64().unwrap_or(0));
    assert!(left >= 2, "the good revision has {left} pods\n{}", scene.glance());

    // Mended: a further change under load, as the image of before would only bring the second revision back.
    let mended = json!({"runner": {"image": good}, "template": {"annotations": {"example.org/change": "2"}}});
    for _ in 0..4 {
        scene.run("main", 5.0);
    }
    scene.patch("main", mended);
    wait_one_deployment_other_than(&scene, &second);
    scene.wait_condition("main", "Degraded", "False", &[], Duration::from_secs(60));
    scene.wait_all_ended(Duration::from_secs(120));
    let (runs, chosen) = verdict::assert_undisturbed(&scene);
    println!(
        "{}: {runs} runs over 3 rollouts, {chosen} pods chosen to go, 0 of them busy, 0 runs interrupted",
        scene.name
    );
}
