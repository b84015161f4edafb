//! What the environment says about how these tests run.

use std::path::PathBuf;

use minitower_tests::programs::source_root;

/// Why the scenarios cannot run here, if they cannot. `scripts/e2e.sh` says by `E2E_SKIP` why there is no cluster.
pub(crate) fn obstacle() -> Option<String> {
    let told = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    if told("E2E").is_none() {
        return Some(
            told("E2E_SKIP")
                .unwrap_or_else(|| "needs a Kubernetes with MiniTower in it: make e2e".to_owned()),
        );
    }
    told("KUBECONFIG").is_none().then(|| "KUBECONFIG is not set: make e2e sets it".to_owned())
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
