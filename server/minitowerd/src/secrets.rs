//! `minitowerd secrets`: what becomes of the keys while no server runs.

use std::io;
use std::path::PathBuf;

use minitower_daemon::logs;
use minitower_kernel::events::Subscribers;
use minitower_kernel::{Hooks, OpenError, Store, StoreError};
use minitower_teams::keys::{self, KeysError};

use crate::Config;
use crate::config::SecretsCommand;

/// The command failed; what it had not done yet is as it was.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    /// There is nothing that has secrets.
    #[error("there is no database {}: name it with --db-path or MINITOWER_DB_PATH", .0.display())]
    NoDatabase(PathBuf),
    /// The database cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The keys.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The database cannot be closed.
    #[error("the database cannot be closed: {0}")]
    Close(#[from] StoreError),
    /// No runtime.
    #[error("cannot start the runtime: {0}")]
    Runtime(#[source] io::Error),
}

/// Only a new look at the database can tell what was committed.
fn fatal(reason: &str) {
    logs::say(format_args!("minitowerd: {reason}: run the command again"));
    std::process::exit(1);
}

/// Carries the command out, and says what was done.
pub fn secrets(config: &Config, command: &SecretsCommand) -> Result<String, SecretsError> {
    if !config.db_path.exists() {
        return Err(SecretsError::NoDatabase(config.db_path.clone()));
    }
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(SecretsError::Runtime)?;
    runtime.block_on(async {
        let hooks = Hooks { batch: Box::new(|_| {}), fatal: Box::new(fatal) };
        let store = Store::open(&config.db_path, Subscribers::default(), hooks)?;
        let done = carry_out(config, command, &store).await;
        store.close().await?;
        done
    })
}

async fn carry_out(config: &Config, command: &SecretsCommand, store: &Store) -> Result<String, SecretsError> {
    let file = config.secrets_key_file();
    Ok(match command {
        SecretsCommand::RotateKey { drop_old } => {
            keys::rotate(store, &file, *drop_old).await?;
            let former = if *drop_old { "it holds no former key" } else { "it still holds the former ones" };
            format!("{} has a new key, and the secrets go by it; {former}: keep a copy", file.display())
        }
        SecretsCommand::Discard => {
            let deleted = keys::discard(store).await?;
            format!(
                "deleted {deleted} secrets; the next one that is set goes by the first key of {}",
                file.display()
            )
        }
    })
}
