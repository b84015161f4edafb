//! Single faults at chosen moments, judged as a storm is.

use std::thread;
use std::time::Duration;

use minitower_tests::{Signal, wait};
use rand::RngExt;
use serde_json::{Value, json};

use crate::bed::{Bed, Serves, State};
use crate::checker::Breach;
use crate::disks::Filled;
use crate::history::{History, Life};
use crate::ledger::Terms;
use crate::plan::{APPS, Harm, Plan};
use crate::processes;

const LEASE_TTL: Duration = Duration::from_secs(2);
/// Long enough that a job of less than a second ends before its lease does, whenever the last heartbeat was.
const LONGER_TTL: Duration = Duration::from_secs(5);
/// What is given to the runs' end beside the time they need; see `storm`.
const PATIENCE: Duration = Duration::from_secs(20);

fn settle(bed: Bed) -> History {
    let (history, breaches) = bed.settle(PATIENCE);
    let told: Vec<String> = breaches.iter().map(Breach::to_string).collect();
    assert!(told.is_empty(), "{told:#?}");
    history
}

/// Asks for a run of the Python job and waits until the job and all it starts have told of themselves.
fn running(bed: &Bed, plan: Plan, max_retries: i64) -> i64 {
    let terms = Terms { priority: 0, max_retries };
    let run = bed.clients[0].create(APPS[0], "default", plan, terms).unwrap();
    wait::until("the job lives", wait::SOON, || {
        let lives = bed.witnesses.lives().iter().filter(|life| life.run == run).count();
        (lives == 1 + usize::from(plan.children)).then_some(())
    });
    run
}

/// The place of the runner that has the run.
fn runner_of(bed: &Bed, run: i64) -> usize {
    let run = bed.clients[0].team.read(run);
    bed.runners.iter().position(|unit| run["runner"] == *unit.name).expect("a runner has it")
}

/// Waits until a process of a job is known by its witness.
fn wait_life(bed: &Bed, what: &str, wanted: impl Fn(&Life) -> bool) {
    wait::until(what, wait::SOON, || bed.witnesses.lives().iter().any(&wanted).then_some(()));
}

fn statuses(history: &History) -> Vec<(&str, Vec<&str>)> {
    history
        .runs
        .iter()
        .map(|run| (run.status.as_str(), run.attempts.iter().map(|it| it.status.as_str()).collect()))
        .collect()
}

#[test]
fn what_was_acknowledged_survives_kills_in_the_middle_of_it() {
    let mut bed = Bed::start(LEASE_TTL, &[]);
    for _ in 0..6 {
        let clients = bed.clients.clone();
        let askers: Vec<_> = clients
            .into_iter()
            .map(|client| {
                thread::spawn(move || {
                    while let Some(run) =
                        client.create(APPS[0], "nowhere", Plan::lasting(0), Terms::default())
                    {
                        if run % 3 == 0 && !client.cancel(run) {
                            break;
                        }
                    }
                })
            })
            .collect();
        wait::pass(Duration::from_millis(rand::rng().random_range(60..200)));
        bed.server.kill();
        for asker in askers {
            asker.join().unwrap();
        }
        bed.start_server();
    }
    let history = settle(bed);
    assert!(history.asked.iter().filter(|asked| asked.run.is_some()).count() > 20, "too little to tell");
}

#[test]
fn a_daemon_ends_with_its_job_before_the_result_is_told() {
    let bed = Bed::start(LEASE_TTL, &[Serves::Platform]);
    let plan = Plan { children: 2, linger: 4000, ..Plan::lasting(400) };
    let run = running(&bed, plan, 0);
    bed.clients[0].team.wait_end(run);
    // Time in which a daemon that was missed tells of itself.
    wait::pass(Duration::from_millis(500));
    let history = settle(bed);
    assert_eq!(statuses(&history), [("completed", vec!["completed"])]);
    assert_eq!(history.lives.len(), 3, "the job and its daemons have told of themselves");
}

