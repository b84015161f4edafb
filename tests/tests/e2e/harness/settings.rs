//! What the environment says about how these tests run.

use std::path::PathBuf;

use minitower_tests::programs::source_root;

/// Why the scenarios cannot run here, if they cannot.
pub(crate) fn obstacle() -> Option<&'static str> {
    let told = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    if !told("E2E") {
        return Some("needs a Kubernetes with MiniTower in it: make e2e");
    }
    (!told("KUBECONFIG")).then_some("KUBECONFIG is not set: make e2e sets it")
}

/// Whether only as much is done as fits into twenty minutes on two cores (`E2E_SHORT=1`).
pub(crate) fn short() -> bool {
    std::env::var_os("E2E_SHORT").is_some_and(|value| !value.is_empty() && value != "0")
}

/// Where results, and what helps after a failure, are written.
pub(crate) fn folder() -> PathBuf {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| source_root().join("target"), PathBuf::from);
    let folder = target.join("e2e");
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// The runner's image.
pub(crate) fn runner_image() -> String {
    std::env::var("E2E_RUNNER_IMAGE")
        .unwrap_or_else(|_| "docker.io/minitower/minitower-runner:dev".to_owned())
}
