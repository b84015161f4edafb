//! What other subjects keep secret for a team, in tables of their own: sealed with the team's key, as its secrets are.

use std::sync::Arc;

use minitower_kernel::{Db, StoreError, Tx};
use minitower_vocabulary::ids::TeamId;

use crate::key_file::Ring;
use crate::seal::{Key, Place};
use crate::vault::key_to_seal;
use crate::{Error, SecretValue, Teams};

/// What seals, inside one transaction.
#[derive(Debug)]
pub struct Sealer {
    ring: Arc<Ring>,
    /// The team's key, if it has none yet.
    fresh: Key,
}

impl Sealer {
    /// Seals a value for a team. `what` says what it is; it opens as nothing else.
    pub fn seal(&self, tx: &Tx<'_>, team: TeamId, what: &str, value: &SecretValue) -> Result<Vec<u8>, Error> {
        let key = key_to_seal(tx, &self.ring, team, self.fresh.clone())?;
        key.seal(Place::Kept(team, what), value.reveal().as_bytes())
    }
}

impl Teams {
    /// Gets ready to seal. The file of the keys is made if this is its first use.
    pub async fn sealer(&self) -> Result<Sealer, Error> {
        Ok(Sealer { ring: self.0.vault.ring_or_new().await?, fresh: Key::generate()? })
    }

    /// Opens what was sealed for a team as that; none: it was changed, or the key is another one.
    pub fn open_sealed(
        &self,
        db: &Db,
        team: TeamId,
        what: &str,
        sealed: &[u8],
    ) -> Result<Option<SecretValue>, StoreError> {
        let key = self.0.vault.team_key(db, team)?;
        let opened = key.and_then(|key| key.open(Place::Kept(team, what), sealed));
        Ok(opened.and_then(|bytes| Some(SecretValue::new(std::str::from_utf8(&bytes).ok()?.to_owned()))))
    }
}
