//! What commits of this subject change, and the slugs that follow them.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use minitower_vocabulary::ids::{EnvironmentId, TeamId};

use crate::domain::limits::Limits;
use crate::secrets::TokenHash;

/// A team came to be.
#[derive(Debug, Clone)]
pub struct TeamMade {
    /// Its id.
    pub id: TeamId,
    /// Its slug.
    pub slug: String,
}

/// A team token is dead.
#[derive(Debug, Clone, Copy)]
pub struct TokenRevoked {
    /// Its hash.
    pub hash: TokenHash,
}

/// An environment came to be.
#[derive(Debug, Clone)]
pub struct EnvironmentMade {
    /// Its team.
    pub team: TeamId,
    /// Its id.
    pub id: EnvironmentId,
    /// Its name.
    pub name: String,
}

/// The limits of a team are not what they were.
#[derive(Debug, Clone)]
pub struct LimitsChanged {
    /// The team.
    pub team: TeamId,
    /// Its limits before.
    pub before: Arc<Limits>,
    /// Its limits after.
    pub after: Arc<Limits>,
}

/// The slug of every team: metrics and leases name teams with each run, and a slug never changes.
#[derive(Debug, Default)]
pub(crate) struct Slugs(RwLock<HashMap<TeamId, Arc<str>>>);

impl Slugs {
    pub(crate) fn load(&self, known: Vec<(TeamId, String)>) {
        let mut slugs = self.0.write().unwrap_or_else(PoisonError::into_inner);
        slugs.extend(known.into_iter().map(|(id, slug)| (id, Arc::from(slug))));
    }

    pub(crate) fn has(&self, slug: &str) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).values().any(|known| **known == *slug)
    }

    pub(crate) fn made(&self, made: &TeamMade) {
        let mut slugs = self.0.write().unwrap_or_else(PoisonError::into_inner);
        slugs.insert(made.id, Arc::from(made.slug.as_str()));
    }

    pub(crate) fn of(&self, id: TeamId) -> Option<Arc<str>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }
}
