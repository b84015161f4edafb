//! Network policies, where the cluster enforces them.

use std::time::Duration;

use minitower_tests::shape::int;
use minitower_tests::skip;
use serde_json::json;

use crate::harness::{Product, Release, WITNESS_NAMESPACE, Witness, kubectl, told};

/// Until a run on an empty pool has begun.
const START: Duration = Duration::from_secs(90);
/// Until a policy that was made a moment ago holds.
const APPLIED: Duration = Duration::from_secs(15);
/// Where a job listens.
const PORT: u16 = 9000;

/// Tells what it reaches, then listens until it is cancelled. The listener is told by its address. Its pod is a new one, and an engine may
/// learn of a pod a moment after it has begun: <https://kubernetes.io/docs/concepts/services-networking/network-policies/>, "Pod lifecycle".
const JOB: &str = r#"
import os, socket, time
def reaches(host, port):
    try:
        socket.create_connection((host, int(port)), timeout=3).close()
        return "reached"
    except OSError as error:
        return "not reached"
until = time.monotonic() + 15
while (excepted := reaches(os.environ["excepted"], 7000)) == "reached" and time.monotonic() < until:
    time.sleep(0.1)
print("excepted", excepted)
print("control plane", reaches(os.environ["control_plane"], 8080))
print("outside", reaches(os.environ["outside"], os.environ["outside_port"]))
server = socket.create_server(("", 9000))
print("listens on", socket.gethostbyname(socket.gethostname()), flush=True)
while True:
    server.accept()[0].close()
"#;

/// The address that jobs cannot reach from the next upgrade on: that of the decoy, a pod beside the witness.
pub(crate) fn except_decoy(release: &mut Release) {
    let image = kubectl::run(&[
        "get",
        "pod",
        "witness",
        "-n",
        WITNESS_NAMESPACE,
        "-o",
        "jsonpath={.spec.containers[0].image}",
    ]);
    kubectl::apply(&[json!({"apiVersion": "v1", "kind": "Pod",
    "metadata": {"name": "decoy", "namespace": WITNESS_NAMESPACE},
    "spec": {"terminationGracePeriodSeconds": 1, "containers": [{
        "name": "decoy", "image": image, "command": ["python3", "-m", "http.server", "7000", "--directory", "/tmp"],
        "readinessProbe": {"tcpSocket": {"port": 7000}, "periodSeconds": 1}
    }]}})]);
    kubectl::run(&["wait", "-n", WITNESS_NAMESPACE, "pod/decoy", "--for=condition=Ready", "--timeout=90s"]);
    release.set(&format!(r#"networkPolicy.runners.except=["169.254.0.0/16", "{}/32"]"#, decoy_address()));
}

fn decoy_address() -> String {
    kubectl::run(&["get", "pod", "decoy", "-n", WITNESS_NAMESPACE, "-o", "jsonpath={.status.podIP}"])
}

/// Whether a pod of another namespace connects.
fn stranger_connects(host: &str, port: u16) -> bool {
    let code = format!(
        "import socket\ntry:\n  socket.create_connection(('{host}', {port}), timeout=2); print('connected')\nexcept OSError:\n  print('not')"
    );
    let args = ["exec", "-n", WITNESS_NAMESPACE, "witness", "--", "python3", "-c", &code];
    kubectl::run(&args).trim() == "connected"
}

/// A job reaches the control plane and the rest of the world but for the exceptions; nothing reaches the job.
pub(crate) fn hold(release: &Release, product: &Product, witness: &Witness) {
    if told("E2E_POLICIES").is_none() {
        skip::skip("network policies: the cluster does not enforce them, as far as is known");
        return;
    }
    assert!(stranger_connects(&decoy_address(), 7000), "the decoy is there");
    let (outside, outside_port) = witness.address().split_once(':').expect("host and port");
    let input = json!({
        "control_plane": Product::address(release), "outside": outside, "outside_port": outside_port,
        "excepted": decoy_address()
    });
    product.team.python_app("listener", JOB);
    let run = int(&product.team.run("listener", json!({"input": input})), "run_id");
    let listens =
        |lines: &[String]| lines.iter().find_map(|it| it.strip_prefix("listens on ").map(str::to_owned));
    let found = minitower_tests::wait::find(START, || listens(&product.team.stream(run, "stdout")));
    let job = found.unwrap_or_else(|| panic!("no listener: {}", product.team.log_text(run)));
    let lines = product.team.stream(run, "stdout");
    for line in ["control plane reached", "outside reached", "excepted not reached"] {
        assert!(lines.iter().any(|it| it == line), "without {line:?}: {lines:?}");
    }
    assert!(!stranger_connects(&job, PORT), "a pod of another namespace reaches a job");
    // Proves that it was the policy: with one that lets it, it does.
    let open = json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": "open", "namespace": release.namespace},
        "spec": {"podSelector": {"matchExpressions": [{"key": "minitower.dev/pool", "operator": "Exists"}]},
                 "policyTypes": ["Ingress"], "ingress": [{}]}});
    kubectl::apply(&[open]);
    minitower_tests::wait::until("an open door lets a stranger in", APPLIED, || {
        stranger_connects(&job, PORT).then_some(())
    });
    release.kubectl(&["delete", "networkpolicy", "open"]);
    minitower_tests::wait::until("the door is shut again", APPLIED, || {
        (!stranger_connects(&job, PORT)).then_some(())
    });
    product.team.cancel(run);
}
