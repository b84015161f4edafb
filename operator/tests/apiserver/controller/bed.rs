//! What every test needs: the rights, the policy, an operator, a control plane, a pool, and control over its pods.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{OnceLock, RwLockWriteGuard};
use std::time::Duration;

use minitower_tests::programs::source_root;
use minitower_tests::server::{self, OPERATOR_TOKEN, REGISTRATION_TOKEN};
use minitower_tests::skip::skip;
use minitower_tests::{Program, Runner, Server, Team, wait};
use serde_json::{Value, json};

use crate::api::{self, Api, Namespace};

/// The operator's namespace, as in `deploy/kubernetes`.
pub(crate) const HOME: &str = "minitower-system";
/// Its account.
pub(crate) const ACCOUNT: &str = "minitower-operator";
/// Long enough for what the controllers do at once.
pub(crate) const SOON: Duration = Duration::from_secs(20);

static KUBECONFIG: OnceLock<PathBuf> = OnceLock::new();

/// A namespace with a control plane. No other operator runs meanwhile.
pub(crate) struct Bed {
    pub(crate) cluster: Namespace,
    pub(crate) server: Server,
    pub(crate) team: Team,
    pub(crate) api: &'static Api,
    kubeconfig: &'static Path,
    _alone: RwLockWriteGuard<'static, ()>,
}

/// A running operator.
pub(crate) struct Operator {
    pub(crate) program: Program,
    pub(crate) port: u16,
    /// Where it leaves its last words.
    pub(crate) last_words: PathBuf,
}

/// The API server with everything that is installed beside the operator, for one test. Without one, it says why the test is skipped.
pub(crate) fn alone() -> Option<(&'static Api, &'static Path, RwLockWriteGuard<'static, ()>)> {
    if std::env::var_os("MINITOWER_TEST_KUBECONFIG").is_some() {
        skip("MINITOWER_TEST_KUBECONFIG is set, and these tests need an API server of their own");
        return None;
    }
    let (api, alone) = api::alone()?;
    Some((api, KUBECONFIG.get_or_init(|| install(api)), alone))
}

/// A namespace `test-NAME-…` with its tokens, and a control plane.
pub(crate) fn bed(name: &str) -> Option<Bed> {
    let (api, kubeconfig, alone) = alone()?;
    let cluster = api.namespace(name);
    let literals = [
        format!("--from-literal=operator-token={OPERATOR_TOKEN}"),
        format!("--from-literal=registration-token={REGISTRATION_TOKEN}"),
    ];
    cluster.kubectl(&["create", "secret", "generic", "tokens", &literals[0], &literals[1]], None).expect_ok();
    give_rights(&cluster, "tokens");
    let server = Server::start();
    let team = server.bootstrap();
    team.python_app("hello", "print('hello')");
    Some(Bed { cluster, server, team, api, kubeconfig, _alone: alone })
}

/// The operator's rights in a namespace with pools, and on the Secret that they name, as `deploy/kubernetes/README.md` says.
pub(crate) fn give_rights(cluster: &Namespace, secret: &str) {
    let account = format!("--serviceaccount={HOME}:{ACCOUNT}");
    let secret = format!("--resource-name={secret}");
    let steps: [&[&str]; 3] = [
        &["create", "rolebinding", "minitower-operator", "--clusterrole=minitower-operator-pools", &account],
        &["create", "role", "minitower-operator-tokens", "--verb=get", "--resource=secrets", &secret],
        &["create", "rolebinding", "minitower-operator-tokens", "--role=minitower-operator-tokens", &account],
    ];
    for step in steps {
        cluster.kubectl(step, None).expect_ok();
    }
}

/// The operator's rights on the Secret of a pool that names none, as `deploy/kubernetes/README.md` says.
pub(crate) fn give_registration_rights(cluster: &Namespace, pool: &str) {
    let account = format!("--serviceaccount={HOME}:{ACCOUNT}");
    let secret = format!("--resource-name={pool}-registration");
    let (makes, keeps) = ("minitower-operator-makes", "minitower-operator-keeps");
    let [makes_role, keeps_role] = [makes, keeps].map(|name| format!("--role={name}"));
    let steps: [&[&str]; 4] = [
        &["create", "role", makes, "--verb=create", "--resource=secrets"],
        &["create", "rolebinding", makes, &makes_role, &account],
        &["create", "role", keeps, "--verb=get,patch", "--resource=secrets", &secret],
        &["create", "rolebinding", keeps, &keeps_role, &account],
    ];
    for step in steps {
        cluster.kubectl(step, None).expect_ok();
    }
}

