//! The team of `minitower dev`, and the profile that speaks for it.

use std::time::Duration;

use minitower_client::wire::auth::BootstrapTeam;
use minitower_client::{Client, ClientConfig};

use super::error::DevError;
use crate::context::Context;
use crate::failure::Failure;
use crate::profiles::{Profile, Profiles};

/// Slug of the team, and name of the profile unless another `minitower dev` uses it.
pub(super) const NAME: &str = "dev";
/// The runner's name.
pub(super) const RUNNER: &str = "dev-runner";
/// How long the server of an existing profile may take to answer.
const ALIVE_WITHIN: Duration = Duration::from_secs(1);

/// The team and its profile.
pub(super) struct Team {
    /// For the runner.
    pub(super) registration_token: String,
    /// The profile's name.
    pub(super) profile: String,
    /// Whether commands use the profile by default.
    pub(super) active: bool,
    /// The profile that commands use by default.
    pub(super) active_profile: String,
}

/// Creates the team, or a new token for it, and saves the token in the profile.
pub(super) async fn make(context: &Context, url: &str, bootstrap_token: &str) -> Result<Team, Failure> {
    let client = Client::new(&ClientConfig::new(url))?;
    let team = BootstrapTeam { slug: NAME.to_owned(), name: "Development".to_owned(), password: None };
    let made = client.bootstrap_team(bootstrap_token, &team).await?;
    let registration_token = made.registration_token.ok_or(DevError::NoRegistrationToken)?;
    let path = context.profiles_path()?;
    let mut profiles = context.profiles()?;
    let profile = name(&profiles, url).await;
    keep(&mut profiles, &profile, url, made.token);
    profiles.save(&path)?;
    let active_profile = profiles.active().map(|(name, _)| name.to_owned()).unwrap_or_default();
    Ok(Team { registration_token, active: active_profile == profile, profile, active_profile })
}

/// The profile's name. Another `minitower dev` that is running keeps its own.
async fn name(profiles: &Profiles, url: &str) -> String {
    match profiles.profiles.get(NAME) {
        Some(other) if other.server != url && is_alive(other).await => {
            let port = url.rsplit(':').next().unwrap_or_default();
            format!("{NAME}-{port}")
        }
        _ => NAME.to_owned(),
    }
}

/// Whether the profile's server answers and accepts its token.
async fn is_alive(profile: &Profile) -> bool {
    let mut config = ClientConfig::new(&profile.server);
    config.connect_timeout = ALIVE_WITHIN;
    config.request_timeout = ALIVE_WITHIN;
    match Client::new(&config) {
        Ok(client) => client.team(&profile.token).me().await.is_ok(),
        Err(_) => false,
    }
}

/// Adds the profile. It becomes active only if no other one is.
fn keep(profiles: &mut Profiles, name: &str, server: &str, token: String) {
    if profiles.active().is_none() {
        name.clone_into(&mut profiles.current_profile);
    }
    let profile = profiles.profiles.entry(name.to_owned()).or_default();
    let app = std::mem::take(&mut profile.app);
    *profile = Profile { server: server.to_owned(), token, team: NAME.to_owned(), app, ..Profile::default() };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_profile_becomes_active_only_where_none_was_chosen() {
        let mut profiles = Profiles::default();
        keep(&mut profiles, NAME, "http://h:1", "t1".to_owned());
        assert_eq!(profiles.active().unwrap().0, NAME);
        keep(&mut profiles, NAME, "http://h:2", "t2".to_owned());
        assert_eq!(profiles.active().unwrap().1.token, "t2");

        profiles.profiles.insert("work".to_owned(), Profile::default());
        "work".clone_into(&mut profiles.current_profile);
        keep(&mut profiles, NAME, "http://h:3", "t3".to_owned());
        assert_eq!(profiles.active().unwrap().0, "work");
        assert_eq!(profiles.profiles[NAME].server, "http://h:3");
    }
}
