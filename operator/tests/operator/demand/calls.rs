//! The calls that keep work from a pod, and report its end.

use minitower_client::wire::runner::LeaseRequest;
use minitower_operator::demand::{Drained, Ended, ErrorKind, Forgotten};
use minitower_test_plane::{Answer, OPERATOR_TOKEN, Plane};
use rstest::rstest;
use serde_json::json;

use super::support::client;

const OWNER: &str = "pool:ns/p";

/// A plane whose runner `p-1` holds a run, under the process `i`; and the run.
fn busy_plane() -> (Plane, i64) {
    let plane = Plane::start();
    let team = plane.team("acme");
    team.script("hello", "print('hello')");
    let run = team.run("hello").run_id;
    let runner = plane.runner("p-1");
    let poll = LeaseRequest { instance_id: Some("i".to_owned()), ..LeaseRequest::default() };
    assert_eq!(runner.poll(poll).unwrap().run_id, run);
    (plane, run)
}

#[tokio::test]
async fn fences_are_raised_and_lifted_in_the_pools_name() {
    let (plane, run) = busy_plane();
    let client = client(&plane);
    let drained = client.drain("p-1", OWNER).await.unwrap();
    assert_eq!(drained, Drained { busy: true, run_id: Some(run), draining: true });
    let undrained = client.undrain("p-1", OWNER).await.unwrap();
    assert_eq!(undrained, Drained { busy: true, run_id: Some(run), draining: false });
    let requests = plane.requests("* /admin/runners/p-1/drain");
    assert_eq!(requests.len(), 2);
    for request in requests {
        assert_eq!((request.token(), request.json()), (Some(OPERATOR_TOKEN), json!({ "owner": OWNER })));
    }
}

#[rstest]
#[case(401, ErrorKind::Unauthorized)]
#[case(404, ErrorKind::NotFound)]
#[case(503, ErrorKind::Server)]
#[case(302, ErrorKind::Refused)]
#[tokio::test]
async fn a_fence_that_was_not_confirmed_is_an_error(#[case] status: u16, #[case] kind: ErrorKind) {
    let plane = Plane::start();
    plane.always("* /admin/runners/p-1/drain", Answer::refusal(status, "word", "no"));
    let client = client(&plane);
    let error = client.drain("p-1", OWNER).await.unwrap_err();
    assert_eq!(error.kind(), kind);
    assert!(error.told().contains("draining runner p-1: no"), "{}", error.told());
    assert_eq!(client.undrain("p-1", OWNER).await.unwrap_err().kind(), kind);
}

#[rstest]
#[case::by_the_process_that_holds_the_run("p-1", "i", Ended::Expired)]
#[case::by_another_process("p-1", "j", Ended::HeldNothing)]
#[case::of_a_runner_that_never_registered("p-2", "i", Ended::HeldNothing)]
#[tokio::test]
async fn an_end_is_reported_with_the_process_it_was_of(
    #[case] runner: &str,
    #[case] instance: &str,
    #[case] expected: Ended,
) {
    let (plane, _) = busy_plane();
    assert_eq!(client(&plane).ended(runner, instance, "OOMKilled").await.unwrap(), expected);
    let [report] = &plane.requests(format!("POST /admin/runners/{runner}/ended").as_str())[..] else {
        panic!("one report")
    };
    assert_eq!(report.json(), json!({ "instance_id": instance, "reason": "OOMKilled" }));
}

#[rstest]
#[case::free(Some(false), Forgotten::Gone)]
#[case::unknown(None, Forgotten::Gone)]
#[case::busy(Some(true), Forgotten::Busy)]
#[tokio::test]
async fn a_runner_is_forgotten_unless_it_holds_a_run(
    #[case] busy: Option<bool>,
    #[case] expected: Forgotten,
) {
    let (plane, _) = busy_plane();
    let name = match busy {
        Some(true) => "p-1".to_owned(),
        Some(false) => plane.runner("p-2").name,
        None => "p-3".to_owned(),
    };
    assert_eq!(client(&plane).forget(&name).await.unwrap(), expected);
}

#[rstest]
#[case::a_proxys_404(Answer::json(404, &json!({ "status": "ok" })))]
#[case::trouble(Answer::refusal(503, "unavailable", "no"))]
#[case::no_answer(Answer::cut())]
#[tokio::test]
async fn an_answer_that_is_not_the_control_planes_settles_nothing(#[case] answer: Answer) {
    let (plane, _) = busy_plane();
    plane.always("* /admin/runners/**", answer);
    let client = client(&plane);
    client.ended("p-1", "i", "OOMKilled").await.unwrap_err();
    client.forget("p-1").await.unwrap_err();
}
