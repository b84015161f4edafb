//! What the controller concludes from what the watches and the control plane show.

use std::time::Duration;

use rstest::rstest;
use serde_json::{Value, json};

use super::super::observe::{Counts, Ending, Expected, failed_create, is_marked, meddler, observe};
use super::super::plan::{self, Runner};
use super::objects::{busy, container, deployment, in_state, pod, pool, runner, seen, seen_after, snapshot};
use crate::demand::{Cause, ControlPlaneError, Demand, RunnerView, Scope};

/// Longer than the controller waits for a write to show.
const LONG: Duration = Duration::from_secs(31);

#[rstest]
#[case::deleted(json!({ "metadata": { "deletionTimestamp": "2026-01-02T03:04:05Z" } }))]
#[case::evicted(json!({ "status": { "phase": "Failed" } }))]
#[case::completed(json!({ "status": { "phase": "Succeeded" } }))]
fn a_pod_on_its_way_out_is_not_counted_and_not_forgotten(#[case] patch: Value) {
    let pods = [pod("a", "new", &json!({})), pod("b", "new", &patch)];
    let said = snapshot(0, vec![runner("a"), busy("b", "i")]);
    let found = seen(&[deployment("new", 2, &json!({}))], &pods, &said);
    assert_eq!(found.counts, Counts { pods: 1, ready: 1, busy: 0, idle: 1, former: 0 });
    assert_eq!(found.observed.leaving.keys().collect::<Vec<_>>(), ["b"]);
    assert!(!found.pods.contains_key("b"));
}

#[rstest]
#[case(Some("-100"), true)]
#[case(Some("-1"), true)]
#[case(Some("0"), false)]
#[case(Some("100"), false)]
#[case(Some("-"), false)]
#[case(None, false)]
fn a_negative_deletion_cost_is_the_mark(#[case] cost: Option<&str>, #[case] expected: bool) {
    let patch =
        json!({ "metadata": { "annotations": { "controller.kubernetes.io/pod-deletion-cost": cost } } });
    assert_eq!(is_marked(&pod("a", "new", &patch)), expected);
}

#[rstest]
#[case::idle(runner("a"), Runner::Idle { since: None })]
#[case::busy(busy("a", "i"), Runner::Busy { since: None })]
#[case::silent(RunnerView { online: false, ..runner("a") }, Runner::Absent)]
#[case::silent_with_a_run(RunnerView { online: false, ..busy("a", "i") }, Runner::Busy { since: None })]
#[case::another(runner("b"), Runner::Absent)]
fn a_runner_is_what_the_control_plane_says(#[case] said: RunnerView, #[case] expected: Runner) {
    let found =
        seen(&[deployment("new", 1, &json!({}))], &[pod("a", "new", &json!({}))], &snapshot(0, vec![said]));
    assert_eq!(found.observed.revisions[0].pods[0].runner, expected);
}

/// A pool for all, or for team acme, and the scope and pool of a runner that has the name of its pod.
#[rstest]
#[case::of_a_team(None, Scope::Team(Some("acme".to_owned())), Some("ns/p"))]
#[case::of_a_team_without_a_name(None, Scope::Team(None), Some("ns/p"))]
#[case::of_another_team(Some("acme"), Scope::Team(Some("zeta".to_owned())), Some("ns/p"))]
#[case::of_the_platform(Some("acme"), Scope::Platform, Some("ns/p"))]
#[case::of_another_pool(None, Scope::Platform, Some("ns/q"))]
#[case::of_another_namespace(None, Scope::Platform, Some("other/p"))]
#[case::of_no_pool(None, Scope::Platform, None)]
fn a_stranger_under_the_name_of_a_pod_is_not_that_pods_runner(
    #[case] team: Option<&str>,
    #[case] scope: Scope,
    #[case] of: Option<&str>,
) {
    let pool_of = of.map(str::to_owned);
    let stranger =
        |name: &str| RunnerView { scope: scope.clone(), pool: pool_of.clone(), ..busy(name, "i-1") };
    let said = snapshot(0, vec![stranger("a"), stranger("b"), stranger("c"), stranger("p-x")]);
    let deleted = json!({ "metadata": { "deletionTimestamp": "2026-01-02T03:04:05Z" } });
    let ended = in_state(&json!({ "terminated": { "exitCode": 1, "message": "i-1\n" } }));
    let pods = [pod("a", "new", &json!({})), pod("b", "new", &deleted), pod("c", "new", &ended)];
    let pool = pool(&json!({ "spec": { "team": team } }));
    let mut expected = Expected::default();
    let mut look = |now| {
        let deployments = [deployment("new", 2, &json!({}))];
        observe(&pool, "new", &deployments, &pods, Demand::Known(&said), &mut expected, now)
    };
    look(Duration::ZERO);
    let found = look(LONG);
    assert_eq!(found.counts, Counts { pods: 2, ready: 0, busy: 0, idle: 0, former: 0 });
    let seen = &found.observed.revisions[0].pods[0];
    assert_eq!((seen.runner, seen.registered, seen.draining), (Runner::Absent, false, false));
    assert!(seen.name_taken);
    let leaving: Vec<_> = found.observed.leaving.iter().collect();
    assert_eq!(
        leaving,
        [(&"b".to_owned(), &plan::Leaving::Closed)],
        "it is not fenced, and p-x does not leave"
    );
    let told: Vec<_> = found.leaving.iter().map(|one| (one.name.as_str(), one.busy, one.run_id)).collect();
    assert_eq!(told, [("b", false, None)]);
    assert_eq!(found.endings, []);
}

