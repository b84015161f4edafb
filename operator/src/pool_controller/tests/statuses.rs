//! What a pool's status says, and when it is worth a write.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use rstest::rstest;
use serde_json::json;

use super::super::observe::Counts;
use super::super::plan::{self, Limit, Memory, Plan};
use super::super::problems::Problem;
use super::super::status::{Findings, refused, says_the_same, status};
use super::objects::{at, pool, seen, snapshot};
use crate::crd::{DemandState, RunnerPoolStatus};
use crate::demand::{Cause, ControlPlaneError, Demand, Snapshot};

const FIRST: &str = "2026-01-02T03:00:00Z";
const LATER: &str = "2026-01-02T03:10:00Z";

fn plan_of(target: u32) -> Plan {
    Plan { target, decision: None, limit: None, actions: Vec::new(), memory: Memory::default() }
}

fn counts(pods: u32, ready: u32) -> Counts {
    Counts { pods, ready, busy: 0, idle: ready, former: 0 }
}

fn findings<'a>(plan: &'a Plan, counts: Counts, said: &'a Snapshot) -> Findings<'a> {
    Findings {
        counts,
        leaving: &[],
        plan,
        demand: Demand::Known(said),
        as_of: None,
        problem: None,
        shared_with: None,
        scaled: false,
    }
}

fn status_of(findings: &Findings<'_>, former: Option<&RunnerPoolStatus>, now: &str) -> RunnerPoolStatus {
    status(&pool(&json!({})), findings, former, at(now))
}

fn condition<'s>(status: &'s RunnerPoolStatus, type_: &str) -> &'s Condition {
    status.conditions.iter().find(|condition| condition.type_ == type_).unwrap()
}

/// Its status, reason and message.
fn told<'s>(status: &'s RunnerPoolStatus, type_: &str) -> (&'s str, &'s str, &'s str) {
    let condition = condition(status, type_);
    (&condition.status, &condition.reason, &condition.message)
}

fn since(status: &RunnerPoolStatus, type_: &str) -> Timestamp {
    condition(status, type_).last_transition_time.0
}

#[test]
fn a_condition_keeps_the_time_of_its_last_change() {
    let (said, plan) = (snapshot(0, vec![]), plan_of(2));
    let first = status_of(&findings(&plan, counts(2, 1), &said), None, FIRST);
    let again = status_of(&findings(&plan, counts(2, 0), &said), Some(&first), LATER);
    assert_eq!(since(&again, "Ready"), at(FIRST), "still False, with other words");
    assert_ne!(told(&again, "Ready"), told(&first, "Ready"));
    let ready = status_of(&findings(&plan, counts(2, 2), &said), Some(&again), LATER);
    assert_eq!(since(&ready, "Ready"), at(LATER));
    assert_eq!(since(&ready, "Paused"), at(FIRST));
}

#[test]
fn a_settled_pool_says_so() {
    let (said, plan) = (snapshot(3, vec![]), plan_of(2));
    let status = status_of(&findings(&plan, Counts { busy: 1, idle: 1, ..counts(2, 2) }, &said), None, FIRST);
    assert_eq!(told(&status, "Ready"), ("True", "AllOnline", "2 of 2 runners are online"));
    assert_eq!(told(&status, "Progressing"), ("False", "Settled", "the pool has its 2 pods"));
    assert_eq!(told(&status, "DemandAvailable").0, "True");
    assert_eq!(told(&status, "Degraded").0, "False");
    assert_eq!(
        (status.busy_runners, status.idle_runners, status.pending_runs, status.desired_runners),
        (Some(1), Some(1), Some(3), Some(2))
    );
    assert_eq!(status.selector.as_deref(), Some("minitower.dev/pool=p"));
    assert_eq!(status.observed_generation, Some(1));
    assert!(status.conditions.iter().all(|condition| condition.observed_generation == Some(1)));
}

#[rstest]
#[case::growing(counts(1, 1), "Growing", "from 1 to 3 pods")]
#[case::shrinking(counts(5, 5), "Shrinking", "from 5 to 3 pods, as runs end")]
#[case::new_template(
    Counts { former: 2, ..counts(3, 3) },
    "NewTemplate",
    "2 pods of a previous template are removed when their runs have ended and runners of the new template are online"
)]
fn what_is_under_way_is_told(#[case] counts: Counts, #[case] reason: &str, #[case] message: &str) {
    let (said, plan) = (snapshot(0, vec![]), plan_of(3));
    let status = status_of(&findings(&plan, counts, &said), None, FIRST);
    assert_eq!(told(&status, "Progressing"), ("True", reason, message));
}

