//! `minitower config use`

use clap::Args;
use serde_json::json;

use crate::context::Context;
use crate::failure::{Exit, Failure};

/// Flags of `config use`.
#[derive(Debug, Args)]
pub struct Use {
    /// The profile's name
    #[arg(value_name = "PROFILE")]
    name: String,
}

impl Use {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let path = context.profiles_path()?;
        let mut profiles = context.profiles()?;
        let server = profiles.named(&self.name)?.1.server.clone();
        profiles.current_profile.clone_from(&self.name);
        profiles.save(&path)?;
        if context.out.is_json() {
            context.out.json(&json!({"current_profile": self.name}))?;
        } else if server.is_empty() {
            context.out.line(format_args!("Profile {} is active.", self.name))?;
        } else {
            context.out.line(format_args!("Profile {} is active: {server}", self.name))?;
        }
        Ok(Exit::Success)
    }
}
