//! `minitower config`. Tokens are never shown; only whether there is one.

use std::borrow::Cow;

use clap::{Args, Subcommand};
use minitower_client::Client;
use minitower_towerfile::shell;
use serde_json::{Value, json};

use crate::connection;
use crate::context::Context;
use crate::failure::{Exit, Explained, Failure};
use crate::output::{Cell, Tone};
use crate::profiles::{Profile, ProfilesError};

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Config {
    /// Change a profile: its server, token, team or app
    Set(Set),
    /// Show a profile
    Get,
    /// List profiles
    List,
    /// Make a profile active
    Use(Use),
}

/// Flags of `config set`, besides `--server`, `--token` and `--profile`, which every command takes.
#[derive(Debug, Args)]
pub struct Set {
    /// The team's slug
    #[arg(long, value_name = "SLUG")]
    team: Option<String>,
    /// The app of commands that name none
    #[arg(long, value_name = "SLUG")]
    app: Option<String>,
}

/// Flags of `config use`.
#[derive(Debug, Args)]
pub struct Use {
    /// The profile's name
    #[arg(value_name = "PROFILE")]
    name: String,
}

/// `config set` was given nothing to set.
#[derive(Debug, thiserror::Error)]
#[error("nothing to change")]
struct NothingToChange;

impl Explained for NothingToChange {
    fn help(&self) -> Option<Cow<'static, str>> {
        Some("pass --server, --token, --team, --app or --insecure-http".into())
    }
}

impl Config {
    /// Carries the subcommand out.
    pub fn run(self, context: &Context) -> Result<Exit, Failure> {
        match self {
            Self::Set(command) => command.run(context),
            Self::Get => get(context),
            Self::List => list(context),
            Self::Use(command) => command.run(context),
        }
    }
}

/// A profile as `config` shows it to programs.
fn as_json(profile: &Profile) -> Value {
    let text = |value: &String| (!value.is_empty()).then(|| value.clone());
    json!({
        "server": text(&profile.server),
        "team": text(&profile.team),
        "app": text(&profile.app),
        "token_set": !profile.token.is_empty(),
    })
}

fn text(value: &String) -> Cell {
    Cell::optional((!value.is_empty()).then_some(value))
}

fn token(profile: &Profile) -> Cell {
    Cell::new(if profile.token.is_empty() { "not set" } else { "set" })
}

fn get(context: &Context) -> Result<Exit, Failure> {
    let profiles = context.profiles()?;
    let active = profiles.active().map(|(name, _)| name.to_owned());
    let (name, profile) = match &context.flags.profile {
        Some(name) => profiles.named(name)?,
        None => profiles.active().ok_or(ProfilesError::None)?,
    };
    let is_active = active.as_deref() == Some(name);
    let answer = json!({
        "profile": name,
        "is_current": is_active,
        "current_profile": active,
        "config": as_json(profile),
    });
    context.out.answer(&answer, |out| {
        out.details(&[
            ("profile", Some(Cell::new(name))),
            ("active", Some(Cell::new(if is_active { "yes" } else { "no" }))),
            ("server", Some(text(&profile.server))),
            ("team", Some(text(&profile.team))),
            ("app", Some(text(&profile.app))),
            ("token", Some(token(profile))),
        ])
    })?;
    Ok(Exit::Success)
}

fn list(context: &Context) -> Result<Exit, Failure> {
    let all = context.profiles()?;
    let active = all.active().map(|(name, _)| name);
    let profiles = all.profiles.iter();
    let shown = profiles.clone().map(|(name, profile)| {
        json!({"name": name, "is_current": active == Some(name), "config": as_json(profile)})
    });
    let answer = json!({"current_profile": active, "profiles": shown.collect::<Vec<_>>()});
    context.out.answer(&answer, |out| {
        let rows = profiles.map(|(name, profile)| {
            vec![
                if active == Some(name) { Cell::toned("*", Tone::Good) } else { Cell::new("") },
                Cell::new(name),
                text(&profile.server),
                text(&profile.team),
                text(&profile.app),
                token(profile),
            ]
        });
        let empty = "There are no profiles yet; `minitower login --server URL --team SLUG` makes one.";
        let header = ["ACTIVE", "PROFILE", "SERVER", "TEAM", "APP", "TOKEN"];
        out.table(&header, &rows.collect::<Vec<_>>(), empty)
    })?;
    Ok(Exit::Success)
}

impl Set {
    fn run(self, context: &Context) -> Result<Exit, Failure> {
        let flags = &context.flags;
        let values = [&flags.server, &flags.token, &self.team, &self.app];
        if values.iter().all(|value| value.is_none()) && !flags.insecure_http {
            return Err(NothingToChange.into());
        }
        if let Some(server) = flags.server.as_ref().filter(|server| !server.trim().is_empty()) {
            let config = connection::client_config(flags, &context.env, server.trim().to_owned());
            connection::check_ca_file(flags, &config)?;
            Client::new(&config)?;
        }
        let path = context.profiles_path()?;
        let mut profiles = context.profiles()?;
        let name = profiles.name_to_change(flags.profile.as_deref());
        let profile = profiles.profiles.entry(name.clone()).or_default();
        // The token stays with the server it was given for.
        let moves = flags
            .server
            .as_ref()
            .is_some_and(|server| !connection::same_server(&profile.server, server.trim()));
        let forgotten =
            moves && !profile.server.is_empty() && !profile.token.is_empty() && flags.token.is_none();
        if forgotten {
            profile.token.clear();
        }
        if forgotten || flags.token.is_some() {
            profile.expires_at = None;
        }
        profile.insecure_http = flags.insecure_http || (profile.insecure_http && !moves);
        let fields = [&mut profile.server, &mut profile.token, &mut profile.team, &mut profile.app];
        for (field, value) in fields.into_iter().zip(values) {
            if let Some(value) = value {
                value.trim().clone_into(field);
            }
        }
        let answer = json!({"profile": name, "config": as_json(profile)});
        if profiles.current_profile.is_empty() {
            profiles.current_profile.clone_from(&name);
        }
        profiles.save(&path)?;
        context.out.answer(&answer, |out| {
            out.line(format_args!("Changed profile {name}."))?;
            if forgotten {
                let way_out = format!("minitower login --profile {}", shell::quoted(&name));
                out.line(format_args!(
                    "Its token was for the former server and is forgotten: run `{way_out}`, or set --token."
                ))?;
            }
            Ok(())
        })?;
        Ok(Exit::Success)
    }
}

impl Use {
    fn run(self, context: &Context) -> Result<Exit, Failure> {
        let path = context.profiles_path()?;
        let mut profiles = context.profiles()?;
        let server = profiles.named(&self.name)?.1.server.clone();
        profiles.current_profile.clone_from(&self.name);
        profiles.save(&path)?;
        context.out.answer(&json!({"current_profile": self.name}), |out| {
            let server = if server.is_empty() { ".".to_owned() } else { format!(": {server}") };
            out.line(format_args!("Profile {} is active{server}", self.name))
        })?;
        Ok(Exit::Success)
    }
}
