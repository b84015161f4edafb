//! What jobs leave while the bucket is away: real runners, real jobs.

use std::time::Duration;

use minitower_tests::stores::{Mode, S3};
use minitower_tests::{JobBed, wait};
use serde_json::json;

use super::read;

/// Leaves a short and a long artifact, a second after it has said that it runs.
const LEAVES: &str = "\
import os, pathlib, time
print('started', flush=True)
time.sleep(1)
folder = pathlib.Path(os.environ['MINITOWER_ARTIFACTS_DIR'])
(folder / 'short').write_text('short')
(folder / 'long').write_bytes(b'x' * (9 << 20))
";

fn assert_left(bed: &JobBed, run: i64) {
    assert_eq!(read(&bed.team, run, "short").expect(200).body, b"short");
    assert_eq!(read(&bed.team, run, "long").expect(200).body.len(), 9 << 20);
}

#[test]
fn artifacts_of_a_job_that_ends_while_the_bucket_is_away_come_when_it_is_back() {
    let Some(s3) = S3::start() else { return };
    for mode in [Mode::Refuse, Mode::Full] {
        let bed = JobBed::start_with(s3.server(&format!("{mode:?}")), &[]);
        let run = bed.python("leaves", LEAVES);
        bed.team.wait_line(run, "started");
        s3.set(mode);
        wait::until("the job has ended", wait::SOON, || (!bed.job_runs()).then_some(()));
        // Longer than the few answers of trouble that a runner takes.
        wait::pass(Duration::from_secs(4));
        assert_eq!(bed.team.status(run), "running", "under its lease");
        s3.set(Mode::Pass);
        let ended = bed.team.wait_end(run);
        assert_eq!((&ended["status"], &ended["retry_count"]), (&json!("completed"), &json!(0)));
        assert_eq!(ended["error_message"], json!(null));
        assert_left(&bed, run);
    }
}

#[test]
fn a_runner_that_dies_with_artifacts_in_its_hands_has_the_run_done_again() {
    let Some(s3) = S3::start() else { return };
    let mut bed = JobBed::start_with(s3.server("p"), &[]);
    let run = bed.python_with_retries("leaves", LEAVES, 1);
    bed.team.wait_line(run, "started");
    s3.set(Mode::Refuse);
    wait::until("the job has ended", wait::SOON, || (!bed.job_runs()).then_some(()));
    bed.kill_runner_alone();
    bed.start_runner();
    // The new attempt waits for its archive, or has it from before.
    wait::pass(Duration::from_secs(1));
    s3.set(Mode::Pass);
    let ended = bed.team.wait_end(run);
    assert_eq!(ended["status"], "completed", "{ended}");
    assert_left(&bed, run);
}
