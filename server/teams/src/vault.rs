//! The secrets of teams: setting, listing and deleting them, and opening them for a lease.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use minitower_kernel::page::Page;
use minitower_kernel::{Db, Store, StoreError, Tx};
use minitower_vocabulary::ids::{EnvironmentId, TeamId};
use minitower_vocabulary::limits::{RUN_SECRET_BYTES, SECRETS, TEAM_SECRETS};
use minitower_vocabulary::names;
use zeroize::Zeroizing;

use crate::domain::secret::{Secret, Withheld, check_value};
use crate::domain::team::TeamPrincipal;
use crate::environments::ensure;
use crate::key_file::{self, KeyFileError, Ring};
use crate::keys::{self, KeysError};
use crate::seal::{Key, Place};
use crate::store::{environments, secrets};
use crate::{Error, Teams};

/// The value of a secret. It is wiped when it is dropped, and shown by nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretValue(Zeroizing<String>);

impl SecretValue {
    /// Takes a value.
    pub fn new(value: String) -> Self {
        Self(Zeroizing::new(value))
    }

    /// The text itself, for whoever passes it on to the runner.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretValue(…)")
    }
}

/// Where the runs of a team find their secrets.
#[derive(Debug, Clone, Copy)]
pub struct Shelf<'a> {
    /// The team.
    pub team: TeamId,
    /// Its environment.
    pub environment: EnvironmentId,
    /// That environment's name.
    pub environment_name: &'a str,
}

/// The master keys, as far as they are needed.
#[derive(Debug)]
pub(crate) struct Vault {
    file: PathBuf,
    /// None: no secret was ever set, and there is no file.
    ring: RwLock<Option<Arc<Ring>>>,
    /// Held by whoever makes the file.
    making: tokio::sync::Mutex<()>,
}

impl Vault {
    /// Reads the keys, and sees to it that they are those of the database.
    pub(crate) async fn open(store: &Store, file: &Path) -> Result<Self, KeysError> {
        let ring = keys::at_start(store, file).await?.map(Arc::new);
        Ok(Self { file: file.to_owned(), ring: RwLock::new(ring), making: tokio::sync::Mutex::default() })
    }

    fn ring(&self) -> Option<Arc<Ring>> {
        self.ring.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The keys, made if this is their first use.
    pub(crate) async fn ring_or_new(&self) -> Result<Arc<Ring>, Error> {
        if let Some(ring) = self.ring() {
            return Ok(ring);
        }
        let _one = self.making.lock().await;
        if let Some(ring) = self.ring() {
            return Ok(ring);
        }
        let (file, fresh) = (self.file.clone(), Ring::new(Key::generate()?));
        let made = tokio::task::spawn_blocking(move || {
            // One that was put there since the start counts.
            if let Some(ring) = key_file::read(&file)? {
                return Ok(ring);
            }
            key_file::write(&file, &fresh)?;
            tracing::info!(file = %file.display(), "made the key file of the secrets: keep a copy apart from the database");
            Ok::<_, KeyFileError>(fresh)
        });
        let made = made.await.map_err(|_| Error::TaskEnded("making the key file of the secrets"))?;
        let ring = Arc::new(made.map_err(Error::KeyFile)?);
        *self.ring.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&ring));
        Ok(ring)
    }

    /// The key of a team; none: it has none that these master keys open.
    pub(crate) fn team_key(&self, db: &Db, team: TeamId) -> Result<Option<Key>, StoreError> {
        let (Some(ring), Some(wrapped)) = (self.ring(), secrets::team_key(db, team)?) else {
            return Ok(None);
        };
        Ok(opened(&ring, team, &wrapped))
    }
}

fn opened(ring: &Ring, team: TeamId, wrapped: &[u8]) -> Option<Key> {
    ring.current().open(Place::TeamKey(team), wrapped).and_then(|bytes| Key::of(&bytes))
}

impl Teams {
    /// An environment's secrets by name, without their values; the cursor is a name. An environment that there is not has none.
    pub async fn secrets(
        &self,
        by: &TeamPrincipal,
        environment: String,
        page: Page<String>,
    ) -> Result<Vec<Secret>, Error> {
        names::check_environment(&environment)?;
        let team = by.team_id;
        self.0
            .store
            .read(move |db| {
                let Some(environment) = environments::id(db, team, &environment)? else {
                    return Ok(Vec::new());
                };
                Ok(secrets::list(db, environment, page.cursor.as_deref(), page.limit)?)
            })
            .await
    }

