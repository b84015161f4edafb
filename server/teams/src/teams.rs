//! Teams: bootstrap, sign-up, login, tokens, registration tokens, environments.

use std::net::IpAddr;

use crate::domain::team::{Environment, RegistrationToken, Team, TeamPrincipal};
use minitower_kernel::StoreError;
use minitower_kernel::page::Page;
use minitower_vocabulary::ids::RegistrationTokenId;
use minitower_vocabulary::names::{self, Slug};

use crate::environments::ensure;
use crate::lane::Purpose;
use crate::secrets::{self, Kind};
use crate::store::{environments, registration_tokens, teams, tokens};
use crate::tokens::NewToken;
use crate::{Error, Field, Teams, passwords, throttle};
use minitower_vocabulary::statuses::Role;

/// Longest name of a team or token, in characters.
const MAX_NAME: usize = 200;

/// A team and the tokens that were made with it; they are shown once.
pub struct NewTeam {
    /// The team.
    pub team: Team,
    /// An admin token.
    pub token: String,
    /// A registration token for the team's runners.
    pub registration_token: String,
    /// False: the team was there before.
    pub created: bool,
}

impl Teams {
    /// Whether anyone may sign up, and whether bootstrap is there.
    pub fn auth_options(&self) -> (bool, bool) {
        let settings = &self.0.settings;
        (settings.signup_enabled, settings.bootstrap_token.is_some())
    }

    /// Makes the platform's first team, or new tokens for it.
    pub async fn bootstrap(
        &self,
        slug: &str,
        name: &str,
        password: Option<String>,
    ) -> Result<NewTeam, Error> {
        let slug = Slug::parse(slug)?;
        let name = checked_name("name", name)?;
        let password_hash = match password {
            Some(password) => {
                passwords::check(&password)?;
                Some(self.0.passwords.hash((Purpose::Bootstrap, None), password).await?)
            }
            None => None,
        };
        let (token, hash) = secrets::generate(Kind::Team)?;
        let (registration_token, registration_hash) = secrets::generate(Kind::Registration)?;
        let now = self.0.clock.now();
        let (team, created) = self
            .0
            .store
            .write(move |tx| {
                let found = teams::by_slug(tx, slug.as_str())?;
                let (team, created) = match found {
                    Some(team) => {
                        if let Some(hash) = &password_hash {
                            teams::set_password_hash(tx, team.id, hash)?;
                        }
                        (team, false)
                    }
                    None if teams::first(tx)?.is_some() => {
                        return Err(Error::TeamExists);
                    }
                    None => (teams::insert(tx, slug.as_str(), &name, password_hash.as_deref(), now)?, true),
                };
                tokens::insert(tx, team.id, Some("bootstrap"), Role::Admin, hash, now, None)?;
                registration_tokens::insert(tx, team.id, registration_hash, true, now)?;
                Ok((team, created))
            })
            .await?;
        Ok(NewTeam { team, token, registration_token, created })
    }

    /// Makes a team for whoever asks, when that is allowed. `address` is the caller's, for the throttle.
    pub async fn signup(
        &self,
        slug: &str,
        name: &str,
        password: String,
        address: Option<IpAddr>,
    ) -> Result<NewTeam, Error> {
        if !self.0.settings.signup_enabled {
            return Err(Error::SignupOff);
        }
        let slug = Slug::parse(slug)?;
        let name = checked_name("name", name)?;
        passwords::check(&password)?;
        let origin = throttle::origin(address);
        self.0.throttle.admit_signup(origin, self.0.clock.now())?;
        let wanted = slug.as_str().to_owned();
        // Before the work of hashing; somebody may still come first meanwhile.
        if self.0.store.read(move |db| Ok::<_, Error>(teams::by_slug(db, &wanted)?)).await?.is_some() {
            return Err(Error::SlugTaken(slug.as_str().to_owned()));
        }
        let password_hash = self.0.passwords.hash((Purpose::Signup, origin), password).await?;
        let (token, hash) = secrets::generate(Kind::Team)?;
        let (registration_token, registration_hash) = secrets::generate(Kind::Registration)?;
        let now = self.0.clock.now();
        let team =
            self.0
                .store
                .write(move |tx| {
                    let team = teams::insert(tx, slug.as_str(), &name, Some(&password_hash), now).map_err(
                        |error| match error {
                            StoreError::Taken => Error::SlugTaken(slug.as_str().to_owned()),
                            other => other.into(),
                        },
                    )?;
                    tokens::insert(tx, team.id, Some("signup"), Role::Admin, hash, now, None)?;
                    registration_tokens::insert(tx, team.id, registration_hash, true, now)?;
                    Ok::<_, Error>(team)
                })
                .await?;
        Ok(NewTeam { team, token, registration_token, created: true })
    }

