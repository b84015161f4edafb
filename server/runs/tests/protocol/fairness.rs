//! Teams that share a platform's runners take turns.

use std::collections::BTreeMap;

use minitower_runs::{CreateRun, Grant};
use minitower_vocabulary::statuses::ResultStatus;

use crate::support::{Plane, outcome};

fn with(priority: i64) -> CreateRun {
    CreateRun { priority: Some(priority), ..CreateRun::default() }
}

impl Plane {
    /// Leases with a runner of its own, which keeps the run.
    async fn next_grant(&self, runner: usize) -> Box<Grant> {
        self.lease(&self.runner(&format!("runner-{runner}")).await).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn among_teams_the_one_with_the_fewest_active_runs_comes_first_whatever_others_queue() {
    let plane = Plane::start().await;
    let quiet = plane.another_team("quiet").await;
    for _ in 0..20 {
        plane.run(with(100)).await;
    }
    let late = [plane.run_of(&quiet, with(-5)).await, plane.run_of(&quiet, with(0)).await];
    let mut teams = Vec::new();
    for n in 0..6 {
        teams.push(plane.next_grant(n).await.run.team_id);
    }
    let loud = plane.team.team_id;
    assert_eq!(teams, [loud, quiet.team_id, loud, quiet.team_id, loud, loud], "{late:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_knows_whose_turn_it_is() {
    let plane = Plane::start().await;
    let other = plane.another_team("other").await;
    for _ in 0..4 {
        plane.run(with(0)).await;
        plane.run_of(&other, with(0)).await;
    }
    let first = plane.next_grant(0).await;
    let second = plane.next_grant(1).await;
    assert_eq!([first.run.team_id, second.run.team_id], [plane.team.team_id, other.team_id]);
    let plane = plane.restart().await;
    let third = plane.next_grant(2).await;
    assert_eq!(third.run.team_id, plane.team.team_id, "as many active: the older run");
    let fourth = plane.next_grant(3).await;
    assert_eq!(fourth.run.team_id, other.team_id, "fewer active");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_cancelled_finished_or_refused_does_not_confuse_the_turns() {
    let plane = Plane::start().await;
    let other = plane.another_team("other").await;
    let mut mine = Vec::new();
    for n in 0..3 {
        mine.push(plane.run(with(n)).await);
    }
    let theirs = plane.run_of(&other, with(0)).await;
    // The first of the queue goes, unnoticed by any claim.
    plane.app.runs().cancel_run(&plane.team, mine[2].id).await.unwrap();
    let runner = plane.runner("one").await;
    let first = plane.lease(&runner).await;
    assert_eq!(first.run.id, mine[1].id);
    // A refused command is rolled back, and with it what it had said.
    assert!(plane.poll(&runner, minitower_runs::domain::claim::Poll::default()).await.is_err());
    assert_eq!(plane.next_grant(2).await.run.id, theirs.id);
    let ended = outcome(ResultStatus::Completed).into();
    plane.app.leases().finish_run(&runner, first.run.id, &first.lease_token, ended).await.unwrap();
    plane.run_of(&other, with(50)).await;
    assert_eq!(plane.lease(&runner).await.run.id, mine[0].id, "none active against one");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_teams_own_runners_serve_its_own_order() {
    let plane = Plane::start().await;
    let other = plane.another_team("other").await;
    let mine = [plane.run(with(0)).await, plane.run(with(7)).await];
    plane.run_of(&other, with(100)).await;
    let own = plane.own_runner("own").await;
    assert_eq!(plane.lease(&own).await.run.id, mine[1].id);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_teams_with_many_runs_get_as_many_each() {
    let plane = Plane::start().await;
    let mut teams = vec![];
    for n in 0..5 {
        teams.push(plane.another_team(&format!("team-{n}")).await);
    }
    for (n, team) in teams.iter().enumerate() {
        for _ in 0..(4 + 10 * n) {
            plane.run_of(team, with(i64::try_from(n).unwrap())).await;
        }
    }
    let mut taken = BTreeMap::new();
    for n in 0..20 {
        *taken.entry(plane.next_grant(n).await.run.team_id).or_insert(0) += 1;
    }
    assert!(taken.len() == 5 && taken.values().all(|n| *n == 4), "{taken:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_run_waits_for_no_more_than_one_turn_of_each_team_ahead_of_it() {
    let plane = Plane::start().await;
    let quiet = plane.another_team("quiet").await;
    for _ in 0..20 {
        plane.run(with(1000)).await;
    }
    plane.run_of(&quiet, with(0)).await;
    let runner = plane.runner("the-only-one").await;
    let mut teams = Vec::new();
    for n in 0..4 {
        let grant = plane.lease(&runner).await;
        let ended = outcome(ResultStatus::Completed).into();
        plane.app.leases().finish_run(&runner, grant.run.id, &grant.lease_token, ended).await.unwrap();
        teams.push(grant.run.team_id);
        // The quiet team had its turn like the other one.
        if n == 1 {
            plane.run_of(&quiet, with(0)).await;
        }
    }
    let loud = plane.team.team_id;
    assert_eq!(teams, [loud, quiet.team_id, loud, quiet.team_id]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_forgets_who_had_a_turn() {
    let plane = Plane::start().await;
    let quiet = plane.another_team("quiet").await;
    for _ in 0..3 {
        plane.run(with(1000)).await;
    }
    plane.run_of(&quiet, with(0)).await;
    let mut plane = plane;
    for _ in 0..2 {
        let runner = plane.runner("the-only-one").await;
        let grant = plane.lease(&runner).await;
        let ended = outcome(ResultStatus::Completed).into();
        plane.app.leases().finish_run(&runner, grant.run.id, &grant.lease_token, ended).await.unwrap();
        assert_eq!(grant.run.team_id, plane.team.team_id);
        plane = plane.restart().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fewer_active_runs_count_before_an_earlier_lease() {
    let plane = Plane::start().await;
    let other = plane.another_team("other").await;
    for _ in 0..3 {
        plane.run(with(0)).await;
        plane.run_of(&other, with(0)).await;
    }
    let (mine, theirs) = (plane.team.team_id, other.team_id);
    let grants = [plane.next_grant(0).await, plane.next_grant(1).await, plane.next_grant(2).await];
    assert_eq!(grants.each_ref().map(|grant| grant.run.team_id), [mine, theirs, mine]);
    for n in [0, 2] {
        let (runner, grant) = (plane.runner(&format!("runner-{n}")).await, &grants[n]);
        let ended = outcome(ResultStatus::Completed).into();
        plane.app.leases().finish_run(&runner, grant.run.id, &grant.lease_token, ended).await.unwrap();
    }
    assert_eq!(plane.next_grant(3).await.run.team_id, mine, "it had the last lease, and none active");
}
