//! `minitower config set`

use clap::Args;
use serde_json::json;

use super::as_json;
use crate::context::Context;
use crate::failure::{Exit, Failure};

/// Flags of `config set`, besides `--server`, `--token` and `--profile`, which every command takes.
#[derive(Debug, Args)]
pub struct Set {
    /// The team's slug
    #[arg(long, value_name = "SLUG")]
    team: Option<String>,
    /// The app meant when a command names none
    #[arg(long, value_name = "SLUG")]
    app: Option<String>,
}

impl Set {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let flags = &context.flags;
        let values = [&flags.server, &flags.token, &self.team, &self.app];
        if values.iter().all(|value| value.is_none()) {
            return Err(
                Failure::new("nothing to change").help("give one of --server, --token, --team, --app")
            );
        }
        let path = context.profiles_path()?;
        let mut profiles = context.profiles()?;
        let name = profiles.name_to_change(flags.profile.as_deref());
        let profile = profiles.profiles.entry(name.clone()).or_default();
        let fields = [&mut profile.server, &mut profile.token, &mut profile.team, &mut profile.app];
        for (field, value) in fields.into_iter().zip(values) {
            if let Some(value) = value {
                value.trim().clone_into(field);
            }
        }
        let shown = as_json(profile);
        if profiles.current_profile.is_empty() {
            profiles.current_profile.clone_from(&name);
        }
        profiles.save(&path)?;
        if context.out.is_json() {
            context.out.json(&json!({"profile": name, "config": shown}))?;
        } else {
            context.out.line(format_args!("Changed profile {name}."))?;
        }
        Ok(Exit::Success)
    }
}
