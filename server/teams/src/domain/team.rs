//! Teams and the roles of their tokens.

use minitower_vocabulary::ids::{AttemptId, RegistrationTokenId, TeamId, TokenId};
use minitower_vocabulary::statuses::Role;
use minitower_vocabulary::time::Timestamp;

use super::people::Person;

/// A team: everything but runners belongs to one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Team {
    /// Its id.
    pub id: TeamId,
    /// Its slug, unique.
    pub slug: String,
    /// Its name for people.
    pub name: String,
}

/// The role that a token gets when one of role `asker` asks for it: never more than the asker's own.
#[must_use]
pub const fn granted(asker: Role, wished: Option<Role>) -> Role {
    match (asker, wished) {
        (Role::Admin, Some(role)) => role,
        // A plain request of an admin yields the lesser role: more has to be asked for.
        (Role::Admin, None) | (Role::Member, _) => Role::Member,
    }
}

/// When a token ends that shall end at `wished` and is made with one that ends at `makers`: never after that one.
#[must_use]
pub fn end_of_token(wished: Option<Timestamp>, makers: Option<Timestamp>) -> Option<Timestamp> {
    match (wished, makers) {
        (Some(wished), Some(makers)) => Some(wished.min(makers)),
        (wished, makers) => wished.or(makers),
    }
}

/// A team token, without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Its id.
    pub id: TokenId,
    /// Its name for people.
    pub name: Option<String>,
    /// What it may do.
    pub role: Role,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last shown.
    pub last_used_at: Option<Timestamp>,
    /// When it expires, or has expired.
    pub expires_at: Option<Timestamp>,
    /// Who signed in for it, or for the token that made it.
    pub person: Option<Person>,
}

/// A registration token of a team, without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistrationToken {
    /// Its id.
    pub id: RegistrationTokenId,
    /// When it was made.
    pub created_at: Timestamp,
    /// When a runner last registered with it.
    pub last_used_at: Option<Timestamp>,
}

/// An environment of a team.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Environment {
    /// Its name, unique within the team.
    pub name: String,
    /// When it was made, or first used.
    pub created_at: Timestamp,
}

/// Who speaks for a team.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TeamPrincipal {
    /// The team.
    pub team_id: TeamId,
    /// Its slug.
    pub team_slug: String,
    /// By what right.
    pub credential: Credential,
}

/// By what right somebody speaks for a team.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Credential {
    /// A team token.
    Token {
        /// The token.
        id: TokenId,
        /// What it may do.
        role: Role,
        /// When it expires.
        expires_at: Option<Timestamp>,
    },
    /// The API token of an attempt: it starts and reads the team's runs as long as the attempt lasts.
    Attempt(AttemptId),
}

impl TeamPrincipal {
    /// The team token that was shown, and what it may do; none for a job.
    pub fn token(&self) -> Option<(TokenId, Role)> {
        match self.credential {
            Credential::Token { id, role, .. } => Some((id, role)),
            Credential::Attempt(_) => None,
        }
    }

    /// Whether it may take that team token back; none: one that cannot be.
    pub fn may_revoke(&self, named: Option<TokenId>) -> bool {
        match self.token() {
            Some((_, Role::Admin)) => true,
            Some((own, Role::Member)) => named == Some(own),
            None => false,
        }
    }

    /// Whether it is a team token of role admin.
    pub fn is_admin(&self) -> bool {
        matches!(self.credential, Credential::Token { role: Role::Admin, .. })
    }

    /// Whether the team token that was shown has expired by then. Attempts end by themselves.
    pub fn has_expired(&self, now: Timestamp) -> bool {
        match self.credential {
            Credential::Token { expires_at, .. } => expires_at.is_some_and(|end| end <= now),
            Credential::Attempt(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_never_grants_more_than_it_has() {
        for wished in [None, Some(Role::Admin), Some(Role::Member)] {
            assert_eq!(granted(Role::Member, wished), Role::Member);
        }
        assert_eq!(granted(Role::Admin, Some(Role::Admin)), Role::Admin);
        assert_eq!(granted(Role::Admin, Some(Role::Member)), Role::Member);
        assert_eq!(granted(Role::Admin, None), Role::Member);
    }

    #[test]
    fn an_admin_revokes_any_token_a_member_its_own_and_a_job_none() {
        let by = |credential| TeamPrincipal { team_id: TeamId(1), team_slug: "a".to_owned(), credential };
        let token = |role| by(Credential::Token { id: TokenId(7), role, expires_at: None });
        let may = |by: &TeamPrincipal| [Some(7), Some(8), None].map(|id| by.may_revoke(id.map(TokenId)));
        assert_eq!(may(&token(Role::Admin)), [true; 3]);
        assert_eq!(may(&token(Role::Member)), [true, false, false]);
        assert_eq!(may(&by(Credential::Attempt(AttemptId(7)))), [false; 3]);
    }

    #[test]
    fn a_token_never_outlives_the_one_that_made_it() {
        let (early, late) = (Some(Timestamp(1)), Some(Timestamp(2)));
        assert_eq!(end_of_token(None, None), None);
        assert_eq!(end_of_token(late, None), late);
        assert_eq!(end_of_token(None, early), early);
        assert_eq!(end_of_token(early, late), early);
        assert_eq!(end_of_token(late, early), early);
    }
}
