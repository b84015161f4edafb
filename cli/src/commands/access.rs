//! `minitower login`, `signup`, `logout` and `me`: who you are to a server.

use std::borrow::Cow;
use std::io::{self, IsTerminal};

use clap::Args;
use minitower_client::TeamClient;
use minitower_client::wire::auth;
use serde_json::json;

use crate::commands::kept::{revoke_own, save_new};
use crate::commands::sso;
use crate::commands::tokens::role;
use crate::connection;
use crate::context::Context;
use crate::failure::{Exit, Explained, Failure};
use crate::output::{Cell, clean, time};
use crate::profiles::Profile;

/// Longest password line that is read, in bytes.
const MAX_PASSWORD_BYTES: usize = 4096;

/// Flags of `login`.
#[derive(Debug, Args)]
pub struct Login {
    /// The team's slug; by default the profile's
    #[arg(long, value_name = "SLUG")]
    team: Option<String>,
    /// Sign in with a browser, through the identity provider of the server
    #[arg(long, conflicts_with = "password_stdin")]
    sso: bool,
    #[command(flatten)]
    password: PasswordArgs,
}

/// Flags of `signup`.
#[derive(Debug, Args)]
pub struct Signup {
    /// The team's slug, for example acme
    #[arg(long, value_name = "SLUG")]
    team: String,
    /// The team's name for people; by default the slug
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    password: PasswordArgs,
}

/// Where the password comes from.
#[derive(Debug, Args)]
struct PasswordArgs {
    /// Read the password from standard input
    #[arg(long)]
    password_stdin: bool,
}

/// Why nobody can be logged in or signed up.
#[derive(Debug, thiserror::Error)]
enum AccessError {
    #[error("no team is named")]
    NoTeam,
    #[error("there is no terminal to ask for the password")]
    NoTerminal,
    #[error("cannot read the password")]
    Unreadable(#[source] io::Error),
    #[error("the password is empty")]
    Empty,
    #[error("the password is longer than {MAX_PASSWORD_BYTES} bytes")]
    TooLong,
}

impl Explained for AccessError {
    fn help(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::NoTeam => Some("pass its slug with --team SLUG".into()),
            Self::NoTerminal | Self::Unreadable(_) => {
                Some("pass it on standard input with --password-stdin".into())
            }
            Self::Empty | Self::TooLong => None,
        }
    }
}

impl PasswordArgs {
    /// Asks on the terminal without showing what is typed, or reads the first line of standard input.
    fn read(&self, prompt: &str) -> Result<String, AccessError> {
        let password = if self.password_stdin {
            let mut line = String::new();
            io::stdin().read_line(&mut line).map_err(AccessError::Unreadable)?;
            line.trim_end_matches(['\r', '\n']).to_owned()
        } else if io::stdin().is_terminal() {
            rpassword::prompt_password(prompt).map_err(AccessError::Unreadable)?
        } else {
            return Err(AccessError::NoTerminal);
        };
        match password.len() {
            0 => Err(AccessError::Empty),
            1..=MAX_PASSWORD_BYTES => Ok(password),
            _ => Err(AccessError::TooLong),
        }
    }
}

impl Login {
    /// Exchanges the password, or a sign-in with a browser, for a token and saves it in the profile, which becomes the active one.
    pub async fn run(self, context: &Context) -> Result<Exit, Failure> {
        if self.sso {
            return sso::run(self.team, context).await;
        }
        let path = context.profiles_path()?;
        let mut profiles = context.profiles()?;
        let name = profiles.name_to_change(context.flags.profile.as_deref());
        let mut profile: Profile = profiles.profiles.get(&name).cloned().unwrap_or_default();
        let (server, client) = context.client(Some(&profile))?;
        let team = self.team.unwrap_or_else(|| profile.team.clone());
        if team.is_empty() {
            return Err(AccessError::NoTeam.into());
        }
        let password = self.password.read(&format!("Password of team {team} at {server}: "))?;
        let login = auth::Login { slug: team.clone(), password };
        profiles.check_saves(&path)?;
        let answer = client.login(&login).await.map_err(|error| match error.status() {
            Some(401) => Failure::from(error).help("check team and password, then try again"),
            _ => error.into(),
        })?;
        let made = client.team(answer.token.clone());
        profile.server.clone_from(&server);
        profile.team.clone_from(&team);
        profile.token.clone_from(&answer.token);
        profile.expires_at = None;
        profile.insecure_http |= context.flags.insecure_http;
        profiles.profiles.insert(name.clone(), profile);
        profiles.current_profile.clone_from(&name);
        save_new(&profiles, &path, &made).await?;
        context.out.answer(&json!({"profile": name, "login": answer}), |out| {
            out.line(format_args!("Logged in to {server} as team {team} ({}).", role(answer.role)))?;
            out.note(format_args!("The token is saved in profile {name}, which is now active."));
            Ok(())
        })?;
        Ok(Exit::Success)
    }
}