#[test]
fn a_problem_speaks_for_a_pool_that_is_not_ready() {
    let (said, plan) = (snapshot(0, vec![]), plan_of(2));
    let problem = Some(Problem::new("CrashLoop", "pod a: words"));
    let findings = Findings { problem, ..findings(&plan, counts(2, 1), &said) };
    let status = status_of(&findings, None, FIRST);
    assert_eq!(told(&status, "Ready"), ("False", "CrashLoop", "pod a: words"));
    assert_eq!(told(&status, "Degraded"), ("True", "CrashLoop", "pod a: words"));
}

#[rstest]
#[case::operator_token("OperatorTokenMissing", false)]
#[case::crash_loop("CrashLoop", false)]
#[case::refused("DeploymentRefused", false)]
#[case::a_pod_too_many_that_has_no_node("Unschedulable", true)]
fn a_grave_problem_keeps_a_pool_from_being_ready_whatever_its_size(
    #[case] reason: &'static str,
    #[case] expected: bool,
    #[values(0, 2)] size: u32,
) {
    let (said, plan) = (snapshot(0, vec![]), plan_of(size));
    let findings = Findings {
        problem: Some(Problem::new(reason, "words")),
        ..findings(&plan, counts(size, size), &said)
    };
    let status = status_of(&findings, None, FIRST);
    let (is, told, _) = told(&status, "Ready");
    assert_eq!((is, told), if expected { ("True", "AllOnline") } else { ("False", reason) });
}

/// An error of a control plane that answers 401, or whose answers are late.
fn trouble(is_lasting: bool) -> ControlPlaneError {
    if is_lasting {
        let error = std::io::Error::other("words");
        ControlPlaneError::without_token("http://tower", error)
    } else {
        ControlPlaneError::new("http://tower", Cause::Deadline(Duration::from_secs(5)))
    }
}

#[rstest]
#[case::silent_for_a_moment(Some(9), false, None)]
#[case::silent_for_a_while(Some(11), false, Some("Unreachable"))]
#[case::what_time_does_not_mend(Some(1), true, Some("InvalidServer"))]
#[case::never_heard_of(None, false, Some("Unreachable"))]
fn a_pool_is_not_ready_without_its_control_plane_whatever_its_size(
    #[case] silent_for: Option<u64>,
    #[case] is_lasting: bool,
    #[case] expected: Option<&str>,
    #[values(0, 2)] size: u32,
) {
    let (said, plan, reason) = (snapshot(0, vec![]), plan_of(size), trouble(is_lasting));
    let demand = match silent_for {
        Some(age) => Demand::Stale { snapshot: &said, age: Duration::from_secs(age), reason: &reason },
        None => Demand::Unknown { reason: &reason },
    };
    let status = status_of(&Findings { demand, ..findings(&plan, counts(size, size), &said) }, None, FIRST);
    let (is, told, message) = told(&status, "Ready");
    assert_eq!((is, told), expected.map_or(("True", "AllOnline"), |reason| ("False", reason)));
    assert_eq!(message.contains("http://tower"), expected.is_some(), "{message}");
}

#[test]
fn a_pool_of_no_runners_is_ready() {
    let (said, plan) = (snapshot(0, vec![]), plan_of(0));
    assert_eq!(told(&status_of(&findings(&plan, counts(0, 0), &said), None, FIRST), "Ready").0, "True");
}

#[test]
fn old_numbers_are_shown_and_unknown_ones_are_not() {
    let (said, plan) = (snapshot(3, vec![]), plan_of(2));
    let reason = ControlPlaneError::new("http://tower", Cause::Deadline(Duration::from_secs(5)));
    let stale = Demand::Stale { snapshot: &said, age: Duration::from_secs(5), reason: &reason };
    let of = |demand| Findings { demand, as_of: Some(at(FIRST)), ..findings(&plan, counts(2, 2), &said) };
    let status = status_of(&of(stale), None, LATER);
    assert_eq!(status.pending_runs, Some(3));
    let (value, word, message) = told(&status, "DemandAvailable");
    assert_eq!((value, word), ("False", "Unreachable"));
    assert!(message.ends_with("; the pool may grow but does not shrink"), "{message}");
    assert_eq!(status.demand.as_ref().unwrap().state, DemandState::Stale);
    assert_eq!(status.demand.as_ref().unwrap().as_of.as_ref().unwrap().0, at(FIRST));

    let status = status_of(&of(Demand::Unknown { reason: &reason }), None, LATER);
    assert_eq!((status.pending_runs, status.busy_runners, status.idle_runners), (None, None, None));
    assert!(told(&status, "DemandAvailable").2.ends_with("; the pool keeps its size"));
}

