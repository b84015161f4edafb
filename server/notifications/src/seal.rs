//! The one place where secrets of targets become what the database keeps, and back.

use minitower_kernel::{Db, StoreError, Tx};
use minitower_teams::{Sealer, SecretValue};
use minitower_vocabulary::ids::TeamId;
use minitower_vocabulary::wire::notifications::TargetKind;

use crate::domain::notification::{Sealed, Target};
use crate::{Error, Notifications};

/// What is sealed: one of a kind opens as nothing else.
const fn what(kind: TargetKind) -> &'static str {
    match kind {
        TargetKind::Webhook => "notification/webhook",
        TargetKind::Slack => "notification/slack",
        TargetKind::Email => "notification/email",
    }
}

/// What the database keeps of a secret.
pub(crate) fn seal(
    tx: &Tx<'_>,
    sealer: &Sealer,
    (team, kind): (TeamId, TargetKind),
    secret: &SecretValue,
) -> Result<Sealed, Error> {
    Ok(Sealed(sealer.seal(tx, team, what(kind), secret)?))
}

impl Notifications {
    /// The secret of a target; none: it has none, or it cannot be read with the keys that there are.
    pub(crate) fn open_secret(
        &self,
        db: &Db,
        team: TeamId,
        target: &Target,
    ) -> Result<Option<SecretValue>, StoreError> {
        let Some(sealed) = &target.secret else { return Ok(None) };
        self.0.teams.open_sealed(db, team, what(target.kind), &sealed.0)
    }
}
