//! `minitowerd restore --from`.

use std::path::{Path, PathBuf};

use minitower_kernel::backup::{
    BackupError, Fetched, Manifest, Name, Place, Source, Target, choose, fetch_database, fetch_key,
    fetch_objects,
};
use minitower_teams::keys::{self, Fit};

use super::progress::Progress;
use super::{ObjectsAt, bytes, objects, say};
use crate::Config;

/// What is asked.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) from: Place,
    pub(super) name: Option<Name>,
    pub(super) allow_missing: bool,
    pub(super) if_missing: bool,
}

/// There is something where the backup would go.
#[derive(Debug, thiserror::Error)]
#[error("there is a database already, {}: move it away, with its -wal and -shm files, or name another place with MINITOWER_DB_PATH", .0.display())]
struct Exists(PathBuf);

/// Restores a backup: its keys if it has them, its objects, and its database last.
pub(super) async fn restore(config: &Config, asked: &Asked) -> anyhow::Result<()> {
    if config.db_path.exists() {
        if asked.if_missing {
            tracing::info!(database = %config.db_path.display(), "there is a database: nothing restored");
            return Ok(());
        }
        return Err(Exists(config.db_path.clone()).into());
    }
    let temporary = Temporary::beside(&config.db_path)?;
    let target = Target::open(&asked.from, &temporary.0)?;
    let manifest = match choose(&target, asked.name.as_ref()).await {
        Err(BackupError::None(place)) if asked.if_missing => {
            tracing::info!(place, "there is no backup: nothing restored");
            return Ok(());
        }
        chosen => chosen?,
    };
    let progress = Progress::new();
    let key_file = config.secrets_key_file();
    let has_key = match fetch_key(&target, &manifest).await? {
        None => false,
        Some(content) if keys::put_back(&key_file, &content)? => true,
        Some(_) => return Err(BackupError::OtherKey(key_file).into()),
    };
    let store = ObjectsAt::of(config).open()?;
    let fetched = fetch_objects(&target, &manifest, &store, asked.allow_missing, &progress.tell()).await?;
    let database = fetch_database(&target, &manifest, &temporary.0, &progress.tell()).await?;
    crate::restore(config, &database)?;
    drop(progress);
    tell(config, asked, &manifest, fetched, has_key)
}

fn tell(
    config: &Config,
    asked: &Asked,
    manifest: &Manifest,
    fetched: Fetched,
    has_key: bool,
) -> anyhow::Result<()> {
    say(format_args!(
        "Restored {}@{}, the state of {}, to {}: {} copied ({}), {} there already.",
        asked.from,
        manifest.name,
        manifest.taken_at,
        config.db_path.display(),
        objects(fetched.copied),
        bytes(fetched.bytes),
        fetched.there,
    ));
    if fetched.missing > 0 {
        say(format_args!("Lost: {}. What needs them answers 404.", objects(fetched.missing)));
    }
    say("All leases are void. Runs that ended after the backup may run again.");
    let key_file = config.secrets_key_file();
    let file = key_file.display();
    let fit = Source::at(&config.db_path)?.read(|db| Ok(keys::fit(db, &key_file)))??;
    match fit {
        Fit::NotNeeded => {}
        Fit::Fits if has_key => {
            say(format_args!("The keys of the secrets were in the backup, and are in {file}."));
        }
        Fit::Fits => say(format_args!("The keys of the secrets are in {file}.")),
        Fit::Missing | Fit::Wrong => say(format_args!(
            "The keys of the secrets are not in the backup, and not in {file}: put the copy of the key file there before you start the \
             server. If it is lost, so are the secrets, and `minitowerd secrets discard` deletes them.",
        )),
    }
    say("Start the server with the same settings.");
    Ok(())
}

/// A folder beside the database for what comes from a bucket; gone at the end, and what a killed restore left of it at the beginning.
struct Temporary(PathBuf);

impl Temporary {
    fn beside(database: &Path) -> Result<Self, BackupError> {
        let mut name = database.as_os_str().to_owned();
        name.push(".fetching");
        let temporary = Self(PathBuf::from(name));
        temporary.remove();
        std::fs::create_dir_all(&temporary.0).map_err(|source| BackupError::File {
            doing: "making",
            path: temporary.0.clone(),
            source,
        })?;
        Ok(temporary)
    }

    fn remove(&self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(%error, folder = %self.0.display(), "cannot remove a temporary folder");
        }
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        self.remove();
    }
}
