//! The API server that all tests share, and `kubectl` as a person types it.

use std::env;
use std::fs;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{self, ChildStdin, Command, Output, Stdio};
use std::sync::{LazyLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use minitower_tests::programs::source_root;
use minitower_tests::skip::skip;
use minitower_tests::wait;
use serde_json::Value;

/// How long an API server may take to serve a definition that it has accepted.
const KNOWN: Duration = Duration::from_secs(30);

static API: LazyLock<Result<Api, String>> = LazyLock::new(Api::start);
/// Tests that only use the API server share it; those that stop it, or run an operator on it, have it alone.
static IN_USE: RwLock<()> = RwLock::new(());

/// An API server that knows `RunnerPool`.
#[derive(Debug)]
pub(crate) struct Api {
    kubeconfig: PathBuf,
    kubectl: PathBuf,
    cache: PathBuf,
    folder: PathBuf,
    /// When it closes, [`guard`] takes the API server down, however these tests end.
    _alive: Option<ChildStdin>,
}

/// The namespace of one test, deleted with it.
#[derive(Debug)]
pub(crate) struct Namespace {
    api: &'static Api,
    name: String,
    /// Held until the namespace is gone.
    #[allow(dead_code, reason = "a guard")]
    in_use: Option<RwLockReadGuard<'static, ()>>,
}

/// What `kubectl` said.
#[derive(Debug)]
pub(crate) struct Said {
    /// Whether it succeeded.
    pub(crate) ok: bool,
    /// Its standard output.
    pub(crate) out: String,
    /// Its standard error.
    pub(crate) err: String,
}

/// The API server that all tests of the program share. Without one, it says why the test is skipped.
pub(crate) fn api() -> Option<&'static Api> {
    API.as_ref().map_err(|why| skip(why)).ok()
}

/// A namespace on the API server, if there is one, which other tests use at the same time.
pub(crate) fn namespace(name: &str) -> Option<Namespace> {
    let api = api()?;
    let in_use = IN_USE.read().unwrap_or_else(PoisonError::into_inner);
    let mut namespace = api.namespace(name);
    namespace.in_use = Some(in_use);
    Some(namespace)
}

/// The API server, if there is one, for this test alone.
pub(crate) fn alone() -> Option<(&'static Api, RwLockWriteGuard<'static, ()>)> {
    let api = api()?;
    Some((api, IN_USE.write().unwrap_or_else(PoisonError::into_inner)))
}

impl Api {
    /// The cluster that the environment names, else an API server of our own. An error says what this machine lacks.
    fn start() -> Result<Self, String> {
        let folder = env::temp_dir().join(format!("minitower-api-{}", process::id()));
        fs::create_dir_all(&folder).unwrap();
        let alive = Some(guard(&folder));
        let kubeconfig = match env::var_os("MINITOWER_TEST_KUBECONFIG") {
            Some(given) => PathBuf::from(given),
            None => own(&folder)?,
        };
        let Some(kubectl) = find_kubectl() else {
            return Err("kubectl is not installed, and tests/cluster has built none".to_owned());
        };
        let api = Self { kubeconfig, kubectl, cache: folder.join("kubectl-cache"), folder, _alive: alive };
        api.define();
        Ok(api)
    }

    /// A namespace of a test that has the API server alone.
    pub(crate) fn namespace(&'static self, name: &str) -> Namespace {
        let name = format!("test-{name}-{}", process::id());
        self.kubectl(&["create", "namespace", &name], None).expect_ok();
        Namespace { api: self, name, in_use: None }
    }

    /// Tells it what a `RunnerPool` is, and waits until it knows.
    pub(crate) fn define(&self) {
        let file = source_root().join("crds").join(minitower_operator::crd::FILE_NAME);
        self.kubectl(&["apply", "--server-side", "--force-conflicts", "-f", file.to_str().unwrap()], None)
            .expect_ok();
        wait::until("the API server serves RunnerPools", KNOWN, || {
            self.kubectl(&["get", "runnerpools", "--all-namespaces"], None).ok.then_some(())
        });
    }

    /// Where its administrator's kubeconfig is.
    pub(crate) fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// A folder that is removed at the end.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The process id of one of its programs, such as `kube-apiserver`. Only of an API server of our own.
    pub(crate) fn pid(&self, program: &str) -> i32 {
        let text = fs::read_to_string(self.folder.join("api/pids").join(program)).unwrap();
        text.split_whitespace().next().unwrap().parse().unwrap()
    }

