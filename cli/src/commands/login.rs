//! `minitower login`

use clap::Args;
use minitower_client::wire::auth;
use serde_json::json;

use super::password;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::profiles::Profile;

/// Flags of `login`.
#[derive(Debug, Args)]
pub struct Login {
    /// The team's slug; default: the profile's
    #[arg(long, value_name = "SLUG")]
    team: Option<String>,
    /// Read the password from standard input
    #[arg(long)]
    password_stdin: bool,
}

impl Login {
    /// Exchanges the password for a token and keeps it in the profile, which becomes the active one.
    pub async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let path = context.profiles_path()?;
        let mut profiles = context.profiles()?;
        let name = profiles.name_to_change(context.flags.profile.as_deref());
        let mut profile: Profile = profiles.profiles.get(&name).cloned().unwrap_or_default();
        let (server, client) = context.client(Some(&profile))?;
        let team = self.team.or_else(|| Some(profile.team.clone())).filter(|team| !team.is_empty());
        let team =
            team.ok_or_else(|| Failure::new("no team is named").help("give its slug with --team SLUG"))?;
        let password =
            password::read(&format!("Password of team {team} at {server}: "), self.password_stdin)?;
        let answer = client.login(&auth::Login { slug: team.clone(), password }).await.map_err(|error| {
            let refused = error.status() == Some(401);
            let failure = Failure::from(error);
            if refused { failure.help("check team and password, then try again") } else { failure }
        })?;
        profile.server.clone_from(&server);
        profile.team.clone_from(&team);
        profile.token.clone_from(&answer.token);
        profiles.profiles.insert(name.clone(), profile);
        profiles.current_profile.clone_from(&name);
        profiles.save(&path)?;
        if context.out.is_json() {
            context.out.json(&json!({"profile": name, "login": answer}))?;
        } else {
            let role = super::me::role(answer.role);
            context.out.line(format_args!("Logged in to {server} as team {team} ({role})."))?;
            context.out.note(format_args!("The token is kept in profile {name}, which is now active."));
        }
        Ok(Exit::Success)
    }
}
