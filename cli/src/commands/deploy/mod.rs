//! `minitower deploy`

mod bounded;
mod dependencies;
mod project;
mod pythons;

use std::borrow::Cow;
use std::fmt::Write;
use std::fs::File;
use std::io;
use std::path::PathBuf;

use clap::Args;
use minitower_client::wire::apps::{CreateApp, Version};
use minitower_client::{TeamClient, Upload};
use minitower_towerfile::{PackReport, Towerfile, plan, shell, slug};
use serde_json::json;

use self::project::Project;
use self::pythons::Asked;
use super::versions::upload_with_progress;
use crate::context::Context;
use crate::failure::{Exit, Explained, Failure};
use crate::output::{Cell, Output, OutputError, bytes, short_sha};

/// Flags of `deploy`.
#[derive(Debug, Args)]
pub struct Deploy {
    /// The project's folder, with its Towerfile
    #[arg(long, default_value = ".", value_name = "FOLDER")]
    dir: PathBuf,
    /// The app to deploy to; by default app.name of the Towerfile
    #[arg(long, value_name = "NAME", value_parser = slug_argument)]
    app: Option<String>,
    /// Only warn about unknown keys in the Towerfile
    #[arg(long)]
    allow_unknown: bool,
    /// Make runners install the dependencies again, even if nothing has changed
    #[arg(long)]
    refresh: bool,
    /// Make a new version even if the newest one is the same
    #[arg(long)]
    force: bool,
}

/// Why a version is not deployed.
#[derive(Debug, thiserror::Error)]
enum DeployError {
    #[error("cannot create a temporary file")]
    TemporaryFile(#[source] io::Error),
    #[error("version {version_no} arrived damaged: {sent} was sent, {arrived} arrived")]
    Damaged { version_no: i64, sent: String, arrived: String },
    #[error("app.name = {written:?} would be deployed as {app}, but that app was deployed as {before:?}")]
    AnotherApp { app: String, written: String, before: String },
}

impl Explained for DeployError {
    fn help(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::TemporaryFile(_) => None,
            Self::Damaged { .. } => {
                Some("deploy again; if it happens again, something changes uploads on their way".into())
            }
            Self::AnotherApp { app, .. } => Some(
                format!("choose another name with --app NAME; if it is the same app, pass --app {app}")
                    .into(),
            ),
        }
    }
}

/// What was deployed, or was there already.
struct Deployed {
    version: Version,
    packed: PackReport,
    created: bool,
    unchanged: bool,
}

impl Deploy {
    /// Packs the folder, creates the app if there is none, and uploads what the newest version is not already.
    pub async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let project = Project::read(context, &self.dir, self.app.as_deref(), self.allow_unknown)?;
        let (towerfile, app) = (&project.towerfile, &project.app);
        let team = context.team()?;
        let limit = largest_archive(&team).await?;
        // A file without a name: nothing of it stays, however the program ends.
        let archive = tempfile::tempfile().map_err(DeployError::TemporaryFile)?;
        let (packed, pythons) = self.pack(context, &project, &archive, limit)?;
        let created = ensure_app(&team, app, towerfile).await?;
        let newest = if created { None } else { team.find_version(app, None).await? };
        if let (None, Some(written)) = (&self.app, &project.written_name) {
            check_same_app(newest.as_ref(), app, written)?;
            context.out.note(format_args!(
                "app.name = {written:?} is not a valid name here, so it is deployed as {app}. \
                 Write name = {app:?}, or choose another name with --app NAME"
            ));
        }
        // The archive holds the Towerfile, and with it all that the version says of itself.
        let same = newest.filter(|newest| !self.force && newest.artifact_sha256 == packed.sha256);
        let unchanged = same.is_some();
        let version = match same {
            Some(version) => version,
            None => upload(context, &team, app, archive, &packed).await?,
        };
        if let Some(warning) = pythons.missing(&team).await {
            context.out.warn(warning);
        }
        show(&context.out, &project, &Deployed { version, packed, created, unchanged })?;
        Ok(Exit::Success)
    }

    fn pack(
        &self,
        context: &Context,
        project: &Project,
        archive: &File,
        limit: Option<u64>,
    ) -> Result<(PackReport, Asked), Failure> {
        let towerfile = &project.towerfile;
        let mut plan = plan(&self.dir, towerfile).map_err(Failure::of)?;
        dependencies::check(&self.dir, towerfile, &plan)?;
        for note in &plan.notes {
            context.out.warn(note);
        }
        if let Some(note) = dependencies::left_behind(&self.dir, towerfile, &plan) {
            context.out.warn(note);
        }
        let pythons = Asked::by(towerfile, dependencies::requires_python(&self.dir, &plan));
        if let Some(text) = project.packed_text(self.refresh) {
            plan = plan.with_towerfile(text);
        }
        let progress = context.out.progress("Packing", plan.total_bytes);
        let report = bounded::write(&plan, archive, limit, |packed| progress.set(packed));
        progress.clear();
        Ok((report?, pythons))
    }
}

