//! How a pool stands in a word, and when its control plane is told.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use minitower_client::wire::pools::{PoolState, ReportPool};
use rstest::rstest;
use serde_json::{Value, json};

use super::super::standing::{Told, is_due, one_line, standing};
use super::objects::{at, pool};
use crate::crd::RunnerPoolStatus;

fn condition((type_, status, reason): (&str, &str, &str)) -> Condition {
    Condition {
        type_: type_.to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message: format!("words of\n{type_}"),
        observed_generation: None,
        last_transition_time: Time(at("2026-01-02T03:00:00Z")),
    }
}

fn status(ready: u32, desired: u32, conditions: &[(&str, &str, &str)]) -> RunnerPoolStatus {
    RunnerPoolStatus {
        ready_runners: ready,
        desired_runners: Some(desired),
        conditions: conditions.iter().copied().map(condition).collect(),
        ..RunnerPoolStatus::default()
    }
}

const LIMITED: (&str, &str, &str) = ("ScalingLimited", "True", "MaxRunners");
const WITHIN: (&str, &str, &str) = ("ScalingLimited", "False", "WithinBounds");
const UNREADY: (&str, &str, &str) = ("Ready", "False", "ImagePullFailed");
const DEGRADED: (&str, &str, &str) = ("Degraded", "True", "ImagePullFailed");

#[rstest]
#[case::well(json!({}), status(2, 2, &[WITHIN]), PoolState::Ready, "ScalingLimited")]
#[case::starting(json!({}), status(1, 2, &[UNREADY, LIMITED]), PoolState::Growing, "Ready")]
#[case::broken(json!({}), status(0, 2, &[UNREADY, DEGRADED, LIMITED]), PoolState::Broken, "Degraded")]
#[case::less_than_well(json!({}), status(2, 2, &[("Ready", "True", "AllOnline"), DEGRADED, LIMITED]), PoolState::AtMaximum, "ScalingLimited")]
#[case::full(json!({}), status(2, 2, &[LIMITED]), PoolState::AtMaximum, "ScalingLimited")]
#[case::held_by_its_minimum(json!({}), status(2, 2, &[("ScalingLimited", "True", "MinRunners")]), PoolState::Ready, "ScalingLimited")]
#[case::of_fixed_size(json!({ "replicas": 2 }), status(2, 2, &[("ScalingLimited", "False", "FixedSize")]), PoolState::AtMaximum, "ScalingLimited")]
#[case::paused(json!({ "paused": true }), status(1, 2, &[("Paused", "True", "SpecPaused")]), PoolState::Paused, "Paused")]
fn a_pool_stands_as_its_status_says(
    #[case] spec: Value,
    #[case] status: RunnerPoolStatus,
    #[case] state: PoolState,
    #[case] speaks: &str,
) {
    let report = standing(&pool(&json!({ "spec": spec })), &status);
    assert_eq!(report.state, state);
    assert_eq!(report.message, format!("words of {speaks}"), "in one line");
    assert_eq!((report.ready, report.desired), (status.ready_runners, 2));
}

#[test]
fn the_bounds_are_those_that_hold() {
    let bounds = |spec: Value| {
        let report = standing(&pool(&json!({ "spec": spec })), &status(0, 0, &[]));
        (report.min, report.max, report.message)
    };
    let nothing = "nothing more is known".to_owned();
    assert_eq!(bounds(json!({ "minRunners": 1, "maxRunners": 3 })), (1, 3, nothing.clone()));
    assert_eq!(bounds(json!({ "minRunners": 1, "maxRunners": 3, "replicas": 5 })), (5, 5, nothing));
}

#[test]
fn long_words_fit_into_what_a_control_plane_takes() {
    assert!(one_line(&"€".repeat(9000)).len() <= 2000);
}

#[rstest]
#[case::never_told(None, 0, true)]
#[case::the_same(Some((PoolState::Ready, 1, false)), 19, false)]
#[case::the_same_after_a_while(Some((PoolState::Ready, 1, false)), 20, true)]
#[case::other_numbers(Some((PoolState::Ready, 2, false)), 4, false)]
#[case::other_numbers_a_moment_later(Some((PoolState::Ready, 2, false)), 5, true)]
#[case::another_state(Some((PoolState::Growing, 1, false)), 0, true)]
#[case::after_a_failure(Some((PoolState::Growing, 1, true)), 19, false)]
#[case::again_after_a_failure(Some((PoolState::Growing, 1, true)), 20, true)]
fn changes_are_told_at_once_and_the_same_now_and_then(
    #[case] before: Option<(PoolState, u32, bool)>,
    #[case] seconds: u64,
    #[case] expected: bool,
) {
    let report = |state, ready| ReportPool { state, ..standing(&pool(&json!({})), &status(ready, 1, &[])) };
    let at = Duration::from_secs(1000);
    let told = before.map(|(state, ready, failed)| Told { report: report(state, ready), at, failed });
    let due = is_due(told.as_ref(), &report(PoolState::Ready, 1), at + Duration::from_secs(seconds));
    assert_eq!(due, expected);
}
