//! Registration tokens of pools: made for whoever runs the pools, and bound to one pool, environment and scope each.

use minitower_vocabulary::names::{self, DEFAULT_ENVIRONMENT};

use crate::domain::pool::{Binding, NotALabel, PoolName};
use crate::error::Field;
use crate::secrets::{self, Kind};
use crate::store::{pool_tokens, teams};
use crate::{Error, Teams};

/// What a pool's token is to be bound to.
#[derive(Debug, Clone, Default)]
pub struct CreatePoolToken {
    /// The pool's namespace.
    pub namespace: String,
    /// The pool's name.
    pub pool: String,
    /// The environment whose runs its runners take; none: `default`.
    pub environment: Option<String>,
    /// The slug of the team whose runs its runners take; none: every team's.
    pub team: Option<String>,
}

/// A pool's new token, shown once.
pub struct NewPoolToken {
    /// What it is bound to.
    pub binding: Binding,
    /// The token.
    pub token: String,
}

impl Teams {
    /// Makes a registration token for a pool. The pool's former ones stay good until a runner has registered with the new one, and for a
    /// while after.
    pub async fn create_pool_token(&self, new: CreatePoolToken) -> Result<NewPoolToken, Error> {
        let pool = Self::pool_name(&new.namespace, &new.pool)?;
        let environment =
            new.environment.filter(|name| !name.is_empty()).unwrap_or_else(|| DEFAULT_ENVIRONMENT.to_owned());
        names::check_environment(&environment)?;
        let (token, hash) = secrets::generate(Kind::Registration)?;
        let (now, slug) = (self.0.clock.now(), new.team);
        let binding = self
            .0
            .store
            .write(move |tx| {
                let team = match slug {
                    None => None,
                    Some(slug) => Some(teams::by_slug(tx, &slug)?.ok_or_else(|| no_team(&slug))?.id),
                };
                let binding = Binding { pool, environment, team };
                pool_tokens::insert(tx, &binding, hash, now)?;
                Ok::<_, Error>(binding)
            })
            .await?;
        Ok(NewPoolToken { binding, token })
    }

    /// The name of a pool, if its parts can be those of one.
    pub fn pool_name(namespace: &str, pool: &str) -> Result<PoolName, Error> {
        PoolName::parse(namespace, pool).map_err(|NotALabel(part)| Error::field(part, Field::NotALabel))
    }

    /// Whether there is a team of that slug, for whoever says whose runs a pool serves; without a look at the database.
    pub fn must_know(&self, slug: &str) -> Result<(), Error> {
        if self.0.memory.slugs.has(slug) { Ok(()) } else { Err(no_team(slug)) }
    }

    /// Revokes all registration tokens of a pool; runners that registered with them stay.
    pub async fn delete_pool_token(&self, namespace: &str, pool: &str) -> Result<(), Error> {
        let pool = Self::pool_name(namespace, pool)?;
        self.0
            .store
            .write_upkeep(move |tx| {
                if pool_tokens::delete(tx, &pool)? { Ok(()) } else { Err(Error::NoPoolToken(pool)) }
            })
            .await
    }
}

fn no_team(slug: &str) -> Error {
    let found = slug.chars().take(64).collect();
    Error::field("team", Field::NotOneOf { found, may: "the slug of a team of this server" })
}