#[rstest]
#[case(Some(Limit::Max { wanted: 30 }), "True", "MaxRunners")]
#[case(Some(Limit::Min { wanted: 0 }), "True", "MinRunners")]
#[case(None, "False", "WithinBounds")]
fn bounds_that_hold_the_size_are_named(
    #[case] limit: Option<Limit>,
    #[case] value: &str,
    #[case] word: &str,
) {
    let (said, plan) = (snapshot(0, vec![]), Plan { limit, ..plan_of(2) });
    let status = status_of(&findings(&plan, counts(2, 2), &said), None, FIRST);
    let (found, reason, message) = told(&status, "ScalingLimited");
    assert_eq!((found, reason), (value, word));
    assert_eq!(message.contains("runners are wanted"), limit.is_some(), "{message}");
}

#[test]
fn a_decision_is_kept_until_the_next_one() {
    let said = snapshot(0, vec![]);
    let decided = fixed_at_two();
    let scaled = Findings { scaled: true, ..findings(&decided, counts(1, 1), &said) };
    let first = status_of(&scaled, None, FIRST);
    let plan = plan_of(2);
    let then = status_of(&findings(&plan, counts(2, 2), &said), Some(&first), LATER);
    let last = then.last_decision.unwrap();
    assert_eq!((last.from, last.to, last.at), (1, 2, Time(at(FIRST))));
    assert!(!last.reason.is_empty());
    assert_eq!(then.last_scale_time, Some(Time(at(FIRST))));
}

/// A plan for a pool with one pod and the size 2.
fn fixed_at_two() -> Plan {
    let pool = pool(&json!({ "spec": { "replicas": 2 } }));
    let memory = Memory { target: Some(1), ..Memory::default() };
    let said = snapshot(0, vec![]);
    plan::plan(&seen(&[], &[], &said).observed, &pool.policy, &memory, Duration::ZERO)
}

#[test]
fn a_refused_pool_keeps_what_is_known_of_it() {
    let (said, plan) = (snapshot(3, vec![]), plan_of(2));
    let former = status_of(&findings(&plan, counts(2, 2), &said), None, FIRST);
    let status = refused(Some(9), &Problem::new("InvalidTemplate", "words"), Some(&former), at(LATER));
    assert_eq!(status.replicas, 2);
    assert_eq!(status.observed_generation, Some(9));
    assert_eq!(told(&status, "Ready"), ("False", "InvalidTemplate", "words"));
    assert_eq!(told(&status, "Degraded"), ("True", "InvalidTemplate", "words"));
    assert_eq!(since(&status, "Paused"), at(FIRST));
    let mut types: Vec<&str> = status.conditions.iter().map(|condition| condition.type_.as_str()).collect();
    types.dedup();
    assert_eq!(types.len(), 7);
    let again = refused(Some(9), &Problem::new("InvalidTemplate", "words"), Some(&status), at(LATER));
    assert!(says_the_same(&status, &again));
}

#[test]
fn a_refused_pool_that_never_was_says_only_that() {
    let status = refused(Some(1), &Problem::new("InvalidSpec", "words"), None, at(FIRST));
    assert_eq!(status.conditions.len(), 2);
    assert_eq!(status.desired_runners, None);
}

#[test]
fn the_time_of_a_good_answer_is_no_news_and_that_of_the_last_good_one_is() {
    let (said, plan) = (snapshot(0, vec![]), plan_of(2));
    let of = |time: &str| Findings { as_of: Some(at(time)), ..findings(&plan, counts(2, 2), &said) };
    let first = status_of(&of(FIRST), None, FIRST);
    let later = status_of(&of(LATER), Some(&first), LATER);
    assert_ne!(first, later);
    assert!(says_the_same(&first, &later));
    let reason = ControlPlaneError::new("http://tower", Cause::Deadline(Duration::from_secs(5)));
    let stale = |time: &str, former: &RunnerPoolStatus| {
        let demand = Demand::Stale { snapshot: &said, age: Duration::ZERO, reason: &reason };
        status_of(&Findings { demand, ..of(time) }, Some(former), LATER)
    };
    let now_stale = stale(LATER, &later);
    assert!(!says_the_same(&later, &now_stale));
    assert!(says_the_same(&now_stale, &stale(LATER, &now_stale)));
}
