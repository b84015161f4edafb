//! The problems that a person is told about, from real reports of the kubelet and the API server.

use jiff::Timestamp;
use rstest::rstest;
use serde_json::{Value, json};

use super::super::pool::Pool;
use super::super::problems::{Problem, find, not_starting, stuck_in_creation};
use super::objects::{at, container, deployment, in_state, pod, pool, pool_object, runner, seen, snapshot};
use crate::demand::{RunnerView, Scope, Snapshot};

/// Long after the pods were created.
const LATER: &str = "2026-01-02T03:10:00Z";

fn later() -> Timestamp {
    at(LATER)
}

fn problem_of(patch: &Value, said: &Snapshot, now: Timestamp) -> Option<Problem> {
    let found = seen(&[deployment("new", 1, &json!({}))], &[pod("a", "new", patch)], said);
    find(&pool(&json!({})), &found, Some(said), now)
}

fn waiting(reason: &str, message: &str) -> Value {
    in_state(&json!({ "waiting": { "reason": reason, "message": message } }))
}

const NOT_FOUND: &str = "failed to pull and unpack image \"registry/x:1\": failed to resolve reference \"registry/x:1\": registry/x:1: not found";

#[rstest]
#[case("ErrImagePull", NOT_FOUND.to_owned(), NOT_FOUND)]
#[case(
    "ImagePullBackOff",
    format!("Back-off pulling image \"registry/x:1\": ErrImagePull: {NOT_FOUND}"),
    NOT_FOUND
)]
#[case("ImagePullBackOff", "Back-off pulling image \"x\"".to_owned(), "Back-off pulling image \"x\"")]
#[case(
    "InvalidImageName",
    "Failed to apply default image tag \"X\": couldn't parse image name \"X\": invalid reference format".to_owned(),
    "Failed to apply default image tag \"X\": couldn't parse image name \"X\": invalid reference format"
)]
#[case(
    "ErrImageNeverPull",
    "Container image \"x\" is not present with pull policy of Never".to_owned(),
    "Container image \"x\" is not present with pull policy of Never"
)]
fn an_image_that_cannot_be_pulled(#[case] reason: &str, #[case] message: String, #[case] words: &str) {
    let problem = problem_of(&waiting(reason, &message), &snapshot(0, vec![]), later()).unwrap();
    assert_eq!(problem.reason, "ImagePullFailed");
    let way_out = "correct spec.runner.image, or give its registry's credentials to the pods' ServiceAccount";
    assert_eq!(problem.message, format!("pod a: {words}; {way_out}"));
}

#[test]
fn an_error_and_its_back_off_are_one_problem() {
    let said = snapshot(0, vec![]);
    let error = problem_of(&waiting("ErrImagePull", NOT_FOUND), &said, later());
    let back_off = format!("Back-off pulling image \"registry/x:1\": ErrImagePull: {NOT_FOUND}");
    assert_eq!(error, problem_of(&waiting("ImagePullBackOff", &back_off), &said, later()));
}

#[rstest]
#[case("CreateContainerConfigError", "secret \"credentials\" not found")]
#[case("CreateContainerError", "failed to generate container: no such device")]
#[case(
    "RunContainerError",
    "failed to create containerd task: exec: \"minitower-runner\": executable file not found in $PATH"
)]
fn a_container_that_cannot_be_made(#[case] reason: &str, #[case] words: &str) {
    let problem = problem_of(&waiting(reason, words), &snapshot(0, vec![]), later()).unwrap();
    assert_eq!(problem.reason, "ContainerRefused");
    assert_eq!(problem.message, format!("pod a: {reason}: {words}"));
}

fn crash_loop(last: &Value) -> Value {
    let message = "back-off 10s restarting failed container=runner pod=a_ns(uid)";
    let mut status =
        container(false, &json!({ "waiting": { "reason": "CrashLoopBackOff", "message": message } }));
    status["lastState"] = json!({ "terminated": last });
    json!({ "status": { "containerStatuses": [status] } })
}

