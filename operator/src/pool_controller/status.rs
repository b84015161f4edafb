//! What a person is told: the pool's status. Each reconcile computes it, and it is written only when it differs.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::leaving::LeavingRunner;
use super::observe::Counts;
use super::plan::{Limit, Plan, counted};
use super::pool::Pool;
use super::problems::{self, Problem};
use crate::crd::{self, ConditionType, DemandState, LastDecision, MAX_LEAVING, RunnerPoolStatus};
use crate::demand::{Demand, Snapshot};

/// What one reconcile found out.
#[derive(Debug)]
pub struct Findings<'a> {
    /// What the pods do.
    pub counts: Counts,
    /// Runners that are on their way out.
    pub leaving: &'a [LeavingRunner],
    /// What is to be done.
    pub plan: &'a Plan,
    /// What is known of demand.
    pub demand: Demand<'a>,
    /// The time of the last good answer.
    pub as_of: Option<Timestamp>,
    /// What a person has to look at.
    pub problem: Option<Problem>,
    /// Other pools serve the same environment.
    pub shared_with: Option<&'a Problem>,
    /// The size has just changed.
    pub scaled: bool,
}

/// A condition without its times.
struct Said {
    type_: ConditionType,
    status: bool,
    reason: &'static str,
    message: String,
}

/// The status after a reconcile. `former` is the status before it.
pub fn status(
    pool: &Pool,
    findings: &Findings<'_>,
    former: Option<&RunnerPoolStatus>,
    now: Timestamp,
) -> RunnerPoolStatus {
    let Findings { counts, leaving, plan, demand, as_of, problem, shared_with, scaled } = findings;
    let snapshot = demand.snapshot();
    let pending = |s: &Snapshot| s.pending_in(&pool.spec.environment, pool.spec.team.as_deref());
    let decision = plan.decision.as_ref().map(|decision| LastDecision {
        at: Time(now),
        from: decision.from,
        to: decision.to,
        reason: decision.reason.to_string(),
    });
    let said = [
        ready(*counts, plan, *demand, problem.as_ref()),
        progressing(pool, *counts, leaving, plan),
        demand_available(*demand),
        limited(pool, plan, *demand),
        paused(pool),
        degraded(problem.as_ref()),
        shared(*shared_with),
    ];
    RunnerPoolStatus {
        observed_generation: pool.generation,
        replicas: counts.pods,
        // Nobody knows, so it stays as it was.
        ready_runners: snapshot.map_or(former.map_or(0, |former| former.ready_runners), |_| counts.ready),
        busy_runners: snapshot.map(|_| counts.busy),
        idle_runners: snapshot.map(|_| counts.idle),
        leaving: u32::try_from(leaving.len()).ok().filter(|n| *n > 0),
        leaving_runners: leaving.iter().take(MAX_LEAVING).map(shown).collect(),
        pending_runs: snapshot.map(pending),
        desired_runners: Some(plan.target),
        demand: Some(crd::Demand { state: state(*demand), as_of: as_of.map(Time) }),
        last_decision: decision.or_else(|| former.and_then(|former| former.last_decision.clone())),
        last_scale_time: if *scaled {
            Some(Time(now))
        } else {
            former.and_then(|former| former.last_scale_time.clone())
        },
        selector: Some(pool.selector()),
        conditions: conditions(said, pool.generation, former, now),
    }
}

fn shown(leaving: &LeavingRunner) -> crd::LeavingRunner {
    crd::LeavingRunner {
        name: leaving.name.clone(),
        run_id: leaving.run_id,
        reason: leaving.cause.as_reason().to_owned(),
        since: leaving.since.map(Time),
        until: leaving.until.map(Time),
    }
}

/// The status of a pool that cannot be served as it is written. Its pods stay as they are.
pub fn refused(
    generation: Option<i64>,
    problem: &Problem,
    former: Option<&RunnerPoolStatus>,
    now: Timestamp,
) -> RunnerPoolStatus {
    let said =
        |type_, status| Said { type_, status, reason: problem.reason, message: problem.message.clone() };
    let said = [said(ConditionType::Ready, false), said(ConditionType::Degraded, true)];
    let mut status = former.cloned().unwrap_or_default();
    let told = conditions(said, generation, former, now);
    status.conditions.retain(|old| told.iter().all(|new| new.type_ != old.type_));
    status.conditions.extend(told);
    status.conditions.sort_by(|a, b| a.type_.cmp(&b.type_));
    status.observed_generation = generation;
    status
}

/// Whether two statuses say the same. A new time of the last good answer alone is not worth a write. During a silence that time is computed
/// from its age at each reconcile, and is never twice the same to the nanosecond.
pub fn says_the_same(a: &RunnerPoolStatus, b: &RunnerPoolStatus) -> bool {
    let timeless = |status: &RunnerPoolStatus| {
        let mut status = status.clone();
        let demand = status.demand.as_mut();
        let as_of =
            demand.and_then(|demand| demand.as_of.take().filter(|_| demand.state != DemandState::Known));
        (status, as_of)
    };
    let ((a, a_as_of), (b, b_as_of)) = (timeless(a), timeless(b));
    let same_time = match (a_as_of, b_as_of) {
        (Some(a), Some(b)) => a.0.duration_since(b.0).abs() < SignedDuration::from_secs(1),
        (a, b) => a == b,
    };
    same_time && a == b
}

fn state(demand: Demand<'_>) -> DemandState {
    match demand {
        Demand::Known(_) => DemandState::Known,
        Demand::Stale { .. } => DemandState::Stale,
        Demand::Unknown { .. } => DemandState::Unknown,
    }
}

