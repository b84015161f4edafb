//! Why nobody is signed in.

use std::time::Duration;

use crate::domain::id_token::BadClaims;

use super::jws::BadJws;
use super::provider::ProviderError;

/// A sign-in was refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    /// No provider is configured: the routes are not there.
    #[error("sign-in by OIDC is off: MINITOWER_OIDC_ISSUER is not set on the server")]
    Off,
    /// The browser came back with a `state` that it was not given, or too late.
    #[error(
        "this sign-in was begun in another browser, or more than {minutes} minutes ago, or before the server was restarted: \
         begin again"
    )]
    UnknownState {
        /// How long a sign-in may take.
        minutes: u64,
    },
    /// A parameter or field says nothing that this server has given out.
    #[error("{0} is not valid: {1}")]
    Nonsense(&'static str, &'static str),
    /// The provider has answered the browser with an error.
    #[error("the identity provider did not sign you in: {0}")]
    ProviderSays(String),
    /// The provider did not take the code that the browser brought.
    #[error(
        "the identity provider did not accept the code of this sign-in, which counts only once: begin again"
    )]
    CodeRefused,
    /// The provider cannot be asked, or its answer cannot be used.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// Nobody can tell who signed the ID token.
    #[error("the identity provider's ID token is refused: {0}")]
    Signature(#[from] BadJws),
    /// The ID token is not for this sign-in.
    #[error("the identity provider's ID token is refused: {0}")]
    Claims(#[from] BadClaims),
    /// The provider says nothing about groups.
    #[error(
        "the identity provider did not say which groups you are in: it sent no claim {claim:?}{many}. Ask the administrator of this \
         server to add it at the provider, or to set MINITOWER_OIDC_GROUPS_CLAIM or MINITOWER_OIDC_SCOPES",
        many = if *.too_many { ", because there are too many" } else { "" }
    )]
    NoGroups {
        /// The claim that was looked for.
        claim: String,
        /// The provider says that there are too many groups.
        too_many: bool,
    },
    /// None of the person's groups is worth anything here.
    #[error(
        "you are signed in as {name}, but none of your groups belongs to a team here: ask the administrator to put you into one, or to \
         add one of your groups to MINITOWER_OIDC_TEAMS"
    )]
    NoTeam {
        /// The person.
        name: String,
    },
    /// The person is in another team than was asked for.
    #[error("you are not in the team {team:?}: you may choose {may}")]
    NotInTeam {
        /// What was asked for.
        team: String,
        /// The person's teams.
        may: String,
    },
    /// The person is in several teams and has to say which is meant.
    #[error("you are in several teams: choose one of {may} with `team`")]
    WhichTeam {
        /// The person's teams.
        may: String,
    },
    /// The person did not confirm.
    #[error("the sign-in was refused in the browser: nothing was given out")]
    Denied,
    /// The code has been used or is too old.
    #[error(
        "the code was used already, is too old, or was given out before the server was restarted: sign in again"
    )]
    CodeGone,
    /// One caller asks too often.
    #[error("too many sign-ins: try again in {} s", retry_after.as_secs().max(1))]
    TooMany {
        /// When to try again.
        retry_after: Duration,
    },
}
