//! `minitower deploy`

use std::fmt::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use minitower_client::wire::apps::CreateApp;
use minitower_client::{TeamClient, Upload};
use minitower_towerfile::{PackReport, TOWERFILE, Towerfile, plan};
use serde_json::json;

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
}

impl Deploy {
    /// Packs, makes the app if there is none, uploads.
    pub async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let towerfile = read(context, &self.dir)?;
        let team = context.team()?;
        // Without a name: whatever ends the program, nothing of it stays.
        let archive = tempfile::tempfile()
            .map_err(|error| Failure::new(format!("cannot make a temporary file: {error}")))?;
        let packed = pack(context, &self.dir, &towerfile, &archive)?;
        let created = ensure_app(&team, &towerfile.name).await?;
        let upload = Upload::new(archive, format!("{}.tar.gz", towerfile.name));
        let version = upload_with_progress(context, &team, &towerfile.name, upload).await?;
        if version.artifact_sha256 != packed.sha256 {
            return Err(Failure::new(format!(
                "version {} arrived damaged: {} was sent, {} arrived",
                version.version_no, packed.sha256, version.artifact_sha256
            ))
            .help("deploy again, and look for what changes uploads on their way"));
        }
        if context.out.is_json() {
            context.out.json(&json!({
                "app": towerfile.name,
                "app_created": created,
                "files": packed.files,
                "bytes": packed.bytes,
                "version": version,
            }))?;
            return Ok(Exit::Success);
        }
        if created {
            context.out.line(format_args!("Made app {}.", towerfile.name))?;
        }
        context.out.line(format_args!("Deployed {} version {}.", towerfile.name, version.version_no))?;
        let files = if packed.files == 1 { "1 file".to_owned() } else { format!("{} files", packed.files) };
        context.out.details(&[
            ("  size", Some(Cell::new(format_args!("{}, {files}", bytes(packed.bytes))))),
            ("  sha256", Some(Cell::new(short_sha(&version.artifact_sha256)))),
        ])?;
        context.out.note(format_args!("Run it: `{}`", next_command(&towerfile)));
        Ok(Exit::Success)
    }
}

fn read(context: &Context, dir: &Path) -> Result<Towerfile, Failure> {
    let path = dir.join(TOWERFILE);
    let text = std::fs::read_to_string(&path).map_err(|error| {
        let failure = Failure::new(format!("cannot read {}: {error}", path.display()));
        match error.kind() {
            std::io::ErrorKind::NotFound => {
                failure.help("`minitower init` writes one; --dir names another folder")
            }
            _ => failure,
        }
    })?;
    let (towerfile, warnings) =
        Towerfile::parse(&text).map_err(|error| Failure::new(format!("{}: {error}", path.display())))?;
    for warning in warnings {
        context.out.warn(format_args!("{}: {warning}", path.display()));
    }
    Ok(towerfile)
}

fn pack(
    context: &Context,
    dir: &Path,
    towerfile: &Towerfile,
    archive: &std::fs::File,
) -> Result<PackReport, Failure> {
    let plan = plan(dir, towerfile).map_err(Failure::new)?;
    for note in &plan.notes {
        context.out.warn(note);
    }
    let progress = context.out.progress("Packing", plan.total_bytes);
    let report = plan.write(archive, |packed| progress.set(packed));
    progress.clear();
    report.map_err(Failure::new)
}

/// Makes the app when there is none; says whether it did.
async fn ensure_app(team: &TeamClient, slug: &str) -> Result<bool, Failure> {
    match team.app(slug).await {
        Ok(_) => return Ok(false),
        Err(error) if error.status() == Some(404) => {}
        Err(error) => return Err(error.into()),
    }
    match team.create_app(&CreateApp { slug: slug.to_owned(), description: None }).await {
        Ok(_) => Ok(true),
        // Somebody else was faster.
        Err(error) if error.code() == Some("slug_taken") => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The command that runs what was deployed, with the parameters that have no default.
fn next_command(towerfile: &Towerfile) -> String {
    let mut command = format!("minitower runs create {}", towerfile.name);
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
        assert_eq!(next_command(&towerfile), "minitower runs create hello -p a=… --wait");
    }
}
