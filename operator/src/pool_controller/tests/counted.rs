//! What is counted of the controller's work.

use std::time::Duration;

use serde_json::json;

use super::super::reconcile::ReconcileError;
use super::world::{Fault, World};
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
