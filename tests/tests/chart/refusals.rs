//! What is missing in the cluster is told in a line that names the cure.

use std::time::Duration;

use minitower_tests::programs::source_root;

use crate::harness::{CLAIM, CRD, Release, kubectl, ready, step, wait_gone};

/// Installs, expects Helm to say `words`, and takes it away again with its volume claim.
#[track_caller]
fn says(release: &Release, succeeds: bool, words: &[&str], meanwhile: impl FnOnce()) {
    let outcome = release.install();
    assert_eq!(outcome.is_ok(), succeeds, "{outcome:?}");
    let said = outcome.unwrap_or_else(|said| said);
    for words in words {
        assert!(said.contains(words), "without {words:?}: {said}");
    }
    meanwhile();
    release.helm("uninstall", &[]).unwrap_or_else(|said| panic!("{said}"));
    release.kubectl(&["delete", "pvc", CLAIM, "--ignore-not-found", "--timeout=60s"]);
    // A Job that failed is there for its log.
    wait_gone("the pods", Duration::from_secs(60), || {
        let mut left = release.objects("pods");
        left.retain(|pod| !pod.starts_with("pod/mt-minitower-pools-"));
        left
    });
}

/// The definition as a version of the future might have it.
fn define_another_version() {
    let path = source_root().join("charts/minitower/files/runnerpools.minitower.dev.yaml");
    let definition = std::fs::read_to_string(path).unwrap();
    let other = definition.replace("v1alpha1", "v1beta1");
    assert_ne!(definition, other);
    kubectl::try_with_input(&["create", "-f", "-"], &other).unwrap_or_else(|error| panic!("{error}"));
    kubectl::run(&["wait", "--for=condition=Established", "--timeout=30s", &format!("crd/{CRD}")]);
}

#[test]
fn what_is_missing_in_the_cluster_is_told_with_its_cure() {
    if !ready() {
        return;
    }
    let mut release = Release::new("missing");
    release.set(r#"secrets.existingSecret="nowhere""#);
    step("a Secret that is not there", || {
        let notes = [
            "WARNING: Secret nowhere does not exist",
            "create secret generic nowhere --from-file=bootstrap-token=",
        ];
        says(&release, true, &notes, || release.wait_event("secret \"nowhere\" not found"));
    });
    release.unset("secrets.existingSecret");

    release.set(r#"controlPlane.persistence.storageClass="nowhere""#);
    step("a StorageClass that is not there", || {
        let notes =
            ["there is no StorageClass nowhere. Set controlPlane.persistence.storageClass to one of:"];
        says(&release, true, &notes, || release.wait_event("\"nowhere\" not found"));
    });
    release.unset("controlPlane.persistence.storageClass");

    let words = [
        "the cluster does not serve RunnerPool minitower.dev/v1alpha1",
        "(crds.enabled=true, or kubectl apply",
    ];
    release.set("crds.enabled=false");
    kubectl::run(&["delete", "crd", CRD, "--timeout=30s"]);
    step("no definition of RunnerPool", || says(&release, false, &words, || {}));
    define_another_version();
    step("the definition of another version", || says(&release, false, &words, || {}));
}
