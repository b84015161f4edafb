//! An API server that does not answer.

use std::time::Duration;

use minitower_tests::{Signal, wait};
use nix::sys::signal::kill;
use nix::unistd::Pid;
use serde_json::json;

use crate::api::Api;
use crate::controller::bed::{SOON, bed};

/// Stops the API server from answering for this long.
fn silence(api: &Api, span: Duration) {
    let pid = Pid::from_raw(api.pid("kube-apiserver"));
    kill(pid, Signal::SIGSTOP).unwrap();
    wait::pass(span);
    kill(pid, Signal::SIGCONT).unwrap();
}

#[test]
fn a_short_silence_of_the_api_server_is_outlived() {
    let Some(bed) = bed("silent") else { return };
    let mut operator = bed.operator("op").leads();
    bed.apply(&json!({ "replicas": 1 }));
    bed.wait_pods(1);
    silence(bed.api, Duration::from_secs(6));
    bed.apply(&json!({ "replicas": 2 }));
    bed.wait_pods(2);
    assert!(operator.program.ended().is_none());
    operator.stop();
}

#[test]
fn a_leader_that_cannot_renew_ends_and_the_next_process_leads() {
    let Some(bed) = bed("lost") else { return };
    let mut operator = bed.operator("op").leads();
    bed.apply(&json!({ "replicas": 1 }));
    bed.wait_pods(1);
    // Longer than a Lease, and longer than the call that the leader has begun when it ends.
    silence(bed.api, Duration::from_secs(18));
    let status = operator.program.wait_end(SOON);
    assert_eq!(status.code(), Some(1));
    assert!(operator.program.log().contains("this replica is no longer the leader"));
    // As the kubelet does: the same pod, a new process.
    let operator = bed.operator("op").leads();
    bed.apply(&json!({ "replicas": 2 }));
    bed.wait_pods(2);
    operator.stop();
}
