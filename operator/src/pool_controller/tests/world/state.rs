//! Everything that exists in the world, and what the controllers and kubelets do with it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::{Value, json};

use super::super::objects::{self, NAMESPACE, POOL, merged};
use super::pod_path;

/// What goes wrong at a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Fault {
    /// The call takes effect and is never answered, and [`Shared::crashed`] is notified.
    Crash,
    /// The call has no effect and fails with this status.
    Fail(u16),
    /// The call has no effect: the API server says that the operator lacks the right.
    Forbid,
    /// The call takes effect and is never answered.
    Silence,
}

/// What somebody else does meanwhile.
pub(in super::super) type Surprise = Box<dyn FnOnce(&mut State) + Send>;

/// Everything that exists in the world.
#[derive(Default)]
pub(in super::super) struct State {
    /// Objects of the API server, by path.
    pub(in super::super) objects: BTreeMap<String, Value>,
    version: u64,
    made: u32,
    /// Runners of the control plane, as `GET /admin/runners` shows them, without their fences.
    pub(in super::super) runners: BTreeMap<String, Value>,
    /// Fences: runner and owner.
    pub(in super::super) fences: BTreeSet<(String, String)>,
    /// Registration tokens of the pool that are good, and what each is bound to.
    pub(in super::super) pool_tokens: Vec<(String, Value)>,
    /// What was told of the pool, in order; a `DELETE` is null.
    pub(in super::super) reports: Vec<Value>,
    /// The status with which the control plane answers what it is told of a pool.
    pub(in super::super) refuses_reports: Option<u16>,
    /// What callers of the control plane gave as their authorization.
    pub(in super::super) heard: BTreeSet<String>,
    /// Runs that wait.
    pub(in super::super) pending: u64,
    /// Calls that change something, and reads of Secrets, in order.
    pub(in super::super) calls: Vec<String>,
    /// Events: reason and note.
    pub(in super::super) events: Vec<(String, String)>,
    /// What goes wrong at the first call whose text begins like this, once.
    pub(in super::super) faults: VecDeque<(String, Fault)>,
    /// What happens just before the first call whose text begins like this, once.
    pub(in super::super) before: VecDeque<(String, Surprise)>,
    /// The number of the recorded call, from 0, at which the operator crashes.
    pub(in super::super) crash_at: Option<usize>,
    /// What must never happen and did.
    pub(in super::super) broken: Vec<String>,
    /// The status with which the control plane answers every call.
    pub(in super::super) plane_fails: Option<u16>,
    /// The runners of new pods never register.
    pub(in super::super) broken_image: bool,
}

impl State {
    fn next_version(&mut self) -> String {
        self.version += 1;
        self.version.to_string()
    }

    /// Records a call that is about to take effect. Returns what goes wrong with it.
    pub(super) fn note(&mut self, call: &str) -> Option<Fault> {
        if let Some(at) = self.before.iter().position(|(begin, _)| call.starts_with(begin.as_str()))
            && let Some((_, surprise)) = self.before.remove(at)
        {
            surprise(self);
        }
        let crash = self.crash_at == Some(self.calls.len());
        self.calls.push(call.to_owned());
        if crash {
            return Some(Fault::Crash);
        }
        let at = self.faults.iter().position(|(begin, _)| call.starts_with(begin.as_str()))?;
        self.faults.remove(at).map(|(_, fault)| fault)
    }

    /// Paths of all objects of a kind, such as `pods`.
    pub(in super::super) fn paths(&self, kind: &str) -> Vec<String> {
        let infix = format!("/namespaces/{NAMESPACE}/{kind}/");
        self.objects.keys().filter(|path| path.contains(&infix)).cloned().collect()
    }

    /// Stores an object under a path, in a new version.
    pub(in super::super) fn put(&mut self, path: &str, mut object: Value) -> Value {
        object["metadata"]["resourceVersion"] = json!(self.next_version());
        if path.contains("/deployments/") {
            let old = self.objects.get(path);
            let generation = old.and_then(|old| old["metadata"]["generation"].as_u64()).unwrap_or(0);
            let changed = old.is_none_or(|old| old["spec"] != object["spec"]);
            object["metadata"]["generation"] = json!(generation + u64::from(changed));
        }
        self.objects.insert(path.to_owned(), object.clone());
        object
    }

    /// Merges a patch into an object, as somebody else would.
    pub(in super::super) fn change(&mut self, path: &str, patch: &Value) {
        let changed = merged(self.objects[path].clone(), patch);
        self.put(path, changed);
    }

    /// Fails the next call whose text begins like this.
    pub(in super::super) fn fail(&mut self, call: &str, fault: Fault) {
        self.faults.push_back((call.to_owned(), fault));
    }

