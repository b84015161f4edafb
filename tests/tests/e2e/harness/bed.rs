//! The installed product, shared by all scenarios.

use std::sync::{Arc, OnceLock, RwLock};
use std::time::Duration;

use minitower_tests::shape::{int, text};
use minitower_tests::{Http, Team, skip, wait};
use serde_json::{Value, json};

use super::forward::reach;
use super::{Kind, View, Witness, kubectl, settings};

/// The product's namespace.
pub(crate) const SYSTEM: &str = "minitower-system";
/// The control plane's Service, and its port.
const SERVICE: &str = "minitower";
const PORT: u16 = 8080;
const SLUG: &str = "e2e";

/// Held for reading by a scenario that one and the same leader has to see through, and for writing by whom takes the leader away: a leader
/// knows nothing of pools that were deleted before it came.
pub(crate) static LEADER: RwLock<()> = RwLock::new(());

/// The installed product.
#[derive(Debug)]
pub(crate) struct Bed {
    /// The control plane.
    pub(crate) http: Http,
    /// The team of all scenarios.
    pub(crate) team: Team,
    /// What the cluster shows.
    pub(crate) view: Arc<View>,
    /// Who watches the jobs.
    pub(crate) witness: Witness,
    /// The platform's registration token.
    pub(crate) registration_token: String,
    /// The operator's token.
    pub(crate) operator_token: String,
}

/// The installed product; nothing, with the reason told, where there is none.
pub(crate) fn bed() -> Option<&'static Bed> {
    static BED: OnceLock<Bed> = OnceLock::new();
    if let Some(reason) = settings::obstacle() {
        skip::skip(&reason);
        return None;
    }
    Some(BED.get_or_init(Bed::find))
}

impl Bed {
    fn find() -> Self {
        let http = reach(SYSTEM, SERVICE, PORT);
        wait::until("the control plane is ready", Duration::from_secs(60), || {
            http.get("/ready").try_send().is_ok_and(|answer| answer.status == 200).then_some(())
        });
        let token = |key: &str| {
            let path = format!("go-template={{{{index .data \"{key}\" | base64decode}}}}");
            kubectl::run(&["get", "secret", "minitower", "-n", SYSTEM, "-o", &path])
        };
        let request = http.post("/api/v1/bootstrap/team").bearer(&token("bootstrap-token"));
        let made = request.json(json!({"slug": SLUG, "name": "End to end"})).send();
        assert!([200, 201].contains(&made.status), "bootstrap: {}", made.text());
        let made = made.json();
        Self {
            team: Team::new(&http, int(&made, "team_id"), SLUG, &text(&made, "token")),
            view: View::start(),
            witness: Witness::start(),
            registration_token: token("registration-token"),
            operator_token: token("operator-token"),
            http,
        }
    }

    /// The control plane's address, as pods and the operator reach it.
    pub(crate) fn server_url() -> String {
        format!("http://{SERVICE}.{SYSTEM}:{PORT}")
    }

    /// The runners of a pool, as the control plane lists them.
    pub(crate) fn runners(&self, namespace: &str, pool: &str) -> Vec<Value> {
        let path = format!("/api/v1/admin/runners?pool={namespace}%2F{pool}");
        let answer = self.http.get(&path).bearer(&self.operator_token).send().expect_json(200);
        answer["runners"].as_array().expect("a list of runners").clone()
    }

    /// The name of the pod that leads the operator.
    pub(crate) fn leader(&self) -> String {
        self.view.until("the operator has a leader", Duration::from_secs(60), |state| {
            let lease = state.one(Kind::Lease, SYSTEM, "minitower-operator")?;
            let holder = lease["spec"]["holderIdentity"].as_str()?;
            (!holder.is_empty()).then(|| holder.to_owned())
        })
    }
}
