//! A cluster in memory: an API server (`api`), a control plane on a loopback port (`plane`), and the ReplicaSet controller with its pods
//! (`settle`). Both servers record every call in one list, in order, and check after each one that every marked pod is fenced.

mod api;
mod plane;
mod state;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod as KubePod;
use kube::Client;
use kube::runtime::controller::Action as Requeue;
use kube::runtime::reflector::store::Writer;
use kube::runtime::watcher::Event;
use serde_json::{Value, json};
use tokio::sync::Notify;

pub(super) use self::state::{Fault, State};
use super::super::events::Teller;
use super::super::neighbours::Neighbours;
use super::super::reconcile::{Context, ReconcileError, reconcile};
use super::objects::{NAMESPACE, POOL, merged, pool_object};
use crate::crd::RunnerPool;
use crate::demand::{ControlPlaneConfig, Hub};
use crate::grants::Grants;
use crate::leader::Leadership;
use crate::metrics::Metrics;
use crate::settings::{OwnService, Settings};

/// The token that the control plane accepts.
pub(super) const TOKEN: &str = "mto_the-token-of-the-tests";
/// Longer than anything a test waits for.
const LONG: Duration = Duration::from_secs(3600);

/// The state, and the notice of a crash.
#[derive(Default)]
pub(super) struct Shared {
    state: Mutex<State>,
    pub(super) crashed: Notify,
}

/// A world with one pool and one operator that serves it.
pub(super) struct World {
    shared: Arc<Shared>,
    client: Client,
    deployments: Writer<Deployment>,
    pods: Writer<KubePod>,
    port: u16,
    /// What the operator's reconciles share.
    pub(super) context: Arc<Context>,
}

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

/// The path of a pod.
pub(super) fn pod_path(name: &str) -> String {
    format!("/api/v1/namespaces/{NAMESPACE}/pods/{name}")
}

/// The path of the pool.
pub(super) fn pool_path() -> String {
    format!("/apis/minitower.dev/v1alpha1/namespaces/{NAMESPACE}/runnerpools/{POOL}")
}

/// The path of the pool's Secret.
pub(super) fn secret_path() -> String {
    format!("/api/v1/namespaces/{NAMESPACE}/secrets/tokens")
}

/// A Secret that holds this operator token. The value is in base64.
pub(super) fn secret(token: &str) -> Value {
    let data =
        BTreeMap::from([("operator-token".to_owned(), k8s_openapi::ByteString(token.as_bytes().to_vec()))]);
    json!({ "metadata": { "name": "tokens", "namespace": NAMESPACE }, "data": data })
}

impl World {
    /// A pool whose spec has `spec` merged in, on a cluster with nothing else. It reads demand at each reconcile, and shrinks at once.
    pub(super) async fn new(spec: &Value) -> Self {
        let shared = Arc::<Shared>::default();
        let url = plane::serve(&shared).await;
        let client = api::client(&shared);
        let at_once = json!({ "scaling": { "pollSeconds": 0, "scaleDown": { "stabilizationSeconds": 0 } } });
        let own = json!({ "spec": { "server": { "url": url.clone() } } });
        let patch = merged(merged(own, &json!({ "spec": at_once })), &json!({ "spec": spec }));
        {
            let mut state = shared.lock();
            state.put(&pool_path(), serde_json::to_value(pool_object(&patch)).unwrap());
            state.put(&secret_path(), secret(TOKEN));
        }
        let (deployments, pods) = (Writer::default(), Writer::default());
        let context = context(&client, &deployments, &pods, 1, LONG);
        let port = url.rsplit(':').next().unwrap().parse().unwrap();
        Self { shared, client, deployments, pods, port, context }
    }

    /// A pool of fixed size whose pods exist and are idle, and an operator that has reconciled it.
    pub(super) async fn of(replicas: u32) -> Self {
        let mut world = Self::new(&json!({ "replicas": replicas })).await;
        world.rest().await;
        world.state().calls.clear();
        world
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.shared.lock()
    }

    pub(super) fn client(&self) -> Client {
        self.client.clone()
    }

    /// The watches catch up with what exists.
    pub(super) fn sync(&mut self) {
        let state = self.shared.lock();
        let labelled = |object: &Value| object["metadata"]["labels"]["minitower.dev/pool"].is_string();
        let all = |kind: &str| -> Vec<Value> {
            state.paths(kind).iter().map(|path| state.objects[path].clone()).filter(labelled).collect()
        };
        fill(&mut self.deployments, all("deployments"));
        fill(&mut self.pods, all("pods"));
    }

    /// One reconcile, of what the watches show.
    pub(super) async fn look_at_stores(&self) -> Result<Requeue, ReconcileError> {
        let pool: RunnerPool = serde_json::from_value(self.state().objects[&pool_path()].clone()).unwrap();
        reconcile(Arc::new(pool), Arc::clone(&self.context)).await
    }

    /// One reconcile, after the watches have caught up.
    pub(super) async fn look(&mut self) -> Result<Requeue, ReconcileError> {
        self.sync();
        self.look_at_stores().await
    }

