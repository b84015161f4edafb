//! Why a use case says no.

use std::fmt;
use std::time::Duration;

use minitower_kernel::StoreError;
use minitower_kernel::page::LimitError;
use minitower_vocabulary::ids::{RegistrationTokenId, TokenId};
use minitower_vocabulary::names::NameError;

use crate::domain::limits::{BadLimit, Reached};
use crate::domain::pool::{NotOfPool, PoolName};
use crate::domain::secret::BadValue;
use crate::key_file::KeyFileError;
use crate::keys::KeysError;
use crate::oidc::{SetupError, SignInError};

/// A field of a request that cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Field {
    /// It is missing or empty.
    Missing,
    /// It has too many characters, or control characters.
    NotAName {
        /// Most characters.
        most: usize,
    },
    /// It is too short.
    TooShort {
        /// Fewest characters.
        least: usize,
    },
    /// It is too long.
    TooLong {
        /// Most bytes.
        most: usize,
    },
    /// It is not within its range.
    NotBetween {
        /// Least value.
        least: i64,
        /// Largest value.
        most: i64,
    },
    /// It is not a name as Kubernetes gives them.
    NotALabel,
    /// It has none of the values that it may have.
    NotOneOf {
        /// What it says.
        found: String,
        /// What it may say.
        may: &'static str,
    },
}