impl Signup {
    /// Creates the team and saves its token in the profile, which becomes the active one.
    pub async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let path = context.profiles_path()?;
        let mut profiles = context.profiles()?;
        let name = profiles.name_to_change(context.flags.profile.as_deref());
        let (server, client) = context.client(profiles.profiles.get(&name))?;
        let team = self.team;
        let password = self.password.read(&format!("New password of team {team}: "))?;
        let signup =
            auth::Signup { name: self.name.unwrap_or_else(|| team.clone()), slug: team.clone(), password };
        profiles.check_saves(&path)?;
        let answer = client.signup(&signup).await.map_err(|error| match error.status() {
            Some(403) => Failure::from(error).help("ask whoever runs the server to create a team for you"),
            Some(409) => Failure::from(error).help("choose another slug with --team"),
            _ => error.into(),
        })?;
        let made = client.team(answer.token.clone());
        let mut profile =
            Profile { server, team: team.clone(), token: answer.token.clone(), ..Profile::default() };
        profile.insecure_http = context.flags.insecure_http;
        profiles.profiles.insert(name.clone(), profile);
        profiles.current_profile.clone_from(&name);
        save_new(&profiles, &path, &made).await.map_err(|failure| {
            let again =
                format!("the team exists now: `minitower login --team {team}` makes another token for it");
            failure.help(again)
        })?;
        context.out.answer(&json!({"profile": name, "signup": answer}), |out| {
            out.line(format_args!("Created team {team}; you are its admin."))?;
            if let Some(token) = &answer.registration_token {
                out.line(format_args!(
                    "Registration token for its runners, shown only now: {}",
                    clean(token)
                ))?;
            }
            out.note(format_args!("The team token is saved in profile {name}, which is now active."));
            Ok(())
        })?;
        Ok(Exit::Success)
    }
}

/// Asks the server which team, role and person the token has.
pub async fn me(context: &Context) -> Result<Exit, Failure> {
    let me = context.team()?.me().await?;
    context.out.answer(&me, |out| {
        out.details(&[
            ("team", Some(Cell::new(format_args!("{} (id {})", me.team_slug, me.team_id)))),
            ("role", Some(Cell::new(role(me.role)))),
            ("token id", Some(Cell::new(me.token_id))),
            ("person", me.person.as_ref().map(Cell::new)),
            ("expires", me.expires_at.map(|at| Cell::new(time(at)))),
        ])
    })?;
    Ok(Exit::Success)
}

/// Revokes the profile's token, and removes it from the profile. An older server lets admins alone revoke.
pub async fn logout(context: &Context) -> Result<Exit, Failure> {
    let path = context.profiles_path()?;
    let mut profiles = context.profiles()?;
    let name = profiles.name_to_change(context.flags.profile.as_deref());
    let profile = profiles.named(&name)?.1.clone();
    if profile.token.is_empty() {
        context.out.answer(&json!({"profile": name, "revoked": false}), |out| {
            out.line(format_args!("Profile {name} has no token."))
        })?;
        return Ok(Exit::Success);
    }
    profiles.check_saves(&path)?;
    // Only the profile's own server has to do with its token.
    let config = connection::client_config(&context.flags, &context.env, profile.server.clone());
    let team = TeamClient::new(&config, profile.token.clone())?;
    let revoked = revoke_own(&team).await;
    if let Some(profile) = profiles.profiles.get_mut(&name) {
        profile.token.clear();
        profile.expires_at = None;
    }
    profiles.save(&path)?;
    context.out.answer(&json!({"profile": name, "revoked": revoked.is_ok()}), |out| {
        out.line(format_args!("Logged out: the token is removed from profile {name}."))?;
        match &revoked {
            Ok(()) => out.note("It is revoked at the server."),
            Err(why) => out.note(format_args!("It may still work, as it could not be revoked: {why}")),
        }
        Ok(())
    })?;
    Ok(Exit::Success)
}
