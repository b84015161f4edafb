//! `minitowerd backup`, `verify` and `restore --from`; and the backups that the server makes by itself.

mod made;
mod progress;
mod restored;
pub mod scheduled;
mod verified;

use std::path::{Path, PathBuf};

use minitower_kernel::backup::{BackupError, Key, Knows, Manifest, Place, Target};
use minitower_kernel::objects::{Location, Objects};

use crate::{Config, Request};

pub use verified::Damaged;

/// What is known of the database here, and not in the kernel.
pub(crate) const KNOWS: Knows = Knows {
    objects: minitower_runs::objects_named_after,
    owner: minitower_runs::owner,
    secrets: minitower_teams::keys::has_secrets,
};

/// Where the objects lie.
#[derive(Debug, Clone)]
pub struct ObjectsAt {
    dir: PathBuf,
    bucket: Option<Location>,
}

impl ObjectsAt {
    /// Where the settings say.
    pub fn of(config: &Config) -> Self {
        Self { dir: config.objects_dir.clone(), bucket: config.objects_url.clone() }
    }

    /// Opens them, beside a server that may have them open.
    pub(crate) fn open(&self) -> Result<Objects, BackupError> {
        let named =
            || self.bucket.as_ref().map_or_else(|| self.dir.display().to_string(), ToString::to_string);
        Objects::open_beside(&self.dir, self.bucket.as_ref())
            .map_err(|error| BackupError::Open(named(), error))
    }

    /// The folder, where there has to be one.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }
}

/// Carries out what is asked about backups.
pub fn carry_out(config: &Config, request: Request) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match request {
            Request::Make { to, with_secrets_key, keep, json } => {
                made::make(config, &to, with_secrets_key, keep, json).await?;
            }
            Request::List { from, json } => list(&from, json).await?,
            Request::Verify { from, name, json } => verified::verify(&from, name.as_ref(), json).await?,
            Request::Restore { from, name, allow_missing, if_missing } => {
                let asked = restored::Asked { from, name, allow_missing, if_missing };
                restored::restore(config, &asked).await?;
            }
        }
        Ok(())
    })
}

async fn list(from: &Place, json: bool) -> anyhow::Result<()> {
    let temporary = tempfile::tempdir()?;
    let listed = Target::open(from, temporary.path())?.list().await?;
    if json {
        let whole: Vec<&Manifest> = listed.iter().filter_map(|listed| listed.as_ref().ok()).collect();
        let unreadable: Vec<String> =
            listed.iter().filter_map(|listed| listed.as_ref().err().map(ToString::to_string)).collect();
        say(serde_json::json!({"place": from.to_string(), "backups": whole, "unreadable": unreadable}));
        return Ok(());
    }
    if listed.is_empty() {
        say(format_args!("there is no whole backup in {from}"));
        return Ok(());
    }
    say(format_args!(
        "{:<24}  {:<24}  {:>10}  {:>8}  {:>10}  SECRETS' KEY",
        "NAME", "TAKEN AT", "DATABASE", "OBJECTS", "BYTES"
    ));
    for manifest in listed {
        match manifest {
            Ok(Manifest { name, taken_at, database, objects, secrets_key, .. }) => say(format_args!(
                "{name:<24}  {taken_at:<24}  {:>10}  {:>8}  {:>10}  {}",
                bytes(database.bytes),
                objects.count,
                bytes(objects.bytes),
                match secrets_key {
                    Key::NotNeeded => "not needed",
                    Key::Apart => "apart",
                    Key::Included => "included",
                },
                name = name.as_str(),
                taken_at = taken_at.to_string(),
            )),
            Err(error) => say(error),
        }
    }
    Ok(())
}

fn say(line: impl std::fmt::Display) {
    minitower_daemon::logs::answer(line);
}

/// So many objects, for people.
fn objects(count: u64) -> String {
    if count == 1 { "1 object".to_owned() } else { format!("{count} objects") }
}

/// So many bytes, for people.
fn bytes(bytes: u64) -> String {
    indicatif::DecimalBytes(bytes).to_string()
}