/// Installs account, rights and admission policy as they are deployed. Returns the account's kubeconfig.
fn install(api: &Api) -> PathBuf {
    api.kubectl(&["create", "namespace", HOME], None).expect_ok();
    api.kubectl(&["-n", HOME, "create", "serviceaccount", ACCOUNT], None).expect_ok();
    for file in ["operator-rbac.yaml", "pool-roles.yaml", "admission-policy.yaml"] {
        let file = source_root().join("deploy/kubernetes/base").join(file);
        api.kubectl(&["apply", "-f", file.to_str().unwrap()], None).expect_ok();
    }
    let token = api.kubectl(&["-n", HOME, "create", "token", ACCOUNT], None).expect_ok().out;
    let config = api.kubectl(&["config", "view", "--raw", "--minify", "-o", "json"], None).expect_ok().out;
    let mut config: Value = serde_json::from_str(&config).unwrap();
    config["users"][0]["user"] = json!({ "token": token.trim() });
    let path = api.folder().join("operator.kubeconfig");
    fs::write(&path, config.to_string()).unwrap();
    path
}

/// Starts an operator with this kubeconfig.
pub(crate) fn start(kubeconfig: &Path, folder: &Path, name: &str, namespaces: &str) -> Operator {
    start_with(kubeconfig, folder, name, namespaces, &[])
}

/// The same with further variables.
fn start_with(
    kubeconfig: &Path,
    folder: &Path,
    name: &str,
    namespaces: &str,
    further: &[(&str, &str)],
) -> Operator {
    let port = server::free_port();
    let last_words = folder.join(format!("{name}.termination"));
    fs::write(&last_words, "").unwrap();
    let env = [
        ("KUBECONFIG", kubeconfig.display().to_string()),
        ("POD_NAMESPACE", HOME.to_owned()),
        ("POD_NAME", name.to_owned()),
        ("MINITOWER_WATCH_NAMESPACES", namespaces.to_owned()),
        ("MINITOWER_LISTEN_ADDR", format!("127.0.0.1:{port}")),
        ("MINITOWER_RUNNER_IMAGE", "registry/runner:1".to_owned()),
        ("MINITOWER_LOG_FORMAT", "text".to_owned()),
        ("MINITOWER_TERMINATION_LOG", last_words.display().to_string()),
    ];
    let further = further.iter().map(|(key, value)| (*key, (*value).to_owned()));
    let env: Vec<_> = env.into_iter().chain(further).map(|(key, value)| (key.to_owned(), value)).collect();
    let log = folder.join(format!("logs/{name}.log"));
    Operator { program: Program::start("minitower-operator", &[], &env, folder, &log), port, last_words }
}

impl Operator {
    /// Waits for a line of the log.
    pub(crate) fn said(&mut self, words: &str, limit: Duration) {
        wait::until(&format!("the operator says {words:?}"), limit, || {
            assert!(self.program.ended().is_none(), "it has ended: {}", self.program.log());
            self.program.log().contains(words).then_some(())
        });
    }

    pub(crate) fn leads(mut self) -> Self {
        self.said("leads", SOON);
        self
    }

    /// The value of one of its metrics, summed over its series.
    pub(crate) fn metric(&self, begin: &str) -> f64 {
        let text = minitower_tests::Http::new(self.port).get("/metrics").send().expect(200).text();
        let lines = text.lines().filter(|line| line.starts_with(begin));
        lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
    }

    /// Stops it as the kubelet does. The API server must never have refused it anything.
    pub(crate) fn stop(mut self) {
        assert_eq!(self.program.terminate(SOON), 0);
        self.was_never_refused();
    }

    /// A verb that is missing in its `ClusterRole` shows in its log.
    pub(crate) fn was_never_refused(&self) {
        let log = self.program.log();
        let refused: Vec<&str> = log.lines().filter(|line| line.contains("orbidden")).collect();
        assert_eq!(refused, [] as [&str; 0]);
    }
}

impl Bed {
    /// An operator of this namespace.
    pub(crate) fn operator(&self, name: &str) -> Operator {
        self.operator_with(name, &[])
    }

