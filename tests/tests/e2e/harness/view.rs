//! A live view of the cluster: what is there now, and every change with the moment at which it was seen.
#![allow(
    clippy::disallowed_methods,
    reason = "what is seen is compared with when the control plane says it was"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, pin_mut};
use jiff::Timestamp;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{Config, Event, watcher};
use kube::{Api, Client};
use serde_json::Value;

/// What is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Runner pods.
    Pod,
    /// Deployments of the operator.
    Deployment,
    /// Pools.
    RunnerPool,
    /// Leases, the operator's among them.
    Lease,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Pod, Self::Deployment, Self::RunnerPool, Self::Lease];

    fn resource(self) -> ApiResource {
        let (group, version, kind) = match self {
            Self::Pod => ("", "v1", "Pod"),
            Self::Deployment => ("apps", "v1", "Deployment"),
            Self::RunnerPool => ("minitower.dev", "v1alpha1", "RunnerPool"),
            Self::Lease => ("coordination.k8s.io", "v1", "Lease"),
        };
        ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind))
    }

    fn config(self) -> Config {
        match self {
            Self::Pod | Self::Deployment => Config::default().labels("minitower.dev/pool"),
            Self::RunnerPool | Self::Lease => Config::default(),
        }
    }
}

/// One change of one object.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    /// When it was seen, by this machine's clock.
    pub(crate) at: Timestamp,
    /// What kind of object.
    pub(crate) kind: Kind,
    /// Its namespace.
    pub(crate) namespace: String,
    /// Its name.
    pub(crate) name: String,
    /// It is no more.
    pub(crate) gone: bool,
    /// It as it became, or was last.
    pub(crate) object: Arc<Value>,
}

/// What has been seen so far.
#[derive(Debug, Default)]
pub(crate) struct State {
    objects: BTreeMap<(Kind, String, String), Arc<Value>>,
    changes: Vec<Change>,
    listed: BTreeSet<Kind>,
}

impl State {
    /// The objects of a namespace, by name.
    pub(crate) fn all(&self, kind: Kind, namespace: &str) -> Vec<Arc<Value>> {
        let of = |(key, object): (&(Kind, String, String), &Arc<Value>)| {
            (key.0 == kind && key.1 == namespace).then(|| Arc::clone(object))
        };
        self.objects.iter().filter_map(of).collect()
    }

    /// One object.
    pub(crate) fn one(&self, kind: Kind, namespace: &str, name: &str) -> Option<Arc<Value>> {
        self.objects.get(&(kind, namespace.to_owned(), name.to_owned())).cloned()
    }

    /// The changes in a namespace, in the order in which they were seen.
    pub(crate) fn changes(&self, kind: Kind, namespace: &str) -> impl Iterator<Item = &Change> {
        self.changes.iter().filter(move |change| change.kind == kind && change.namespace == namespace)
    }

    fn set(&mut self, kind: Kind, object: &DynamicObject) -> (Kind, String, String) {
        let (key, value) = trimmed(kind, object);
        let value = Arc::new(value);
        if self.objects.insert(key.clone(), Arc::clone(&value)).as_ref() != Some(&value) {
            self.note(&key, value, false);
        }
        key
    }

    fn remove(&mut self, key: &(Kind, String, String)) {
        if let Some(last) = self.objects.remove(key) {
            self.note(key, last, true);
        }
    }

    fn note(&mut self, key: &(Kind, String, String), object: Arc<Value>, gone: bool) {
        let (kind, namespace, name) = key.clone();
        self.changes.push(Change { at: Timestamp::now(), kind, namespace, name, gone, object });
    }
}

/// The watches of the whole cluster, in a thread of their own.
#[derive(Debug, Default)]
pub(crate) struct View {
    state: Mutex<State>,
    changed: Condvar,
}

impl View {
    /// Begins to watch, and yields when all that is there has been listed.
    pub(crate) fn start() -> Arc<Self> {
        let view = Arc::new(Self::default());
        let watching = Arc::clone(&view);
        thread::Builder::new().name("view".to_owned()).spawn(move || watching.watch()).unwrap();
        view.until("everything is listed once", Duration::from_secs(30), |state| {
            (state.listed.len() == Kind::ALL.len()).then_some(())
        });
        view
    }

    fn watch(&self) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let client = Client::try_default().await.expect("KUBECONFIG leads to a cluster");
            futures_util::future::join_all(Kind::ALL.map(|kind| self.follow(client.clone(), kind))).await;
        });
    }

    async fn follow(&self, client: Client, kind: Kind) {
        let resource = kind.resource();
        let api: Api<DynamicObject> = Api::all_with(client, &resource);
        let events = watcher(api, kind.config()).default_backoff();
        pin_mut!(events);
        let mut listed = BTreeSet::new();
        let mut broken = false;
        while let Some(event) = events.next().await {
            let mut state = self.lock();
            let broke_before = std::mem::replace(&mut broken, event.is_err());
            match event {
                Ok(Event::Init) => listed.clear(),
                Ok(Event::InitApply(object)) => drop(listed.insert(state.set(kind, &object))),
                Ok(Event::InitDone) => {
                    let of_kind = state.objects.keys().filter(|key| key.0 == kind && !listed.contains(key));
                    for key in of_kind.cloned().collect::<Vec<_>>() {
                        state.remove(&key);
                    }
                    state.listed.insert(kind);
                }
                Ok(Event::Apply(object)) => drop(state.set(kind, &object)),
                Ok(Event::Delete(object)) => {
                    // Its last state tells when it was asked to go.
                    let key = state.set(kind, &object);
                    state.remove(&key);
                }
                // The watcher begins again by itself.
                Err(_) if broke_before => {}
                Err(error) => eprintln!("the watch of {kind:?} broke off: {error}"),
            }
            drop(state);
            self.changed.notify_all();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Looks at what is there now.
    pub(crate) fn now<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.lock())
    }

    /// Looks after every change until there is something, or `limit` has passed.
    pub(crate) fn find<T>(&self, limit: Duration, mut look: impl FnMut(&State) -> Option<T>) -> Option<T> {
        let deadline = Instant::now() + limit;
        let mut state = self.lock();
        loop {
            let found = look(&state);
            let left = deadline.saturating_duration_since(Instant::now());
            if found.is_some() || left.is_zero() {
                return found;
            }
            state = match self.changed.wait_timeout(state, left) {
                Ok((state, _)) => state,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
    }

    /// The same, and panics naming `what` when `limit` has passed.
    #[track_caller]
    pub(crate) fn until<T>(&self, what: &str, limit: Duration, look: impl FnMut(&State) -> Option<T>) -> T {
        self.find(limit, look).unwrap_or_else(|| panic!("waited {limit:?} in vain: {what}"))
    }
}

/// The object without what nobody here reads: thousands of changes are kept.
fn trimmed(kind: Kind, object: &DynamicObject) -> ((Kind, String, String), Value) {
    let mut value = serde_json::to_value(object).expect("an object becomes JSON");
    let metadata = &object.metadata;
    let key =
        (kind, metadata.namespace.clone().unwrap_or_default(), metadata.name.clone().unwrap_or_default());
    if let Some(metadata) = value["metadata"].as_object_mut() {
        metadata.remove("managedFields");
    }
    match kind {
        Kind::Pod => {
            let image = value["spec"]["containers"][0]["image"].take();
            value["spec"] = serde_json::json!({"image": image});
        }
        Kind::Deployment => {
            if let Some(spec) = value["spec"].as_object_mut() {
                spec.remove("template");
            }
        }
        Kind::RunnerPool | Kind::Lease => {}
    }
    (key, value)
}
