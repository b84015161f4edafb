//! One scenario's namespace, its pools and its runs.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use minitower_tests::shape::{int, text};
use minitower_tests::team::TERMINAL;
use serde_json::{Value, json};

use super::{Bed, Kind, folder, kubectl};

const JOB: &str = include_str!("job.py");
/// Pause between two questions to the control plane, which cannot announce what happens to a run.
const ASK_EVERY: Duration = Duration::from_millis(200);

/// A namespace with pools in it, and an app whose runs they take. Dropping it deletes the namespace; where the test has failed, what helps
/// to find out why is written into a file first.
#[derive(Debug)]
pub(crate) struct Scene {
    /// The installed product.
    pub(crate) bed: &'static Bed,
    /// The namespace; the app and, but for a suffix, the environments have its name too.
    pub(crate) name: String,
}

impl Scene {
    /// Makes the namespace with its Secret, and the app.
    pub(crate) fn new(bed: &'static Bed, name: &str) -> Self {
        let name = format!("{name}-{:04x}", rand::random::<u16>());
        kubectl::apply(&[
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {
                "minitower.dev/e2e": "true", "pod-security.kubernetes.io/enforce": "restricted"
            }}}),
            secret(&name, "minitower", &bed.registration_token, &bed.operator_token),
            operator_may_read(&name, &["minitower", "later"]),
            granted(&name, "minitower-operator", "ClusterRole", "minitower-operator-pools"),
            granted(&name, "minitower-operator-tokens", "Role", "minitower-operator-tokens"),
        ]);
        bed.team.python_app(&name, JOB);
        Self { bed, name }
    }

    /// The environment of a pool: each has its own unless it is told otherwise.
    pub(crate) fn environment(&self, pool: &str) -> String {
        format!("{}.{pool}", self.name)
    }

    /// A pool whose spec is the scenarios' usual one, with `changes` laid over it.
    pub(crate) fn manifest(&self, pool: &str, changes: &Value) -> Value {
        let mut spec = json!({
            "environment": self.environment(pool),
            "server": {"url": Bed::server_url()},
            "registrationTokenSecretRef": {"name": "minitower"},
            "operatorTokenSecretRef": {"name": "minitower"},
            "maxRunners": 4,
            "scaling": {"scaleDown": {"stabilizationSeconds": 3}},
            "shutdownGraceSeconds": 120,
            "runner": {
                "image": super::settings::runner_image(),
                "imagePullPolicy": "IfNotPresent",
                "env": [{"name": "MINITOWER_KILL_GRACE_PERIOD", "value": "1s"}],
                "cache": {"emptyDir": {"sizeLimit": "1Gi"}}
            }
        });
        merge(&mut spec, changes);
        json!({"apiVersion": "minitower.dev/v1alpha1", "kind": "RunnerPool",
               "metadata": {"name": pool, "namespace": self.name}, "spec": spec})
    }

    /// Applies such a pool.
    #[track_caller]
    pub(crate) fn pool(&self, pool: &str, changes: Value) {
        kubectl::apply(&[self.manifest(pool, &changes)]);
    }

    /// Merges into a pool's spec; null takes a field away.
    #[track_caller]
    pub(crate) fn patch(&self, pool: &str, changes: Value) {
        let patch = json!({"spec": changes}).to_string();
        kubectl::run(&["patch", "rp", pool, "-n", &self.name, "--type=merge", "-p", &patch]);
    }

    /// Queues a run of so many seconds.
    #[track_caller]
    pub(crate) fn run(&self, pool: &str, seconds: f64) -> i64 {
        self.run_with_retries(pool, seconds, 0)
    }

    /// Queues a run that may start again after its runner was lost.
    #[track_caller]
    pub(crate) fn run_with_retries(&self, pool: &str, seconds: f64, retries: u32) -> i64 {
        let input = json!({"seconds": seconds, "scene": self.name, "witness": self.bed.witness.address()});
        let body = json!({"input": input, "environment": self.environment(pool), "max_retries": retries});
        int(&self.bed.team.run(&self.name, body), "run_id")
    }

    /// Every run of the scene, newest first.
    pub(crate) fn runs(&self) -> Vec<Value> {
        let mut runs: Vec<Value> = Vec::new();
        loop {
            let before =
                runs.last().map_or_else(String::new, |run| format!("&before={}", int(run, "run_id")));
            let path = format!("/runs?app={}&limit=100{before}", self.name);
            let page = self.bed.team.get(&path).send().expect_json(200);
            let page = page["runs"].as_array().expect("a list of runs").clone();
            if page.is_empty() {
                return runs;
            }
            runs.extend(page);
        }
    }

    /// Waits until a run is as wanted.
    #[track_caller]
    pub(crate) fn wait_run(
        &self,
        run: i64,
        what: &str,
        limit: Duration,
        wanted: impl Fn(&Value) -> bool,
    ) -> Value {
        let mut last = Value::Null;
        let found = ask(limit, || {
            last = self.bed.team.read(run);
            wanted(&last).then(|| last.clone())
        });
        found.unwrap_or_else(|| {
            panic!("waited {limit:?} until run {run} {what}; it is {last}\n{}", self.glance())
        })
    }

    /// Waits until user code of a run is being executed, as the witness says, and yields its pod.
    #[track_caller]
    pub(crate) fn wait_begun(&self, run: i64, limit: Duration) -> String {
        let begun = || {
            self.bed.witness.notes(&self.name).into_iter().rev().find(|it| it.run == run && it.end.is_none())
        };
        let note = ask(limit, begun);
        note.unwrap_or_else(|| panic!("waited {limit:?} until run {run} begins\n{}", self.glance())).pod
    }

    /// Waits until every run of the scene has ended.
    #[track_caller]
    pub(crate) fn wait_all_ended(&self, limit: Duration) {
        let mut open = Vec::new();
        let ended = ask(limit, || {
            open = self.runs();
            open.retain(|run| !TERMINAL.contains(&run["status"].as_str().unwrap_or_default()));
            open.is_empty().then_some(())
        });
        if ended.is_none() {
            let open: Vec<String> =
                open.iter().map(|it| format!("{} {}", it["run_id"], it["status"])).collect();
            panic!("waited {limit:?} for the end of {} runs: {open:?}\n{}", open.len(), self.glance());
        }
    }

    /// Waits until a pool is as wanted.
    #[track_caller]
    pub(crate) fn wait_pool(&self, pool: &str, what: &str, limit: Duration, wanted: impl Fn(&Value) -> bool) {
        let look = |state: &super::State| {
            let pool = state.one(Kind::RunnerPool, &self.name, pool)?;
            wanted(&pool).then_some(())
        };
        let found = self.bed.view.find(limit, look);
        assert!(found.is_some(), "waited {limit:?} until pool {pool} {what}\n{}", self.glance());
    }

    /// Waits until a condition of a pool has a status and words that satisfy.
    #[track_caller]
    pub(crate) fn wait_condition(
        &self,
        pool: &str,
        kind: &str,
        status: &str,
        words: &[&str],
        limit: Duration,
    ) {
        let what = format!("has {kind}={status} with the words {words:?}");
        self.wait_pool(pool, &what, limit, |pool| {
            condition(pool, kind).is_some_and(|it| {
                let message = it["message"].as_str().unwrap_or_default();
                it["status"] == status && words.iter().all(|word| message.contains(word))
            })
        });
    }

    /// Asserts that a condition of a pool keeps its status for so long.
    #[track_caller]
    pub(crate) fn stays_condition(&self, pool: &str, kind: &str, status: &str, span: Duration) {
        let changed = self.bed.view.find(span, |state| {
            let pool = state.one(Kind::RunnerPool, &self.name, pool)?;
            condition(&pool, kind).filter(|it| it["status"] != status).cloned()
        });
        assert!(changed.is_none(), "{kind} of pool {pool} was {status} for less than {span:?}: {changed:?}");
    }

    /// The names of the pods of a pool that are not leaving.
    pub(crate) fn pods(&self, pool: &str) -> Vec<String> {
        self.bed.view.now(|state| staying(state, &self.name, pool))
    }

    /// Waits until so many pods of a pool are there and not leaving.
    #[track_caller]
    pub(crate) fn wait_pods(&self, pool: &str, count: usize, limit: Duration) {
        let look = |state: &super::State| (staying(state, &self.name, pool).len() == count).then_some(());
        let found = self.bed.view.find(limit, look);
        assert!(found.is_some(), "waited {limit:?} for {count} pods of pool {pool}\n{}", self.glance());
    }

    /// Waits until no pod of the scene is left, leaving ones included.
    #[track_caller]
    pub(crate) fn wait_no_pods(&self, limit: Duration) {
        let gone =
            self.bed.view.find(limit, |state| state.all(Kind::Pod, &self.name).is_empty().then_some(()));
        assert!(gone.is_some(), "waited {limit:?} until all pods are gone\n{}", self.glance());
    }

    /// Waits until so many runners of a pool are online.
    #[track_caller]
    pub(crate) fn wait_runners(&self, pool: &str, count: u64, limit: Duration) {
        self.wait_pool(pool, &format!("has {count} ready runners"), limit, |it| {
            it["status"]["readyRunners"] == count
        });
    }

    /// What a person would look at first.
    pub(crate) fn glance(&self) -> String {
        let look = |args: &[&str]| kubectl::try_run(args).unwrap_or_else(|error| error);
        let conditions = "jsonpath={range .items[*]}{.metadata.name}: {.status.conditions}{\"\\n\"}{end}";
        [
            look(&["get", "rp,deploy,pods", "-n", &self.name, "-o", "wide"]),
            look(&["get", "rp", "-n", &self.name, "-o", conditions]),
        ]
        .join("\n")
    }

    /// Writes what helps to find out why a test failed into `target/e2e`.
    fn record(&self) {
        let folder = folder().join(&self.name);
        let _ = fs::create_dir_all(&folder);
        let keep = |file: &str, args: &[&str]| {
            let text = kubectl::try_run(args).unwrap_or_else(|error| error);
            let _ = fs::write(folder.join(file), text);
        };
        keep("objects.yaml", &["get", "rp,deploy,rs,pods", "-n", &self.name, "-o", "yaml"]);
        keep("describe.txt", &["describe", "rp,deploy,rs,pods", "-n", &self.name]);
        keep(
            "events.txt",
            &["get", "events", "-n", &self.name, "--sort-by=.metadata.creationTimestamp", "-o", "wide"],
        );
        keep(
            "runners.log",
            &[
                "logs",
                "-n",
                &self.name,
                "-l",
                "minitower.dev/pool",
                "--prefix",
                "--timestamps",
                "--tail=1000",
                "--max-log-requests=50",
            ],
        );
        let selector = "app.kubernetes.io/name=minitower-operator";
        keep(
            "operator.log",
            &["logs", "-n", super::SYSTEM, "-l", selector, "--prefix", "--timestamps", "--tail=5000"],
        );
        keep(
            "control-plane.log",
            &["logs", "-n", super::SYSTEM, "deploy/minitower", "--timestamps", "--tail=5000"],
        );
        let runs: Vec<String> = self.runs().iter().map(Value::to_string).collect();
        let _ = fs::write(folder.join("runs.json"), runs.join("\n"));
        println!("what there was is in {}", folder.display());
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if thread::panicking() {
            self.record();
            if std::env::var_os("E2E_KEEP").is_some() {
                return;
            }
        }
        let _ = kubectl::try_run(&["delete", "namespace", &self.name, "--wait=false", "--ignore-not-found"]);
    }
}

