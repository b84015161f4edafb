//! All pools of a control plane share its scrapes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use minitower_operator::demand::{ErrorKind, Hub};
use tokio::sync::Notify;

use crate::support::{METRICS, config, healthy, refusal, runners, serve};

const LONG: Duration = Duration::from_secs(600);

#[tokio::test]
async fn all_who_ask_at_once_share_one_request() {
    let (scrapes, release) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let metrics = {
        let (scrapes, release) = (Arc::clone(&scrapes), Arc::clone(&release));
        move || async move {
            scrapes.fetch_add(1, Ordering::SeqCst);
            release.notified().await;
            METRICS
        }
    };
    let router = Router::new().route("/metrics", get(metrics)).route("/api/v1/admin/runners", get(runners));
    let (config, hub) = (serve(router).await, Hub::new());
    // All have asked before the server, on the same thread, may answer the first.
    let askers = (0..50).map(|_| hub.demand(&config, Duration::ZERO));
    let (readings, ()) = tokio::join!(futures_util::future::join_all(askers), async { release.notify_one() });
    for reading in readings {
        assert_eq!(reading.demand(Instant::now()).snapshot().unwrap().pending_in("default", None), 3);
    }
    assert_eq!(scrapes.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_reading_serves_whoever_is_patient_enough() {
    let scrapes = Arc::new(AtomicUsize::new(0));
    let (config, hub) = (serve(healthy(&scrapes)).await, Hub::new());
    let first = hub.demand(&config, LONG).await;
    let second = hub.demand(&config, LONG).await;
    assert!(Arc::ptr_eq(&first, &second));
    hub.demand(&config, Duration::ZERO).await;
    assert_eq!(scrapes.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn who_gives_up_waiting_leaves_the_scrape_to_the_others() {
    let (scrapes, asked) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let metrics = {
        let (scrapes, asked) = (Arc::clone(&scrapes), Arc::clone(&asked));
        move || async move {
            if scrapes.fetch_add(1, Ordering::SeqCst) == 0 {
                asked.notify_one();
                std::future::pending::<()>().await;
            }
            METRICS
        }
    };
    let router = Router::new().route("/metrics", get(metrics)).route("/api/v1/admin/runners", get(runners));
    let (config, hub) = (serve(router).await, Hub::new());
    let first = tokio::spawn({
        let (hub, config) = (hub.clone(), config.clone());
        async move { hub.demand(&config, LONG).await }
    });
    asked.notified().await;
    let second = hub.demand(&config, LONG);
    first.abort();
    assert_eq!(second.await.demand(Instant::now()).as_str(), "Known");
}

#[tokio::test]
async fn an_outage_makes_a_reading_stale_and_a_restart_makes_it_known_again() {
    let broken = Arc::new(AtomicBool::new(false));
    let metrics = {
        let broken = Arc::clone(&broken);
        move || async move {
            if broken.load(Ordering::SeqCst) { Err(refusal(503, "unavailable", "away")) } else { Ok(METRICS) }
        }
    };
    let router = Router::new().route("/metrics", get(metrics)).route("/api/v1/admin/runners", get(runners));
    let (config, hub) = (serve(router).await, Hub::new());
    let mut states = Vec::new();
    for now_broken in [true, false, true, false] {
        broken.store(now_broken, Ordering::SeqCst);
        let reading = hub.demand(&config, Duration::ZERO).await;
        let demand = reading.demand(Instant::now());
        assert_eq!(
            demand.reason().map(minitower_operator::demand::ControlPlaneError::kind),
            now_broken.then_some(ErrorKind::Server)
        );
        states.push(demand.as_str());
    }
    assert_eq!(states, ["Unknown", "Known", "Stale", "Known"]);
}

#[tokio::test]
async fn a_wrong_configuration_is_a_reading_and_disturbs_no_other() {
    let (good, hub) = (serve(healthy(&Arc::default())).await, Hub::new());
    let bad = hub.demand(&config("tower".to_owned()), LONG).await;
    assert_eq!(bad.demand(Instant::now()).reason().unwrap().kind(), ErrorKind::Configuration);
    assert_eq!(hub.demand(&good, LONG).await.demand(Instant::now()).as_str(), "Known");
    assert_eq!(hub.len(), 1, "what can never answer is not remembered");
}
