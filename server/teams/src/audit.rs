//! The audit log: who changed what, when and from where.
//!
//! Nobody writes it. Triggers of the write connection do, in the transaction of each change and for whoever
//! [acts](minitower_kernel::acting) then. So a use case cannot forget it: what is recorded is said once for each table, by the subject that
//! owns it ([`follow`]).

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use minitower_kernel::acting::Actor;
use minitower_kernel::due::DueQueue;
use minitower_kernel::events::Subscribers;
use minitower_kernel::page::Page;
use minitower_vocabulary::ids::AuditEventId;

pub use crate::domain::audit::{AuditEvent, Audited, Ended, Moves};
use crate::domain::team::{Credential, TeamPrincipal};
use crate::store::audit::{self, Whose};
use crate::{AdminPrincipal, Error, Teams};

/// Events pruned in one transaction: a few milliseconds of the writer.
const PRUNED_AT_ONCE: i64 = 1000;
/// How often old events are looked for.
const PRUNED_EVERY: Duration = Duration::from_hours(1);
/// Pause between two transactions that prune.
const BETWEEN: Duration = Duration::from_millis(50);

/// Has the changes of this subject's tables recorded, and of `others`. Called before the database is opened.
pub fn follow(subscribers: &mut Subscribers, others: &[Audited]) {
    for audited in audit::AUDITED.iter().chain(others) {
        for sql in audit::triggers(audited) {
            subscribers.trigger(sql);
        }
    }
}

/// The tables of this subject whose changes are recorded.
pub fn tables() -> impl Iterator<Item = &'static str> {
    audit::AUDITED.iter().map(|audited| audited.table)
}

/// Who makes a request, by the credential that was shown.
#[derive(Debug, Clone, Copy)]
pub enum By<'a> {
    /// Nobody yet: whoever signs up or logs in.
    SigningIn,
    /// Whoever has the bootstrap token.
    Bootstrap,
    /// The operator token, or an admin of a team.
    Admin(&'a AdminPrincipal),
    /// A team token, or the API token of an attempt.
    Team(&'a TeamPrincipal),
    /// The operator token.
    Operator,
}

impl Teams {
    /// Who acts, for [`acting::scope`](minitower_kernel::acting::scope).
    pub fn actor(&self, by: By<'_>, address: Option<IpAddr>) -> Arc<Actor> {
        let of_team = |team: &TeamPrincipal| match team.credential {
            Credential::Token { id, .. } => ("token", Some(id.0)),
            Credential::Attempt(_) => ("a run's API token", None),
        };
        let (name, token) = match by {
            By::SigningIn => ("sign-in", None),
            By::Bootstrap => ("bootstrap token", None),
            By::Operator | By::Admin(AdminPrincipal::Operator) => ("operator", None),
            By::Admin(AdminPrincipal::Team(team)) | By::Team(team) => of_team(team),
        };
        Arc::new(Actor { name, token, address, at: self.0.clock.now() })
    }

    /// The events of the team, newest first; the cursor is an event's id.
    pub async fn audit(
        &self,
        by: &TeamPrincipal,
        page: Page<AuditEventId>,
    ) -> Result<Vec<AuditEvent>, Error> {
        self.events(Whose::Team(by.team_id), page).await
    }

    /// The events of all teams and of the platform, newest first, for the operator.
    pub async fn audit_of_all(&self, page: Page<AuditEventId>) -> Result<Vec<AuditEvent>, Error> {
        self.events(Whose::Everybody, page).await
    }

    async fn events(&self, whose: Whose, page: Page<AuditEventId>) -> Result<Vec<AuditEvent>, Error> {
        let read =
            move |db: &minitower_kernel::Db| Ok::<_, Error>(audit::list(db, whose, page.cursor, page.limit)?);
        self.0.store.read(read).await
    }

    /// Has the due-queue prune the log from now on.
    pub fn prune_audit(&self, due: &DueQueue) {
        let place = due.place();
        // The queue lives in what it calls, so it must not keep it alive.
        let teams = Arc::downgrade(&self.0);
        place.call(move || {
            let teams = teams.upgrade().map(Teams);
            async move {
                let teams = teams?;
                if let Err(error) = teams.prune_events().await {
                    tracing::warn!(%error, "could not prune the audit log");
                }
                Some(teams.0.clock.now().plus(PRUNED_EVERY))
            }
        });
        place.at(self.0.clock.now());
    }

    /// Removes the events that are too old, and those that are too many of a team. Answers how many went.
    pub async fn prune_events(&self) -> Result<u64, Error> {
        let mut gone = 0;
        if let Some(keep) = self.0.settings.audit_keep {
            gone += self.prune_before(keep).await?;
        }
        if let Some(most) = self.0.settings.audit_keep_most {
            gone += self.prune_beyond(most).await?;
        }
        Ok(gone)
    }

    async fn prune_before(&self, keep: Duration) -> Result<u64, Error> {
        let (end, mut gone) = (self.0.clock.now().before(keep), 0);
        loop {
            let old = self.0.store.read(move |db| Ok::<_, Error>(audit::any_before(db, end)?)).await?;
            if !old {
                return Ok(gone);
            }
            let prune =
                move |tx: &minitower_kernel::Tx<'_>| Ok::<_, Error>(audit::prune(tx, end, PRUNED_AT_ONCE)?);
            gone += self.0.store.write_upkeep(prune).await?;
            tokio::time::sleep(BETWEEN).await;
        }
    }

    async fn prune_beyond(&self, most: u32) -> Result<u64, Error> {
        // First the platform, then team by team.
        let (mut whose, mut gone) = (None, 0);
        loop {
            let look = move |db: &minitower_kernel::Db| {
                Ok::<_, Error>((audit::newest_beyond(db, whose, most)?, audit::next_team(db, whose)?))
            };
            let (newest, next) = self.0.store.read(look).await?;
            while let Some(newest) = newest {
                let prune = move |tx: &minitower_kernel::Tx<'_>| {
                    Ok::<_, Error>(audit::prune_up_to(tx, whose, newest, PRUNED_AT_ONCE)?)
                };
                let went = self.0.store.write_upkeep(prune).await?;
                if went == 0 {
                    break;
                }
                gone += went;
                tokio::time::sleep(BETWEEN).await;
            }
            let Some(next) = next else { return Ok(gone) };
            whose = Some(next);
        }
    }
}
