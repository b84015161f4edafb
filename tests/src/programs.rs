//! Where the built programs are.

use std::env;
use std::path::PathBuf;

/// The control plane.
pub const SERVER: &str = "minitowerd";
/// The runner.
pub const RUNNER: &str = "minitower-runner";
/// The command line.
pub const CLI: &str = "minitower";

/// Path of a built program: in `MINITOWER_BIN_DIR`, else beside the running test (`target/debug`).
pub fn path(name: &str) -> PathBuf {
    let folder = env::var_os("MINITOWER_BIN_DIR").map_or_else(
        || {
            let test = env::current_exe().expect("a test knows its own path");
            let deps = test.parent().expect("a test lies in a folder");
            deps.parent().expect("target/debug/deps lies in target/debug").to_owned()
        },
        PathBuf::from,
    );
    let path = folder.join(name);
    assert!(
        path.is_file(),
        "{} is not built: run `make build` (or `cargo build --workspace --bins`) first",
        path.display()
    );
    path
}

/// The root of the source tree.
pub fn source_root() -> PathBuf {
    let tests = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("tests/ lies in the workspace").to_owned()
}
