//! Team tokens: made, listed, taken back; when they were last used.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use minitower_kernel::page::Page;
use minitower_vocabulary::ids::{TeamId, TokenId};
use minitower_vocabulary::limits::LimitName;
use minitower_vocabulary::statuses::Role;
use minitower_vocabulary::time::Timestamp;

use crate::domain::team::{TeamPrincipal, Token, end_of_token, granted};
use crate::secrets::{self, Kind};
use crate::store::tokens;
use crate::teams::checked_name;
use crate::{Error, Field, Teams};

/// Longest life of a token that expires: ten years.
const MOST_SECONDS: i64 = 10 * 366 * 24 * 60 * 60;
/// How long an expired token stays in the list, in milliseconds: 30 days.
const LISTED_MS: i64 = 30 * 24 * 60 * 60 * 1000;
/// At most so often the use of a token is written down.
const WRITTEN_EVERY: Duration = Duration::from_mins(1);
/// Tokens whose use is kept in memory.
const KEPT: usize = 32 * 1024;

/// What a new token shall be.
#[derive(Debug, Clone, Default)]
pub struct CreateToken {
    /// A name for people.
    pub name: Option<String>,
    /// A wish: a member's request always yields `member`.
    pub role: Option<String>,
    /// After how many seconds it expires; none: when the token expires that makes it, if that does.
    pub expires_in: Option<i64>,
}

/// A token that was just made; shown once.
pub struct NewToken {
    /// Its id.
    pub id: TokenId,
    /// The token.
    pub token: String,
    /// Its name.
    pub name: Option<String>,
    /// Its role.
    pub role: Role,
    /// When it expires.
    pub expires_at: Option<Timestamp>,
}

/// When tokens were last used: in memory at once, and written down now and then.
#[derive(Debug, Default)]
pub(crate) struct Uses(Mutex<HashMap<TokenId, Use>>);

#[derive(Debug, Clone, Copy)]
struct Use {
    at: Timestamp,
    written: Timestamp,
}

impl Uses {
    /// Notes a use; true when it is to be written down.
    fn note(&self, id: TokenId, now: Timestamp) -> bool {
        let mut uses = self.lock();
        if let Some(known) = uses.get_mut(&id) {
            known.at = known.at.max(now);
            let write = now.since(known.written) >= WRITTEN_EVERY;
            if write {
                known.written = now;
            }
            return write;
        }
        if uses.len() >= KEPT {
            // What was written down a minute ago at most is forgotten to the minute.
            uses.clear();
        }
        uses.insert(id, Use { at: now, written: now });
        true
    }