#[rstest]
#[case::idle(runner("a"))]
#[case::busy(busy("a", "i"))]
fn a_runner_whose_container_does_not_run_is_not_ready(#[case] said: RunnerView) {
    let waits = in_state(&json!({ "waiting": { "reason": "CrashLoopBackOff" } }));
    let found =
        seen(&[deployment("new", 1, &json!({}))], &[pod("a", "new", &waits)], &snapshot(0, vec![said]));
    assert_eq!((found.counts.pods, found.counts.ready), (1, 0));
}

#[test]
fn pods_belong_to_the_revision_they_are_labelled_with() {
    let deployments = [deployment("old", 1, &json!({})), deployment("new", 2, &json!({}))];
    let pods = [pod("c", "old", &json!({})), pod("b", "new", &json!({})), pod("a", "new", &json!({}))];
    let found = seen(&deployments, &pods, &snapshot(5, vec![runner("c")]));
    let names: Vec<(&str, Vec<&str>)> = found
        .observed
        .revisions
        .iter()
        .map(|revision| (revision.hash.as_str(), revision.pods.iter().map(|pod| pod.name.as_str()).collect()))
        .collect();
    assert_eq!(names, [("new", vec!["a", "b"]), ("old", vec!["c"])]);
    assert_eq!(found.counts, Counts { pods: 3, ready: 1, busy: 0, idle: 1, former: 1 });
    assert_eq!(found.observed.demand, plan::Demand::Known { pending: 5 });
}

#[rstest]
#[case::a_former_pool_of_the_name(json!({ "uid": "former" }))]
#[case::no_controller(json!({ "controller": false }))]
fn a_deployment_of_another_owner_is_not_the_pools(#[case] reference: Value) {
    let other =
        json!({ "apiVersion": "a/v1", "kind": "K", "name": "p", "uid": "uid-of-p", "controller": true });
    let other = super::objects::merged(other, &reference);
    let foreign = deployment("new", 3, &json!({ "metadata": { "ownerReferences": [other] } }));
    let found = seen(&[foreign], &[], &snapshot(0, vec![]));
    assert!(found.observed.revisions.is_empty() && found.deployments.is_empty());
}

#[rstest]
#[case::of_another_namespace(json!({ "metadata": { "namespace": "elsewhere" } }))]
#[case::of_another_pool(json!({ "metadata": { "labels": { "minitower.dev/pool": "q" } } }))]
fn neither_is_a_deployment(#[case] patch: Value) {
    let found = seen(&[deployment("new", 3, &patch)], &[], &snapshot(0, vec![]));
    assert!(found.observed.revisions.is_empty());
}

#[test]
fn a_deployment_being_deleted_has_no_size() {
    let going = json!({ "metadata": { "deletionTimestamp": "2026-01-02T03:04:05Z" } });
    let found = seen(&[deployment("new", 3, &going)], &[], &snapshot(0, vec![]));
    assert_eq!(found.observed.size(), 0);
}

#[test]
fn what_was_written_settles_when_it_is_seen_in_that_version_or_a_later_one() {
    let mut expected = Expected::default();
    let said = snapshot(0, vec![]);
    expected.deployment("p-new", "new", 2, Some(&"11".to_owned()), Duration::ZERO);
    let mut settling = |version: &str, now: Duration| {
        let deployment = deployment("new", 1, &json!({ "metadata": { "resourceVersion": version } }));
        seen_after(&[deployment], &[], &said, &mut expected, now).observed.revisions[0].settling
    };
    assert!(settling("10", Duration::ZERO));
    assert!(settling("9", Duration::from_secs(29)));
    assert!(!settling("12", Duration::from_secs(29)));
    assert!(!settling("10", Duration::from_secs(29)), "what has been seen once is not waited for again");
}