#[rstest]
#[case::its_last_words(
    json!({ "exitCode": 1, "reason": "Error", "message": "i-1\nthe registration token is refused (401)\n" }),
    "the runner keeps exiting: the registration token is refused (401); correct the Secret that \
     spec.registrationTokenSecretRef names (ns/tokens, key registration-token)"
)]
#[case::other_last_words(
    json!({ "exitCode": 1, "reason": "Error", "message": "i-1\nthe data folder cannot be written\n" }),
    "the runner keeps exiting: the data folder cannot be written"
)]
#[case::no_words(
    json!({ "exitCode": 1, "reason": "Error", "message": "i-1\n" }),
    "the runner keeps exiting: Error, exit code 1; see kubectl logs --previous"
)]
#[case::out_of_memory(
    json!({ "exitCode": 137, "reason": "OOMKilled" }),
    "the runner keeps exiting: OOMKilled, exit code 137; raise spec.runner.resources.limits.memory"
)]
fn a_runner_that_ends_again_and_again(#[case] last: Value, #[case] words: &str) {
    let problem = problem_of(&crash_loop(&last), &snapshot(0, vec![]), later()).unwrap();
    assert_eq!(problem.reason, "CrashLoop");
    assert_eq!(problem.message, format!("pod a: {words}"));
}

#[rstest]
#[case::it_has_run_for_long("2026-01-02T03:00:05Z", 3, false)]
#[case::it_has_just_begun("2026-01-02T03:09:50Z", 3, true)]
#[case::once_is_no_loop("2026-01-02T03:09:50Z", 1, false)]
fn a_runner_between_two_ends_is_told_like_one_that_waits(
    #[case] since: &str,
    #[case] restarts: u32,
    #[case] expected: bool,
) {
    let last =
        json!({ "exitCode": 1, "reason": "Error", "message": "i-1\nthe data folder cannot be written\n" });
    let mut status = container(true, &json!({ "running": { "startedAt": since } }));
    status["lastState"] = json!({ "terminated": last });
    status["restartCount"] = json!(restarts);
    let said = snapshot(0, vec![runner("a")]);
    let problem = problem_of(&json!({ "status": { "containerStatuses": [status] } }), &said, later());
    assert_eq!(problem, problem_of(&crash_loop(&last), &said, later()).filter(|_| expected));
}

#[rstest]
#[case::at_once("2026-01-02T03:00:19Z", false)]
#[case::for_a_while("2026-01-02T03:00:21Z", true)]
fn a_pod_without_a_node_is_a_problem_after_a_while(#[case] now: &str, #[case] expected: bool) {
    let message = "0/3 nodes are available: 3 Insufficient memory. preemption: 0/3 nodes are available: 3 No preemption victims found for incoming pod.";
    let unplaced = json!({ "status": { "phase": "Pending", "containerStatuses": null, "conditions": [
        { "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message },
    ] } });
    let problem = problem_of(&unplaced, &snapshot(0, vec![]), at(now));
    let words = format!("no node takes pod a: {message}");
    assert_eq!(problem, expected.then(|| Problem::new("Unschedulable", words)));
}

fn running_since(time: &str) -> Value {
    in_state(&json!({ "running": { "startedAt": time } }))
}

#[rstest]
#[case::never_heard_of(vec![], true)]
#[case::heard_of_long_ago(vec![RunnerView { online: false, ..runner("a") }], true)]
#[case::online(vec![runner("a")], false)]
fn a_runner_that_runs_and_is_not_online(#[case] runners: Vec<RunnerView>, #[case] expected: bool) {
    let said = snapshot(0, runners);
    let running = running_since("2026-01-02T03:00:05Z");
    let problem = problem_of(&running, &said, later());
    assert_eq!(problem.as_ref().map(|problem| problem.reason), expected.then_some("RunnerNotRegistered"));
    if let Some(problem) = problem {
        for part in
            ["pod a runs", "http://tower:8080", "kubectl -n ns logs a", "spec.registrationTokenSecretRef"]
        {
            assert!(problem.message.contains(part), "{}", problem.message);
        }
    }
    assert_eq!(problem_of(&running, &said, at("2026-01-02T03:00:34Z")), None, "it has 30 s to register");
}

#[rstest]
#[case::no_team(None, Scope::Team(Some("acme".to_owned())), "with a registration token of team acme", "or set spec.team to acme")]
#[case::another_team(
    Some("acme"),
    Scope::Team(Some("zeta".to_owned())),
    "with a registration token of team zeta",
    "a registration token of that team"
)]
#[case::the_platform(
    Some("acme"),
    Scope::Platform,
    "with the platform's registration token",
    "or remove spec.team"
)]
fn a_runner_of_another_scope(
    #[case] team: Option<&str>,
    #[case] scope: Scope,
    #[case] whose: &str,
    #[case] way_out: &str,
) {
    let of_team = pool(&json!({ "spec": { "team": team } }));
    let said = snapshot(0, vec![RunnerView { scope, ..runner("a") }]);
    let pods = [pod("a", "new", &running_since("2026-01-02T03:00:05Z"))];
    let found = seen(&[deployment("new", 1, &json!({}))], &pods, &said);
    let problem = find(&of_team, &found, Some(&said), later()).unwrap();
    assert_eq!(problem.reason, "RunnerOfAnotherScope");
    let words = problem.message;
    assert!(
        words.starts_with("runner a registered") && words.contains(whose) && words.contains(way_out),
        "{words}"
    );
}