    /// One reconcile that may end in a crash. Returns whether it did.
    pub(super) async fn look_that_may_crash(&mut self) -> bool {
        self.sync();
        let shared = Arc::clone(&self.shared);
        tokio::select! {
            biased;
            () = shared.crashed.notified() => true,
            _ = self.look_at_stores() => false,
        }
    }

    /// Reconciles, and lets the cluster follow, until nothing is left to do. A reconcile may meet a conflict.
    pub(super) async fn rest(&mut self) {
        for _ in 0..30 {
            let before = self.state().calls.len();
            let _ = self.look().await;
            self.state().settle();
            if self.state().calls.len() == before {
                return;
            }
        }
        panic!("it does not come to rest: {:#?}", self.state().calls);
    }

    /// Some reconciles, for worlds in which each one reads the Secret again and `rest` would not end.
    pub(super) async fn rest_of_reads(&mut self) {
        for _ in 0..4 {
            let _ = self.look().await;
            self.state().settle();
        }
    }

    /// Another process takes over, with an empty memory.
    pub(super) fn restart(&mut self, epoch: u64) {
        self.lead(epoch, LONG);
    }

    /// As `restart`, with a leadership that lasts `length`.
    pub(super) fn lead(&mut self, epoch: u64, length: Duration) {
        self.context = context(&self.client, &self.deployments, &self.pods, epoch, length);
    }

    /// Gives the operator a control plane of its own at this port, outside of the pool's namespace, and a token for it. The Service's name and
    /// namespace make up an address.
    pub(super) fn own(&mut self, port: u16, token: &str, grants: &str) {
        let settings = &mut Arc::get_mut(&mut self.context).expect("nothing runs").settings;
        let url = format!("http://127.0.0.1:{port}");
        settings.own = Some(ControlPlaneConfig { url, token: token.to_owned(), ca_file: None });
        settings.own_service = Some(OwnService {
            name: "127".to_owned(),
            namespace: "0.0.1".to_owned(),
            port,
            grants: Grants::parse(grants).unwrap(),
        });
    }

    /// The port of the control plane.
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Changes the pool's spec.
    pub(super) fn respec(&self, spec: &Value) {
        self.state().change(&pool_path(), &json!({ "spec": spec }));
    }

    /// Calls since the last time.
    pub(super) fn calls(&self) -> Vec<String> {
        std::mem::take(&mut self.state().calls)
    }

    /// Status, reason and message of a condition of the pool.
    pub(super) fn condition(&self, type_: &str) -> (String, String, String) {
        let state = self.state();
        let conditions = state.objects[&pool_path()]["status"]["conditions"].as_array().unwrap().clone();
        let found =
            conditions.iter().find(|one| one["type"] == type_).unwrap_or_else(|| panic!("no {type_}"));
        let text = |key: &str| found[key].as_str().unwrap().to_owned();
        (text("status"), text("reason"), text("message"))
    }

    /// The names of the Deployments.
    pub(super) fn deployments(&self) -> Vec<String> {
        let state = self.state();
        state.paths("deployments").iter().map(|path| path.rsplit('/').next().unwrap().to_owned()).collect()
    }

    /// The only Deployment's path.
    pub(super) fn deployment_path(&self) -> String {
        let [path] = &self.state().paths("deployments")[..] else { panic!("not one Deployment") };
        path.clone()
    }

    /// The size of all Deployments.
    pub(super) fn size(&self) -> u64 {
        let state = self.state();
        state
            .paths("deployments")
            .iter()
            .map(|path| state.objects[path]["spec"]["replicas"].as_u64().unwrap())
            .sum()
    }
}

impl Drop for World {
    /// Every test ends with this check.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_eq!(self.shared.lock().broken, [] as [String; 0]);
        }
    }
}

/// The state of an operator that has just started.
fn context(
    client: &Client,
    deployments: &Writer<Deployment>,
    pods: &Writer<KubePod>,
    epoch: u64,
    length: Duration,
) -> Arc<Context> {
    let settings = Settings {
        own: None,
        own_service: None,
        ca_file: None,
        own_token_file: None,
        watch_namespaces: Vec::new(),
        listen_addr: String::new(),
        namespace: None,
        lease: crate::leader::LEASE.to_owned(),
        identity: format!("operator-{epoch}"),
        runner_image: "registry/runner:1".to_owned(),
        admission_policy: true,
    };
    Arc::new(Context {
        client: client.clone(),
        teller: Teller::new(client.clone(), &settings.identity),
        settings,
        hub: Hub::new(),
        neighbours: Neighbours::default(),
        leadership: Leadership::lasting(epoch, length),
        metrics: Metrics::new().unwrap(),
        deployments: deployments.as_reader(),
        pods: pods.as_reader(),
        policy_seen: true.into(),
        states: std::sync::Mutex::default(),
        ended: std::sync::Mutex::default(),
        planes: std::sync::Mutex::default(),
    })
}

fn fill<K>(writer: &mut Writer<K>, objects: Vec<Value>)
where
    K: kube::Resource<DynamicType = ()> + Clone + serde::de::DeserializeOwned + 'static,
{
    writer.apply_watcher_event(&Event::Init);
    for object in objects {
        writer.apply_watcher_event(&Event::InitApply(serde_json::from_value(object).unwrap()));
    }
    writer.apply_watcher_event(&Event::InitDone);
}
