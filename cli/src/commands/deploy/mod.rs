//! `minitower deploy`

mod dependencies;
mod project;
mod pythons;

use std::fmt::Write;
use std::path::PathBuf;

use clap::Args;
use minitower_client::wire::apps::CreateApp;
use minitower_client::{TeamClient, Upload};
use minitower_towerfile::{PackReport, Towerfile, plan, slug};
use serde_json::json;

use self::project::Project;
use self::pythons::Asked;
use super::versions::upload_with_progress;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::output::{Cell, bytes, short_sha};

/// Flags of `deploy`.
#[derive(Debug, Args)]
pub struct Deploy {
    /// The project's folder, with its Towerfile
    #[arg(long, default_value = ".", value_name = "FOLDER")]
    dir: PathBuf,
    /// The app that gets the version; default: app.name of the Towerfile
    #[arg(long, value_name = "NAME", value_parser = slug_argument)]
    app: Option<String>,
    /// Only warn about keys of the Towerfile that nothing reads
    #[arg(long)]
    allow_unknown: bool,
    /// Have runners install the dependencies anew, although nothing has changed
    #[arg(long)]
    refresh: bool,
}

impl Deploy {
    /// Packs, makes the app if there is none, uploads.
    pub async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let project = Project::read(context, &self.dir, self.app.as_deref(), self.allow_unknown)?;
        let (towerfile, app) = (&project.towerfile, &project.app);
        let team = context.team()?;
        // Without a name: whatever ends the program, nothing of it stays.
        let archive = tempfile::tempfile()
            .map_err(|error| Failure::new(format!("cannot make a temporary file: {error}")))?;
        let (packed, pythons) = self.pack(context, &project, &archive)?;
        let created = ensure_app(&team, app, towerfile).await?;
        if let (None, Some(written)) = (&self.app, &project.written_name) {
            if !created {
                check_same_app(&team, app, written).await?;
            }
            context.out.note(format_args!(
                "app.name = {written:?} is not a name that an app can have here: it is deployed as {app}. \
                 Write name = {app:?}, or choose another with --app NAME"
            ));
        }
        let upload = Upload::new(archive, format!("{app}.tar.gz"));
        let version = upload_with_progress(context, &team, app, upload).await?;
        if version.artifact_sha256 != packed.sha256 {
            return Err(Failure::new(format!(
                "version {} arrived damaged: {} was sent, {} arrived",
                version.version_no, packed.sha256, version.artifact_sha256
            ))
            .help("deploy again, and look for what changes uploads on their way"));
        }
        if let Some(warning) = pythons.missing(&team).await {
            context.out.warn(warning);
        }
        if context.out.is_json() {
            context.out.json(&json!({
                "app": app,
                "app_created": created,
                "files": packed.files,
                "bytes": packed.bytes,
                "version": version,
            }))?;
            return Ok(Exit::Success);
        }
        if created {
            context.out.line(format_args!("Made app {app}."))?;
        }
        context.out.line(format_args!("Deployed {app} version {}.", version.version_no))?;
        let files = if packed.files == 1 { "1 file".to_owned() } else { format!("{} files", packed.files) };
        context.out.details(&[
            ("  size", Some(Cell::new(format_args!("{}, {files}", bytes(packed.bytes))))),
            ("  sha256", Some(Cell::new(short_sha(&version.artifact_sha256)))),
        ])?;
        context.out.note(format_args!("Run it: `{}`", next_command(app, towerfile)));
        Ok(Exit::Success)
    }

    fn pack(
        &self,
        context: &Context,
        project: &Project,
        archive: &std::fs::File,
    ) -> Result<(PackReport, Asked), Failure> {
        let towerfile = &project.towerfile;
        let mut plan = plan(&self.dir, towerfile).map_err(Failure::new)?;
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
        let report = plan.write(archive, |packed| progress.set(packed));
        progress.clear();
        Ok((report.map_err(Failure::new)?, pythons))
    }
}

fn slug_argument(text: &str) -> Result<String, String> {
    let Some(rule) = slug::violation(text) else { return Ok(text.to_owned()) };
    let near = slug::nearest(text).map(|slug| format!("; {slug} would do")).unwrap_or_default();
    Err(format!("it must {rule}{near}"))
}

/// Makes the app when there is none; says whether it did.
async fn ensure_app(team: &TeamClient, slug: &str, towerfile: &Towerfile) -> Result<bool, Failure> {
    match team.app(slug).await {
        Ok(_) => return Ok(false),
        Err(error) if error.status() == Some(404) => {}
        Err(error) => return Err(error.into()),
    }
    let app = CreateApp { slug: slug.to_owned(), description: towerfile.description.clone() };
    match team.create_app(&app).await {
        Ok(_) => Ok(true),
        // Somebody else was faster.
        Err(error) if error.code() == Some("slug_taken") => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Two names that are no slugs may stand for the same one. Refuses to make a version of an app whose newest version
/// has a Towerfile of another name.
async fn check_same_app(team: &TeamClient, app: &str, written: &str) -> Result<(), Failure> {
    let newest = team.find_version(app, None).await?;
    let Some(before) = newest.and_then(|version| project::name_of(&version.towerfile_toml?)) else {
        return Ok(());
    };
    if before == written {
        return Ok(());
    }
    Err(Failure::new(format!(
        "app.name = {written:?} would be deployed as {app}, but that app was deployed as {before:?}"
    ))
    .help(format_args!("choose another name with --app NAME; if it is the same app, give --app {app}")))
}

/// The command that runs what was deployed, with the parameters that have no default.
fn next_command(app: &str, towerfile: &Towerfile) -> String {
    let mut command = format!("minitower runs create {app}");
    for parameter in towerfile.parameters.iter().filter(|parameter| parameter.default.is_none()) {
        // Writing to a string cannot fail.
        let _ = write!(command, " -p {}=…", parameter.name);
    }
    command + " --wait"
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
            name = "b"
            default = "x"
        "#;
        let (towerfile, _) = Towerfile::parse(text).unwrap();
        assert_eq!(next_command("hello", &towerfile), "minitower runs create hello -p a=… --wait");
    }
}