#[rstest]
#[case(Some("ns/q"), "runner a registered for pool ns/q, and")]
#[case(None, "runner a registered for no pool, and")]
fn a_runner_of_another_pool(#[case] of: Option<&str>, #[case] begin: &str) {
    let said = snapshot(0, vec![RunnerView { pool: of.map(str::to_owned), ..runner("a") }]);
    let pods = [pod("a", "new", &running_since("2026-01-02T03:00:05Z"))];
    let found = seen(&[deployment("new", 1, &json!({}))], &pods, &said);
    let problem = find(&pool(&json!({})), &found, Some(&said), later()).unwrap();
    assert_eq!(problem.reason, "RunnerOfAnotherPool");
    assert!(problem.message.starts_with(begin), "{}", problem.message);
}

#[test]
fn without_a_control_plane_no_runner_is_missed() {
    let said = snapshot(0, vec![]);
    let pods = [pod("a", "new", &running_since("2026-01-02T03:00:05Z"))];
    let found = seen(&[deployment("new", 1, &json!({}))], &pods, &said);
    assert_eq!(find(&pool(&json!({})), &found, None, later()), None);
}

fn refused(message: &str) -> Option<Problem> {
    let condition =
        json!({ "type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message });
    let deployment = deployment("new", 1, &json!({ "status": { "conditions": [condition] } }));
    let said = snapshot(0, vec![]);
    let found = seen(&[deployment], &[pod("a", "new", &waiting("ErrImagePull", "no"))], &said);
    find(&pool(&json!({})), &found, Some(&said), later())
}

#[test]
fn a_quota_speaks_before_all_pods() {
    let words = "pods \"p-new-x\" is forbidden: exceeded quota: small, requested: pods=1, used: pods=2, limited: pods=2";
    let problem = refused(words).unwrap();
    assert_eq!(problem.reason, "QuotaExceeded");
    let way_out = "raise the ResourceQuota or lower spec.maxRunners";
    assert_eq!(problem.message, format!("cannot create pods: {words}; {way_out}"));
}

#[test]
fn pods_refused_for_another_reason_are_told_in_the_api_servers_words() {
    let words = "pods \"p-new-x\" is forbidden: violates PodSecurity \"restricted:latest\": privileged";
    let problem = refused(words).unwrap();
    assert_eq!(problem, Problem::new("PodsRefused", format!("cannot create pods: {words}")));
}

#[test]
fn of_several_pods_the_gravest_speaks_and_always_the_same() {
    let said = snapshot(0, vec![]);
    let pods = [
        pod("c", "new", &waiting("ErrImagePull", "no")),
        pod("a", "new", &running_since("2026-01-02T03:00:05Z")),
        pod("b", "new", &waiting("ErrImagePull", "no")),
    ];
    let found = seen(&[deployment("new", 3, &json!({}))], &pods, &said);
    let problem = find(&pool(&json!({})), &found, Some(&said), later()).unwrap();
    assert!(problem.message.starts_with("pod b: no"), "{}", problem.message);
}

#[test]
fn what_ails_a_former_template_is_no_problem_of_the_current_one() {
    let said = snapshot(0, vec![runner("b")]);
    let words =
        json!({ "type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "no" });
    let failing = json!({ "status": { "conditions": [words] } });
    let deployments = [deployment("new", 1, &json!({})), deployment("old", 2, &failing)];
    let pods = [
        pod("a", "old", &waiting("ErrImagePull", "no")),
        pod("b", "new", &json!({})),
        pod("c", "old", &waiting("ContainerCreating", "")),
        pod("d", "old", &running_since("2026-01-02T03:00:05Z")),
    ];
    let found = seen(&deployments, &pods, &said);
    assert_eq!(find(&pool(&json!({})), &found, Some(&said), later()), None);
    assert!(stuck_in_creation(&found, later()).is_none());
}

#[rstest]
#[case::no_secret(
    "MountVolume.SetUp failed for volume \"registration-token\" : secret \"tokens\" not found",
    "RegistrationTokenMissing",
    "spec.registrationTokenSecretRef: Secret ns/tokens does not exist: create it; pod a waits for it"
)]
#[case::no_key(
    "MountVolume.SetUp failed for volume \"registration-token\" : references non-existent secret key: registration-token",
    "RegistrationTokenMissing",
    "spec.registrationTokenSecretRef: Secret ns/tokens has no key registration-token; pod a waits for it"
)]
#[case::another_secret(
    "MountVolume.SetUp failed for volume \"mine\" : secret \"tokens\" not found",
    "PodNotStarting",
    "pod a does not start: MountVolume.SetUp failed for volume \"mine\" : secret \"tokens\" not found; check that the Secrets, \
     ConfigMaps and volumes that the spec names exist in namespace ns"
)]
fn a_pod_that_waits_for_a_secret_says_for_which(
    #[case] words: &str,
    #[case] reason: &'static str,
    #[case] message: &str,
) {
    assert_eq!(not_starting(&pool(&json!({})), "a", words), Problem::new(reason, message));
}

