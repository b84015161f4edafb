//! `minitower apps get`

use clap::Args;

use crate::context::Context;
use crate::failure::{Exit, Failure};

/// Flags of `apps get`.
#[derive(Debug, Args)]
pub struct Get {
    /// The app's slug
    app: String,
}

impl Get {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let app = context.team()?.app(&self.app).await.map_err(|error| {
            Failure::from(error).help_not_found("`minitower apps list` shows the apps there are")
        })?;
        super::show(&context.out, &app)
    }
}
