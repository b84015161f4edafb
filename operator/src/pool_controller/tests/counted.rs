//! What is counted of the controller's work.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;

use super::super::reconcile::ReconcileError;
use super::world::{Fault, World, pool_path};
use crate::metrics::Metrics;

/// The value of a series in the text that Prometheus reads.
fn value(metrics: &Metrics, series: &str) -> Option<f64> {
    let text = metrics.render().unwrap();
    let line =
        text.lines().find(|line| line.strip_prefix(series).is_some_and(|rest| rest.starts_with(' ')))?;
    line.rsplit(' ').next()?.parse().ok()
}

#[track_caller]
fn assert_value(metrics: &Metrics, series: &str, expected: Option<f64>) {
    assert_eq!(value(metrics, series), expected, "{series}\n{}", metrics.render().unwrap());
}

#[tokio::test]
async fn looks_writes_and_sizes_are_counted() {
    let mut world = World::new(&json!({ "replicas": 3 })).await;
    world.look().await.unwrap();
    let metrics = world.context.metrics.clone();
    assert_value(&metrics, "minitower_operator_reconcile_total{result=\"ok\"}", Some(1.0));
    assert_value(&metrics, "minitower_operator_reconcile_duration_seconds_count", Some(1.0));
    assert_value(&metrics, "minitower_operator_desired_runners{namespace=\"ns\",pool=\"p\"}", Some(3.0));
    assert_value(
        &metrics,
        "minitower_operator_scale_total{direction=\"up\",namespace=\"ns\",pool=\"p\"}",
        Some(3.0),
    );
    assert_value(&metrics, "minitower_operator_writes_total{kind=\"plan\"}", Some(1.0));
    assert_value(&metrics, "minitower_operator_writes_total{kind=\"status\"}", Some(1.0));
    let age = value(&metrics, "minitower_operator_demand_age_seconds{namespace=\"ns\",pool=\"p\"}").unwrap();
    assert!((0.0..5.0).contains(&age), "{age}");

    world.state().settle();
    world.rest().await;
    world.respec(&json!({ "replicas": 1 }));
    world.look().await.unwrap();
    assert_value(
        &metrics,
        "minitower_operator_scale_total{direction=\"down\",namespace=\"ns\",pool=\"p\"}",
        Some(2.0),
    );
}

#[tokio::test]
async fn what_failed_is_counted_by_its_stage_and_never_by_its_words() {
    let mut world = World::new(&json!({ "replicas": 3 })).await;
    world.state().fail("create", Fault::Fail(422));
    let error: ReconcileError = world.look().await.unwrap_err();
    assert_eq!(error.stage(), "apply");
    let metrics = &world.context.metrics;
    assert_value(metrics, "minitower_operator_reconcile_total{result=\"apply\"}", Some(1.0));
    assert!(!metrics.render().unwrap().contains("told to fail"));
}

fn ready(metrics: &Metrics) -> Option<f64> {
    value(metrics, "minitower_operator_ready_runners{namespace=\"ns\",pool=\"p\"}")
}

fn condition(metrics: &Metrics, name: &str) -> Option<f64> {
    let series =
        format!("minitower_operator_pool_condition{{condition=\"{name}\",namespace=\"ns\",pool=\"p\"}}");
    value(metrics, &series)
}

fn limited(metrics: &Metrics, bound: &str) -> Option<f64> {
    let series =
        format!("minitower_operator_scaling_limited{{bound=\"{bound}\",namespace=\"ns\",pool=\"p\"}}");
    value(metrics, &series)
}

