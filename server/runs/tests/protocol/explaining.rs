//! What is said about a run that waits, compared with what a poll gets: whatever was done before, a run for which a runner is said to come
//! is the one that the next runner gets, and no other one is.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use minitower_runs::domain::after::{After, Until};
use minitower_runs::domain::app::Change;
use minitower_runs::domain::explain::{Explanation, Reason};
use minitower_runs::domain::retry::Wanted;
use minitower_runs::domain::run::Blocked;
use minitower_runs::domain::runner::RunnerPrincipal;
use minitower_runs::{CreateRun, Grant};
use minitower_teams::AdminPrincipal;
use minitower_teams::team::TeamPrincipal;
use minitower_vocabulary::ids::RunId;
use minitower_vocabulary::statuses::{ResultStatus, RunStatus};
use rstest::rstest;

use crate::support::{Plane, named, outcome};

/// A small generator of numbers, the same for the same seed (xorshift64, Marsaglia 2003).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }

    fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        let n = u64::try_from(of.len()).ok().filter(|n| *n > 0)?;
        of.get(usize::try_from(self.roll(n)).unwrap())
    }
}

/// A plane, and what the test knows of it.
struct World {
    plane: Plane,
    teams: Vec<TeamPrincipal>,
    runners: Vec<RunnerPrincipal>,
    drained: Vec<bool>,
    held: BTreeMap<usize, Box<Grant>>,
    runs: Vec<(usize, RunId)>,
    met: BTreeMap<&'static str, u32>,
}

impl World {
    async fn new() -> Self {
        let plane = Plane::start().await;
        let other = plane.another_team("beta").await;
        let runners = vec![plane.runner("r1").await, plane.runner("r2").await, plane.own_runner("own").await];
        let teams = vec![plane.team.clone(), other];
        let drained = vec![false; runners.len()];
        Self { plane, teams, runners, drained, held: BTreeMap::new(), runs: Vec::new(), met: BTreeMap::new() }
    }

    async fn create(&mut self, dice: &mut Dice) {
        let team = usize::try_from(dice.roll(2)).unwrap();
        let mine: Vec<RunId> = self.runs.iter().filter(|(of, _)| *of == team).map(|(_, run)| *run).collect();
        let mut new = CreateRun { priority: Some(dice.roll(3).cast_signed()), ..CreateRun::default() };
        match dice.roll(6) {
            0 | 1 => new.concurrency = Some((Some("db".to_owned()), 1 + dice.roll(2).cast_signed())),
            2 => new.environment = Some("empty".to_owned()),
            3 => {
                let until = if dice.roll(2) == 0 { Until::Completed } else { Until::Ended };
                new.after = dice.pick(&mine).map(|run| After { run: *run, until }).into_iter().collect();
            }
            4 => {
                new.retry =
                    Some(Wanted { max_attempts: 2, backoff_initial_ms: Some(40), ..Wanted::default() });
            }
            _ => {}
        }
        let created = self.plane.app.runs().create_run(&self.teams[team], "jobs".to_owned(), new).await;
        self.runs.extend(created.ok().map(|run| (team, run.id)));
    }

    async fn explained(&self) -> BTreeMap<RunId, Explanation> {
        let mut all = BTreeMap::new();
        for (team, run) in &self.runs {
            let said = self.plane.app.runs().explain(&self.teams[*team], *run).await.unwrap();
            assert_eq!(
                said.explanation.reason == Reason::Status(said.run.status()),
                said.run.status() != RunStatus::Queued
            );
            all.insert(*run, said.explanation);
        }
        all
    }

