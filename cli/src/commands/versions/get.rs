//! `minitower versions get`

use clap::Args;

use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::output::{Cell, time};

/// Flags of `versions get`.
#[derive(Debug, Args)]
pub struct Get {
    /// The version's number
    #[arg(value_name = "NUMBER")]
    version_no: i64,
    /// The app; default: the profile's
    #[arg(long)]
    app: Option<String>,
}

impl Get {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let app = context.app(self.app.as_deref())?;
        let version = context.team()?.version(&app, self.version_no).await.map_err(|error| {
            Failure::from(error).help_not_found(format_args!(
                "`minitower versions list --app {app}` shows the versions there are"
            ))
        })?;
        if context.out.is_json() {
            context.out.json(&version)?;
            return Ok(Exit::Success);
        }
        context.out.details(&[
            ("app", Some(Cell::new(&app))),
            ("version", Some(Cell::new(version.version_no))),
            ("id", Some(Cell::new(version.version_id))),
            ("entrypoint", Some(Cell::new(&version.entrypoint))),
            ("timeout", version.timeout_seconds.map(|seconds| Cell::new(format_args!("{seconds}s")))),
            ("import paths", version.import_paths.map(|paths| Cell::new(paths.join(" ")))),
            ("parameters", version.params_schema.as_ref().map(Cell::new)),
            ("sha256", Some(Cell::new(&version.artifact_sha256))),
            ("created", Some(Cell::new(time(version.created_at)))),
        ])?;
        Ok(Exit::Success)
    }
}
