//! `minitower signup`

use clap::Args;
use minitower_client::wire::auth;
use serde_json::json;

use super::password;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::profiles::Profile;

/// Flags of `signup`.
#[derive(Debug, Args)]
pub struct Signup {
    /// The team's slug, for example acme
    #[arg(long, value_name = "SLUG")]
    team: String,
    /// The team's name for people; default: the slug
    #[arg(long)]
    name: Option<String>,
    /// Read the password from standard input
    #[arg(long)]
    password_stdin: bool,
}

impl Signup {
    /// Makes the team and keeps its token in the profile, which becomes the active one.
    pub async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let path = context.profiles_path()?;
        let mut profiles = context.profiles()?;
        let name = profiles.name_to_change(context.flags.profile.as_deref());
        let (server, client) = context.client(profiles.profiles.get(&name))?;
        let password = password::read(&format!("New password of team {}: ", self.team), self.password_stdin)?;
        let signup = auth::Signup {
            name: self.name.unwrap_or_else(|| self.team.clone()),
            slug: self.team.clone(),
            password,
        };
        let answer = client.signup(&signup).await.map_err(|error| match error.status() {
            Some(403) => Failure::from(error).help("ask whoever runs the server to make a team for you"),
            Some(409) => Failure::from(error).help("choose another slug with --team"),
            _ => error.into(),
        })?;
        let profile =
            Profile { server, team: self.team.clone(), token: answer.token.clone(), ..Profile::default() };
        profiles.profiles.insert(name.clone(), profile);
        profiles.current_profile.clone_from(&name);
        profiles.save(&path)?;
        if context.out.is_json() {
            context.out.json(&json!({"profile": name, "signup": answer}))?;
            return Ok(Exit::Success);
        }
        context.out.line(format_args!("Made team {}; you are its admin.", self.team))?;
        if let Some(token) = &answer.registration_token {
            context.out.line(format_args!("Registration token for its runners, shown only now: {token}"))?;
        }
        context.out.note(format_args!("The team token is kept in profile {name}, which is now active."));
        Ok(Exit::Success)
    }
}
