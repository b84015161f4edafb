//! A release of the chart, and Helm as a person calls it.

use std::process::Command;
use std::time::Duration;

use minitower_tests::programs::source_root;
use minitower_tests::wait;
use serde_json::{Value, json};

use super::kubectl;

/// Longest time one command may take, in seconds.
const LIMIT_SECONDS: &str = "300";
/// The definition of the pools.
pub(crate) const CRD: &str = "runnerpools.minitower.dev";
/// The volume claim of a release `mt`; so is its Secret, its control plane and its Service named.
pub(crate) const CLAIM: &str = "mt-minitower";

/// Runs `helm` (the program named by `HELM`), and yields what it said; the error too.
pub(crate) fn helm(args: &[&str]) -> Result<String, String> {
    let program = super::told("HELM").unwrap_or_else(|| "helm".to_owned());
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", LIMIT_SECONDS, &program]).args(args);
    let output = command.output().expect("timeout(1) is there");
    let said = [String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)].join("\n");
    if output.status.success() { Ok(said) } else { Err(format!("helm {}: {said}", args.join(" "))) }
}

/// A release `mt` in a namespace of its own. Dropping it removes both; where the test has failed, what helps to find out why is written
/// into a file first.
#[derive(Debug)]
pub(crate) struct Release {
    /// The namespace, in which Pod Security `restricted` is enforced.
    pub(crate) namespace: String,
    /// The chart.
    pub(crate) chart: String,
    values: Vec<String>,
}

impl Release {
    /// Makes the namespace; nothing is installed yet.
    pub(crate) fn new(name: &str) -> Self {
        let namespace = format!("{name}-{:04x}", rand::random::<u16>());
        kubectl::apply(&[
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": {
                "minitower.dev/e2e": "true", "pod-security.kubernetes.io/enforce": "restricted"
            }}}),
        ]);
        let chart = source_root().join("charts/minitower").display().to_string();
        Self { namespace, chart, values: Vec::new() }
    }

    /// Sets a value from the next install or upgrade on: `path=value`, where the value is JSON.
    pub(crate) fn set(&mut self, value: &str) {
        let (path, _) = value.split_once('=').expect("path=value");
        self.unset(path);
        self.values.push(value.to_owned());
    }

    /// Takes the values below a path away again.
    pub(crate) fn unset(&mut self, path: &str) {
        self.values.retain(|it| !it.strip_prefix(path).is_some_and(|rest| rest.starts_with(['=', '.', '['])));
    }

    /// `helm COMMAND mt …` in the namespace.
    pub(crate) fn helm(&self, command: &str, more: &[&str]) -> Result<String, String> {
        let mut args = vec![command, "mt"];
        args.extend(more);
        args.extend(["--namespace", &self.namespace]);
        helm(&args)
    }

    fn with_chart(&self, command: &str, more: &[&str]) -> Result<String, String> {
        let mut args = vec![self.chart.as_str()];
        args.extend(more);
        for value in &self.values {
            args.extend(["--set-json", value]);
        }
        self.helm(command, &args)
    }

    /// `helm install`.
    pub(crate) fn install(&self) -> Result<String, String> {
        self.with_chart("install", &[])
    }

    /// `helm upgrade` to exactly the values that are set here.
    pub(crate) fn try_upgrade(&self) -> Result<String, String> {
        self.with_chart("upgrade", &["--reset-values"])
    }

    /// The same, which succeeds.
    #[track_caller]
    pub(crate) fn upgrade(&self) {
        self.try_upgrade().unwrap_or_else(|said| panic!("{said}"));
    }

    /// The number of the release's newest revision.
    pub(crate) fn revision(&self) -> String {
        let said = self.helm("status", &["--output", "json"]).unwrap_or_else(|said| panic!("{said}"));
        let status: Value = serde_json::from_str(said.trim()).expect("helm prints JSON");
        status["version"].to_string()
    }

    /// `kubectl ARGS` in the namespace.
    #[track_caller]
    pub(crate) fn kubectl(&self, args: &[&str]) -> String {
        kubectl::run(&[args, &["--namespace", &self.namespace]].concat())
    }

    /// An object of the namespace; nothing where there is none.
    pub(crate) fn object(&self, kind: &str, name: &str) -> Option<Value> {
        let args = ["get", kind, name, "--namespace", &self.namespace, "--ignore-not-found", "--output=json"];
        let text = kubectl::run(&args);
        (!text.trim().is_empty()).then(|| serde_json::from_str(&text).expect("kubectl prints JSON"))
    }

    /// `kind/name` of all objects of these kinds in the namespace.
    pub(crate) fn objects(&self, kinds: &str) -> Vec<String> {
        let names = self.kubectl(&["get", kinds, "--output=name", "--ignore-not-found"]);
        names.lines().map(str::to_owned).collect()
    }

    /// Waits until an event of the namespace has these words.
    #[track_caller]
    pub(crate) fn wait_event(&self, words: &str) {
        wait::until(&format!("an event says {words:?}"), Duration::from_secs(60), || {
            self.kubectl(&["get", "events", "--output=jsonpath={.items[*].message}"])
                .contains(words)
                .then_some(())
        });
    }

    fn record(&self) {
        let folder = super::folder().join(&self.namespace);
        let _ = std::fs::create_dir_all(&folder);
        let keep = |file: &str, args: &[&str]| {
            let args = [args, &["--namespace", &self.namespace]].concat();
            let text = kubectl::try_run(&args).unwrap_or_else(|error| error);
            let _ = std::fs::write(folder.join(file), text);
        };
        keep("objects.txt", &["get", "all,pvc,rp,ingress,networkpolicy,configmap,secret", "-o", "wide"]);
        keep("describe.txt", &["describe", "rp,deploy,job,pods,pvc"]);
        keep("events.txt", &["get", "events", "--sort-by=.metadata.creationTimestamp", "-o", "wide"]);
        for (file, selector) in [
            ("control-plane.log", "app.kubernetes.io/name=minitowerd"),
            ("operator.log", "app.kubernetes.io/name=minitower-operator"),
            ("pools.log", "app.kubernetes.io/name=minitower-pools"),
            ("runners.log", "minitower.dev/pool"),
        ] {
            keep(
                file,
                &["logs", "-l", selector, "--prefix", "--timestamps", "--tail=5000", "--max-log-requests=50"],
            );
        }
        println!("what there was is in {}", folder.display());
    }
}

impl Drop for Release {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.record();
            if super::told("E2E_KEEP").is_some() {
                return;
            }
        }
        let _ = self.helm("uninstall", &["--ignore-not-found"]);
        let _ = kubectl::try_run(&[
            "delete",
            "namespace",
            &self.namespace,
            "--timeout=90s",
            "--ignore-not-found",
        ]);
        // The next test begins without it; with it go all pools.
        let _ = kubectl::try_run(&["delete", "crd", CRD, "--timeout=30s", "--ignore-not-found"]);
    }
}

/// Waits until a list is what it ought to be in the end.
#[track_caller]
pub(crate) fn wait_gone(what: &str, limit: Duration, mut left: impl FnMut() -> Vec<String>) {
    let mut last = Vec::new();
    let gone = wait::find(limit, || {
        last = left();
        last.is_empty().then_some(())
    });
    assert!(gone.is_some(), "waited {limit:?} in vain: {what}; there are still {last:#?}");
}
