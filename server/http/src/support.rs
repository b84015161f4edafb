//! What the tests of this crate share: an app on a database of its own.

use std::path::Path;
use std::time::Duration;

use minitower_app::secrets::Secret;
use minitower_app::{App, Settings};
use tokio_util::sync::CancellationToken;

use crate::domain::clock::Clock;

/// The platform's registration token.
pub(crate) const REGISTRATION_TOKEN: &str = "registration-token";
/// The operator token.
pub(crate) const OPERATOR_TOKEN: &str = "operator-token";

/// An app whose database and objects lie in `folder`.
pub(crate) async fn app(folder: &Path, bootstrap_token: Option<&str>) -> App {
    let settings = Settings {
        db_path: folder.join("minitower.db"),
        objects_dir: folder.join("objects"),
        bootstrap_token: bootstrap_token.and_then(Secret::new),
        registration_token: Secret::new(REGISTRATION_TOKEN),
        operator_token: Secret::new(OPERATOR_TOKEN),
        signup_enabled: true,
        lease_ttl: Duration::from_mins(1),
        expiry_check_interval: Duration::from_secs(10),
        runner_prune_after: None,
        max_artifact_bytes: 64 * 1024,
    };
    App::open(settings, Clock::start(), CancellationToken::new(), |reason| panic!("{reason}")).await.unwrap()
}