    fn last(&self, id: TokenId, written: Option<Timestamp>) -> Option<Timestamp> {
        written.max(self.lock().get(&id).map(|known| known.at))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TokenId, Use>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Teams {
    /// Makes a token of the team. It never outlives the one that makes it.
    pub async fn create_token(&self, by: &TeamPrincipal, new: CreateToken) -> Result<NewToken, Error> {
        let wished = match new.role.as_deref() {
            None | Some("") => None,
            Some(word) => Some(Role::parse(word).ok_or_else(|| {
                let found = word.to_owned();
                Error::field("role", Field::NotOneOf { found, may: "\"admin\" or \"member\"" })
            })?),
        };
        let name = match new.name.filter(|n| !n.is_empty()) {
            Some(name) => Some(checked_name("name", &name)?),
            None => None,
        };
        let now = self.0.clock.now();
        let wished_end = match new.expires_in {
            None => None,
            Some(seconds @ 1..=MOST_SECONDS) => Some(Timestamp(now.0 + seconds * 1000)),
            Some(_) => {
                return Err(Error::field("expires_in", Field::NotBetween { least: 1, most: MOST_SECONDS }));
            }
        };
        let Some((maker, role)) = by.token() else {
            return Err(Error::NotATeamToken);
        };
        let (team, role) = (by.team_id, granted(role, wished));
        let limits = self.limits(team);
        let (token, hash) = secrets::generate(Kind::Team)?;
        let kept = name.clone();
        let (id, expires_at) = self
            .0
            .store
            .write(move |tx| {
                // Revoked in the meantime, it makes nothing any more.
                let maker = tokens::find(tx, team, maker)?.ok_or(Error::Unauthorized)?;
                let end = end_of_token(wished_end, maker.expires_at);
                tokens::delete_expired(tx, team, Timestamp(now.0 - LISTED_MS))?;
                let used = tokens::count(tx, team, limits.count(LimitName::Tokens), now)?;
                limits.take(LimitName::Tokens, used.unsigned_abs())?;
                let made = tokens::insert(tx, team, kept.as_deref(), role, hash, now, end)?;
                if let Some(person) = &maker.person {
                    tokens::of_person(tx, made, person)?;
                }
                Ok::<_, Error>((made, end))
            })
            .await?;
        Ok(NewToken { id, token, name, role, expires_at })
    }

    /// Makes a token for whoever has proved who they are by other means. Nobody is locked out: at the limit it takes the place of the one of
    /// its kind that was used least recently.
    pub(crate) async fn insert_token(
        &self,
        team: TeamId,
        name: &'static str,
        role: Role,
    ) -> Result<NewToken, Error> {
        let (token, hash) = secrets::generate(Kind::Team)?;
        let (now, most) = (self.0.clock.now(), self.limits(team).count(LimitName::Tokens));
        let id = self
            .0
            .store
            .write(move |tx| {
                if tokens::count(tx, team, most, now)? >= most
                    && let Some(former) = tokens::least_used(tx, team, name)?
                {
                    tokens::delete(tx, team, former)?;
                }
                Ok::<_, Error>(tokens::insert(tx, team, Some(name), role, hash, now, None)?)
            })
            .await?;
        Ok(NewToken { id, token, name: Some(name.to_owned()), role, expires_at: None })
    }

    /// A team's tokens, newest first; the cursor is a token's id.
    pub async fn tokens(&self, by: &TeamPrincipal, page: Page<TokenId>) -> Result<Vec<Token>, Error> {
        let team = by.team_id;
        let list =
            self.0.store.read(move |db| Ok::<_, Error>(tokens::list(db, team, page.cursor, page.limit)?));
        let mut list = list.await?;
        for token in &mut list {
            token.last_used_at = self.0.memory.uses.last(token.id, token.last_used_at);
        }
        Ok(list)
    }

    /// The token that speaks; none: it is none of a team's, or was revoked in the meantime.
    pub async fn own_token(&self, by: &TeamPrincipal) -> Result<Option<Token>, Error> {
        let (Some((id, _)), team) = (by.token(), by.team_id) else { return Ok(None) };
        self.0.store.read(move |db| Ok::<_, Error>(tokens::find(db, team, id)?)).await
    }

    /// Takes a token back: it is dead when this returns.
    pub async fn revoke_token(&self, by: &TeamPrincipal, id: TokenId) -> Result<(), Error> {
        let team = by.team_id;
        self.0
            .store
            .write_upkeep(
                move |tx| if tokens::delete(tx, team, id)? { Ok(()) } else { Err(Error::NoToken(id)) },
            )
            .await
    }

    /// Notes that the token was shown, if it is one.
    pub(crate) fn note_use(&self, by: &TeamPrincipal) {
        let Some((id, _)) = by.token() else { return };
        let now = self.0.clock.now();
        if self.0.memory.uses.note(id, now) {
            let teams = self.clone();
            // Nobody waits for it. What is not written down is known to the memory, and the next use tries again.
            tokio::spawn(async move {
                let write = teams.0.store.write(move |tx| Ok::<_, Error>(tokens::touch(tx, id, now)?));
                let _may_lag = write.await;
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_use_is_known_at_once_and_written_down_once_a_minute() {
        let (uses, id) = (Uses::default(), TokenId(7));
        assert_eq!(uses.last(id, Some(Timestamp(5))), Some(Timestamp(5)));
        assert!(uses.note(id, Timestamp(1000)));
        assert!(!uses.note(id, Timestamp(60_999)));
        assert_eq!(uses.last(id, Some(Timestamp(1000))), Some(Timestamp(60_999)));
        assert!(uses.note(id, Timestamp(61_000)));
        assert!(!uses.note(id, Timestamp(61_001)));
    }

    #[test]
    fn the_memory_of_uses_is_bounded() {
        let uses = Uses::default();
        for id in 0..i64::try_from(KEPT).unwrap() + 10 {
            uses.note(TokenId(id), Timestamp(0));
        }
        assert!(uses.lock().len() <= KEPT);
    }
}