    /// The same with further variables.
    pub(crate) fn operator_with(&self, name: &str, further: &[(&str, &str)]) -> Operator {
        start_with(self.kubeconfig, self.server.folder(), name, self.cluster.name(), further)
    }

    /// Applies the pool `p`, of the control plane of this test, that shrinks at once.
    pub(crate) fn apply(&self, spec: &Value) {
        let mut whole = json!({
            "server": { "url": self.server.http().base() },
            "operatorTokenSecretRef": { "name": "tokens" },
            "registrationTokenSecretRef": { "name": "tokens" },
            "scaling": { "scaleDown": { "stabilizationSeconds": 0 } },
        });
        let fields = whole.as_object_mut().unwrap();
        fields.extend(spec.as_object().unwrap().clone());
        fields.retain(|_, value| !value.is_null());
        let pool = json!({
            "apiVersion": "minitower.dev/v1alpha1", "kind": "RunnerPool", "metadata": { "name": "p" }, "spec": whole,
        });
        self.cluster.apply(&pool).expect_ok();
    }

    /// All objects of a kind in the namespace.
    pub(crate) fn list(&self, kind: &str) -> Vec<Value> {
        let said = self.cluster.kubectl(&["get", kind, "-o", "json"], None).expect_ok();
        let list: Value = serde_json::from_str(&said.out).unwrap();
        list["items"].as_array().unwrap().clone()
    }

    /// Names of the pods that are not on their way out.
    pub(crate) fn pods(&self) -> Vec<String> {
        let living = |pod: &&Value| pod["metadata"]["deletionTimestamp"].is_null();
        self.list("pods").iter().filter(living).map(name).collect()
    }

    /// Sizes of the Deployments.
    pub(crate) fn sizes(&self) -> Vec<u64> {
        self.list("deployments").iter().map(|one| one["spec"]["replicas"].as_u64().unwrap()).collect()
    }

    /// Waits until there are `n` pods.
    #[track_caller]
    pub(crate) fn wait_pods(&self, n: usize) -> Vec<String> {
        wait::until(&format!("{n} pods"), SOON, || Some(self.pods()).filter(|pods| pods.len() == n))
    }

    /// Does what the kubelet and the runner of a pod would do: it runs, it is ready, it has registered.
    pub(crate) fn run_pod(&self, pod: &str) -> Runner {
        let ready = |type_: &str| json!({ "type": type_, "status": "True", "lastTransitionTime": "2026-01-02T03:04:05Z" });
        let status = json!({ "status": {
            "phase": "Running",
            "conditions": [ready("Ready"), ready("ContainersReady")],
            "containerStatuses": [{
                "name": "runner", "image": "i", "imageID": "", "ready": true, "started": true, "restartCount": 0,
                "state": { "running": { "startedAt": "2026-01-02T03:04:05Z" } },
            }],
        } });
        let patch = status.to_string();
        let args = ["patch", "pod", pod, "--subresource=status", "--type=merge", "-p", &patch];
        self.cluster.kubectl(&args, None).expect_ok();
        let body = json!({ "name": pod, "pool": format!("{}/p", self.cluster.name()) });
        Runner::register_with(&self.server, REGISTRATION_TOKEN, body)
    }

    /// Waits until a condition of the pool has this status. Returns its reason and message.
    #[track_caller]
    pub(crate) fn wait_condition(&self, type_: &str, status: &str) -> (String, String) {
        wait::until(&format!("condition {type_}={status}"), SOON, || {
            let pool = self.cluster.pool("p");
            let all = pool["status"]["conditions"].as_array()?.clone();
            let found = all.into_iter().find(|one| one["type"] == type_ && one["status"] == status)?;
            let text = |key: &str| found[key].as_str().unwrap().to_owned();
            Some((text("reason"), text("message")))
        })
    }

    /// Notes of the Events about the pool with this reason.
    pub(crate) fn events(&self, reason: &str) -> Vec<String> {
        let of = |one: &&Value| one["reason"] == reason && one["regarding"]["kind"] == "RunnerPool";
        let events = self.list("events.events.k8s.io");
        events.iter().filter(of).map(|one| one["note"].as_str().unwrap().to_owned()).collect()
    }
}

/// An object's name.
pub(crate) fn name(object: &Value) -> String {
    object["metadata"]["name"].as_str().unwrap().to_owned()
}