#[test]
fn nothing_is_waited_for_for_ever() {
    let mut expected = Expected::default();
    let said = snapshot(0, vec![]);
    expected.deployment("p-new", "new", 2, Some(&"11".to_owned()), Duration::ZERO);
    expected.pod("a", Some(&"21".to_owned()), Duration::ZERO);
    let (deployments, pods) = ([deployment("new", 1, &json!({}))], [pod("a", "new", &json!({}))]);
    let mut settling =
        |now| seen_after(&deployments, &pods, &said, &mut expected, now).observed.revisions[0].settling;
    assert!(settling(Duration::from_secs(29)));
    assert!(!settling(LONG));
}

#[test]
fn a_marked_pod_settles_its_revision_alone_and_one_that_is_gone_none() {
    let mut expected = Expected::default();
    let said = snapshot(0, vec![]);
    let deployments = [deployment("new", 1, &json!({})), deployment("old", 1, &json!({}))];
    expected.pod("a", Some(&"21".to_owned()), Duration::ZERO);
    let pods = [pod("a", "old", &json!({})), pod("b", "new", &json!({}))];
    let found = seen_after(&deployments, &pods, &said, &mut expected, Duration::ZERO);
    let settling: Vec<bool> = found.observed.revisions.iter().map(|revision| revision.settling).collect();
    assert_eq!(settling, [false, true]);
    let found = seen_after(&deployments, &pods[1..], &said, &mut expected, Duration::ZERO);
    assert!(found.observed.revisions.iter().all(|revision| !revision.settling));
}

#[test]
fn a_deployment_made_a_moment_ago_has_its_size_before_it_is_seen() {
    let mut expected = Expected::default();
    expected.deployment("p-new", "new", 4, Some(&"11".to_owned()), Duration::ZERO);
    let found = seen_after(&[], &[], &snapshot(0, vec![]), &mut expected, Duration::ZERO);
    assert_eq!(found.observed.size(), 4);
    assert!(found.observed.revisions[0].settling);
    let found = seen_after(&[], &[], &snapshot(0, vec![]), &mut expected, LONG);
    assert!(found.observed.revisions.is_empty(), "somebody removed it at once");
}

fn failing(reason: &str, status: &str) -> Value {
    let condition =
        json!({ "type": "ReplicaFailure", "status": status, "reason": reason, "message": "words" });
    json!({ "status": { "conditions": [condition] } })
}

#[rstest]
#[case(failing("FailedCreate", "True"), Some("words"))]
#[case::the_policy_at_work(failing("FailedDelete", "True"), None)]
#[case::over(failing("FailedCreate", "False"), None)]
#[case::never(json!({}), None)]
fn only_pods_that_cannot_be_made_make_a_revision_stuck(#[case] patch: Value, #[case] words: Option<&str>) {
    let deployment = deployment("new", 3, &patch);
    assert_eq!(failed_create(&deployment), words);
    let found = seen(&[deployment], &[], &snapshot(0, vec![]));
    assert_eq!(found.observed.revisions[0].stuck, words.is_some());
}

fn terminated(message: &str) -> Value {
    json!({ "terminated": { "exitCode": 137, "reason": "OOMKilled", "message": message } })
}

fn endings(state: &Value, said: RunnerView) -> Vec<Ending> {
    let pods = [pod("a", "new", &in_state(state))];
    seen(&[deployment("new", 1, &json!({}))], &pods, &snapshot(0, vec![said])).endings
}

#[test]
fn an_ended_process_is_told_with_what_the_kubelet_and_the_runner_said() {
    let expected = Ending {
        runner: "a".to_owned(),
        instance_id: "i-1".to_owned(),
        reason: "runner pod a: OOMKilled, exit code 137: the disk is full".to_owned(),
    };
    assert_eq!(endings(&terminated("i-1\nthe disk is full\nmore"), busy("a", "i-1")), [expected]);
}

#[rstest]
#[case::another_process("i-2\n", busy("a", "i-1"))]
#[case::no_last_words("", busy("a", "i-1"))]
#[case::no_name("\nthe disk is full", busy("a", "i-1"))]
#[case::nothing_held("i-1\n", RunnerView { instance_id: Some("i-1".to_owned()), ..runner("a") })]
#[case::a_runner_that_has_not_polled("i-1\n", RunnerView { instance_id: None, ..busy("a", "i") })]
fn an_end_that_is_not_certain_is_left_to_the_lease(#[case] message: &str, #[case] said: RunnerView) {
    assert_eq!(endings(&terminated(message), said), []);
}

