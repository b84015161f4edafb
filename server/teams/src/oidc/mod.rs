//! Signing in through an identity provider, by OpenID Connect.
//!
//! | module | what |
//! |---|---|
//! | [`settings`] | how the provider is reached, and what its groups are worth |
//! | [`provider`] | what is asked of the provider |
//! | [`jws`] | who signed a token |
//! | [`seal`] | what browsers and command lines keep for the server until they come back |
//! | [`waiting`] | sign-ins whose token nobody has fetched yet |
//!
//! `sign_in` beside this folder is the use case. No rule about tokens of teams belongs here.

mod error;
mod http;
mod jws;
pub(crate) mod provider;
pub(crate) mod seal;
mod settings;
pub(crate) mod waiting;

use std::sync::Arc;

pub use crate::domain::id_token::BadClaims;
pub use error::SignInError;
pub use jws::BadJws;
pub use provider::ProviderError;
pub use settings::{BadUrl, ClientSecret, OidcSettings, Scopes, ServiceUrl, word};

use provider::Provider;
use seal::Seal;
use waiting::Room;

/// Everything that signing in needs.
#[derive(Debug)]
pub(crate) struct Oidc {
    pub(crate) settings: Arc<OidcSettings>,
    pub(crate) provider: Provider,
    pub(crate) seal: Seal,
    pub(crate) room: Room,
}

/// Signing in cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The client of the provider cannot be made.
    #[error("{0}")]
    Client(String),
    /// The key of what is sealed cannot be made.
    #[error("no key can be made")]
    Key(#[source] Box<crate::Error>),
}

impl Oidc {
    /// Asks the provider nothing yet.
    pub(crate) fn new(settings: OidcSettings) -> Result<Self, SetupError> {
        let settings = Arc::new(settings);
        Ok(Self {
            provider: Provider::new(Arc::clone(&settings)).map_err(SetupError::Client)?,
            seal: Seal::new().map_err(|error| SetupError::Key(Box::new(error)))?,
            room: Room::default(),
            settings,
        })
    }
}
