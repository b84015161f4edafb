//! What is said of a run that waits, to whoever waits for it.

use minitower_client::wire::runner::LeaseRequest;
use serde_json::Value;

use crate::support::{Bed, end};

/// What a program that waits says beside its answer, once the run it waits for has been queued for a while and was cancelled.
fn asides(bed: &Bed, lines: &[&str]) -> Vec<String> {
    let waiting: Vec<_> = lines.iter().map(|line| bed.spawn(line)).collect();
    bed.plane.seen_blocking(
        minitower_test_plane::Call::any().when(|asked| asked.path.ends_with("/explain")),
        lines.len(),
    );
    for run in bed.team.get("/runs?status=queued")["runs"].as_array().unwrap() {
        bed.team.cancel(run["run_id"].as_i64().unwrap());
    }
    let ended = waiting.into_iter().zip(lines).map(|(child, line)| {
        let ran = end(child);
        assert_eq!(ran.code, if line.contains("logs") { 0 } else { 2 }, "{line}: {ran:?}");
        ran.stderr
    });
    ended.collect()
}

#[test]
fn every_command_that_waits_says_once_why_its_run_does() {
    let bed = Bed::with_app();
    let before = bed.team.run("hello");
    let runner = bed.plane.runner("r-1");
    runner.poll(LeaseRequest::default()).unwrap();
    let (watched, followed) = (bed.team.run("hello").run_id, bed.team.run("hello").run_id);
    let ended = bed.team.run("hello").run_id;
    bed.team.cancel(ended);
    let forms = [
        "run hello".to_owned(),
        "runs create hello --wait".to_owned(),
        format!("runs retry {ended} --wait"),
        format!("runs watch {watched}"),
        format!("logs {followed} --follow"),
    ];
    let forms: Vec<_> = forms.iter().flat_map(|form| [form.clone(), format!("{form} --json")]).collect();
    let said = asides(&bed, &forms.iter().map(String::as_str).collect::<Vec<_>>());
    for (form, said) in forms.iter().zip(said) {
        let reasons: Vec<_> = said.lines().filter(|line| line.contains("is queued: ")).collect();
        assert_eq!(reasons.len(), 1, "{form}: {said}");
        assert!(reasons[0].contains("busy"), "{form}: {said}");
        if form.ends_with("--json") {
            let told: Value = serde_json::from_str(reasons[0]).unwrap_or_else(|_| panic!("{form}: {said}"));
            assert!(told["note"].is_string(), "{form}: {said}");
        }
    }
    assert_eq!(bed.team.get(&format!("/runs/{}", before.run_id))["status"], "leased");
}

#[test]
fn a_run_that_nobody_is_there_to_take_is_told_at_once() {
    let bed = Bed::with_app();
    let run = bed.team.run("hello").run_id;
    let watching = bed.spawn(&format!("runs watch {run} --json"));
    // Asked for before the first five seconds are over: nothing else asks for runners.
    bed.plane.seen_blocking("GET /admin/runners", 1);
    bed.team.cancel(run);
    let ran = end(watching);
    assert_eq!((ran.code, bed.plane.count(format!("GET /runs/{run}/explain").as_str())), (2, 0));
    let told = ran.error();
    assert!(told["note"].as_str().unwrap().contains("no runner of environment default is online"), "{told}");
}
