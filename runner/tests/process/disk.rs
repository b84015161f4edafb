//! Jobs that leave what cannot be left lying, and disks that cannot be used.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use minitower_client::wire::runner::{ResultReason, ResultStatus};
use nix::sys::signal::Signal;

use crate::support::{Circumstances, ControlPlane, Job, PATIENCE, Runner, entries, skip, until};

/// A place in memory where there is one: some disks take milliseconds for each folder.
fn quick_place() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// A small file system in memory; unmounted with the test.
struct SmallDisk {
    place: tempfile::TempDir,
}

impl SmallDisk {
    /// Mounts one of this many MiB; `None` where that is not allowed.
    fn mount(mebibytes: u32) -> Option<Self> {
        let disk = Self { place: tempfile::tempdir().unwrap() };
        let options = format!("size={mebibytes}m,mode=0700");
        disk.mounted(&["-t", "tmpfs", "-o", &options, "tmpfs"]).then_some(disk)
    }

    fn mounted(&self, arguments: &[&str]) -> bool {
        let output = Command::new("mount").args(arguments).arg(self.path()).output();
        output.is_ok_and(|output| output.status.success())
    }

    fn path(&self) -> &Path {
        self.place.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _not_mounted = Command::new("umount").arg("--lazy").arg(self.path()).output();
    }
}

const MAKE_A_MESS: &str = r#"
import os
data = os.path.abspath(os.path.join(os.environ["HOME"], "..", "..", ".."))
for n in range(15000):
    os.mkdir("d"); os.chdir("d")
os.mkfifo("pipe")
os.symlink("/etc", "link")
print("levels=15000", flush=True)
for name in ["work", "envs", "spool", "cache", "trash", "token", "lock", "instance", "../t", "."]:
    for mode in [0o777, 0o000]:
        try: os.chmod(data + "/" + name, mode)
        except OSError as error: print(name, error)
"#;

#[tokio::test]
async fn a_runner_outlives_a_job_that_makes_the_deepest_tree_and_takes_its_rights_away() {
    let server = ControlPlane::start();
    let place = quick_place();
    server.submit(Job::script("main.py", MAKE_A_MESS));
    server.submit(Job::script("main.sh", "echo second=2; touch $TMPDIR/x"));
    // With namespaces of its own a job does not reach the runner's folders.
    let bare = Circumstances::WithoutNamespaces;
    let mut runner = Runner::under(bare, &server, place.path());
    let results = server.results(2).await;
    assert!(results.iter().all(|result| result.status == ResultStatus::Completed), "{results:?}");
    assert_eq!(server.seen().number("levels"), Some(15_000));
    for name in ["work", "envs", "spool", "cache", "trash", "."] {
        let mode = std::fs::metadata(runner.data().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o700, "{name}");
    }
    assert!(runner.log().contains("a job changed the runner's folder"), "{}", runner.log());
    let data = runner.data().to_owned();
    until(PATIENCE, "the trash is empty", || entries(&data.join("trash")).is_empty()).await;
    // And a process that is killed in the middle of it leaves nothing that the next one stumbles over.
    server.submit(Job::script("main.py", MAKE_A_MESS));
    server.results(3).await;
    runner.signal(Signal::SIGKILL);
    runner.ends(PATIENCE).await;
    server.submit(Job::script("main.sh", "exit 0"));
    let _runner = Runner::under(bare, &server, place.path());
    assert_eq!(server.results(4).await[3].status, ResultStatus::Completed);
    until(PATIENCE, "the trash is empty", || entries(&data.join("trash")).is_empty()).await;
    assert_eq!(entries(&data.join("work")), Vec::<String>::new());
    assert_eq!(entries(&place.path().join("t")), Vec::<String>::new());
}

