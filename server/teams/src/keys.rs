//! The master keys and the database: whether they fit, and what changes them.
//!
//! The file is always changed first, and keeps the key that the database goes by until the database goes by another. So they fit together
//! whenever the process dies, and what is left undone is done at the next start.

use std::path::{Path, PathBuf};

use minitower_kernel::{Db, Store, StoreError, Tx};

use crate::Error;
use crate::key_file::{self, KeyFileError, MOST_KEYS, Ring};
use crate::seal::{Key, KeyId, Place};
use crate::store::secrets;

/// The keys cannot be used, or not be changed.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The file.
    #[error(transparent)]
    File(#[from] KeyFileError),
    /// There are secrets, and no file.
    #[error(
        "the key file of the secrets, {}, is missing: put it back, or name another place with MINITOWER_SECRETS_KEY_FILE; if it is lost, \
         so are the secrets, and `minitowerd secrets discard` deletes them",
        .0.display()
    )]
    Missing(PathBuf),
    /// The file has other keys.
    #[error(
        "the key file of the secrets, {}, does not have the key that this database's secrets are encrypted with: put the right file \
         back; if it is lost, so are the secrets, and `minitowerd secrets discard` deletes them",
        .0.display()
    )]
    Wrong(PathBuf),
    /// Nothing is encrypted yet.
    #[error("there are no secrets yet, so there is no key to rotate")]
    NoSecrets,
    /// The file is full.
    #[error(
        "the key file of the secrets, {}, has {MOST_KEYS} keys already: remove former ones with `minitowerd secrets rotate-key --drop-old`",
        .0.display()
    )]
    TooMany(PathBuf),
    /// The database.
    #[error("the database did not carry it out: {0}")]
    Store(#[from] StoreError),
    /// A key cannot be made.
    #[error("cannot make a key: {0}")]
    Key(Box<Error>),
}

impl From<Error> for KeysError {
    fn from(error: Error) -> Self {
        match error {
            Error::Store(error) => Self::Store(error),
            other => Self::Key(Box::new(other)),
        }
    }
}

/// Whether a key file is the one that a database's secrets need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// There are no secrets.
    NotNeeded,
    /// It is.
    Fits,
    /// There is no file.
    Missing,
    /// It has other keys.
    Wrong,
}

/// Whether a database has secrets.
pub fn has_secrets(db: &Db) -> Result<bool, StoreError> {
    secrets::any(db)
}

/// Whether the key file is the one that the database's secrets need.
pub fn fit(db: &Db, file: &Path) -> Result<Fit, KeysError> {
    let Some(known) = secrets::master(db)? else { return Ok(Fit::NotNeeded) };
    if !secrets::any(db)? {
        return Ok(Fit::NotNeeded);
    }
    Ok(match key_file::read(file)? {
        None => Fit::Missing,
        Some(ring) if ring.current().id() == known || ring.of(&known).is_some() => Fit::Fits,
        Some(_) => Fit::Wrong,
    })
}

/// Puts the key file of a backup where there is none. False: there is one that has other content.
pub fn put_back(file: &Path, content: &[u8]) -> Result<bool, KeysError> {
    Ok(key_file::put_back(file, content)?)
}

/// Reads the file, and makes the first of its keys the one that the database goes by.
pub(crate) async fn at_start(store: &Store, file: &Path) -> Result<Option<Ring>, KeysError> {
    let ring = key_file::read(file)?;
    let read = |db: &Db| Ok::<_, StoreError>((secrets::master(db)?, secrets::any(db)?));
    match (ring, store.read(read).await?) {
        (ring, (None, _)) => Ok(ring),
        (None, (Some(_), true)) => Err(KeysError::Missing(file.to_owned())),
        (Some(ring), (Some(known), any)) => {
            if ring.current().id() == known {
                return Ok(Some(ring));
            }
            if ring.of(&known).is_some() {
                rewrap(store, &ring, known).await?;
                return Ok(Some(ring));
            }
            if any {
                return Err(KeysError::Wrong(file.to_owned()));
            }
            store.write_upkeep(forget).await?;
            Ok(Some(ring))
        }
        // Nothing is lost with the keys of no secrets.
        (None, (Some(_), false)) => {
            store.write_upkeep(forget).await?;
            Ok(None)
        }
    }
}

fn forget(tx: &Tx<'_>) -> Result<(), StoreError> {
    secrets::delete_all(tx).map(|_| ())
}

/// Puts a new key in front of the file, and encrypts the keys of all teams with it. `drop_old`: the file keeps no former one.
pub async fn rotate(store: &Store, file: &Path, drop_old: bool) -> Result<(), KeysError> {
    let ring = at_start(store, file).await?;
    let known = store.read(secrets::master).await?;
    let (Some(ring), Some(known)) = (ring, known) else { return Err(KeysError::NoSecrets) };
    // One that was dropped leaves room for the new one.
    let ring = if drop_old { Ring::new(ring.current().clone()) } else { ring };
    if ring.count() >= MOST_KEYS {
        return Err(KeysError::TooMany(file.to_owned()));
    }
    let next = ring.with(Key::generate()?);
    key_file::write(file, &next)?;
    rewrap(store, &next, known).await?;
    if drop_old {
        key_file::write(file, &Ring::new(next.current().clone()))?;
    }
    Ok(())
}

/// Deletes all secrets of all teams, and what their keys were; how many secrets there were. It is the way out when the key file is lost.
pub async fn discard(store: &Store) -> Result<usize, KeysError> {
    Ok(store.write_upkeep(secrets::delete_all).await?)
}

/// Encrypts the keys of all teams with the first key of the ring, in place of the one that they are encrypted with.
async fn rewrap(store: &Store, ring: &Ring, known: KeyId) -> Result<(), KeysError> {
    let ring = ring.clone();
    let teams = store
        .write_upkeep(move |tx| {
            let Some(former) = ring.of(&known) else { return Ok(0) };
            let wrapped = secrets::team_keys(tx)?;
            let teams = wrapped.len();
            for (team, wrapped) in wrapped {
                let place = Place::TeamKey(team);
                // A damaged one stays as it is: its secrets say so.
                if let Some(key) = former.open(place, &wrapped) {
                    secrets::set_team_key(tx, team, &ring.current().seal(place, &key)?)?;
                }
            }
            secrets::set_master(tx, ring.current().id())?;
            Ok::<_, Error>(teams)
        })
        .await?;
    tracing::info!(teams, "the keys of the secrets are encrypted with the first key of the key file now");
    Ok(())
}