    /// Runs `kubectl` as the administrator, with `input` on its standard input.
    pub(crate) fn kubectl(&self, args: &[&str], input: Option<&Value>) -> Said {
        let mut command = Command::new(&self.kubectl);
        command.arg("--kubeconfig").arg(&self.kubeconfig).arg("--cache-dir").arg(&self.cache).args(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        if let Some(input) = input {
            stdin.write_all(input.to_string().as_bytes()).unwrap();
        }
        drop(stdin);
        Said::new(&child.wait_with_output().unwrap())
    }
}

impl Namespace {
    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Runs `kubectl` in the namespace, with `input` on its standard input.
    pub(crate) fn kubectl(&self, args: &[&str], input: Option<&Value>) -> Said {
        let place = ["--namespace", &self.name];
        self.api.kubectl(&[&place, args].concat(), input)
    }

    /// `kubectl apply` of an object.
    pub(crate) fn apply(&self, object: &Value) -> Said {
        self.kubectl(&["apply", "-f", "-"], Some(object))
    }

    /// Whether an object would be accepted, as `kubectl apply` says it; nothing is kept.
    pub(crate) fn try_apply(&self, object: &Value) -> Said {
        self.kubectl(&["apply", "--dry-run=server", "-f", "-"], Some(object))
    }

    /// A pool as the API server has it.
    pub(crate) fn pool(&self, name: &str) -> Value {
        let said = self.kubectl(&["get", "rp", name, "-o", "json"], None).expect_ok();
        serde_json::from_str(&said.out).unwrap()
    }

    /// The scale subresource of a pool.
    pub(crate) fn scale(&self, name: &str) -> Value {
        let path = format!("/apis/minitower.dev/v1alpha1/namespaces/{}/runnerpools/{name}/scale", self.name);
        serde_json::from_str(&self.kubectl(&["get", "--raw", &path], None).expect_ok().out).unwrap()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        self.api.kubectl(&["delete", "namespace", &self.name, "--wait=false"], None);
    }
}

impl Said {
    fn new(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { ok: output.status.success(), out: text(&output.stdout), err: text(&output.stderr) }
    }

    #[track_caller]
    pub(crate) fn expect_ok(self) -> Self {
        assert!(self.ok, "kubectl failed: {}", self.err);
        self
    }
}

/// Starts an API server without nodes below `folder`; the path of its kubeconfig. What fails before anything is started is what the
/// machine lacks; what fails later is a fault.
fn own(folder: &Path) -> Result<PathBuf, String> {
    let home = folder.join("api");
    let output = Command::new(cluster()).arg("api-up").arg(&home).stdin(Stdio::null()).output().unwrap();
    let said = Said::new(&output);
    if said.ok {
        return Ok(home.join("kubeconfig"));
    }
    let why = said.err.lines().find(|line| line.starts_with("error: ")).unwrap_or("error: no reason given");
    assert!(!home.join("pids").exists(), "the API server does not start:\n{}{}", said.out, said.err);
    Err(why.replacen("error: ", "no API server: ", 1))
}

/// Starts a process that takes down what is below `folder`, and the folder, as soon as this one ends or drops what is returned.
fn guard(folder: &Path) -> ChildStdin {
    let script = r#"while read -r _; do :; done; [ ! -f "$1/api/ports" ] || "$0" api-down "$1/api" >/dev/null; rm -rf "$1""#;
    let mut command = Command::new("sh");
    command.args(["-c", script]).arg(cluster()).arg(folder).process_group(0);
    command.stdin(Stdio::piped()).stdout(Stdio::null());
    command.spawn().unwrap().stdin.unwrap()
}

fn cluster() -> PathBuf {
    source_root().join("tests/cluster/cluster")
}

/// The `kubectl` that tests/cluster has built, else that of the machine.
fn find_kubectl() -> Option<PathBuf> {
    let cache = env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")));
    let state = env::var_os("MINITOWER_CLUSTER_DIR")
        .map(PathBuf::from)
        .or_else(|| cache.map(|cache| cache.join("minitower-cluster")));
    let built = state.and_then(|state| fs::read_dir(state.join("bin")).ok());
    let built = built.into_iter().flatten().flatten().map(|entry| entry.path().join("kubectl"));
    let path = env::var_os("PATH").unwrap_or_default();
    let installed: Vec<PathBuf> = env::split_paths(&path).map(|folder| folder.join("kubectl")).collect();
    built.chain(installed).find(|program| program.is_file())
}