fn ready(counts: Counts, plan: &Plan, demand: Demand<'_>, problem: Option<&Problem>) -> Said {
    let silent = problems::of_control_plane(demand);
    let grave = problem.filter(|problem| problem.is_grave()).or(silent.as_ref());
    let status = counts.ready >= plan.target && grave.is_none();
    let (reason, message) = match grave.or(problem) {
        _ if status => ("AllOnline", format!("{} of {} runners are online", counts.ready, plan.target)),
        Some(problem) => (problem.reason, problem.message.clone()),
        None => ("Starting", format!("{} of {} runners are online", counts.ready, plan.target)),
    };
    Said { type_: ConditionType::Ready, status, reason, message }
}

fn progressing(pool: &Pool, counts: Counts, leaving: &[LeavingRunner], plan: &Plan) -> Said {
    let working = leaving.iter().filter(|runner| runner.busy).count();
    let (status, reason, message) = if counts.former > 0 && pool.policy.paused {
        (false, "Paused", "pods of a previous template stay while spec.paused is true".to_owned())
    } else if counts.former > 0 {
        let message = counted(
            counts.former.into(),
            "pod of a previous template is removed when its run has ended and runners of the new template are online",
            "pods of a previous template are removed when their runs have ended and runners of the new template are online",
        );
        (true, "NewTemplate", message)
    } else if counts.pods < plan.target {
        (true, "Growing", format!("from {} to {} pods", counts.pods, plan.target))
    } else if counts.pods > plan.target {
        (true, "Shrinking", format!("from {} to {} pods, as runs end", counts.pods, plan.target))
    } else if working > 0 {
        let message = counted(
            working as u64,
            "runner on its way out still holds a run",
            "runners on their way out still hold runs",
        );
        (true, "Leaving", message)
    } else {
        (false, "Settled", format!("the pool has its {}", counted(plan.target.into(), "pod", "pods")))
    };
    Said { type_: ConditionType::Progressing, status, reason, message }
}

fn demand_available(demand: Demand<'_>) -> Said {
    let said = |status: bool, reason, message| Said {
        type_: ConditionType::DemandAvailable,
        status,
        reason,
        message,
    };
    match demand {
        Demand::Known(_) => said(true, "Known", "the control plane answers".to_owned()),
        Demand::Stale { reason, .. } => said(
            false,
            reason.kind().as_reason(),
            format!("{}; the pool may grow but does not shrink", reason.told()),
        ),
        Demand::Unknown { reason } => {
            said(false, reason.kind().as_reason(), format!("{}; the pool keeps its size", reason.told()))
        }
    }
}

fn limited(pool: &Pool, plan: &Plan, demand: Demand<'_>) -> Said {
    let (status, reason, message) = match plan.limit {
        Some(Limit::Max { wanted }) => (
            true,
            "MaxRunners",
            format!(
                "{} but spec.maxRunners is {}: raise it if runs wait too long",
                wished(wanted),
                pool.policy.max
            ),
        ),
        Some(Limit::Min { wanted }) => {
            (true, "MinRunners", format!("{} but spec.minRunners keeps {}", wished(wanted), pool.policy.min))
        }
        None if pool.policy.paused => (false, "Paused", "spec.paused holds the size".to_owned()),
        None if pool.policy.replicas.is_some() => {
            (false, "FixedSize", "spec.replicas sets the size".to_owned())
        }
        None if demand.snapshot().is_none() => {
            (false, "DemandUnknown", "the size is held until the control plane answers".to_owned())
        }
        None => (false, "WithinBounds", "the size is what the demand asks for".to_owned()),
    };
    Said { type_: ConditionType::ScalingLimited, status, reason, message }
}

fn wished(wanted: u32) -> String {
    counted(wanted.into(), "runner is wanted", "runners are wanted")
}

fn paused(pool: &Pool) -> Said {
    let (reason, message) = if pool.policy.paused {
        ("SpecPaused", "spec.paused is true: the pool neither grows nor shrinks")
    } else {
        ("NotPaused", "the pool follows its spec")
    };
    Said { type_: ConditionType::Paused, status: pool.policy.paused, reason, message: message.to_owned() }
}

fn degraded(problem: Option<&Problem>) -> Said {
    match problem {
        Some(problem) => Said {
            type_: ConditionType::Degraded,
            status: true,
            reason: problem.reason,
            message: problem.message.clone(),
        },
        None => Said {
            type_: ConditionType::Degraded,
            status: false,
            reason: "AsExpected",
            message: "nothing is wrong with the pods".to_owned(),
        },
    }
}

fn shared(with: Option<&Problem>) -> Said {
    let (reason, message) = match with {
        Some(others) => (others.reason, others.message.clone()),
        None => ("Alone", "no other pool serves this environment".to_owned()),
    };
    Said { type_: ConditionType::EnvironmentShared, status: with.is_some(), reason, message }
}

/// Adds the times: a condition keeps the time at which its status last changed.
fn conditions<const N: usize>(
    said: [Said; N],
    generation: Option<i64>,
    former: Option<&RunnerPoolStatus>,
    now: Timestamp,
) -> Vec<Condition> {
    said.into_iter()
        .map(|said| {
            let status = if said.status { "True" } else { "False" };
            let before = former
                .and_then(|former| {
                    former.conditions.iter().find(|before| before.type_ == said.type_.as_str())
                })
                .filter(|before| before.status == status);
            Condition {
                type_: said.type_.as_str().to_owned(),
                status: status.to_owned(),
                reason: said.reason.to_owned(),
                message: said.message,
                observed_generation: generation,
                last_transition_time: before.map_or(Time(now), |before| before.last_transition_time.clone()),
            }
        })
        .collect()
}