/// A Secret with tokens.
pub(crate) fn secret(namespace: &str, name: &str, registration: &str, operator: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": namespace},
           "stringData": {"registration-token": registration, "operator-token": operator}})
}

/// The operator's right to read these Secrets.
fn operator_may_read(namespace: &str, secrets: &[&str]) -> Value {
    json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
           "metadata": {"name": "minitower-operator-tokens", "namespace": namespace},
           "rules": [{"apiGroups": [""], "resources": ["secrets"], "resourceNames": secrets, "verbs": ["get"]}]})
}

/// A role that the operator gets in a namespace.
fn granted(namespace: &str, name: &str, kind: &str, role: &str) -> Value {
    json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
           "metadata": {"name": name, "namespace": namespace},
           "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role},
           "subjects": [{"kind": "ServiceAccount", "name": "minitower-operator", "namespace": super::bed::SYSTEM}]})
}

/// A condition of a pool.
pub(crate) fn condition<'p>(pool: &'p Value, kind: &str) -> Option<&'p Value> {
    pool["status"]["conditions"].as_array()?.iter().find(|it| it["type"] == kind)
}

fn staying(state: &super::State, namespace: &str, pool: &str) -> Vec<String> {
    let pods = state.all(Kind::Pod, namespace);
    let stays = |pod: &Value| {
        let metadata = &pod["metadata"];
        metadata["labels"]["minitower.dev/pool"] == pool && metadata["deletionTimestamp"].is_null()
    };
    pods.iter().filter(|pod| stays(pod)).map(|pod| text(&pod["metadata"], "name")).collect()
}

fn ask<T>(limit: Duration, mut question: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + limit;
    loop {
        let found = question();
        if found.is_some() || Instant::now() >= deadline {
            return found;
        }
        thread::sleep(ASK_EVERY);
    }
}

fn merge(into: &mut Value, changes: &Value) {
    match (into, changes) {
        (Value::Object(into), Value::Object(changes)) => {
            for (key, change) in changes {
                if change.is_null() {
                    into.remove(key);
                } else {
                    merge(into.entry(key.clone()).or_insert(Value::Null), change);
                }
            }
        }
        (into, change) => *into = change.clone(),
    }
}
