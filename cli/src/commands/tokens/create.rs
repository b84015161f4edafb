//! `minitower tokens create`

use clap::Args;
use minitower_client::wire::auth::CreateToken;

use crate::commands::me::role;
use crate::context::Context;
use crate::failure::{Exit, Failure};

/// Flags of `tokens create`.
#[derive(Debug, Args)]
pub struct Create {
    /// A name for people
    #[arg(long)]
    name: Option<String>,
    /// admin or member; a member's token only ever makes members
    #[arg(long)]
    role: Option<String>,
}

impl Create {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let token = CreateToken { name: self.name, role: self.role };
        let created = context.team()?.create_token(&token).await?;
        if context.out.is_json() {
            context.out.json(&created)?;
            return Ok(Exit::Success);
        }
        // The token alone on standard output, so that a script can take it as it is.
        context.out.note(format_args!(
            "Token {} ({}); it is shown only now:",
            created.token_id,
            role(created.role)
        ));
        context.out.line(&created.token)?;
        Ok(Exit::Success)
    }
}
