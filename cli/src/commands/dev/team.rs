//! The team of `minitower dev`, and the profile that speaks for it.

use std::time::Duration;

use minitower_client::wire::auth::{BootstrapTeam, Role};
use minitower_client::{Carried, Client, ClientConfig};

use super::error::DevError;
use crate::commands::kept::revoke_own;
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

/// Creates the team, or a new registration token for it, and saves a token of it in the profile.
pub(super) async fn make(context: &Context, url: &str, bootstrap_token: &str) -> Result<Team, Failure> {
    let client = Client::new(&ClientConfig::new(url))?;
    let path = context.profiles_path()?;
    let mut profiles = context.profiles()?;
    remove_dead(&mut profiles).await;
    // Before a token is made, which would be lost.
    profiles.check_saves(&path)?;
    let profile = name(&profiles, url).await;
    let team = BootstrapTeam { slug: NAME.to_owned(), name: "Development".to_owned(), password: None };
    let made = client.bootstrap_team(bootstrap_token, &team).await?;
    let registration_token = made.registration_token.ok_or(DevError::NoRegistrationToken)?;
    let token = match still_good(&profiles, &profile, &client).await {
        Some(token) => {
            // Each start would leave another one otherwise. One that stays does no harm.
            let _ = revoke_own(&client.team(made.token)).await;
            token
        }
        None => made.token,
    };
    keep(&mut profiles, &profile, url, token);
    profiles.save(&path)?;
    let active_profile = profiles.active().map(|(name, _)| name.to_owned()).unwrap_or_default();
    Ok(Team { registration_token, active: active_profile == profile, profile, active_profile })
}

/// The profile's name. Another `minitower dev` that is running keeps its own, and so does a person who has given that
/// name to something else.
async fn name(profiles: &Profiles, url: &str) -> String {
    let is_anothers = match profiles.profiles.get(NAME).filter(|profile| !profile.server.is_empty()) {
        Some(profile) if is_devs(profile) => profile.server != url && is_alive(profile).await,
        profile => profile.is_some(),
    };
    let port = url.rsplit(':').next().unwrap_or_default();
    if is_anothers { format!("{NAME}-{port}") } else { NAME.to_owned() }
}

/// The profile's token, if it is an admin's of our team.
async fn still_good(profiles: &Profiles, name: &str, client: &Client) -> Option<String> {
    let profile =
        profiles.profiles.get(name).filter(|profile| is_devs(profile) && !profile.token.is_empty())?;
    let me = client.team(&profile.token).me().await.ok()?;
    (me.team_slug == NAME && me.role == Role::Admin).then(|| profile.token.clone())
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

/// Removes the profiles of earlier ones that ran beside another: their ports, and with them their names, are chance.
async fn remove_dead(profiles: &mut Profiles) {
    let beside: Vec<_> =
        profiles.profiles.iter().filter(|(name, profile)| is_beside(name, profile)).map(owned).collect();
    for (name, profile) in beside {
        if !is_alive(&profile).await {
            remove(profiles, &name);
        }
    }
}

fn owned((name, profile): (&String, &Profile)) -> (String, Profile) {
    (name.clone(), profile.clone())
}

/// Whether a profile was made for a `minitower dev` that ran beside another.
fn is_beside(name: &str, profile: &Profile) -> bool {
    let port = name.strip_prefix(NAME).and_then(|rest| rest.strip_prefix('-'));
    port.is_some_and(|port| port.parse::<u16>().is_ok()) && is_devs(profile)
}

/// Whether a profile is for the team of a `minitower dev`.
pub(super) fn is_devs(profile: &Profile) -> bool {
    let local = ClientConfig::new(&profile.server).carried().is_ok_and(|carried| carried == Carried::Locally);
    profile.team == NAME && local
}

fn remove(profiles: &mut Profiles, name: &str) {
    profiles.profiles.remove(name);
    if profiles.current_profile == name {
        profiles.current_profile.clear();
    }
}

/// Removes the profile of one that ran beside another and has ended. The usual one stays: its app is remembered.
pub(super) fn forget(context: &Context, team: &Team, url: &str) {
    let (Ok(path), Ok(mut profiles)) = (context.profiles_path(), context.profiles()) else { return };
    let own = profiles.profiles.get(&team.profile).filter(|profile| profile.server == url);
    if own.is_some_and(|profile| is_beside(&team.profile, profile)) {
        remove(&mut profiles, &team.profile);
        // It is tidied up at the next start otherwise.
        let _ = profiles.save(&path);
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

    #[tokio::test]
    async fn dead_profiles_of_earlier_ones_go_and_a_persons_own_stay() {
        let profile = |server: &str, team: &str| Profile {
            server: server.to_owned(),
            team: team.to_owned(),
            token: "t".to_owned(),
            ..Profile::default()
        };
        let mut profiles = Profiles::default();
        // Nobody listens on port 1.
        let (gone, far) = ("http://127.0.0.1:1", "http://h.example:1");
        for (name, server, team) in [
            ("dev-1", gone, "dev"),
            ("dev", gone, "dev"),
            ("dev-2", far, "dev"),
            ("dev-3", gone, "us"),
            ("dev-x", gone, "dev"),
        ] {
            profiles.profiles.insert(name.to_owned(), profile(server, team));
        }
        "dev-1".clone_into(&mut profiles.current_profile);
        remove_dead(&mut profiles).await;
        let left: Vec<_> = profiles.profiles.keys().map(String::as_str).collect();
        assert_eq!(
            (left.as_slice(), profiles.current_profile.as_str()),
            (&["dev", "dev-2", "dev-3", "dev-x"][..], "")
        );
    }

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
