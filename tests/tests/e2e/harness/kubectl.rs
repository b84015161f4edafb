//! `kubectl`, as a person uses it.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

/// Longest time one command may take, in seconds. What waits longer says so by its own `--timeout`.
const LIMIT_SECONDS: &str = "120";

/// The program named by `KUBECTL`, with the cluster of `KUBECONFIG`.
fn command(args: &[&str]) -> Command {
    let program = std::env::var_os("KUBECTL").unwrap_or_else(|| "kubectl".into());
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", LIMIT_SECONDS]).arg(program).args(args);
    command
}

/// Runs it with something on standard input; the error is what it said.
pub(crate) fn try_with_input(args: &[&str], input: &str) -> Result<String, String> {
    let mut command = command(args);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| format!("cannot start kubectl: {error}"))?;
    child
        .stdin
        .take()
        .expect("standard input is piped")
        .write_all(input.as_bytes())
        .map_err(|e| e.to_string())?;
    let Output { status, stdout, stderr } = child.wait_with_output().map_err(|error| error.to_string())?;
    if status.success() {
        return Ok(String::from_utf8_lossy(&stdout).into_owned());
    }
    Err(format!("kubectl {}: {status}: {}", args.join(" "), String::from_utf8_lossy(&stderr).trim()))
}

/// Runs it; the error is what it said.
pub(crate) fn try_run(args: &[&str]) -> Result<String, String> {
    try_with_input(args, "")
}

/// Runs it, and panics when it fails.
#[track_caller]
pub(crate) fn run(args: &[&str]) -> String {
    try_run(args).unwrap_or_else(|error| panic!("{error}"))
}

/// Runs it with `-o json`.
#[track_caller]
pub(crate) fn json(args: &[&str]) -> Value {
    let mut args = args.to_vec();
    args.extend(["-o", "json"]);
    serde_json::from_str(&run(&args)).expect("kubectl prints JSON")
}

/// `kubectl apply` of objects.
#[track_caller]
pub(crate) fn apply(objects: &[Value]) {
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
    try_with_input(&["apply", "-f", "-"], &list.to_string()).unwrap_or_else(|error| panic!("{error}"));
}

/// Takes from an object what belongs to this one instance of it, so that it can be made again.
pub(crate) fn forget_instance(object: &mut Value) {
    if let Some(object) = object.as_object_mut() {
        object.remove("status");
    }
    if let Some(metadata) = object["metadata"].as_object_mut() {
        for field in ["uid", "resourceVersion", "generation", "creationTimestamp", "managedFields"] {
            metadata.remove(field);
        }
    }
}
