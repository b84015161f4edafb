//! `minitower config`: one file per subcommand. Tokens are never shown: whether there is one is.

mod get;
mod list;
mod set;
mod use_profile;

use clap::Subcommand;
use serde_json::{Value, json};

use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::profiles::Profile;

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Config {
    /// Change a profile: its server, token, team or app
    Set(set::Set),
    /// Show a profile
    Get,
    /// List profiles
    List,
    /// Make a profile the active one
    Use(use_profile::Use),
}

impl Config {
    /// Carries the subcommand out.
    pub fn run(self, context: &Context) -> Result<Exit, Failure> {
        match self {
            Self::Set(command) => command.run(context),
            Self::Get => get::run(context),
            Self::List => list::run(context),
            Self::Use(command) => command.run(context),
        }
    }
}

fn as_json(profile: &Profile) -> Value {
    let text = |value: &String| (!value.is_empty()).then(|| value.clone());
    json!({
        "server": text(&profile.server),
        "team": text(&profile.team),
        "app": text(&profile.app),
        "token_set": !profile.token.is_empty(),
    })
}
