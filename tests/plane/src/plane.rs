//! The control plane and the proxy before it, on threads of their own.

use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::TokioExecutor;
use minitower_client::wire::auth::{BootstrapTeam, Signup};
use minitower_client::wire::runner::Register;
use minitower_client::{Client, ClientConfig, TeamClient};
use minitowerd::{Config, ListenAddr, Mapping, OidcSettings, Scopes, Secret, Server, ServiceUrl, Trust};
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::{Handle, Runtime};

use crate::proxy::Proxy;
use crate::record::Record;
use crate::{Answer, Call, Request, Rule, Runner, Team};

/// The bootstrap token of every plane.
pub const BOOTSTRAP_TOKEN: &str = "bootstrap-of-the-tests";
/// The platform's registration token of every plane.
pub const REGISTRATION_TOKEN: &str = "registration-of-the-tests";
/// The operator token of every plane.
pub const OPERATOR_TOKEN: &str = "operator-of-the-tests";

/// How long anything may take in a test; the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(90);

/// A running control plane; ends with the test.
pub struct Plane {
    url: String,
    direct: Direct,
    record: Arc<Record>,
    folder: TempDir,
    server: Option<Server>,
    runtime: Option<Runtime>,
}

/// The way to the server past the proxy.
#[derive(Clone)]
pub(crate) struct Direct {
    pub(crate) config: ClientConfig,
    handle: Handle,
}

impl Direct {
    /// Runs something on the plane's threads and waits for it, whether the caller is within a runtime or not.
    #[track_caller]
    pub(crate) fn run<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> T {
        let (send, receive) = mpsc::channel();
        self.handle.spawn(async move { send.send(work.await) });
        receive.recv().expect("the call ends")
    }

    /// The server's own JSON below `/api/v1`, to the letter: fields that no type of the wire has among them.
    pub(crate) fn get(&self, path: &str, token: &str) -> Value {
        let request = http::Request::get(format!("{}/api/v1{path}", self.config.server_url))
            .header("authorization", format!("Bearer {token}"))
            .body(Empty::<Bytes>::new())
            .unwrap();
        self.run(async move {
            let answer = hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build_http();
            let answer = answer.request(request).await.unwrap();
            assert!(answer.status().is_success(), "{}", answer.status());
            serde_json::from_slice(&answer.into_body().collect().await.unwrap().to_bytes()).unwrap()
        })
    }
}

impl Plane {
    /// A control plane with the defaults of the program and the tokens of this crate.
    pub fn start() -> Self {
        Self::start_with(|_| {})
    }

