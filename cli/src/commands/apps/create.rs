//! `minitower apps create`

use clap::Args;
use minitower_client::wire::apps::CreateApp;

use crate::context::Context;
use crate::failure::{Exit, Failure};

/// Flags of `apps create`.
#[derive(Debug, Args)]
pub struct Create {
    /// The app's slug, for example daily-report
    #[arg(value_name = "SLUG", required_unless_present = "slug_flag")]
    slug: Option<String>,
    /// The app's slug, as a flag
    #[arg(long = "slug", value_name = "SLUG", conflicts_with = "slug", hide = true)]
    slug_flag: Option<String>,
    /// A sentence about it
    #[arg(long)]
    description: Option<String>,
}

impl Create {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let slug = self.slug.or(self.slug_flag).unwrap_or_default();
        let app = context.team()?.create_app(&CreateApp { slug, description: self.description }).await?;
        super::show(&context.out, &app)
    }
}