    /// A poll, and whether it gets what was said.
    async fn poll(&mut self, n: usize) {
        let before = self.explained().await;
        for said in before.values() {
            *self.met.entry(said.reason.as_str()).or_default() += 1;
            assert!(!said.message.is_empty());
        }
        let comes = |team: usize| {
            let of_team = self.runs.iter().filter(move |(of, _)| *of == team);
            of_team
                .filter(|(_, run)| before[run].reason == Reason::Queue)
                .map(|(_, run)| *run)
                .collect::<Vec<_>>()
        };
        let idle_for = |team: usize| {
            let serves = |n: usize| self.runners[n].scope.serves(self.teams[team].team_id);
            (0..self.runners.len()).any(|n| serves(n) && !self.drained[n] && !self.held.contains_key(&n))
        };
        for team in 0..self.teams.len() {
            assert!(
                idle_for(team) || comes(team).is_empty(),
                "nobody is there for {:?}: {before:?}",
                comes(team)
            );
        }
        let served: Vec<usize> = (0..self.teams.len())
            .filter(|team| self.runners[n].scope.serves(self.teams[*team].team_id))
            .collect();
        match self.plane.poll(&self.runners[n], named("i")).await.unwrap() {
            Some(grant) => {
                assert!(!self.drained[n], "a fence keeps it from work");
                let said = &before[&grant.run.id];
                assert_eq!(
                    (said.reason, said.position),
                    (Reason::Queue, Some(1)),
                    "run {}: {said:?}",
                    grant.run.id
                );
                self.held.insert(n, grant);
            }
            None if self.drained[n] => {}
            None => {
                for team in served {
                    assert_eq!(comes(team), [], "nobody gets them: {before:?}");
                }
            }
        }
    }

    async fn step(&mut self, dice: &mut Dice) {
        let n = usize::try_from(dice.roll(3)).unwrap();
        match dice.roll(16) {
            0..=5 => self.create(dice).await,
            6..=10 if !self.held.contains_key(&n) => self.poll(n).await,
            6..=12 => {
                let Some(grant) = self.held.remove(&n) else { return };
                let status = if dice.roll(3) == 0 { ResultStatus::Failed } else { ResultStatus::Completed };
                let report = outcome(status).into();
                let leases = self.plane.app.leases();
                if leases
                    .finish_run(&self.runners[n], grant.run.id, &grant.lease_token, report)
                    .await
                    .is_err()
                {
                    let report = outcome(ResultStatus::Cancelled).into();
                    leases
                        .finish_run(&self.runners[n], grant.run.id, &grant.lease_token, report)
                        .await
                        .unwrap();
                }
            }
            13 => {
                let Some((team, run)) = dice.pick(&self.runs) else { return };
                self.plane.app.runs().cancel_run(&self.teams[*team], *run).await.unwrap();
            }
            14 => {
                let change = Change { disabled: Some(Some(dice.roll(2) == 0)), ..Change::default() };
                self.plane.app.apps().change_app(&self.teams[0], "jobs".to_owned(), change).await.unwrap();
            }
            _ => {
                let (name, runners) = (self.runners[n].name.clone(), self.plane.app.runners());
                let by = AdminPrincipal::Operator;
                let drained = if self.drained[n] {
                    runners.undrain(&by, name, None).await.unwrap()
                } else {
                    runners.drain(&by, name, None).await.unwrap()
                };
                self.drained[n] = drained.draining;
            }
        }
    }

    /// Lets the server do what it does by itself, until nothing moves any more; then it does nothing again.
    async fn settled(self) -> Self {
        let Self { plane, teams, runners, drained, held, runs, met } = self;
        let plane = plane.restart().await;
        let app = plane.app.clone();
        let background = tokio::spawn(async move { app.run_background().await });
        plane.clock.advance(Duration::from_millis(50));
        let world = Self { plane, teams, runners, drained, held, runs, met };
        let mut last = world.explained().await;
        for _ in 0..50 {
            tokio::time::sleep(Duration::from_millis(5)).await;
            let now = world.explained().await;
            if now == last {
                break;
            }
            last = now;
        }
        world.plane.stopping.cancel();
        background.await.unwrap();
        let Self { plane, teams, runners, drained, held, runs, met } = world;
        Self { plane: plane.restart().await, teams, runners, drained, held, runs, met }
    }
}