#[test]
fn a_process_that_was_started_again_is_told_by_its_last_state() {
    let mut status = container(true, &json!({ "running": {} }));
    status["lastState"] = terminated("i-1");
    let pods = [pod("a", "new", &json!({ "status": { "containerStatuses": [status] } }))];
    let found = seen(&[deployment("new", 1, &json!({}))], &pods, &snapshot(0, vec![busy("a", "i-1")]));
    assert_eq!(found.endings.len(), 1);
    assert_eq!(found.endings[0].reason, "runner pod a: OOMKilled, exit code 137");
}

#[test]
fn an_evicted_pods_end_is_told_though_it_is_on_its_way_out() {
    let patch =
        super::objects::merged(in_state(&terminated("i-1")), &json!({ "status": { "phase": "Failed" } }));
    let pods = [pod("a", "new", &patch)];
    let found = seen(&[deployment("new", 1, &json!({}))], &pods, &snapshot(0, vec![busy("a", "i-1")]));
    assert_eq!(found.endings.len(), 1);
}

#[test]
fn a_node_out_of_reach_proves_nothing() {
    let lost = json!({
        "metadata": { "deletionTimestamp": "2026-01-02T03:04:05Z" },
        "status": { "reason": "NodeLost", "conditions": [{ "type": "Ready", "status": "False" }] },
    });
    let pods = [pod("a", "new", &lost)];
    let found = seen(&[deployment("new", 1, &json!({}))], &pods, &snapshot(0, vec![busy("a", "i-1")]));
    assert_eq!(found.endings, []);
}

#[test]
fn without_a_control_plane_nothing_is_known_of_runners() {
    let error = ControlPlaneError::new("http://x", Cause::Deadline(Duration::from_secs(5)));
    let demand = Demand::Unknown { reason: &error };
    let pods = [pod("a", "new", &in_state(&terminated("i-1")))];
    let deployments = [deployment("new", 1, &json!({}))];
    let mut expected = Expected::default();
    let found = observe(&pool(&json!({})), "new", &deployments, &pods, demand, &mut expected, Duration::ZERO);
    assert_eq!(found.observed.demand, plan::Demand::Unknown);
    assert_eq!((found.counts.pods, found.counts.ready, found.endings.len()), (1, 0, 0));
}

#[test]
fn only_the_runs_of_the_pools_team_and_environment_are_its_demand() {
    let mut said = snapshot(3, vec![]);
    said.pending.insert(("acme".to_owned(), "gpu".to_owned()), 5);
    said.pending.insert(("zeta".to_owned(), "gpu".to_owned()), 7);
    let pending = |spec: &Value| {
        let pool = pool(&json!({ "spec": spec }));
        let mut expected = Expected::default();
        observe(&pool, "new", &[], &[], Demand::Known(&said), &mut expected, Duration::ZERO).observed.demand
    };
    assert_eq!(pending(&json!({})), plan::Demand::Known { pending: 3 });
    assert_eq!(pending(&json!({ "environment": "gpu" })), plan::Demand::Known { pending: 12 });
    assert_eq!(pending(&json!({ "environment": "gpu", "team": "acme" })), plan::Demand::Known { pending: 5 });
}

/// Who wrote which fields of a Deployment, as the API server records it.
fn written(manager: &str, subresource: Option<&str>, fields: &Value) -> Value {
    json!({
        "manager": manager, "operation": "Update", "apiVersion": "apps/v1", "fieldsType": "FieldsV1",
        "subresource": subresource, "fieldsV1": fields,
    })
}

#[rstest]
#[case::ourselves(written("minitower-operator", None, &json!({ "f:spec": { "f:template": {} } })), None)]
#[case::kubectl_set_image(
    written("kubectl-set", None, &json!({ "f:spec": { "f:template": { "f:spec": {} } } })),
    Some("kubectl-set")
)]
#[case::kubectl_scale(written("kubectl", Some("scale"), &json!({ "f:spec": { "f:replicas": {} } })), None)]
#[case::the_deployment_controller(
    written("kube-controller-manager", Some("status"), &json!({ "f:status": { "f:replicas": {} } })),
    None
)]
#[case::kubectl_annotate(written("kubectl-annotate", None, &json!({ "f:metadata": { "f:annotations": {} } })), None)]
fn who_wrote_into_the_template_is_found(#[case] entry: Value, #[case] expected: Option<&str>) {
    let own = written("minitower-operator", None, &json!({ "f:spec": { "f:template": {} } }));
    let deployment = deployment("new", 1, &json!({ "metadata": { "managedFields": [own, entry] } }));
    assert_eq!(meddler(&deployment).as_deref(), expected);
}