/// A use case was refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A slug or another name breaks its rule.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A field of the request cannot be taken.
    #[error("{name} {problem}")]
    Field {
        /// The field.
        name: &'static str,
        /// What is wrong with it.
        problem: Field,
    },
    /// The limit of a page is out of its range.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// No credential, an unknown one, or one of the wrong kind: always in the same words.
    #[error("the token is missing, unknown, no longer valid, or not of the kind this call needs")]
    Unauthorized,
    /// A login with a wrong slug or password: always in the same words.
    #[error("wrong team or password")]
    WrongLogin,
    /// The API token of a run opens less than this call.
    #[error("a run's API token can only start runs, and read runs, their logs and artifacts")]
    RunToken,
    /// The call needs a token of role admin.
    #[error("this call needs a token of role admin")]
    NotAdmin,
    /// The call needs a token of role admin, or has to be about the token itself.
    #[error("this call needs a token of role admin: a member's token can revoke itself alone")]
    NotOwnToken,
    /// Only a team token makes team tokens.
    #[error("only a team token can create team tokens")]
    NotATeamToken,
    /// Sign-up is off.
    #[error("sign-up is off on this server: ask its administrator")]
    SignupOff,
    /// Bootstrap is off: its route is not there.
    #[error("bootstrap is off: MINITOWER_BOOTSTRAP_TOKEN is not set on the server")]
    BootstrapOff,
    /// The slug of a new team is taken.
    #[error("the team {0:?} exists already")]
    SlugTaken(String),
    /// Bootstrap was asked for another team than the first.
    #[error("another team exists already: bootstrap creates only the first one")]
    TeamExists,
    /// The team has no token of that id.
    #[error("there is no token {0}")]
    NoToken(TokenId),
    /// The team has no registration token of that id.
    #[error("there is no registration token {0}")]
    NoRegistrationToken(RegistrationTokenId),
    /// The pool has no registration token of its own.
    #[error("the pool {0} has no registration token of its own")]
    NoPoolToken(PoolName),
    /// A pool's registration token was shown for another runner than the pool's.
    #[error(transparent)]
    NotOfPool(#[from] NotOfPool),
    /// Too many failed logins.
    #[error("too many failed logins: try again in {} s", retry_after.as_secs())]
    TooManyLogins {
        /// When to try again.
        retry_after: Duration,
    },
    /// Too many sign-ups.
    #[error("too many sign-ups from this address: try again in {} s", retry_after.as_secs())]
    TooManySignups {
        /// When to try again.
        retry_after: Duration,
    },
    /// Too many runners register with one token.
    #[error(
        "too many runners are registering with this token: try again in {} s",
        (retry_after.as_millis().div_ceil(1000)).max(1)
    )]
    TooManyRegistrations {
        /// When to try again.
        retry_after: Duration,
    },
    /// Too many passwords from one address wait for being checked.
    #[error("too many passwords from this address are waiting to be checked: try again in {} s", retry_after.as_secs())]
    TooManyWaiting {
        /// When to try again.
        retry_after: Duration,
    },
    /// Too many passwords wait for being checked.
    #[error("too many passwords are waiting to be checked: try again in {} s", retry_after.as_secs())]
    Busy {
        /// When to try again.
        retry_after: Duration,
    },
    /// The administrator asks about a team that there is not.
    #[error("there is no team {0:?}")]
    NoTeam(String),
    /// The team is at a limit of how much it may have.
    #[error(transparent)]
    Reached(#[from] Reached),
    /// The team is at a limit that time lifts.
    #[error("{reached}; try again in {} s", retry_after.as_secs().max(1))]
    TooFast {
        /// The limit.
        reached: Reached,
        /// When to try again.
        retry_after: Duration,
    },
    /// A limit cannot be set to that.
    #[error(transparent)]
    BadLimit(#[from] BadLimit),
    /// The database refused or failed.
    #[error("the database did not carry it out")]
    Store(#[from] StoreError),
    /// A value cannot be a secret.
    #[error("value {0}")]
    SecretValue(#[source] BadValue),
    /// The environment, or the team, has as many secrets as it may have.
    #[error("{whose} has {most} secrets, as many as it may have: delete one first")]
    TooManySecrets {
        /// The environment, or the team.
        whose: String,
        /// So many.
        most: usize,
    },
    /// The environment has no such secret.
    #[error("there is no secret {name} in the environment {environment}")]
    NoSecret {
        /// The secret.
        name: String,
        /// The environment.
        environment: String,
    },
    /// The key file of the secrets cannot be read or made.
    #[error(
        "the server cannot make its key file of the secrets, so it keeps none: its administrator finds the reason in its log"
    )]
    KeyFile(#[source] KeyFileError),
    /// A value could not be encrypted.
    #[error("encrypting a secret failed")]
    Sealing,
    /// Nobody was signed in.
    #[error(transparent)]
    SignIn(#[from] SignInError),
    /// A task of the server ended before it had done its work.
    #[error("{0} did not end")]
    TaskEnded(&'static str),
    /// The system gave no random numbers.
    #[error("the system gave no random numbers")]
    Random(#[source] getrandom::Error),
    /// Hashing a password failed, or the stored hash cannot be read.
    #[error("hashing a password failed")]
    Hashing(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    pub(crate) const fn field(name: &'static str, problem: Field) -> Self {
        Self::Field { name, problem }
    }

    pub(crate) fn hashing(source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Hashing(Box::new(source))
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("is missing or empty"),
            Self::NotAName { most } => {
                write!(f, "may have at most {most} characters and no control characters")
            }
            Self::TooShort { least } => write!(f, "must have at least {least} characters"),
            Self::TooLong { most } => write!(f, "is longer than {most} bytes"),
            Self::NotBetween { least, most } => write!(f, "must be between {least} and {most}"),
            Self::NotALabel => {
                f.write_str("must be 1 to 63 of a-z, 0-9 and '-', the first and the last a letter or digit")
            }
            Self::NotOneOf { found, may } => write!(f, "is {found:?}: it may be {may}"),
        }
    }
}

/// The subject cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The system gave no random numbers.
    #[error("the system gave no random numbers")]
    Random(#[source] getrandom::Error),
    /// What has to be known at start cannot be read.
    #[error("the teams cannot be read")]
    Store(#[from] StoreError),
    /// The keys of the secrets cannot be used.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// Signing in through the identity provider cannot be set up.
    #[error("sign-in by OIDC cannot be set up: {0}")]
    Oidc(#[from] SetupError),
}