#[rstest]
#[case(1)]
#[case(2)]
#[case(3)]
#[case(4)]
#[tokio::test(flavor = "multi_thread")]
async fn who_is_said_to_be_next_gets_the_runner_and_nobody_else_does(#[case] seed: u64) {
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15 ^ seed);
    let mut world = World::new().await;
    for _ in 0..4 {
        for _ in 0..40 {
            world.step(&mut dice).await;
        }
        world = world.settled().await;
    }
    let met: Vec<_> = world.met.keys().copied().collect();
    for reason in ["after", "disabled", "limit", "no_runner", "queue"] {
        assert!(met.contains(&reason), "a walk that never met {reason}: {met:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_reason_comes_with_what_helps() {
    let plane = Plane::start().await;
    let run = |new: CreateRun| plane.run(new);
    let explain = async |id: RunId| plane.app.runs().explain(&plane.team, id).await.unwrap();
    let first = run(CreateRun { concurrency: Some((None, 1)), ..CreateRun::default() }).await;
    assert_eq!(explain(first.id).await.explanation.reason, Reason::NoRunner);
    let runner = plane.runner("r1").await;
    let said = explain(first.id).await.explanation;
    assert_eq!((said.reason, said.position), (Reason::Queue, Some(1)));
    plane.lease(&runner).await;
    assert_eq!(explain(first.id).await.explanation.reason, Reason::Status(RunStatus::Leased));

    let held = run(CreateRun { concurrency: Some((None, 1)), ..CreateRun::default() }).await;
    let said = explain(held.id).await.explanation;
    assert_eq!(said.reason, Reason::Blocked(Blocked::Limit));
    let limit = said.limit.expect("the limit");
    assert_eq!((limit.key.as_deref(), limit.holders, limit.places.max), (Some("jobs"), vec![first.id], 1));

    let behind = After { run: held.id, until: Until::Ended };
    let after = run(CreateRun { after: vec![behind], ..CreateRun::default() }).await;
    let said = explain(after.id).await;
    assert_eq!(
        (said.explanation.reason, said.waits_for),
        (Reason::Blocked(Blocked::After), vec![(behind, Some(RunStatus::Queued))])
    );

    let low = run(CreateRun { priority: Some(-1), ..CreateRun::default() }).await;
    let high = run(CreateRun { priority: Some(1), ..CreateRun::default() }).await;
    let next = run(CreateRun { priority: Some(1), ..CreateRun::default() }).await;
    let positions = [explain(low.id).await, explain(high.id).await, explain(next.id).await];
    let said = positions.map(|said| (said.explanation.reason, said.explanation.position.unwrap()));
    assert_eq!(said, [(Reason::Busy, 3), (Reason::Busy, 1), (Reason::Busy, 2)]);
    let plane = plane.restart().await;
    let again = plane.app.runs().explain(&plane.team, low.id).await.unwrap().explanation;
    assert_eq!((again.reason, again.position), (Reason::Busy, Some(3)), "also after a restart");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_place_in_a_long_queue_is_found_without_looking_at_the_queue() {
    const RUNS: usize = 3_000;
    let plane = Plane::start().await;
    let mut runs = Vec::new();
    for n in 0..RUNS {
        // A second and a half apart, so that they are in slots of their own.
        plane.clock.advance(Duration::from_millis(if n % 10 == 0 { 1_500 } else { 0 }));
        runs.push(plane.run(CreateRun::default()).await.id);
    }
    let last = *runs.last().unwrap();
    let began = Instant::now();
    for _ in 0..20 {
        let said = plane.app.runs().explain(&plane.team, last).await.unwrap();
        assert_eq!(said.explanation.position, u64::try_from(RUNS).ok());
    }
    let each = began.elapsed() / 20;
    assert!(each < Duration::from_millis(500), "{each:?} each, in a build that is not optimised");
    // After a start the queue is counted anew while runs leave it, and the place is right at any moment.
    let plane = plane.restart().await;
    for (gone, first) in runs.iter().take(100).enumerate() {
        let said = plane.app.runs().explain(&plane.team, last).await.unwrap();
        assert_eq!(said.explanation.position, u64::try_from(RUNS - gone).ok());
        plane.app.runs().cancel_run(&plane.team, *first).await.unwrap();
    }
}