fn show(out: &Output, project: &Project, deployed: &Deployed) -> Result<(), OutputError> {
    let (app, Deployed { version, packed, created, unchanged }) = (&project.app, deployed);
    let answer = json!({
        "app": app,
        "app_created": created,
        "unchanged": unchanged,
        "files": packed.files,
        "bytes": packed.bytes,
        "version": version,
    });
    out.answer(&answer, |out| {
        if *created {
            out.line(format_args!("Created app {app}."))?;
        }
        let number = version.version_no;
        if *unchanged {
            out.line(format_args!("Unchanged: {app} version {number} is the same."))?;
        } else {
            out.line(format_args!("Deployed {app} version {number}."))?;
        }
        let files = if packed.files == 1 { "1 file".to_owned() } else { format!("{} files", packed.files) };
        out.details(&[
            ("  size", Some(Cell::new(format_args!("{}, {files}", bytes(packed.bytes))))),
            ("  sha256", Some(Cell::new(short_sha(&version.artifact_sha256)))),
        ])?;
        if *unchanged {
            out.note("`minitower deploy --force` makes a new version of it all the same.");
        }
        out.note(format_args!("Run it: `{}`", next_command(app, &project.towerfile)));
        Ok(())
    })
}

/// Bytes of the largest archive that the server takes, if it says so.
async fn largest_archive(team: &TeamClient) -> Result<Option<u64>, Failure> {
    match team.me().await {
        Ok(me) => Ok(me.max_artifact_bytes),
        // The token of an attempt is nobody's. The server still has its limit, and tells it after the upload.
        Err(error) if error.status() == Some(403) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

async fn upload(
    context: &Context,
    team: &TeamClient,
    app: &str,
    archive: File,
    packed: &PackReport,
) -> Result<Version, Failure> {
    let upload = Upload::new(archive, format!("{app}.tar.gz"));
    let version = upload_with_progress(context, team, app, upload).await?;
    if version.artifact_sha256 == packed.sha256 {
        return Ok(version);
    }
    let (version_no, sent, arrived) = (version.version_no, packed.sha256.clone(), version.artifact_sha256);
    Err(DeployError::Damaged { version_no, sent, arrived }.into())
}

fn slug_argument(text: &str) -> Result<String, String> {
    let Some(rule) = slug::violation(text) else { return Ok(text.to_owned()) };
    let near = slug::nearest(text).map(|slug| format!("; {slug} would do")).unwrap_or_default();
    Err(format!("it must {rule}{near}"))
}

/// Creates the app if there is none, and returns whether it did.
async fn ensure_app(team: &TeamClient, slug: &str, towerfile: &Towerfile) -> Result<bool, Failure> {
    match team.app(slug).await {
        Ok(_) => return Ok(false),
        Err(error) if error.status() == Some(404) => {}
        Err(error) => return Err(error.into()),
    }
    let app = CreateApp { slug: slug.to_owned(), description: towerfile.description.clone() };
    match team.create_app(&app).await {
        Ok(_) => Ok(true),
        // Somebody else has just created it.
        Err(error) if error.code() == Some("slug_taken") => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Two names that are not slugs may be translated to the same slug. Refuses to add a version to an app whose newest
/// version has a Towerfile with another name.
fn check_same_app(newest: Option<&Version>, app: &str, written: &str) -> Result<(), DeployError> {
    let before = newest.and_then(|version| project::name_of(version.towerfile_toml.as_ref()?));
    match before.filter(|before| before != written) {
        None => Ok(()),
        Some(before) => {
            Err(DeployError::AnotherApp { app: app.to_owned(), written: written.to_owned(), before })
        }
    }
}

/// The command that runs what was deployed, with the parameters that have no default.
fn next_command(app: &str, towerfile: &Towerfile) -> String {
    let mut command = format!("minitower run {app}");
    for parameter in towerfile.parameters.iter().filter(|parameter| parameter.default.is_none()) {
        // Writing to a string cannot fail.
        let _ = write!(command, " -p {}…", shell::quoted(&format!("{}=", parameter.name)));
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_command_names_the_parameters_without_default() {
        let text = r#"
            [app]
            name = "hello"
            script = "main.py"
            [[parameters]]
            name = "a"
            [[parameters]]
            name = "a b"
            [[parameters]]
            name = "b"
            default = "x"
        "#;
        let (towerfile, _) = Towerfile::parse(text).unwrap();
        assert_eq!(next_command("hello", &towerfile), "minitower run hello -p a=… -p 'a b='…");
    }
}