    /// The same with other settings: a shorter lease, smaller limits.
    pub fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::Builder::new().prefix("minitower-plane-").tempdir().unwrap();
        let mut config = Config {
            listen_addr: ListenAddr { host: Some("127.0.0.1".to_owned()), port: 0 },
            db_path: folder.path().join("minitower.db"),
            objects_dir: folder.path().join("objects"),
            bootstrap_token: Secret::new(BOOTSTRAP_TOKEN),
            runner_registration_token: Secret::new(REGISTRATION_TOKEN),
            operator_token: Secret::new(OPERATOR_TOKEN),
            ..Config::default()
        };
        change(&mut config);
        let record = Arc::new(Record::new());
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let handle = runtime.handle().clone();
        let mut direct = Direct { config: ClientConfig::new(""), handle };
        let (server, url) = direct.run({
            let record = Arc::clone(&record);
            async move {
                let server = Server::start(config).await.expect("the control plane starts");
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                let url = format!("http://{}", listener.local_addr().unwrap());
                tokio::spawn(Proxy::new(record, server.local_addr()).serve(listener));
                (server, url)
            }
        });
        direct.config.server_url = format!("http://{}", server.local_addr());
        Self { url, direct, record, folder, server: Some(server), runtime: Some(runtime) }
    }

    /// The URL for the program under test: the proxy's.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A client's configuration for [`Plane::url`].
    pub fn config(&self) -> ClientConfig {
        ClientConfig::new(&self.url)
    }

    /// The folder of the database and the objects.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A control plane whose people sign in through an identity provider that is not there: what does without it works.
    pub fn start_with_provider() -> Self {
        let url = |url: &str| ServiceUrl::parse(url).unwrap();
        let provider = OidcSettings {
            issuer: url("http://127.0.0.1:9"),
            client_id: "minitower".to_owned(),
            client_secret: None,
            scopes: Scopes::default(),
            groups_claim: "groups".to_owned(),
            name_claim: None,
            teams: Mapping::parse("data=acme:member").unwrap(),
            token_ttl: Duration::from_hours(12),
            public_url: url("https://tower.example.com"),
            trust: Trust::default(),
        };
        Self::start_with(|config| config.oidc = Some(provider))
    }

    /// Creates a team, or another token for it.
    pub fn team(&self, slug: &str) -> Team {
        let team = BootstrapTeam { slug: slug.to_owned(), name: slug.to_owned(), password: None };
        let client = Client::new(&self.direct.config).unwrap();
        let made = self.direct.run(async move { client.bootstrap_team(BOOTSTRAP_TOKEN, &team).await });
        Team::new(&self.direct, made.expect("a team"))
    }

    /// Makes a further team, which nobody needs a token for.
    pub fn sign_up(&self, slug: &str) -> Team {
        let team =
            Signup { slug: slug.to_owned(), name: slug.to_owned(), password: format!("password-of-{slug}") };
        let client = Client::new(&self.direct.config).unwrap();
        let made = self.direct.run(async move { client.signup(&team).await });
        Team::new(&self.direct, made.expect("a team"))
    }

    /// The operator's calls, past the proxy.
    pub fn operator(&self) -> TeamClient {
        TeamClient::new(&self.direct.config, OPERATOR_TOKEN).unwrap()
    }

    /// Registers a runner of the platform that does what the test says.
    pub fn runner(&self, name: &str) -> Runner {
        self.runner_with(REGISTRATION_TOKEN, Register { name: name.to_owned(), ..Register::default() })
    }

    /// Registers a runner with a registration token of the platform or a team.
    pub fn runner_with(&self, registration_token: &str, register: Register) -> Runner {
        Runner::register(&self.direct, registration_token, register)
    }

    /// Runs something to its end on the threads of the plane and waits for it: plain tests reach [`Plane::operator`],
    /// [`Team::client`] and their like this way.
    #[track_caller]
    pub fn run<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> T {
        self.direct.run(work)
    }

    /// Sets the answer to the next such request. If several rules match a request, the first that was set applies.
    pub fn once(&self, call: impl Into<Call>, answer: Answer) -> Rule {
        self.times(1, call, answer)
    }

    /// Sets the answer to the next `count` such requests.
    pub fn times(&self, count: usize, call: impl Into<Call>, answer: Answer) -> Rule {
        assert!(count > 0, "a rule for no request");
        self.record.tell(call.into(), Some(count), answer)
    }

    /// Sets the answer to every such request, until the rule is lifted.
    pub fn always(&self, call: impl Into<Call>, answer: Answer) -> Rule {
        self.record.tell(call.into(), None, answer)
    }

    /// Every such request that no other rule fits is answered so, whenever the others are told.
    pub fn otherwise(&self, call: impl Into<Call>, answer: Answer) -> Rule {
        self.record.tell_last(call.into(), answer)
    }

    /// Removes a rule.
    pub fn lift(&self, rule: Rule) {
        self.record.lift(Some(rule));
    }

    /// Removes all rules.
    pub fn lift_all(&self) {
        self.record.lift(None);
    }

    /// Such requests so far, in the order in which they arrived.
    pub fn requests(&self, call: impl Into<Call>) -> Vec<Request> {
        self.record.requests(&call.into())
    }

    /// How many such requests there were.
    pub fn count(&self, call: impl Into<Call>) -> usize {
        self.requests(call).len()
    }

    /// Waits until `count` such requests have come, and returns all of them. They need not have been answered.
    ///
    /// # Panics
    /// If they have not come within 90 s.
    pub async fn seen(&self, call: impl Into<Call>, count: usize) -> Vec<Request> {
        let call = call.into();
        self.wait(&format!("{count} × {call:?}"), |plane| {
            Some(plane.requests(&call)).filter(|requests| requests.len() >= count)
        })
        .await
    }

    /// Waits until `count` such requests have been answered, and returns those.
    ///
    /// # Panics
    /// If they have not been answered within 90 s.
    pub async fn answered(&self, call: impl Into<Call>, count: usize) -> Vec<Request> {
        let call = call.into().when_answered();
        self.wait(&format!("{count} answers to {call:?}"), |plane| {
            Some(plane.requests(&call)).filter(|requests| requests.len() >= count)
        })
        .await
    }

    /// Waits until `found` returns something. It is called again after each request and each answer.
    ///
    /// # Panics
    /// If it has not within 90 s; the message lists the requests so far.
    pub async fn wait<T>(&self, what: &str, found: impl Fn(&Self) -> Option<T>) -> T {
        let mut changes = self.record.changes();
        let waiting = async {
            loop {
                if let Some(found) = found(self) {
                    return found;
                }
                changes.changed().await.expect("the plane is there");
            }
        };
        let found = tokio::time::timeout(PATIENCE, waiting).await;
        found
            .unwrap_or_else(|_| panic!("not within {PATIENCE:?}: {what}; so far:\n{}", self.record.summary()))
    }

    /// [`Plane::seen`] for plain tests.
    pub fn seen_blocking(&self, call: impl Into<Call>, count: usize) -> Vec<Request> {
        self.direct.handle.block_on(self.seen(call, count))
    }
}

impl Drop for Plane {
    fn drop(&mut self) {
        drop(self.server.take());
        // A runtime must not be waited for within another, where many tests end.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