#[test]
fn a_server_killed_under_a_writing_job_costs_no_line() {
    let mut bed = Bed::start(LEASE_TTL, &[Serves::Platform]);
    let run = running(&bed, Plan { lines: 300, ..Plan::lasting(2000) }, 0);
    bed.clients[0].team.wait_line(run, &format!("line {run} {} 20", attempt_of(&bed, run)));
    bed.server.kill();
    wait::pass(Duration::from_millis(400));
    bed.start_server();
    let history = settle(bed);
    assert_eq!(statuses(&history), [("completed", vec!["completed"])]);
}

#[test]
fn a_job_that_ends_in_an_outage_longer_than_its_lease_loses_neither_result_nor_log() {
    let mut bed = Bed::start(LONGER_TTL, &[Serves::Platform]);
    let run = running(&bed, Plan { lines: 300, ..Plan::lasting(800) }, 0);
    bed.server.kill();
    wait_life(&bed, "the job has ended", |life| life.run == run && life.ended.is_some());
    wait::pass(LONGER_TTL + Duration::from_millis(500));
    bed.start_server();
    let history = settle(bed);
    assert_eq!(statuses(&history), [("completed", vec!["completed"])]);
}

#[test]
fn a_job_that_ends_while_its_runner_is_stopped_loses_neither_result_nor_log() {
    let mut bed = Bed::start(LONGER_TTL, &[Serves::Platform]);
    let run = running(&bed, Plan { lines: 300, ..Plan::lasting(800) }, 0);
    bed.runners[0].signal(Signal::SIGSTOP, State::Stopped);
    bed.server.kill();
    wait_life(&bed, "the job has ended", |life| life.run == run && life.ended.is_some());
    // The runner finds its lease over; the server grants it anew.
    wait::pass(LONGER_TTL);
    bed.start_server();
    let history = settle(bed);
    assert_eq!(statuses(&history), [("completed", vec!["completed"])]);
}

/// The id of a run's newest attempt.
fn attempt_of(bed: &Bed, run: i64) -> Value {
    bed.clients[0].team.attempts(run).last().expect("it was leased")["attempt_id"].clone()
}

/// Waits for the second attempt's job, cancels the run, and asserts what has become of both attempts.
fn ends_cancelled_in_its_second_attempt(bed: Bed, run: i64) {
    let second = attempt_of(&bed, run);
    wait_life(&bed, "the second attempt's job lives", |life| json!(life.attempt) == second);
    wait::pass(Duration::from_millis(300));
    assert!(bed.clients[0].cancel(run));
    let history = settle(bed);
    assert_eq!(statuses(&history), [("cancelled", vec!["expired", "cancelled"])]);
}

#[test]
fn the_job_of_a_stopped_runner_has_ended_before_another_runner_begins() {
    let mut bed = Bed::start(LEASE_TTL, &[Serves::Platform, Serves::Platform]);
    let run = running(&bed, Plan { children: 1, linger: 8000, ..Plan::lasting(8000) }, 1);
    let holder = runner_of(&bed, run);
    bed.runners[holder].signal(Signal::SIGSTOP, State::Stopped);
    bed.clients[0].team.wait_for(run, "runs elsewhere", wait::SOON, |it| {
        it["retry_count"] == 1 && it["status"] == "running"
    });
    assert_ne!(runner_of(&bed, run), holder);
    ends_cancelled_in_its_second_attempt(bed, run);
}

#[test]
fn the_job_of_a_stopped_supervisor_has_ended_before_another_runner_begins() {
    let mut bed = Bed::start(LEASE_TTL, &[Serves::Platform, Serves::Platform]);
    let run = running(&bed, Plan { children: 1, linger: 8000, ..Plan::lasting(8000) }, 1);
    let holder = runner_of(&bed, run);
    let supervisors = processes::children(bed.runners[holder].program().pid());
    for pid in &supervisors {
        processes::stop(*pid);
    }
    // Nobody extends the lease any more, and the other runner finds a server again before the first one gives up.
    bed.server.kill();
    wait::pass(LEASE_TTL + Duration::from_millis(500));
    bed.start_server();
    bed.clients[0].team.wait_for(run, "was given up", wait::SOON, |it| it["status"] != "running");
    for pid in &supervisors {
        processes::resume(*pid);
    }
    let history = settle(bed);
    // Given back, since its runner lives and says so.
    let attempts = &history.runs[0].attempts;
    assert_eq!(attempts[0].status, "released", "{attempts:?}");
}