/// Every condition of the pool's status has its series, 1 when it is True, and no series is of anything else.
#[track_caller]
fn assert_conditions(world: &World) {
    let told: BTreeMap<String, bool> = world.state().objects[&pool_path()]["status"]["conditions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|said| (said["type"].as_str().unwrap().to_owned(), said["status"] == "True"))
        .collect();
    let metrics = &world.context.metrics;
    let text = metrics.render().unwrap();
    let series = text.lines().filter(|line| line.starts_with("minitower_operator_pool_condition{"));
    assert_eq!(series.count(), told.len(), "{text}");
    for (name, is) in told {
        assert_eq!(condition(metrics, &name), Some(f64::from(u8::from(is))), "{name}\n{text}");
    }
}

#[tokio::test]
async fn what_a_pools_status_says_is_measured() {
    let mut world = World::new(&json!({ "replicas": 3 })).await;
    world.look().await.unwrap();
    let metrics = world.context.metrics.clone();
    assert_conditions(&world);
    assert_eq!(ready(&metrics), Some(0.0));
    assert_eq!((condition(&metrics, "Ready"), condition(&metrics, "Degraded")), (Some(0.0), Some(0.0)));

    world.state().settle();
    world.rest().await;
    assert_conditions(&world);
    assert_eq!(ready(&metrics), Some(3.0));
    assert_eq!(condition(&metrics, "Ready"), Some(1.0));
}

#[tokio::test]
async fn a_status_that_is_not_written_again_is_measured_all_the_same() {
    let mut world = World::of(2).await;
    // The metrics of a new leader: the object already says what this leader finds.
    world.restart(2);
    world.look().await.unwrap();
    assert_eq!(world.calls().iter().filter(|call| call.contains("status")).count(), 0);
    assert_eq!(ready(&world.context.metrics), Some(2.0));
    assert_conditions(&world);
}

#[tokio::test]
async fn a_pool_that_cannot_be_served_is_measured_as_degraded() {
    let mut world = World::of(2).await;
    world.respec(&json!({ "server": { "url": null } }));
    world.look().await.unwrap();
    let metrics = &world.context.metrics;
    assert_conditions(&world);
    assert_eq!((condition(metrics, "Ready"), condition(metrics, "Degraded")), (Some(0.0), Some(1.0)));
    assert_eq!(ready(metrics), Some(2.0), "its pods stay as they are");
}

#[tokio::test]
async fn which_bound_holds_a_pool_is_told_apart() {
    let bounds = |min: u32, max: u32| json!({ "minRunners": min, "maxRunners": max });
    let mut world = World::new(&bounds(0, 2)).await;
    world.state().pending = 5;
    world.look().await.unwrap();
    let metrics = world.context.metrics.clone();
    assert_eq!((limited(&metrics, "maxRunners"), limited(&metrics, "minRunners")), (Some(1.0), Some(0.0)));
    assert_eq!(condition(&metrics, "ScalingLimited"), Some(1.0));

    world.state().pending = 0;
    world.respec(&bounds(1, 2));
    world.look().await.unwrap();
    assert_eq!((limited(&metrics, "maxRunners"), limited(&metrics, "minRunners")), (Some(0.0), Some(1.0)));
    assert_eq!(condition(&metrics, "ScalingLimited"), Some(1.0));
}

#[tokio::test]
async fn a_pool_serves_the_environment_of_its_spec_and_no_former_one() {
    let info = |environment: &str| {
        format!("minitower_operator_pool_info{{environment=\"{environment}\",namespace=\"ns\",pool=\"p\"}}")
    };
    let mut world = World::new(&json!({ "replicas": 1, "environment": "cpu" })).await;
    world.look().await.unwrap();
    let metrics = world.context.metrics.clone();
    assert_value(&metrics, &info("cpu"), Some(1.0));
    world.respec(&json!({ "environment": "gpu" }));
    world.look().await.unwrap();
    assert_value(&metrics, &info("gpu"), Some(1.0));
    assert_value(&metrics, &info("cpu"), None);
}

#[tokio::test]
async fn a_pool_that_is_being_deleted_is_measured_no_more() {
    let mut world = World::of(2).await;
    let deleted = json!({ "metadata": { "deletionTimestamp": "2026-01-01T00:00:00Z" } });
    world.state().change(&pool_path(), &deleted);
    world.look().await.unwrap();
    let text = world.context.metrics.render().unwrap();
    assert!(!text.contains("pool=\"p\""), "{text}");
}

#[tokio::test]
async fn a_pool_that_is_gone_leaves_no_series() {
    let mut world = World::new(&json!({ "replicas": 3 })).await;
    world.look().await.unwrap();
    let metrics = world.context.metrics.clone();
    metrics.forget("ns", "p");
    let text = metrics.render().unwrap();
    assert!(!text.contains("pool=\"p\""), "{text}");
}

#[test]
fn who_leads_and_when_it_came_round_last_are_told() {
    let metrics = Metrics::new().unwrap();
    assert_value(&metrics, "minitower_operator_leader", Some(0.0));
    metrics.leads(true);
    assert_value(&metrics, "minitower_operator_leader", Some(1.0));
    assert!(metrics.idle_for() > Duration::from_secs(1), "it has never come round");
    metrics.alive();
    assert!(metrics.idle_for() < Duration::from_secs(1));
}