    /// Sets a secret, in place of a former value. Makes its environment if there is none.
    pub async fn set_secret(
        &self,
        by: &TeamPrincipal,
        environment: String,
        name: String,
        value: SecretValue,
    ) -> Result<(), Error> {
        names::check_environment(&environment)?;
        names::check_secret(&name)?;
        check_value(value.reveal()).map_err(Error::SecretValue)?;
        let ring = self.0.vault.ring_or_new().await?;
        let (fresh, now, team) = (Key::generate()?, self.0.clock.now(), by.team_id);
        let limits = self.limits(team);
        self.0
            .store
            .write(move |tx| {
                let (id, _) = ensure(tx, (team, &limits), &environment, now)?;
                let is_new = secrets::sealed(tx, id, &name)?.is_none();
                if is_new {
                    room_for_one(tx, team, (id, environment))?;
                }
                let key = key_to_seal(tx, &ring, team, fresh)?;
                let sealed = key.seal(Place::Secret(team, id, &name), value.reveal().as_bytes())?;
                Ok(secrets::put(tx, (id, &name), &sealed, now)?)
            })
            .await
    }

    /// Deletes a secret.
    pub async fn delete_secret(
        &self,
        by: &TeamPrincipal,
        environment: String,
        name: String,
    ) -> Result<(), Error> {
        names::check_environment(&environment)?;
        names::check_secret(&name)?;
        let team = by.team_id;
        self.0
            .store
            .write_upkeep(move |tx| {
                let deleted = match environments::id(tx, team, &environment)? {
                    Some(id) => secrets::delete(tx, id, &name)?,
                    None => false,
                };
                if deleted { Ok(()) } else { Err(Error::NoSecret { name, environment }) }
            })
            .await
    }

    /// The secrets of these names, as they are now, or why they cannot be had.
    pub fn open_secrets(
        &self,
        db: &Db,
        shelf: Shelf<'_>,
        names: &[String],
    ) -> Result<Result<Vec<(String, SecretValue)>, Withheld>, StoreError> {
        let environment = || shelf.environment_name.to_owned();
        let key = self.0.vault.team_key(db, shelf.team)?;
        let (mut opened, mut bytes) = (Vec::with_capacity(names.len()), 0);
        for name in names {
            let Some(sealed) = secrets::sealed(db, shelf.environment, name)? else {
                return Ok(Err(Withheld::Missing { name: name.clone(), environment: environment() }));
            };
            let place = Place::Secret(shelf.team, shelf.environment, name);
            let value = key.as_ref().and_then(|key| key.open(place, &sealed));
            // Taken, not copied: a copy more is one more to wipe.
            let text = value.and_then(|mut value| String::from_utf8(std::mem::take(&mut *value)).ok());
            let Some(text) = text else {
                return Ok(Err(Withheld::Unreadable { name: name.clone(), environment: environment() }));
            };
            bytes += text.len();
            opened.push((name.clone(), SecretValue::new(text)));
        }
        Ok(if bytes > RUN_SECRET_BYTES { Err(Withheld::TooLong) } else { Ok(opened) })
    }
}

/// Whether an environment and its team may have a secret more.
fn room_for_one(tx: &Tx<'_>, team: TeamId, (id, environment): (EnvironmentId, String)) -> Result<(), Error> {
    if secrets::count(tx, id)? >= SECRETS {
        return Err(Error::TooManySecrets { whose: format!("the environment {environment}"), most: SECRETS });
    }
    if secrets::count_of_team(tx, team)? >= TEAM_SECRETS {
        return Err(Error::TooManySecrets { whose: "the team".to_owned(), most: TEAM_SECRETS });
    }
    Ok(())
}

/// The key that the team's secrets are encrypted with, kept as soon as there is one.
pub(crate) fn key_to_seal(tx: &Tx<'_>, ring: &Ring, team: TeamId, fresh: Key) -> Result<Key, Error> {
    let id = ring.current().id();
    match secrets::master(tx)? {
        Some(known) if known == id => {}
        None => secrets::set_master(tx, id)?,
        Some(_) => {
            let wrong = "the key file of the secrets does not fit the database any more".to_owned();
            return Err(StoreError::Inconsistent(wrong).into());
        }
    }
    if let Some(wrapped) = secrets::team_key(tx, team)? {
        if let Some(key) = opened(ring, team, &wrapped) {
            return Ok(key);
        }
        // What was encrypted with it is lost. What is set from now on shall not be.
        tracing::error!(%team, "the key of a team's secrets was damaged: it has a new one, and has to set its secrets again");
    }
    secrets::set_team_key(tx, team, &ring.current().seal(Place::TeamKey(team), fresh.bytes())?)?;
    Ok(fresh)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests;
