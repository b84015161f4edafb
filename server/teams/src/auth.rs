//! Whom a token speaks for.
//!
//! A missing, unknown or wrong-kind token is [`Error::Unauthorized`], always in the same words; a member on an admin call is
//! [`Error::NotAdmin`].

use minitower_kernel::Tx;
use minitower_kernel::remembered::Remembered;
use minitower_vocabulary::ids::{PoolTokenId, RegistrationTokenId, TeamId};
use minitower_vocabulary::time::Timestamp;

use crate::domain::pool::Registering;
use crate::domain::team::TeamPrincipal;
use crate::secrets::{self, TokenHash};
use crate::store::{pool_tokens, registration_tokens, tokens};
use crate::{Error, Teams};

/// Tokens in use whose principals are kept in memory: tens of thousands, in some megabytes.
const KEPT: usize = 32 * 1024;

/// Whom the team tokens in use speak for. Every request asks, and most tokens are asked for again at once.
#[derive(Debug)]
pub(crate) struct Tokens(Remembered<TokenHash, TeamPrincipal>);

impl Default for Tokens {
    fn default() -> Self {
        Self(Remembered::new(KEPT))
    }
}

impl Tokens {
    pub(crate) fn forget(&self, hash: &TokenHash) {
        self.0.forget(hash);
    }
}

/// Who makes an admin call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdminPrincipal {
    /// The operator, across teams.
    Operator,
    /// An admin of a team, for that team's own runners.
    Team(TeamPrincipal),
}

/// Who registers runners.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registrar {
    /// The platform: runners that serve every team.
    Platform,
    /// A team: runners of its own.
    Team(TeamId),
}

/// What a registration token allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RegistrationPrincipal {
    /// Who registers with it.
    pub registrar: Registrar,
    pub(crate) shown: Shown,
}

/// Which registration token was shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Shown {
    /// The platform's.
    Platform,
    /// A team's.
    Team(RegistrationTokenId),
    /// A pool's.
    Pool(PoolTokenId),
}

impl RegistrationPrincipal {
    /// Whether the token is bound to one pool: what it registers is that pool's for certain.
    pub fn is_of_pool(self) -> bool {
        matches!(self.shown, Shown::Pool(_))
    }

    /// Checks, in the caller's transaction, that the token registers this runner, and notes that it did.
    pub fn used(self, tx: &Tx<'_>, runner: &Registering<'_>, now: Timestamp) -> Result<(), Error> {
        match self.shown {
            Shown::Platform => {}
            Shown::Team(token) => registration_tokens::touch(tx, token, now)?,
            Shown::Pool(token) => {
                // Revoked in the meantime, it registers nothing any more.
                let known = pool_tokens::get(tx, token, now)?.ok_or(Error::Unauthorized)?;
                known.binding.check(runner)?;
                pool_tokens::touch(tx, &known, now)?;
            }
        }
        Ok(())
    }
}

impl Teams {
    /// A bootstrap token; without a configured one the route is not there.
    pub fn authenticate_bootstrap(&self, token: Option<&str>) -> Result<(), Error> {
        match (&self.0.settings.bootstrap_token, token) {
            (None, _) => Err(Error::BootstrapOff),
            (Some(secret), Some(token)) if secret.matches(token) => Ok(()),
            _ => Err(Error::Unauthorized),
        }
    }

    /// A team token of any role.
    pub async fn authenticate_team(&self, token: Option<&str>) -> Result<TeamPrincipal, Error> {
        let token = token.ok_or(Error::Unauthorized)?;
        let hash = secrets::hash(token);
        let read = self.0.store.read(move |db| tokens::principal(db, hash)?.ok_or(Error::Unauthorized));
        let principal = self.0.memory.tokens.0.or_read(hash, read).await?;
        if principal.has_expired(self.0.clock.now()) {
            return Err(Error::Unauthorized);
        }
        self.note_use(&principal);
        Ok(principal)
    }

    /// A team token of role admin.
    pub async fn authenticate_team_admin(&self, token: Option<&str>) -> Result<TeamPrincipal, Error> {
        let principal = self.authenticate_team(token).await?;
        if principal.is_admin() { Ok(principal) } else { Err(Error::NotAdmin) }
    }

    /// The operator token, or a team token of role admin.
    pub async fn authenticate_admin(&self, token: Option<&str>) -> Result<AdminPrincipal, Error> {
        if let (Some(secret), Some(token)) = (&self.0.settings.operator_token, token)
            && secret.matches(token)
        {
            return Ok(AdminPrincipal::Operator);
        }
        self.authenticate_team_admin(token).await.map(AdminPrincipal::Team)
    }

    /// The operator token.
    pub fn authenticate_operator(&self, token: Option<&str>) -> Result<(), Error> {
        match (&self.0.settings.operator_token, token) {
            (Some(secret), Some(token)) if secret.matches(token) => Ok(()),
            _ => Err(Error::Unauthorized),
        }
    }

    /// A registration token: the platform's, a team's or a pool's.
    pub async fn authenticate_registration(
        &self,
        token: Option<&str>,
    ) -> Result<RegistrationPrincipal, Error> {
        let token = token.ok_or(Error::Unauthorized)?;
        if let Some(secret) = &self.0.settings.registration_token
            && secret.matches(token)
        {
            return Ok(RegistrationPrincipal { registrar: Registrar::Platform, shown: Shown::Platform });
        }
        let (hash, now) = (secrets::hash(token), self.0.clock.now());
        self.0
            .store
            .read(move |db| {
                if let Some((id, team)) = registration_tokens::find(db, hash)? {
                    return Ok(RegistrationPrincipal {
                        registrar: Registrar::Team(team),
                        shown: Shown::Team(id),
                    });
                }
                let pools = pool_tokens::find(db, hash, now)?.ok_or(Error::Unauthorized)?;
                let registrar = pools.binding.team.map_or(Registrar::Platform, Registrar::Team);
                Ok(RegistrationPrincipal { registrar, shown: Shown::Pool(pools.id) })
            })
            .await
    }
}
