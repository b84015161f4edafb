//! `minitower versions list`

use clap::Args;

use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::output::{Cell, short_sha, time};

/// Flags of `versions list`.
#[derive(Debug, Args)]
pub struct List {
    /// The app; default: the profile's
    #[arg(value_name = "APP")]
    app: Option<String>,
    /// The app, as a flag
    #[arg(long = "app", value_name = "APP", conflicts_with = "app")]
    app_flag: Option<String>,
}

impl List {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let app = context.app(self.app.as_deref().or(self.app_flag.as_deref()))?;
        let versions = context.team()?.versions(&app).await.map_err(|error| {
            Failure::from(error).help_not_found("`minitower apps list` shows the apps there are")
        })?;
        if context.out.is_json() {
            context.out.json(&versions)?;
            return Ok(Exit::Success);
        }
        let rows = versions.versions.iter().map(|version| {
            vec![
                Cell::new(version.version_no),
                Cell::new(&version.entrypoint),
                Cell::new(short_sha(&version.artifact_sha256)),
                Cell::new(time(version.created_at)),
            ]
        });
        let empty = format!("{app} has no versions yet; `minitower deploy` uploads one.");
        context.out.table(
            &["VERSION", "ENTRYPOINT", "SHA256", "CREATED"],
            &rows.collect::<Vec<_>>(),
            &empty,
        )?;
        Ok(Exit::Success)
    }
}
