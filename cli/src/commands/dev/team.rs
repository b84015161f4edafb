//! The team of `minitower dev`, and the profile that speaks for it.

use minitower_client::wire::auth::BootstrapTeam;
use minitower_client::{Client, ClientConfig};

use crate::context::Context;
use crate::failure::Failure;
use crate::profiles::{Profile, Profiles};

/// Slug of the team and name of the profile.
pub(super) const NAME: &str = "dev";

/// What was made.
pub(super) struct Team {
    /// For the runner.
    pub(super) registration_token: String,
    /// Whether commands use the profile without being told.
    pub(super) active: bool,
    /// The profile they use otherwise.
    pub(super) active_profile: String,
}

/// Makes the team, or a new token for it, and keeps the token in the profile.
pub(super) async fn make(context: &Context, url: &str, bootstrap_token: &str) -> Result<Team, Failure> {
    let client = Client::new(&ClientConfig::new(url))?;
    let team = BootstrapTeam { slug: NAME.to_owned(), name: "Development".to_owned(), password: None };
    let made = client.bootstrap_team(bootstrap_token, &team).await?;
    let registration_token = made
        .registration_token
        .ok_or_else(|| Failure::new("the control plane gave no registration token for the runner"))?;
    let path = context.profiles_path()?;
    let mut profiles = context.profiles()?;
    keep(&mut profiles, url, made.token);
    profiles.save(&path)?;
    let active_profile = profiles.active().map(|(name, _)| name.to_owned()).unwrap_or_default();
    Ok(Team { registration_token, active: active_profile == NAME, active_profile })
}

/// Takes the place of no profile a person has chosen.
fn keep(profiles: &mut Profiles, server: &str, token: String) {
    if profiles.active().is_none() {
        NAME.clone_into(&mut profiles.current_profile);
    }
    let profile = profiles.profiles.entry(NAME.to_owned()).or_default();
    let app = std::mem::take(&mut profile.app);
    *profile = Profile { server: server.to_owned(), token, team: NAME.to_owned(), app, ..Profile::default() };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_profile_becomes_active_only_where_none_was_chosen() {
        let mut profiles = Profiles::default();
        keep(&mut profiles, "http://h:1", "t1".to_owned());
        assert_eq!(profiles.active().unwrap().0, NAME);
        keep(&mut profiles, "http://h:2", "t2".to_owned());
        assert_eq!(profiles.active().unwrap().1.token, "t2");

        profiles.profiles.insert("work".to_owned(), Profile::default());
        "work".clone_into(&mut profiles.current_profile);
        keep(&mut profiles, "http://h:3", "t3".to_owned());
        assert_eq!(profiles.active().unwrap().0, "work");
        assert_eq!(profiles.profiles[NAME].server, "http://h:3");
    }
}