    /// A new admin token for whoever knows the team's password. `address` is the caller's, for the throttle.
    pub async fn login(
        &self,
        slug: &str,
        password: String,
        address: Option<IpAddr>,
    ) -> Result<(Team, NewToken), Error> {
        for (field, value) in [("slug", slug), ("password", password.as_str())] {
            if value.is_empty() {
                return Err(Error::field(field, Field::Missing));
            }
        }
        let (inner, origin) = (&self.0, throttle::origin(address));
        inner.throttle.check(slug, origin, inner.clock.now())?;
        let wanted = slug.to_owned();
        let known = self.0.store.read(move |db| Ok::<_, Error>(teams::password_hash(db, &wanted)?)).await?;
        let (team, hash) = known.map_or((None, None), |(team, hash)| (Some(team), hash));
        // A password longer than any that was ever hashed costs the same and is wrong.
        let password = if password.len() > passwords::MAX_BYTES { String::new() } else { password };
        let (shared, slug_tried) = (self.0.clone(), slug.to_owned());
        let admit = move || shared.throttle.admit(&slug_tried, origin, shared.clock.now());
        let right = inner.passwords.verify((Purpose::Login, origin), password, hash, admit).await?;
        let (true, Some(team)) = (right, team) else {
            return Err(Error::WrongLogin);
        };
        inner.throttle.forgive(slug, origin);
        let token = self.insert_token(team.id, "login", Role::Admin).await?;
        Ok((team, token))
    }

    /// A team's registration tokens, newest first; the cursor is a token's id.
    pub async fn registration_tokens(
        &self,
        by: &TeamPrincipal,
        page: Page<RegistrationTokenId>,
    ) -> Result<Vec<RegistrationToken>, Error> {
        let team = by.team_id;
        self.0.store.read(move |db| Ok(registration_tokens::list(db, team, page.cursor, page.limit)?)).await
    }

    /// Makes a registration token for the team's own runners.
    pub async fn create_registration_token(
        &self,
        by: &TeamPrincipal,
    ) -> Result<(RegistrationTokenId, String), Error> {
        let (token, hash) = secrets::generate(Kind::Registration)?;
        let (now, team) = (self.0.clock.now(), by.team_id);
        let id = self
            .0
            .store
            .write(move |tx| Ok::<_, Error>(registration_tokens::insert(tx, team, hash, false, now)?))
            .await?;
        Ok((id, token))
    }

    /// Deletes a registration token; runners that registered with it stay.
    pub async fn delete_registration_token(
        &self,
        by: &TeamPrincipal,
        id: RegistrationTokenId,
    ) -> Result<(), Error> {
        let team = by.team_id;
        self.0
            .store
            .write_upkeep(move |tx| {
                if registration_tokens::delete(tx, team, id)? {
                    Ok(())
                } else {
                    Err(Error::NoRegistrationToken(id))
                }
            })
            .await
    }

    /// A team's environments by name; the cursor is a name.
    pub async fn environments(
        &self,
        by: &TeamPrincipal,
        page: Page<String>,
    ) -> Result<Vec<Environment>, Error> {
        let team = by.team_id;
        self.0
            .store
            .read(move |db| Ok(environments::list(db, team, page.cursor.as_deref(), page.limit)?))
            .await
    }

    /// Makes an environment; true when there was none of that name.
    pub async fn create_environment(
        &self,
        by: &TeamPrincipal,
        name: String,
    ) -> Result<(Environment, bool), Error> {
        names::check_environment(&name)?;
        let (now, team) = (self.0.clock.now(), by.team_id);
        let limits = self.limits(team);
        self.0
            .store
            .write(move |tx| {
                let (_, made) = ensure(tx, (team, &limits), &name, now)?;
                let environment = environments::find(tx, team, &name)?
                    .ok_or_else(|| StoreError::Inconsistent(format!("environment {name:?} vanished")))?;
                Ok((environment, made))
            })
            .await
    }
}

pub(crate) fn checked_name(field: &'static str, value: &str) -> Result<String, Error> {
    let value = value.trim();
    if value.is_empty() {
        return Err(Error::field(field, Field::Missing));
    }
    if value.chars().count() > MAX_NAME || value.chars().any(char::is_control) {
        return Err(Error::field(field, Field::NotAName { most: MAX_NAME }));
    }
    Ok(value.to_owned())
}
