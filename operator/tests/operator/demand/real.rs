//! The same calls against the real control plane.

use std::time::{Duration, Instant};

use minitower_operator::demand::{ControlPlane, ControlPlaneConfig, Drained, Ended, Forgotten, Hub};
use minitower_tests::server::{OPERATOR_TOKEN, REGISTRATION_TOKEN};
use minitower_tests::{Runner, Server};
use serde_json::json;

const OWNER: &str = "pool:ns/p";

#[tokio::test(flavor = "multi_thread")]
async fn a_real_control_plane_is_understood() {
    let (server, plane, run) = tokio::task::spawn_blocking(|| {
        let server = Server::start();
        let config = ControlPlaneConfig {
            url: server.http().base().to_owned(),
            token: OPERATOR_TOKEN.to_owned(),
            ca_file: None,
        };
        let team = server.bootstrap();
        team.python_app("hello", "print('hello')");
        let run = minitower_tests::shape::int(&team.run("hello", json!({})), "run_id");
        (server, ControlPlane::new(config).unwrap(), run)
    })
    .await
    .unwrap();

    let before = plane.scrape().await.unwrap();
    assert_eq!((before.pending_in("default", Some("acme")), before.pending_in("default", None)), (1, 1));
    assert_eq!((before.pending_in("gpu", None), before.pending_in("default", Some("other"))), (0, 0));
    assert!(before.runners.is_empty());

    // Fenced before it ever registers, and lifted again.
    assert_eq!(
        plane.drain("p-1", OWNER).await.unwrap(),
        Drained { busy: false, run_id: None, draining: true }
    );
    let (server, runner) = tokio::task::spawn_blocking(move || {
        let body = json!({"name": "p-1", "pool": "ns/p"});
        let runner = Runner::register_with(&server, REGISTRATION_TOKEN, body);
        runner.idle();
        (server, runner)
    })
    .await
    .unwrap();
    let fenced = plane.scrape().await.unwrap();
    let states: Vec<_> = fenced.runners_of("ns/p").map(|runner| (runner.draining, runner.busy)).collect();
    assert_eq!(states, [(true, false)]);
    assert!(!plane.undrain("p-1", OWNER).await.unwrap().draining);
    let lease = tokio::task::spawn_blocking(move || {
        runner.leased(&runner.poll_with(0, json!({"instance_id": "i-1"})))
    });
    let lease = lease.await.unwrap();
    assert_eq!(lease.run, run);

    let busy = plane.scrape().await.unwrap();
    let runner = busy.runners_of("ns/p").next().unwrap();
    assert_eq!((runner.busy, runner.run_id, runner.instance_id.as_deref()), (true, Some(run), Some("i-1")));
    assert_eq!(busy.pending_in("default", None), 0);
    assert_eq!(plane.drain("p-1", OWNER).await.unwrap().run_id, Some(run));
    assert_eq!(plane.forget("p-1").await.unwrap(), Forgotten::Busy);
    assert_eq!(plane.ended("p-1", "i-2", "OOMKilled").await.unwrap(), Ended::HeldNothing);
    assert_eq!(plane.ended("p-1", "i-1", "OOMKilled").await.unwrap(), Ended::Expired);
    assert_eq!(plane.forget("p-1").await.unwrap(), Forgotten::Gone);
    assert_eq!(plane.forget("p-1").await.unwrap(), Forgotten::Gone);
    assert!(plane.scrape().await.unwrap().runners.is_empty());
    tokio::task::spawn_blocking(move || drop(server)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_control_plane_that_was_killed_is_stale_and_known_again_after_its_restart() {
    let start = || {
        let server = Server::start();
        let url = server.http().base().to_owned();
        (server, ControlPlaneConfig { url, token: OPERATOR_TOKEN.to_owned(), ca_file: None })
    };
    let (server, config) = tokio::task::spawn_blocking(start).await.unwrap();
    let hub = Hub::new();
    let state = async || hub.demand(&config, Duration::ZERO).await.demand(Instant::now()).as_str();
    assert_eq!(state().await, "Known");
    let kill = move || {
        let mut server = server;
        server.kill();
        server
    };
    let server = tokio::task::spawn_blocking(kill).await.unwrap();
    assert_eq!(state().await, "Stale");
    let start_again = move || {
        let mut server = server;
        server.start_again();
        server
    };
    let server = tokio::task::spawn_blocking(start_again).await.unwrap();
    assert_eq!(state().await, "Known");
    tokio::task::spawn_blocking(move || drop(server)).await.unwrap();
}