#[rstest]
#[case::no_secret("secret \"of-jobs\" not found", "Secret ns/of-jobs does not exist: create it")]
#[case::no_key(
    "references non-existent secret key: API_KEY",
    "Secret ns/of-jobs has no key API_KEY: add it, or remove it from spec.secretRef.keys"
)]
#[case::another("no space left", "Secret ns/of-jobs cannot be mounted: ")]
fn a_pod_that_waits_for_the_secret_of_its_jobs_says_so(#[case] words: &str, #[case] expected: &str) {
    let pool = pool(&json!({ "spec": { "secretRef": { "name": "of-jobs" } } }));
    let problem =
        not_starting(&pool, "a", &format!("MountVolume.SetUp failed for volume \"run-secrets\" : {words}"));
    assert_eq!(problem.reason, "SecretMissing");
    let message = &problem.message;
    assert!(message.starts_with(&format!("spec.secretRef: {expected}")), "{message}");
    assert!(message.ends_with("; pod a waits for it") && problem.is_of_template(), "{message}");
}

/// A pool whose registration token is the operator's affair.
fn without_a_secret() -> Pool {
    let mut object = pool_object(&json!({}));
    object.spec.registration_token_secret_ref = None;
    Pool::new(&object, None).unwrap()
}

#[test]
fn what_the_operator_makes_itself_is_not_asked_of_a_person() {
    let words =
        "MountVolume.SetUp failed for volume \"registration-token\" : secret \"p-registration\" not found";
    let message =
        "Secret ns/p-registration is gone: the operator makes it again within a minute; pod a waits for it";
    let expected = Problem::new("RegistrationTokenMissing", message);
    assert_eq!(not_starting(&without_a_secret(), "a", words), expected);

    let last = json!({ "exitCode": 1, "reason": "Error", "message": "i-1\nit is refused (401)\n" });
    let pods = [pod("a", "new", &crash_loop(&last))];
    let found = seen(&[deployment("new", 1, &json!({}))], &pods, &snapshot(0, vec![]));
    let problem = find(&without_a_secret(), &found, None, later()).unwrap();
    assert_eq!(problem.reason, "CrashLoop");
    let way_out = "it is refused (401); delete Secret ns/p-registration: the operator makes it again";
    assert!(problem.message.ends_with(way_out), "{}", problem.message);
}

#[rstest]
#[case("PodInitializing")]
#[case("ContainerCreating")]
fn a_container_on_its_way_is_no_problem(#[case] reason: &str) {
    assert_eq!(problem_of(&waiting(reason, ""), &snapshot(0, vec![]), later()), None);
}

#[rstest]
#[case("2026-01-02T03:00:19Z", false)]
#[case(LATER, true)]
fn a_container_on_its_way_for_long_is_asked_about(#[case] now: &str, #[case] expected: bool) {
    let pods = [pod("a", "new", &waiting("ContainerCreating", ""))];
    let found = seen(&[deployment("new", 1, &json!({}))], &pods, &snapshot(0, vec![]));
    assert_eq!(stuck_in_creation(&found, at(now)).is_some(), expected);
}

#[test]
fn long_words_are_cut_between_characters() {
    let problem = Problem::new("X", "ä".repeat(5000));
    assert_eq!(problem.message.chars().count(), 1000);
}
