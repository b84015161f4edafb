//! Uninstall, what it leaves, and the next install that finds it.

use std::time::{Duration, Instant};

use minitower_tests::shape::{int, text};
use minitower_tests::wait;
use serde_json::json;

use crate::harness::{CLAIM, CRD, Product, Release, kubectl, told, wait_gone};

/// Until everything is gone that goes.
const GONE: Duration = Duration::from_secs(60);
/// A lease of the last install, and after what time a runner that has to go gives it up to tell how its run ended.
const LEASE: Duration = Duration::from_secs(10);
const GIVEN_UP: Duration = Duration::from_secs(5 * LEASE.as_secs());
/// What a release may be made of.
const KINDS: &str = "all,configmap,secret,serviceaccount,role,rolebinding,networkpolicy,ingress,poddisruptionbudget,lease,runnerpool,persistentvolumeclaim";
/// What belongs to the whole cluster.
const CLUSTER_KINDS: &str =
    "clusterrole,clusterrolebinding,validatingadmissionpolicy,validatingadmissionpolicybinding,crd";

/// What is in the namespace and is not the namespace's own, not a person's and not documented to stay.
fn left(release: &Release) -> Vec<String> {
    let kinds =
        if told("E2E_GATEWAY_URL").is_some() { format!("{KINDS},httproute") } else { KINDS.to_owned() };
    let stays = [
        "configmap/kube-root-ca.crt",
        "serviceaccount/default",
        "persistentvolumeclaim/mt-minitower",
        // The operator's own, the certificate, `helm test`'s pod, and the pool of a person with what it has.
        "lease.coordination.k8s.io/mt-minitower-operator",
        "secret/mt-minitower-tls",
        "pod/mt-minitower-test",
        "runnerpool.minitower.dev/own",
    ];
    let mut left = release.objects(&kinds);
    left.retain(|it| !stays.contains(&it.as_str()) && !it.contains("/own-"));
    left
}

/// All but the data, the definition and what is not the release's goes, and soon.
pub(crate) fn uninstall(release: &Release) {
    let began = Instant::now();
    release.helm("uninstall", &[]).unwrap_or_else(|said| panic!("{said}"));
    wait_gone("everything of the release", GONE, || left(release));
    println!("helm uninstall → nothing left: {:.1} s", began.elapsed().as_secs_f64());
    let args = ["get", CLUSTER_KINDS, "-l", "app.kubernetes.io/instance=mt", "-o", "name"];
    let cluster = kubectl::run(&args);
    let definition = format!("customresourcedefinition.apiextensions.k8s.io/{CRD}");
    assert_eq!(cluster.lines().collect::<Vec<_>>(), [definition], "of the whole cluster");
    assert!(release.object("persistentvolumeclaim", CLAIM).is_some(), "the data");
    assert!(release.object("runnerpool", "own").is_some(), "a person's pool");
}

/// The next install of that name has the runs and their logs, for a new token of the same team. Its leases are short.
pub(crate) fn reinstall(release: &mut Release) -> Product {
    release.set(&format!(r#"controlPlane.config.leaseTTL="{}s""#, LEASE.as_secs()));
    release.install().unwrap_or_else(|said| panic!("{said}"));
    let product = Product::find(release);
    let runs = product.runs("hello");
    let run = runs.first().expect("the run of before");
    let lines = product.team.stream(int(run, "run_id"), "stdout");
    assert_eq!((text(run, "status").as_str(), lines[0].as_str()), ("completed", "hello, world"), "{lines:?}");
    let lines = product.complete("hello", "default", Duration::from_secs(90));
    assert_eq!(lines[0], "hello, world", "the archive of before");
    product
}

/// Uninstalled while a run goes on, which ends when there is no control plane any more: with the namespace and the definition goes the rest,
/// and nothing hangs.
pub(crate) fn remove_all(release: &Release, product: &Product) {
    let code = format!("import time\nprint('begun', flush=True)\ntime.sleep({})", LEASE.as_secs() / 2);
    product.team.python_app("last", &code);
    let run = int(&product.team.run("last", json!({})), "run_id");
    wait::until("the last run begins", GONE, || {
        (product.team.stream(run, "stdout") == ["begun"]).then_some(())
    });
    let began = Instant::now();
    release.helm("uninstall", &[]).unwrap_or_else(|said| panic!("{said}"));
    wait_gone("everything of the release", GIVEN_UP + GONE, || left(release));
    println!("helm uninstall with a run in flight → nothing left: {:.1} s", began.elapsed().as_secs_f64());
    kubectl::run(&["delete", "namespace", &release.namespace, "--timeout=60s"]);
    kubectl::run(&["delete", "crd", CRD, "--timeout=30s"]);
}
