//! Runs that repeat others, and many runs at once, without HTTP.

use minitower_runs::domain::run::Run;
use minitower_runs::{Absent, Changes, Created, Error, Unfinished, Which};
use minitower_vocabulary::statuses::{ResultStatus, RunStatus};
use serde_json::json;

use crate::support::{Plane, named, outcome, retries};
use minitower_runs::domain::input::{Input, SMALL_BYTES};
use minitower_runs::{CreateRun, Report};

impl Plane {
    async fn again(&self, run: &Run, changes: Changes) -> Result<Run, Error> {
        match self.app.runs().retry_run(&self.team, run.id, changes, None).await? {
            Created::New(run) => Ok(run),
            Created::Before(_) => panic!("no key was given"),
        }
    }

    async fn cancelled(&self, new: CreateRun) -> Run {
        let run = self.run(new).await;
        self.app.runs().cancel_run(&self.team, run.id).await.unwrap()
    }
}

fn all() -> Which {
    Which { app: Some("jobs".to_owned()), ..Which::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_runs_again_once_it_has_ended_and_has_all_its_retries() {
    let plane = Plane::start().await;
    let first = plane.run(retries(1)).await;
    let runner = plane.runner("r").await;
    let again = |run| plane.again(run, Changes::default());
    assert!(matches!(again(&first).await, Err(Error::NotEnded(id)) if id == first.id));
    let grant = plane.lease(&runner).await;
    assert!(matches!(again(&first).await, Err(Error::NotEnded(id)) if id == first.id));
    let report = Report { outcome: outcome(ResultStatus::Failed), output: None, lines: Vec::new() };
    plane.app.leases().finish_run(&runner, grant.run.id, &grant.lease_token, report).await.unwrap();
    let new = again(&first).await.unwrap();
    assert_eq!((new.retry_of, new.status()), (Some(first.id), RunStatus::Queued));
    assert_eq!((new.progress.retries.max, new.progress.retries.used), (1, 0));
    // It is in the queue like any other.
    assert_eq!(plane.lease(&runner).await.run.id, new.id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_keeps_saying_what_it_repeats_and_a_deleted_one_is_repeated_no_more() {
    let plane = Plane::start().await;
    let first = plane.cancelled(CreateRun::default()).await;
    let second = plane.again(&first, Changes::default()).await.unwrap();
    let count = async || {
        let which = Which { statuses: vec![RunStatus::Cancelled], ..Which::default() };
        plane.app.runs().count_repeatable(&plane.team, which).await.unwrap()
    };
    assert_eq!(count().await, 0, "it was repeated");
    plane.app.runs().delete_run(&plane.team, second.id, Unfinished::Cancel).await.unwrap();
    assert_eq!(count().await, 1, "what repeated it is gone");
    let third = plane.again(&first, Changes::default()).await.unwrap();
    plane.app.runs().delete_run(&plane.team, first.id, Unfinished::Keep).await.unwrap();
    assert!(matches!(
        plane.again(&first, Changes::default()).await,
        Err(Error::Absent(Absent::RunToRepeat(id))) if id == first.id
    ));
    let plane = plane.restart().await;
    assert_eq!(plane.status(&third).await.retry_of, Some(first.id));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_moves_while_it_is_looked_for_is_left_alone() {
    let plane = Plane::start().await;
    for _ in 0..300 {
        plane.run(CreateRun::default()).await;
    }
    let (first, second, third) = (plane.runner("a").await, plane.runner("b").await, plane.runner("c").await);
    let which = Which { statuses: vec![RunStatus::Queued], ..Which::default() };
    let runs = plane.app.runs();
    // Who is first is open; each run has one fate, and both sides agree on it.
    let (cancelled, one, two, three) = tokio::join!(
        runs.cancel_runs(&plane.team, which),
        plane.poll(&first, named("i")),
        plane.poll(&second, named("i")),
        plane.poll(&third, named("i")),
    );
    let (cancelled, mut leased) = (cancelled.unwrap(), 0);
    for grant in [one, two, three].into_iter().filter_map(Result::unwrap) {
        assert_eq!(plane.status(&grant.run).await.status(), RunStatus::Leased);
        leased += 1;
    }
    assert_eq!((cancelled.runs, cancelled.next_before), (300 - leased, None));
    let summary = plane.app.runs().runs_summary(&plane.team).await.unwrap();
    let (leased, ended) = (i64::try_from(leased).unwrap(), i64::try_from(300 - leased).unwrap());
    let expected = (0, leased, ended);
    assert_eq!((summary.queued, summary.active, summary.terminal), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_repeats_so_many_runs_and_the_next_ones_the_rest() {
    let plane = Plane::start().await;
    for _ in 0..minitower_runs::MAX_RETRIED + 5 {
        plane.run(CreateRun::default()).await;
    }
    plane.app.runs().cancel_runs(&plane.team, all()).await.unwrap();
    let which = |before| Which { statuses: vec![RunStatus::Cancelled], before, ..all() };
    let first = plane.app.runs().retry_runs(&plane.team, which(None)).await.unwrap();
    assert_eq!(first.made.len(), minitower_runs::MAX_RETRIED);
    let rest = plane.app.runs().retry_runs(&plane.team, which(first.next_before)).await.unwrap();
    assert_eq!((rest.made.len(), rest.next_before), (5, None));
    let again = plane.app.runs().retry_runs(&plane.team, which(None)).await.unwrap();
    assert_eq!(again.made.len(), 0, "each is repeated once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_input_lies_beside_its_run_and_is_there_where_it_is_needed() {
    let plane = Plane::start().await;
    let input = json!({"text": "x".repeat(SMALL_BYTES)});
    let text = input.to_string();
    let made = plane.run(CreateRun { input: Some(input), ..retries(1) }).await;
    assert_eq!(made.input, Some(Input::Text(text.clone())));
    let list = minitower_runs::ListRuns { limit: 9, ..Default::default() };
    let listed = plane.app.runs().list_runs(&plane.team, list).await.unwrap();
    let bytes = u32::try_from(text.len()).unwrap();
    assert_eq!(listed[0].input, Some(Input::Apart { bytes }));
    let runner = plane.runner("r").await;
    let grant = plane.lease(&runner).await;
    assert_eq!(grant.run.input, Some(Input::Text(text.clone())));
    // Also in the answer to a poll that is repeated, and after a restart.
    plane.app.leases().release_run(&runner, made.id, &grant.lease_token).await.unwrap();
    let plane = plane.restart().await;
    let runner = plane.runner("r").await;
    assert_eq!(plane.lease(&runner).await.run.input, Some(Input::Text(text.clone())));
    assert_eq!(plane.status(&made).await.input, Some(Input::Text(text)));
}
