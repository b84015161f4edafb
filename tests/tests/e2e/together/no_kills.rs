//! Shrinking under load never ends a run.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::report::{self, Row};
use crate::harness::{Bed, Kind, LEADER, SYSTEM, Scene, Shape, bed, kubectl, short, storm, verdict};

const POOLS: [&str; 4] = ["a", "b", "c", "d"];
/// How many scale-downs there shall be; a short run does as many as its time allows.
const GOAL: usize = 200;
/// How often the operator's leader is taken away during the storm.
const LEADER_CHANGES: usize = 2;
/// After so many scale-downs each.
const LEADER_CHANGE_EVERY: usize = 10;

#[test]
fn scale_downs_under_random_load_and_leader_changes_end_no_run_and_choose_no_busy_pod() {
    let Some(bed) = bed() else { return };
    let scene = Scene::new(bed, "no-kills");
    let mut gone = Vec::new();
    shrink_under_load(
        &scene,
        "2-with-policy",
        "with the admission policy, the leader removed twice",
        |count| {
            if gone.len() < LEADER_CHANGES && count >= LEADER_CHANGE_EVERY * (gone.len() + 1) {
                gone.push(remove_leader(bed, gone.len() % 2 == 1));
            }
        },
    );
    assert_eq!(gone.len(), LEADER_CHANGES, "leaders removed: {gone:?}");
}

/// A storm over pools that shrink at once or nearly so, and the verdict on it. `meanwhile` gets the scale-downs so far; the result goes
/// into that part of the report under that title.
pub(crate) fn shrink_under_load(scene: &Scene, part: &str, title: &str, mut meanwhile: impl FnMut(usize)) {
    for (number, pool) in POOLS.iter().enumerate() {
        let wait = [0, 0, 1, 2][number];
        let scaling = json!({"scaleDown": {"stabilizationSeconds": wait}});
        scene.pool(pool, json!({"maxRunners": 4, "minIdle": u32::from(number == 3), "scaling": scaling}));
    }
    let limit = Duration::from_secs(if short() { 110 } else { 1800 });
    let began = Instant::now();
    let count = storm(scene, Shape { pools: &POOLS, scale_downs: GOAL, limit }, &mut meanwhile);
    let took = began.elapsed().as_secs();
    scene.wait_all_ended(Duration::from_secs(300));
    for pool in POOLS {
        scene.patch(pool, json!({"minIdle": 0}));
    }
    scene.wait_no_pods(Duration::from_secs(90));
    let total = verdict::scale_downs(scene);
    let (runs, chosen) = verdict::assert_undisturbed(scene);
    println!(
        "{}: {count} scale-downs in {took} s under load ({total} in all, {} of {GOAL} left out), {runs} runs, {chosen} pods chosen \
         to go, 0 of them busy, 0 runs interrupted",
        scene.name,
        GOAL.saturating_sub(total)
    );
    let how = "runs of 0.1 to 20 s in random waves over 4 pools, counted from the Deployments; judged by every attempt, a witness of the jobs, and \
               a watch of the pods";
    report::keep(
        part,
        &[Row {
            what: format!("{title}: scale-downs under load; busy pods chosen; runs interrupted"),
            target: format!("≥ {GOAL}; 0; 0"),
            measured: format!("{total}; 0; 0 of {runs}"),
            holds: Some(total >= GOAL),
            how: how.to_owned(),
        }],
    );
    assert!(short() || count >= GOAL, "only {count} scale-downs in {took} s");
    assert!(count > 0, "no scale-down in {took} s");
}

/// Deletes the leader's pod, with or without time to hand over, and waits for another leader.
fn remove_leader(bed: &Bed, at_once: bool) -> String {
    let _leaders = LEADER.write();
    let leader = bed.leader();
    let mut args = vec!["delete", "pod", &leader, "-n", SYSTEM, "--wait=false"];
    if at_once {
        args.extend(["--force", "--grace-period=0"]);
    }
    kubectl::run(&args);
    println!("leader {leader} deleted{}", if at_once { " by force" } else { "" });
    bed.view.until("another leader", Duration::from_secs(60), |state| {
        let lease = state.one(Kind::Lease, SYSTEM, "minitower-operator")?;
        let holder = lease["spec"]["holderIdentity"].as_str()?;
        (!holder.is_empty() && holder != leader).then_some(())
    });
    leader
}
