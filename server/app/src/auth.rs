//! Whom a token speaks for.
//!
//! A missing, unknown or wrong-kind token is [`Error::Unauthorized`], always in the same words; a member on an admin call is [`Error::Forbidden`].

use minitower_domain::runner::{FenceHolder, RunnerPrincipal, RunnerScope};
use minitower_domain::team::{Role, TeamPrincipal};
use minitower_store::{attempts, registration_tokens, runners, tokens};

use crate::remembered::Remembered;
use crate::secrets::{Kind, TokenHash};
use crate::{App, Error, secrets};

/// Tokens in use whose principals are kept in memory: tens of thousands of runners, in some megabytes.
const KEPT: usize = 32 * 1024;

/// Whom the tokens in use speak for. Every request asks, and most tokens are asked for again at once.
#[derive(Debug)]
pub(crate) struct Credentials {
    pub(crate) runners: Remembered<TokenHash, RunnerPrincipal>,
    /// Nothing takes a team token back yet; what does so has to have these forgotten.
    pub(crate) teams: Remembered<TokenHash, TeamPrincipal>,
}

impl Default for Credentials {
    fn default() -> Self {
        Self { runners: Remembered::new(KEPT), teams: Remembered::new(KEPT) }
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

impl AdminPrincipal {
    /// As the holder of fences.
    pub fn holder(&self) -> FenceHolder {
        match self {
            Self::Operator => FenceHolder::Operator,
            Self::Team(team) => FenceHolder::Team(team.team_id),
        }
    }
}

/// What a registration token allows: runners of this scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RegistrationPrincipal {
    /// The scope of the runners it registers.
    pub scope: RunnerScope,
    /// The team's token; none: the platform's.
    pub(crate) token: Option<minitower_domain::ids::RegistrationTokenId>,
}

fn unauthorized() -> Error {
    Error::Unauthorized(
        "the token is missing, unknown, no longer valid, or not of the kind this call needs".to_owned(),
    )
}

impl App {
    /// A bootstrap token; without a configured one the route is not there.
    pub fn authenticate_bootstrap(&self, token: Option<&str>) -> Result<(), Error> {
        match (&self.inner().settings.bootstrap_token, token) {
            (None, _) => {
                Err(Error::not_found("bootstrap is off: MINITOWER_BOOTSTRAP_TOKEN is not set on the server"))
            }
            (Some(secret), Some(token)) if secret.matches(token) => Ok(()),
            _ => Err(unauthorized()),
        }
    }

    /// A team token of any role, or the API token of an attempt: whoever may start runs and read them.
    pub async fn authenticate_for_runs(&self, token: Option<&str>) -> Result<TeamPrincipal, Error> {
        match token {
            Some(token) if secrets::is_of_kind(token, Kind::Attempt) => self.attempt_of(token).await,
            token => self.authenticate_team(token).await,
        }
    }

    /// A team token of any role. The API token of an attempt opens less, and is told so as long as it is good.
    pub async fn authenticate_team(&self, token: Option<&str>) -> Result<TeamPrincipal, Error> {
        let token = token.ok_or_else(unauthorized)?;
        if secrets::is_of_kind(token, Kind::Attempt) {
            self.attempt_of(token).await?;
            return Err(Error::Forbidden(
                "the API token of a run starts runs and reads runs, their logs and artifacts, and nothing else".to_owned(),
            ));
        }
        let hash = secrets::hash(token);
        let read = self.store().read(move |db| tokens::principal(db, hash)?.ok_or_else(unauthorized));
        self.inner().live.credentials.teams.or_read(hash, read).await
    }

    /// The attempt whose API token this is. Not remembered: whether the attempt lasts is asked each time.
    async fn attempt_of(&self, token: &str) -> Result<TeamPrincipal, Error> {
        let (hash, now) = (secrets::hash(token), self.inner().clock.now());
        self.store().read(move |db| attempts::principal(db, hash, now)?.ok_or_else(unauthorized)).await
    }

    /// A team token of role admin.
    pub async fn authenticate_team_admin(&self, token: Option<&str>) -> Result<TeamPrincipal, Error> {
        let principal = self.authenticate_team(token).await?;
        match principal.token() {
            Some((_, Role::Admin)) => Ok(principal),
            Some((_, Role::Member)) | None => {
                Err(Error::Forbidden("this call needs a token of role admin".to_owned()))
            }
        }
    }

    /// The operator token, or a team token of role admin.
    pub async fn authenticate_admin(&self, token: Option<&str>) -> Result<AdminPrincipal, Error> {
        if let (Some(secret), Some(token)) = (&self.inner().settings.operator_token, token)
            && secret.matches(token)
        {
            return Ok(AdminPrincipal::Operator);
        }
        self.authenticate_team_admin(token).await.map(AdminPrincipal::Team)
    }

    /// A registration token, the platform's or a team's.
    pub async fn authenticate_registration(
        &self,
        token: Option<&str>,
    ) -> Result<RegistrationPrincipal, Error> {
        let token = token.ok_or_else(unauthorized)?;
        if let Some(secret) = &self.inner().settings.registration_token
            && secret.matches(token)
        {
            return Ok(RegistrationPrincipal { scope: RunnerScope::Platform, token: None });
        }
        let hash = secrets::hash(token);
        self.store()
            .read(move |db| {
                let (id, team) = registration_tokens::find(db, hash)?.ok_or_else(unauthorized)?;
                Ok(RegistrationPrincipal { scope: RunnerScope::Team(team), token: Some(id) })
            })
            .await
    }

    /// A runner token. Whoever shows one was heard of.
    pub async fn authenticate_runner(&self, token: Option<&str>) -> Result<RunnerPrincipal, Error> {
        let principal = self.runner_of(secrets::hash(token.ok_or_else(unauthorized)?)).await?;
        self.inner().live.presence.seen(principal.runner_id, self.inner().clock.now());
        Ok(principal)
    }

    /// The runner whose token has that hash now.
    pub(crate) async fn runner_of(&self, hash: TokenHash) -> Result<RunnerPrincipal, Error> {
        let read = self.store().read(move |db| runners::principal(db, hash)?.ok_or_else(unauthorized));
        self.inner().live.credentials.runners.or_read(hash, read).await
    }
}