    /// Does something just before the next call whose text begins like this.
    pub(in super::super) fn just_before(
        &mut self,
        call: &str,
        surprise: impl FnOnce(&mut Self) + Send + 'static,
    ) {
        self.before.push_back((call.to_owned(), Box::new(surprise)));
    }

    /// After each call: the invariant.
    pub(super) fn check(&mut self) {
        for path in self.paths("pods") {
            let pod = &self.objects[&path];
            let name = pod["metadata"]["name"].as_str().unwrap();
            let owner = format!("pool:{NAMESPACE}/{POOL}");
            if is_marked(pod) && !self.fences.contains(&(name.to_owned(), owner)) {
                self.broken.push(format!("{name} is marked and not fenced after {:?}", self.calls));
            }
        }
    }

    /// Does what the ReplicaSet controller does under the admission policy, and the kubelets after it: if there are too many pods, marked ones
    /// are deleted; missing ones are created, with a runner that is idle at once.
    pub(in super::super) fn settle(&mut self) {
        for path in self.paths("deployments") {
            let deployment = self.objects[&path].clone();
            let revision =
                deployment["metadata"]["labels"]["minitower.dev/revision"].as_str().unwrap().to_owned();
            let replicas = usize::try_from(deployment["spec"]["replicas"].as_u64().unwrap()).unwrap();
            let mut pods = self.pods_of(&revision);
            let mut marked: Vec<String> =
                pods.iter().filter(|path| is_marked(&self.objects[*path])).cloned().collect();
            while pods.len() > replicas
                && let Some(goes) = marked.pop()
            {
                pods.retain(|path| *path != goes);
                self.delete_pod(&goes);
            }
            for _ in pods.len()..replicas {
                self.made += 1;
                let name = format!("{POOL}-{}", self.made);
                self.add_pod(&name, &revision);
                if !self.broken_image {
                    self.register(&name);
                }
            }
        }
    }

    fn pods_of(&self, revision: &str) -> Vec<String> {
        let mut all = self.paths("pods");
        all.retain(|path| self.objects[path]["metadata"]["labels"]["minitower.dev/revision"] == revision);
        all
    }

    /// A pod that runs, without a runner.
    pub(in super::super) fn add_pod(&mut self, name: &str, revision: &str) {
        let pod = objects::pod(name, revision, &json!({ "metadata": { "creationTimestamp": null } }));
        self.put(&pod_path(name), serde_json::to_value(&*pod).unwrap());
    }

    /// Its runner is online and idle.
    pub(in super::super) fn register(&mut self, name: &str) {
        let runner = json!({
            "runner_id": 1, "name": name, "environment": "default", "status": "online", "scope": "platform",
            "pool": format!("{NAMESPACE}/{POOL}"), "instance_id": format!("i-{name}"), "busy": false,
        });
        self.runners.insert(name.to_owned(), runner);
    }

    /// Deletes a pod: its runner goes offline. A pod whose runner holds a run must not be deleted.
    pub(in super::super) fn delete_pod(&mut self, path: &str) {
        let name = path.rsplit('/').next().unwrap();
        if let Some(runner) = self.runners.get_mut(name) {
            if runner["busy"] == true {
                self.broken.push(format!("{name} was busy when it was deleted"));
            }
            runner["status"] = json!("offline");
        }
        self.objects.remove(path);
    }

    /// The runner gets a run, whatever the control plane last said about it.
    pub(in super::super) fn lease(&mut self, name: &str) {
        if self.fences.iter().any(|(runner, _)| runner == name) {
            self.broken.push(format!("{name} is fenced and was to be given a run"));
        }
        let runner = self.runners.get_mut(name).unwrap();
        runner["busy"] = json!(true);
        runner["run_id"] = json!(7);
    }

    /// Its run ends.
    pub(in super::super) fn finish(&mut self, name: &str) {
        let runner = self.runners.get_mut(name).unwrap();
        runner["busy"] = json!(false);
        runner.as_object_mut().unwrap().remove("run_id");
    }

    /// The names of all pods.
    pub(in super::super) fn pods(&self) -> Vec<String> {
        self.paths("pods").iter().map(|path| path.rsplit('/').next().unwrap().to_owned()).collect()
    }

    /// An annotation of a pod.
    pub(in super::super) fn annotation(&self, pod: &str, key: &str) -> Option<String> {
        Some(self.objects.get(&pod_path(pod))?["metadata"]["annotations"][key].as_str()?.to_owned())
    }
}

fn is_marked(pod: &Value) -> bool {
    let cost = pod["metadata"]["annotations"]["controller.kubernetes.io/pod-deletion-cost"].as_str();
    cost.is_some_and(|cost| cost.starts_with('-'))
}