#[test]
fn a_supervisor_that_stays_stopped_holds_its_run_no_longer_than_its_lease() {
    let mut bed = Bed::start(LEASE_TTL, &[Serves::Platform]);
    running(&bed, Plan::lasting(1500), 1);
    for pid in processes::children(bed.runners[0].program().pid()) {
        processes::stop(pid);
    }
    let history = settle(bed);
    let attempts = &history.runs[0].attempts;
    assert_eq!(statuses(&history), [("completed", vec!["released", "completed"])], "{attempts:?}");
}

#[test]
fn jobs_that_leave_what_can_hardly_be_removed_take_no_runner_away() {
    let mut bed = Bed::start(LONGER_TTL, &[Serves::Platform, Serves::Platform]);
    for _ in 0..3 {
        let harmful = Plan { harm: Harm::Tree, lines: 5, ..Plan::lasting(100) };
        let terms = Terms { priority: 0, max_retries: 2 };
        let run = bed.clients[0].create(APPS[0], "default", harmful, terms).unwrap();
        bed.clients[0].team.wait_end(run);
    }
    // A runner that was killed finds such trees of its own at its start.
    let run = running(&bed, Plan { harm: Harm::Tree, ..Plan::lasting(5000) }, 1);
    let holder = runner_of(&bed, run);
    processes::kill_tree(bed.runners[holder].program());
    bed.runners[holder].state = State::Down;
    bed.runners[holder].start();
    bed.clients[0].team.wait_end(run);
    for _ in 0..4 {
        let run = bed.clients[0].create(APPS[1], "default", Plan::lasting(50), Terms::default()).unwrap();
        bed.clients[0].team.wait_end(run);
    }
    all_completed_and_all_alive(bed);
}

/// No runner was lost, and every run completed.
fn all_completed_and_all_alive(mut bed: Bed) {
    bed.runners.iter_mut().for_each(crate::bed::Unit::assert_alive);
    let history = settle(bed);
    assert!(statuses(&history).iter().all(|(status, _)| *status == "completed"), "{:?}", statuses(&history));
}

#[test]
fn a_full_disk_of_the_runner_shortens_no_log_and_takes_no_runner_away() {
    let Some(bed) = Bed::start_on_a_small_disk(LONGER_TTL, &[Serves::Platform]) else {
        return minitower_tests::skip::skip("a small disk needs root");
    };
    for _ in 0..2 {
        let harmful = Plan { harm: Harm::Disk, lines: 20_000, ..Plan::lasting(500) };
        let run = bed.clients[0].create(APPS[0], "default", harmful, Terms::default()).unwrap();
        bed.clients[0].team.wait_end(run);
        let run = bed.clients[0].create(APPS[1], "default", Plan::lasting(50), Terms::default()).unwrap();
        bed.clients[0].team.wait_end(run);
    }
    all_completed_and_all_alive(bed);
}

#[test]
fn a_full_disk_of_the_server_costs_no_run_that_is_under_way_and_no_line() {
    let mut bed = Bed::start_with_a_disk_to_fill(LEASE_TTL, &[Serves::Platform]);
    let Some(disk) = bed.servers_disk() else {
        return minitower_tests::skip::skip("a small disk needs root");
    };
    // The reserve is made.
    wait::pass(Duration::from_secs(1));
    let run = running(&bed, Plan { lines: 2000, ..Plan::lasting(6000) }, 0);
    let full = Filled::fill(&disk);
    wait::pass(2 * LEASE_TTL);
    let create = || bed.clients[0].create(APPS[0], "nowhere", Plan::lasting(0), Terms::default());
    wait::until("creates are refused", wait::SOON, || create().is_none().then_some(()));
    bed.server.kill();
    bed.start_server();
    // It is under way all along, and longer than any lease.
    wait_life(&bed, "the job has ended", |life| life.run == run && life.ended.is_some());
    drop(full);
    let history = settle(bed);
    let ended = history.runs.iter().find(|it| it.id == run).unwrap();
    assert_eq!((ended.status.as_str(), ended.attempts.len()), ("completed", 1));
}

