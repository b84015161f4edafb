//! What goes in and out of a sign-in.

use std::time::Duration;

use minitower_vocabulary::ids::TeamId;
use minitower_vocabulary::time::Timestamp;

use crate::domain::people::Memberships;
use crate::tokens::NewToken;

/// What a command line begins with.
pub struct Device {
    /// What it polls with.
    pub device_code: String,
    /// What the person compares.
    pub user_code: String,
    /// Where the person goes.
    pub verification_uri: String,
}

/// How a browser begins.
#[derive(Debug, Clone, Default)]
pub struct Begin {
    /// The command line that waits for it.
    pub device: Option<String>,
    /// The team that is meant.
    pub team: Option<String>,
    /// Where a page wants its browser back.
    pub return_to: Option<String>,
}

/// Where a browser goes, and what it keeps until it comes back.
pub struct Departure {
    /// The provider.
    pub location: String,
    /// The value of the cookie.
    pub browser: String,
}

/// What a browser brings back from the provider.
#[derive(Debug, Clone, Default)]
pub struct Return {
    /// What it was sent with.
    pub state: Option<String>,
    /// The provider's code.
    pub code: Option<String>,
    /// Why there is none.
    pub error: Option<String>,
    /// The same in the provider's words.
    pub error_description: Option<String>,
    /// Who the provider says that it is.
    pub iss: Option<String>,
}

/// What is next.
pub enum Next {
    /// The person has to confirm what a command line has begun.
    Confirm(Confirm),
    /// The browser goes back to the page, with a code in the fragment.
    Return(String),
}

/// What a person confirms.
pub struct Confirm {
    /// What the form brings back.
    pub ticket: String,
    /// What the person compares.
    pub user_code: String,
    /// The person's name.
    pub name: String,
    /// The teams to choose from, and what the person is there.
    pub memberships: Memberships,
    /// The team that the command line asked for.
    pub team: Option<String>,
    /// How long the token lasts.
    pub token_ttl: Duration,
}

/// What the form brings back.
#[derive(Debug, Clone, Default)]
pub struct Decision {
    /// Its ticket.
    pub ticket: String,
    /// The team.
    pub team: Option<String>,
    /// Whether the person says yes.
    pub allowed: bool,
}

/// What became of a code.
pub enum Exchanged {
    /// The person has not confirmed yet.
    Pending,
    /// A token.
    Token(PersonsToken),
}

/// A token of somebody who signed in; shown once.
pub struct PersonsToken {
    /// The team.
    pub team: TeamId,
    /// Its slug.
    pub team_slug: String,
    /// The person's name.
    pub person: String,
    /// When the token expires.
    pub expires_at: Timestamp,
    /// The token. Its name is the person's.
    pub token: NewToken,
}
