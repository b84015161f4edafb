//! The Lease that says who leads.

use std::time::{Duration, Instant};

use rstest::rstest;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::super::world::{Fault, World};
use crate::leader::{Candidate, LEASE, Leadership};

/// A candidate looks at least that often.
const LOOKS: Duration = Duration::from_secs(3);
const PATH: &str = "/apis/coordination.k8s.io/v1/namespaces/ns/leases/minitower-operator";

fn candidate(world: &World, name: &str) -> Candidate {
    Candidate::new(world.client(), "ns", LEASE, name.to_owned())
}

fn lease(world: &World) -> Value {
    world.state().objects[PATH]["spec"].clone()
}

async fn world() -> World {
    World::new(&json!({})).await
}

#[tokio::test]
async fn an_epoch_is_above_those_of_a_lease_that_is_no_more() {
    let world = world().await;
    let first = candidate(&world, "a").elected().await;
    world.state().objects.remove(PATH);
    let second = candidate(&world, "b").elected().await;
    assert!(second.epoch() >= first.epoch(), "by the clock");
    let third = candidate(&world, "b").elected().await;
    assert!(third.epoch() > second.epoch(), "also within a second");
}

#[tokio::test]
async fn of_two_candidates_one_leads() {
    let world = world().await;
    let (mut a, mut b) = (candidate(&world, "a"), candidate(&world, "b"));
    let (a, b) = tokio::join!(timeout(LOOKS, a.elected()), timeout(LOOKS, b.elected()));
    assert!(a.is_ok() != b.is_ok());
}

#[tokio::test]
async fn of_two_that_take_the_same_free_lease_the_quicker_one_leads() {
    let world = world().await;
    let (mut a, mut b) = (candidate(&world, "a"), candidate(&world, "b"));
    let leadership = a.elected().await;
    a.resign(&leadership).await;
    world.state().just_before("lease \"b\"", |state| {
        state.change(PATH, &json!({ "spec": { "holderIdentity": "c", "leaseTransitions": 2 } }));
    });
    assert!(timeout(LOOKS, b.elected()).await.is_err());
    assert_eq!(lease(&world)["holderIdentity"], "c");
}

#[tokio::test]
async fn who_resigns_leads_no_more_and_lets_the_next_in_at_once() {
    let world = world().await;
    let (mut a, mut b) = (candidate(&world, "a"), candidate(&world, "b"));
    let first = a.elected().await;
    assert!(first.check(Duration::from_secs(5)).is_ok());
    assert!(timeout(Duration::from_millis(500), b.elected()).await.is_err());
    a.resign(&first).await;
    assert!(first.check(Duration::ZERO).is_err());
    let second = timeout(LOOKS, b.elected()).await.unwrap();
    assert!(second.epoch() > first.epoch());
}

#[rstest]
#[case::gone(&["b"], true)]
#[case::there(&["a", "b"], false)]
#[case::of_an_operator_outside_of_the_cluster(&[], false)]
#[tokio::test]
async fn a_lease_whose_holders_pod_is_gone_is_taken_within_five_seconds(
    #[case] pods: &[&str],
    #[case] expected: bool,
) {
    let world = world().await;
    let first = candidate(&world, "a").elected().await;
    for pod in pods {
        world.state().add_pod(pod, "none");
    }
    let second = timeout(Duration::from_secs(5), candidate(&world, "b").elected()).await;
    assert_eq!(second.is_ok(), expected);
    assert!(second.is_err() || second.is_ok_and(|second| second.epoch() > first.epoch()));
}

#[tokio::test]
async fn a_lease_that_is_renewed_is_not_taken_though_its_holders_pod_is_gone() {
    let world = world().await;
    let mut former = candidate(&world, "a");
    let first = former.elected().await;
    world.state().add_pod("b", "none");
    let renews = async {
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            world.state().change(PATH, &json!({ "spec": { "leaseTransitions": 0 } }));
        }
    };
    let mut second = candidate(&world, "b");
    tokio::select! {
        () = renews => {}
        taken = timeout(Duration::from_secs(5), second.elected()) => assert!(taken.is_err(), "after {}", first.epoch()),
    }
}

#[tokio::test]
async fn who_resigns_takes_the_lease_from_nobody_else() {
    let world = world().await;
    let mut a = candidate(&world, "a");
    let first = a.elected().await;
    world.state().change(PATH, &json!({ "spec": { "holderIdentity": "b", "leaseTransitions": 2 } }));
    a.resign(&first).await;
    assert_eq!(lease(&world)["holderIdentity"], "b");
}

#[tokio::test]
async fn a_lease_that_is_lost_ends_the_leadership() {
    let world = world().await;
    let mut a = candidate(&world, "a");
    let first = a.elected().await;
    world.state().change(PATH, &json!({ "spec": { "holderIdentity": "b", "leaseTransitions": 2 } }));
    timeout(LOOKS, a.lead(&first)).await.unwrap();
}

#[tokio::test]
async fn a_lease_that_was_deleted_ends_the_leadership() {
    let world = world().await;
    let mut a = candidate(&world, "a");
    let first = a.elected().await;
    world.state().objects.remove(PATH);
    timeout(LOOKS, a.lead(&first)).await.unwrap();
}

/// After a restart of its container a pod has the same name, but the new process does not continue what the former one began.
#[tokio::test]
async fn a_process_of_the_same_name_leads_at_once_and_ends_the_former_one() {
    let world = world().await;
    let mut former = candidate(&world, "a");
    let first = former.elected().await;
    let second = timeout(Duration::from_secs(1), candidate(&world, "a").elected()).await.unwrap();
    assert!(second.epoch() > first.epoch());
    timeout(LOOKS, former.lead(&first)).await.unwrap();
}

#[tokio::test]
async fn a_leader_that_cannot_renew_ends_by_its_own_clock() {
    let world = world().await;
    let mut a = candidate(&world, "a");
    let epoch = a.elected().await.epoch();
    let begin = Instant::now();
    let leadership = Leadership::lasting(epoch, LOOKS);
    for _ in 0..9 {
        world.state().fail("lease", Fault::Fail(500));
    }
    timeout(Duration::from_secs(8), a.lead(&leadership)).await.unwrap();
    // The end of a leadership is kept in whole milliseconds.
    assert!(begin.elapsed() + Duration::from_millis(2) >= LOOKS, "{:?}", begin.elapsed());
    assert_eq!(lease(&world)["holderIdentity"], "a", "and the Lease is still its own");
}

#[tokio::test]
async fn a_renewal_carries_the_leadership_on() {
    let world = world().await;
    let mut a = candidate(&world, "a");
    let leadership = a.elected().await;
    let before = lease(&world)["renewTime"].clone();
    assert!(timeout(LOOKS, a.lead(&leadership)).await.is_err(), "it goes on");
    assert_ne!(lease(&world)["renewTime"], before);
    // Ten seconds and more remain of a Lease that was renewed within the last three.
    assert!(leadership.check(Duration::from_secs(10)).is_ok());
    assert!(
        leadership.check(Duration::from_secs(13)).is_err(),
        "its end is two seconds before that of the Lease"
    );
}
