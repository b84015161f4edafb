//! An API server that does not know RunnerPools. This test comes last: afterwards the garbage collector needs a while to find the definition again.

use crate::controller::bed::{SOON, alone, start};

#[test]
fn a_missing_definition_is_told_with_the_way_out() {
    let Some((api, kubeconfig, _alone)) = alone() else { return };
    api.kubectl(&["delete", "crd", "runnerpools.minitower.dev", "--timeout=20s"], None).expect_ok();
    let folder = tempfile::tempdir().unwrap();
    let mut operator = start(kubeconfig, folder.path(), "op", "");
    let status = operator.program.wait_end(SOON);
    api.define();
    assert_eq!(status.code(), Some(1));
    let log = operator.program.log();
    let said = "CustomResourceDefinition runnerpools.minitower.dev is missing: kubectl apply the output of minitower-operator crd";
    assert!(log.contains(said), "{log}");
}