#[test]
fn a_damaged_database_is_not_served_after_a_kill_and_loses_nothing_once_it_is_mended() {
    let mut bed = Bed::start(LEASE_TTL, &[]);
    for _ in 0..20 {
        bed.clients[0].create(APPS[0], "nowhere", Plan::lasting(0), Terms::default()).unwrap();
    }
    bed.server.signal(Signal::SIGTERM, State::Ending);
    wait::until("the server ends", wait::SOON, || bed.server.has_ended(&bed.ledger).then_some(()));
    bed.start_server();
    bed.server.kill();
    let whole = std::fs::read(bed.database()).unwrap();
    let mut damaged = whole.clone();
    // Pages in the middle.
    damaged[16 * 4096..20 * 4096].fill(0xab);
    std::fs::write(bed.database(), damaged).unwrap();
    bed.start_server_unready();
    let ended = wait::until("it ends by itself", wait::SOON, || bed.server.program().ended());
    assert_eq!(ended.code(), Some(1));
    bed.server.state = State::Down;
    std::fs::write(bed.database(), whole).unwrap();
    bed.start_server();
    settle(bed);
}

#[test]
fn a_restarted_runner_ends_what_is_left_of_its_former_job_before_it_begins_another() {
    let mut bed = Bed::start(LEASE_TTL, &[Serves::Platform]);
    let run = running(&bed, Plan { children: 1, linger: 8000, ..Plan::lasting(8000) }, 1);
    let unit = &mut bed.runners[0];
    processes::kill_with_supervisors(unit.program());
    unit.state = State::Down;
    unit.start();
    bed.clients[0]
        .team
        .wait_for(run, "runs again", wait::SOON, |it| it["retry_count"] == 1 && it["status"] == "running");
    ends_cancelled_in_its_second_attempt(bed, run);
}

#[test]
fn a_restarted_runner_ends_the_attempt_of_its_former_process_without_waiting_for_the_lease() {
    let mut bed = Bed::start(Duration::from_secs(30), &[Serves::Platform]);
    let run = running(&bed, Plan::lasting(1000), 1);
    bed.runners[0].kill();
    bed.runners[0].start();
    let again = Duration::from_secs(10);
    bed.clients[0].team.wait_for(run, "was given up", again, |it| it["retry_count"] == 1);
    let history = settle(bed);
    assert_eq!(statuses(&history), [("completed", vec!["expired", "completed"])]);
}

#[test]
fn a_result_waits_for_a_server_that_is_away() {
    let mut bed = Bed::start(LONGER_TTL, &[Serves::Platform]);
    let run = running(&bed, Plan::lasting(500), 0);
    bed.server.kill();
    wait_life(&bed, "the job has ended", |life| life.run == run && life.ended.is_some());
    wait::pass(Duration::from_millis(300));
    bed.start_server();
    let history = settle(bed);
    assert_eq!(statuses(&history), [("completed", vec!["completed"])]);
}

#[test]
fn a_lease_from_before_the_servers_restart_runs_out_when_its_runner_stays_away() {
    let mut bed = Bed::start(LEASE_TTL, &[Serves::Platform, Serves::Platform]);
    let run = running(&bed, Plan::lasting(500), 1);
    let holder = runner_of(&bed, run);
    bed.server.kill();
    processes::kill_tree(bed.runners[holder].program());
    bed.runners[holder].state = State::Down;
    bed.start_server();
    let limit = LEASE_TTL + Duration::from_secs(8);
    bed.clients[0].team.wait_for(run, "ends on the other runner", limit, |it| it["status"] == "completed");
    let history = settle(bed);
    assert_eq!(statuses(&history), [("completed", vec!["expired", "completed"])]);
}
