//! One runner's life as the operator sees it, and a control plane that is killed.

use std::time::{Duration, Instant};

use minitower_client::RunnerClient;
use minitower_client::wire::runner::{LeaseRequest, Register};
use minitower_operator::demand::{
    ControlPlane, ControlPlaneConfig, Drained, Ended, ErrorKind, Forgotten, Hub, Scope,
};
use minitower_test_plane::{Plane, REGISTRATION_TOKEN};
use minitower_tests::Server;

use super::support::{check, client, config, config_of};

const OWNER: &str = "pool:ns/p";

#[tokio::test]
async fn a_real_control_plane_is_understood() {
    let plane = Plane::start();
    let client = client(&plane);
    let team = plane.team("acme");
    team.script("hello", "print('hello')");
    let run = team.run("hello").run_id;

    let before = client.scrape().await.unwrap();
    assert_eq!((before.pending_in("default", Some("acme")), before.pending_in("default", None)), (1, 1));
    assert_eq!((before.pending_in("gpu", None), before.pending_in("default", Some("other"))), (0, 0));
    assert!(before.runners.is_empty());

    // Fenced before it ever registers, and lifted again.
    let fenced = Drained { busy: false, run_id: None, draining: true };
    assert_eq!(client.drain("p-1", OWNER).await.unwrap(), fenced);
    let pool = Some("ns/p".to_owned());
    let register = Register { name: "p-1".to_owned(), pool, ..Register::default() };
    let runner = plane.runner_with(REGISTRATION_TOKEN, register);
    let poll = LeaseRequest { instance_id: Some("i-1".to_owned()), ..LeaseRequest::default() };
    assert!(runner.poll(poll.clone()).is_none());
    let fenced = client.scrape().await.unwrap();
    let states: Vec<_> = fenced.runners.iter().map(|runner| (runner.draining, runner.busy)).collect();
    assert_eq!(states, [(true, false)]);
    assert!(!client.undrain("p-1", OWNER).await.unwrap().draining);
    assert_eq!(runner.poll(poll).unwrap().run_id, run);

    let busy = client.scrape().await.unwrap();
    let runner = &busy.runners[0];
    assert_eq!((runner.busy, runner.run_id, runner.instance_id.as_deref()), (true, Some(run), Some("i-1")));
    assert_eq!(busy.pending_in("default", None), 0);
    assert_eq!(client.drain("p-1", OWNER).await.unwrap().run_id, Some(run));
    assert_eq!(client.forget("p-1").await.unwrap(), Forgotten::Busy);
    assert_eq!(client.ended("p-1", "i-2", "OOMKilled").await.unwrap(), Ended::HeldNothing);
    assert_eq!(client.ended("p-1", "i-1", "OOMKilled").await.unwrap(), Ended::Expired);
    assert_eq!(client.forget("p-1").await.unwrap(), Forgotten::Gone);
    assert_eq!(client.forget("p-1").await.unwrap(), Forgotten::Gone);
    assert!(client.scrape().await.unwrap().runners.is_empty());
}

#[tokio::test]
async fn a_pools_registration_token_is_made_for_whoever_has_the_operator_token() {
    let plane = Plane::start();
    let (client, team) = (client(&plane), plane.team("acme"));
    let token = client.create_pool_token(("ns", "p"), "gpu", Some("acme")).await.unwrap();
    let register = |environment: &str| Register {
        name: "p-1".to_owned(),
        environment: Some(environment.to_owned()),
        pool: Some("ns/p".to_owned()),
        ..Register::default()
    };
    let runners = RunnerClient::new(&plane.config()).unwrap();
    runners.register(&token, &register("gpu")).await.unwrap();
    let elsewhere = runners.register(&token, &register("default")).await.err().unwrap();
    assert_eq!(elsewhere.status(), Some(403));
    let shown = &client.scrape().await.unwrap().runners[0];
    assert!(shown.scope.fits(Some("acme")) && shown.pool.as_deref() == Some("ns/p"), "{shown:?}");

    let no_team = client.create_pool_token(("ns", "p"), "gpu", Some("nobody")).await.unwrap_err();
    check(&no_team, ErrorKind::Refused, "the slug of a team of this server");
    let config = ControlPlaneConfig { token: team.token.clone(), ..config(&plane) };
    let admin = ControlPlane::new(config).unwrap();
    let refused = admin.create_pool_token(("ns", "p"), "gpu", Some("acme")).await.unwrap_err();
    check(&refused, ErrorKind::Unauthorized, "MINITOWER_OPERATOR_TOKEN");

    // It had none made.
    admin.delete_pool_token("ns", "p").await.unwrap();
    runners.register(&token, &register("gpu")).await.unwrap();
    for _ in 0..2 {
        client.delete_pool_token("ns", "p").await.unwrap();
    }
    let gone = runners.register(&token, &register("gpu")).await.err().unwrap();
    assert_eq!(gone.status(), Some(401));
}

#[tokio::test]
async fn a_team_admin_sees_the_demand_of_the_own_team_alone() {
    let plane = Plane::start();
    let (acme, zeta) = (plane.team("acme"), plane.sign_up("zeta"));
    for team in [&acme, &zeta] {
        team.script("hello", "print('hello')");
        team.run("hello");
    }
    let mut config = config_of(plane.url());
    config.token = zeta.token.clone();
    let client = minitower_operator::demand::ControlPlane::new(config).unwrap();
    let snapshot = client.scrape().await.unwrap();
    assert_eq!((snapshot.pending_in("default", None), snapshot.pending_in("default", Some("acme"))), (1, 0));
}

#[tokio::test]
async fn a_runner_is_told_with_the_team_whose_token_it_used() {
    let plane = Plane::start();
    let acme = plane.team("acme");
    let pool = Some("ns/p".to_owned());
    let register = |name: &str| Register { name: name.to_owned(), pool: pool.clone(), ..Register::default() };
    let _theirs = plane.runner_with(&acme.registration_token, register("p-1"));
    let _platforms = plane.runner_with(REGISTRATION_TOKEN, register("p-2"));
    let snapshot = client(&plane).scrape().await.unwrap();
    let scopes: Vec<_> = snapshot.runners.into_iter().map(|runner| (runner.name, runner.scope)).collect();
    let acmes = Scope::Team(Some("acme".to_owned()));
    assert_eq!(scopes, [("p-1".to_owned(), acmes), ("p-2".to_owned(), Scope::Platform)]);
}

/// The program itself, which a proxy cannot kill.
#[tokio::test(flavor = "multi_thread")]
async fn a_control_plane_that_was_killed_is_stale_and_known_again_after_its_restart() {
    let server = tokio::task::spawn_blocking(Server::start).await.unwrap();
    let mut config = config_of(server.http().base());
    minitower_tests::server::OPERATOR_TOKEN.clone_into(&mut config.token);
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