#[tokio::test]
async fn an_input_is_not_written_through_what_an_installer_planted() {
    let server = ControlPlane::start();
    let place = tempfile::tempdir().unwrap();
    let victim = place.path().join("victim");
    std::fs::write(&victim, "whole").unwrap();
    // What is left of a former process is as foreign as what an installer makes.
    let work = place.path().join("tested/work");
    std::fs::create_dir_all(work.join("1")).unwrap();
    symlink(&victim, work.join("1/input.json")).unwrap();
    symlink(&victim, work.join("1/output.json")).unwrap();
    let mut job =
        Job::script("main.sh", "cat $MINITOWER_INPUT_FILE; echo; ln -sf /etc/passwd $MINITOWER_OUTPUT_FILE");
    job.input = serde_json::json!({"a": "b"});
    server.submit(job);
    let _runner = Runner::start(&server, place.path());
    let result = server.result().await;
    assert_eq!((result.status, result.output), (ResultStatus::Completed, None));
    let log = server.seen().log();
    assert!(log.contains(r#"{"a":"b"}"#) && log.contains("the output is not kept: it is a link"), "{log}");
    assert_eq!(std::fs::read(&victim).unwrap(), b"whole");
}

#[tokio::test]
async fn a_full_disk_is_the_jobs_failure_and_not_that_of_the_next_one() {
    let Some(disk) = SmallDisk::mount(64) else { return skip("a file system cannot be mounted") };
    let server = ControlPlane::start();
    server.submit(Job::script("main.sh", "cat /dev/zero > fill; cat /dev/zero > $TMPDIR/fill; exit 3"));
    server.submit(Job::script("main.sh", "echo well"));
    let runner = Runner::start(&server, disk.path());
    let results = server.results(2).await;
    assert_eq!((results[0].exit_code, results[1].status), (Some(3), ResultStatus::Completed));
    drop(runner);
}

#[tokio::test]
async fn a_runner_whose_disk_others_filled_gives_the_run_back_and_takes_none_until_there_is_room() {
    let Some(disk) = SmallDisk::mount(64) else { return skip("a file system cannot be mounted") };
    let server = ControlPlane::start();
    let runner = Runner::start(&server, disk.path());
    server.wait_for("a poll", |seen| seen.polls().len() == 1).await;
    let fill = disk.path().join("fill");
    let mut file = std::fs::File::create(&fill).unwrap();
    let full = std::io::copy(&mut std::io::repeat(1), &mut file).unwrap_err();
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    // The runner's own log lies on that disk, too, which must not matter.
    server.submit(Job::script("main.sh", "echo one"));
    server.wait_for("a release", |seen| seen.releases() == 1).await;
    assert_eq!(server.seen().result_count(), 0);
    server.wait_for("the reason", |seen| seen.log().contains("a problem of the runner")).await;
    // The run is back in the queue, for whoever polls.
    let polls = server.seen().polls().len();
    // That nothing happens can only be waited for: longer than the runner pauses at first.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!((server.seen().polls().len(), server.seen().releases()), (polls, 1));
    // An open file keeps its room.
    drop(file);
    std::fs::remove_file(&fill).unwrap();
    assert_eq!(server.result().await.status, ResultStatus::Completed, "{}", runner.log());
    // A runner that starts on a full disk waits in the same way.
    drop(runner);
    let mut file = std::fs::File::create(&fill).unwrap();
    std::io::copy(&mut std::io::repeat(1), &mut file).unwrap_err();
    let mut runner = Runner::start(&server, disk.path());
    server.submit(Job::script("main.sh", "echo three"));
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(server.seen().result_count(), 1);
    drop(file);
    std::fs::remove_file(&fill).unwrap();
    assert_eq!(server.results(2).await[1].status, ResultStatus::Completed, "{}", runner.log());
    runner.signal(Signal::SIGTERM);
    assert!(runner.ends(PATIENCE).await.success());
}

#[tokio::test]
async fn a_project_that_fits_on_no_disk_fails_the_second_time_with_its_size() {
    let Some(disk) = SmallDisk::mount(48) else { return skip("a file system cannot be mounted") };
    let server = ControlPlane::start();
    // Text that packs well, but not as well as a bomb.
    let text = (0..6_000_000).map(|n: u32| n.to_string()).collect::<Vec<_>>().join(" ");
    let job = Job::project("main.sh", &[("main.sh", "echo never"), ("large", &text)]);
    server.submit(job);
    let runner = Runner::start(&server, disk.path());
    server.wait_for("a release", |seen| seen.releases() == 1).await;
    assert_eq!(server.seen().result_count(), 0, "{}", runner.log());
    // It is back in the queue.
    let result = server.result().await;
    assert_eq!((result.status, result.reason), (ResultStatus::Failed, Some(ResultReason::Setup)));
    let message = result.error_message.unwrap();
    assert!(message.contains("bytes") && message.contains(".towerignore"), "{message}");
    server.submit(Job::script("main.sh", "echo well"));
    assert_eq!(server.results(2).await[1].status, ResultStatus::Completed);
}

#[tokio::test]
async fn a_job_keeps_the_limit_of_open_files_that_the_runner_was_started_with() {
    let server = ControlPlane::start();
    let place = tempfile::tempdir().unwrap();
    server.submit(Job::script("main.sh", "echo soft=$(ulimit -S -n); exit 0"));
    let runner = Runner::start(&server, place.path());
    let soft = server.number("soft").await;
    let (before, hard) = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).unwrap();
    assert_eq!(u64::try_from(soft).unwrap(), before);
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", runner.pid())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    assert!(line.split_ascii_whitespace().nth(3) == Some(&hard.to_string()), "{line}");
}
