//! Who may do what: teams, their tokens and roles, their environments.
//!
//! | module | what |
//! |---|---|
//! | [`Teams`] | bootstrap, sign-up, login, tokens, registration tokens, environments, and whom a token speaks for |
//! | [`team`] | teams, roles, and who speaks for a team |
//! | [`limits`] | what a team may use |
//! | [`pool`] | what a pool's registration token registers |
//! | [`environments`] | what other subjects may do with environments inside their own transactions |
//! | [`audit`] | who changed what |
//! | [`secret`], [`keys`] | the secrets of teams, and the keys that they are encrypted with |
//! | [`oidc`], [`sign_in`] | people who sign in through an identity provider |
//! | [`secrets`] | how tokens are made and compared |
//!
//! Invariants: a token is shown once and only its hash is kept; every refusal of a credential has the same words; the secrets of teams
//! are kept encrypted, and opened only for a lease; the tables of this crate are named here alone.

pub mod audit;
mod auth;
mod domain;
pub mod environments;
mod error;
mod events;
mod key_file;
pub mod keys;
mod lane;
mod limited;
pub mod oidc;
mod passwords;
mod pool_tokens;
mod registrations;
mod seal;
mod sealing;
pub mod secrets;
mod settings;
pub mod sign_in;
mod store;
mod teams;
mod throttle;
mod tokens;
mod vault;

use std::sync::Arc;

use minitower_kernel::clock::Clock;
use minitower_kernel::events::Subscribers;
use minitower_kernel::{Db, Store};
use minitower_vocabulary::ids::TeamId;

use domain::limits::Defaults;

pub use auth::{AdminPrincipal, Registrar, RegistrationPrincipal};
pub use domain::{limits, people, pool, secret, team};
pub use error::{Error, Field, StartError};
pub use events::{EnvironmentMade, LimitsChanged, TeamMade, TokenRevoked};
pub use limited::{OpenRequest, Used};
pub use pool_tokens::{CreatePoolToken, NewPoolToken};
pub use sealing::Sealer;
pub use settings::Settings;
pub use store::environments::KnownEnvironment;
pub use teams::NewTeam;
pub use tokens::{CreateToken, NewToken};
pub use vault::{SecretValue, Shelf};

/// Teams, and whom tokens speak for. A cheap clone.
#[derive(Debug, Clone)]
pub struct Teams(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    store: Arc<Store>,
    clock: Clock,
    settings: Settings,
    throttle: throttle::Throttle,
    registrations: registrations::Registrations,
    passwords: passwords::Hasher,
    memory: Memory,
    vault: vault::Vault,
    oidc: Option<oidc::Oidc>,
}

/// What the subject keeps in memory. Made before the database is opened, so that it follows the commits from the first one on.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    tokens: Arc<auth::Tokens>,
    slugs: Arc<events::Slugs>,
    uses: Arc<tokens::Uses>,
    limits: Arc<limited::Known>,
}

impl Memory {
    /// An empty memory that follows the commits.
    pub fn new(subscribers: &mut Subscribers) -> Self {
        let memory = Self::default();
        let slugs = Arc::clone(&memory.slugs);
        subscribers.on(move |made: &TeamMade| slugs.made(made));
        let tokens = Arc::clone(&memory.tokens);
        subscribers.on(move |revoked: &TokenRevoked| tokens.forget(&revoked.hash));
        let limits = Arc::clone(&memory.limits);
        subscribers.on(move |changed: &LimitsChanged| limits.changed(changed));
        memory
    }

    /// The slug of a team; slugs never change. None: there is no such team.
    pub fn slug(&self, id: TeamId) -> Option<Arc<str>> {
        self.slugs.of(id)
    }
}

impl Teams {
    /// Opens the subject on a database that is already open.
    pub async fn open(
        store: Arc<Store>,
        clock: Clock,
        settings: Settings,
        memory: Memory,
    ) -> Result<Self, StartError> {
        let passwords = passwords::Hasher::new()?;
        let oidc = settings.oidc.clone().map(oidc::Oidc::new).transpose()?;
        let vault = vault::Vault::open(&store, &settings.secrets_key_file).await?;
        let read = |db: &Db| Ok::<_, StartError>((store::teams::all(db)?, store::limits::all(db)?));
        let (known, set) = store.read(read).await?;
        memory.slugs.load(known);
        memory.limits.load(Defaults::with_storage(settings.storage_bytes), set);
        Ok(Self(Arc::new(Shared {
            store,
            clock,
            settings,
            throttle: throttle::Throttle::default(),
            registrations: registrations::Registrations::default(),
            passwords,
            memory,
            vault,
            oidc,
        })))
    }

    /// The slug of a team, without a look at the database; slugs never change. None: there is no such team.
    pub fn slug(&self, id: TeamId) -> Option<Arc<str>> {
        self.0.memory.slug(id)
    }

    /// All environments of all teams, in no order.
    pub async fn known_environments(&self) -> Result<Vec<KnownEnvironment>, Error> {
        Ok(self.0.store.read(store::environments::all_known).await?)
    }
}
