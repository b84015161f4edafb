//! All pools of a control plane share its scrapes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use minitower_operator::demand::{ControlPlaneError, ErrorKind, Hub};
use minitower_test_plane::{Answer, Gate, Plane};

use super::support::{DEMAND, config, config_of};

const LONG: Duration = Duration::from_secs(600);

#[tokio::test]
async fn all_who_ask_at_once_share_one_request() {
    let (plane, gate, hub) = (Plane::start(), Gate::closed(), Hub::new());
    plane.always(DEMAND, Answer::real().held_by(&gate));
    let config = config(&plane);
    // All have asked before the gate is opened.
    let askers = (0..50).map(|_| hub.demand(&config, Duration::ZERO));
    let (readings, ()) = tokio::join!(futures_util::future::join_all(askers), async {
        plane.seen(DEMAND, 1).await;
        gate.open();
    });
    for reading in readings {
        assert_eq!(reading.demand(Instant::now()).as_str(), "Known");
    }
    assert_eq!(plane.count(DEMAND), 1);
}

#[tokio::test]
async fn a_reading_serves_whoever_is_patient_enough() {
    let (plane, hub) = (Plane::start(), Hub::new());
    let config = config(&plane);
    let first = hub.demand(&config, LONG).await;
    let second = hub.demand(&config, LONG).await;
    assert!(Arc::ptr_eq(&first, &second));
    hub.demand(&config, Duration::ZERO).await;
    assert_eq!(plane.count(DEMAND), 2);
}

#[tokio::test]
async fn who_gives_up_waiting_leaves_the_scrape_to_the_others() {
    let (plane, hub) = (Plane::start(), Hub::new());
    plane.once(DEMAND, Answer::hang());
    let config = config(&plane);
    let first = tokio::spawn({
        let (hub, config) = (hub.clone(), config.clone());
        async move { hub.demand(&config, LONG).await }
    });
    plane.seen(DEMAND, 1).await;
    let second = hub.demand(&config, LONG);
    first.abort();
    assert_eq!(second.await.demand(Instant::now()).as_str(), "Known");
}

#[tokio::test]
async fn an_outage_makes_a_reading_stale_and_a_restart_makes_it_known_again() {
    let (plane, hub) = (Plane::start(), Hub::new());
    let config = config(&plane);
    let mut states = Vec::new();
    for is_broken in [true, false, true, false] {
        let rule = is_broken
            .then(|| plane.always(DEMAND, Answer::refusal(503, "unavailable", "the server restarts")));
        let reading = hub.demand(&config, Duration::ZERO).await;
        let demand = reading.demand(Instant::now());
        assert_eq!(demand.reason().map(ControlPlaneError::kind), is_broken.then_some(ErrorKind::Server));
        states.push(demand.as_str());
        if let Some(rule) = rule {
            plane.lift(rule);
        }
    }
    assert_eq!(states, ["Unknown", "Known", "Stale", "Known"]);
}

#[tokio::test]
async fn a_wrong_configuration_is_a_reading_and_disturbs_no_other() {
    let (plane, hub) = (Plane::start(), Hub::new());
    let bad = hub.demand(&config_of("tower"), LONG).await;
    assert_eq!(bad.demand(Instant::now()).reason().unwrap().kind(), ErrorKind::Configuration);
    assert_eq!(hub.demand(&config(&plane), LONG).await.demand(Instant::now()).as_str(), "Known");
    assert_eq!(hub.len(), 1, "what can never answer is not remembered");
}
