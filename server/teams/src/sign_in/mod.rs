//! Signing in through the identity provider: a browser goes there and comes back, and whoever began it fetches a team token.
//!
//! A command line begins with a device code and polls with it (as RFC 8628 describes); the person confirms in the browser. A page of this server
//! gets a code for its own browser instead. What has not ended is kept, sealed, by browser and command line.

mod checks;
mod parts;

use std::net::IpAddr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use minitower_vocabulary::statuses::Role;
use serde::{Deserialize, Serialize};

use crate::domain::people::{Memberships, Person, superseded};
use crate::oidc::provider::{Ties, said};
use crate::oidc::seal::Purpose;
use crate::oidc::waiting::Waiting;
use crate::oidc::{Oidc, SignInError};
use crate::secrets::{self, Kind, TokenHash};
use crate::store::{people, teams, tokens};
use crate::tokens::NewToken;
use crate::{Error, Teams, throttle};

use checks::{
    check_browser, checked_device, checked_return, checked_team, chosen, device_key, fits, is_admin,
    is_random, random, role_in, told, unknown_state, user_code,
};
pub use parts::{Begin, Confirm, Decision, Departure, Device, Exchanged, Next, PersonsToken, Return};

/// How long a sign-in may take from its beginning to its end.
pub const LIFE: Duration = Duration::from_mins(10);
/// How often a command line should ask whether the person has confirmed.
pub const INTERVAL: Duration = Duration::from_secs(2);
/// How long a page has to fetch the token.
const RETURNED_LIFE: Duration = Duration::from_mins(1);
/// Where a browser comes back to, below the public URL.
const CALLBACK: &str = "api/v1/auth/oidc/callback";
/// Where a browser begins.
const START: &str = "api/v1/auth/oidc/start";
/// Longest code of the provider, in bytes.
const MOST_CODE: usize = 8 * 1024;

#[derive(Serialize, Deserialize)]
struct SealedState {
    verifier: String,
    nonce: String,
    browser: TokenHash,
    device: Option<String>,
    team: Option<String>,
    return_to: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct SealedTicket {
    subject: String,
    name: String,
    memberships: Vec<(String, bool)>,
    device: String,
    browser: TokenHash,
}

impl Teams {
    /// Whether people sign in through an identity provider.
    pub fn oidc_enabled(&self) -> bool {
        self.0.oidc.is_some()
    }

    /// Whether browsers reach this server by https, and their cookies are for that alone.
    pub fn is_reached_encrypted(&self) -> bool {
        self.0.oidc.as_ref().is_some_and(|oidc| oidc.settings.public_url.is_encrypted())
    }

    fn oidc(&self) -> Result<&Oidc, SignInError> {
        self.0.oidc.as_ref().ok_or(SignInError::Off)
    }

    /// Begins for a command line.
    pub fn begin_device(&self, team: Option<String>) -> Result<Device, Error> {
        let (oidc, now) = (self.oidc()?, self.0.clock.now());
        let team = checked_team(team)?;
        let device = random::<16>()?;
        let device_code = oidc.seal.seal(Purpose::Device, &device, now, LIFE)?;
        let mut verification_uri = format!("{}?device={device}", oidc.settings.public_url.join(START));
        if let Some(team) = team {
            verification_uri.push_str("&team=");
            verification_uri.push_str(&team);
        }
        let device_code = format!("{}{device_code}", Kind::Device.prefix());
        Ok(Device { device_code, user_code: user_code(&device), verification_uri })
    }

    /// Sends a browser to the provider. `browser` is the cookie that it has from before.
    pub async fn begin_sign_in(&self, begin: Begin, browser: Option<&str>) -> Result<Departure, Error> {
        let (oidc, now) = (self.oidc()?, self.0.clock.now());
        let team = checked_team(begin.team)?;
        let device = begin.device.map(checked_device).transpose()?;
        let return_to = match (begin.return_to, &device) {
            (Some(place), None) => Some(checked_return(place)?),
            (Some(_), Some(_)) => {
                let rule = "a browser that confirms for a command line does not go back to a page";
                return Err(SignInError::Nonsense("return_to", rule).into());
            }
            (None, _) => None,
        };
        // Kept as it is: several tabs may sign in at once.
        let browser = match browser.filter(|cookie| is_random::<32>(cookie)) {
            Some(cookie) => cookie.to_owned(),
            None => random::<32>()?,
        };
        let (verifier, nonce) = (random::<32>()?, random::<16>()?);
        let challenge = URL_SAFE_NO_PAD.encode(secrets::hash(&verifier));
        let ties = (nonce.clone(), challenge);
        let state =
            SealedState { verifier, nonce, browser: secrets::hash(&browser), device, team, return_to };
        let state = oidc.seal.seal(Purpose::State, &state, now, LIFE)?;
        let redirect_uri = oidc.settings.public_url.join(CALLBACK);
        let departure = oidc.provider.departure(&redirect_uri, &state, (&ties.0, &ties.1), now);
        let location = departure.await.map_err(SignInError::from)?;
        Ok(Departure { location, browser })
    }

    /// Takes a browser that comes back from the provider. `address` is the caller's, for the throttle.
    pub async fn finish_sign_in(
        &self,
        back: Return,
        browser: Option<&str>,
        address: Option<IpAddr>,
    ) -> Result<Next, Error> {
        let (oidc, now) = (self.oidc()?, self.0.clock.now());
        let state = back.state.as_deref().ok_or(unknown_state())?;
        let state: SealedState = oidc.seal.open(Purpose::State, state, now).map_err(|_| unknown_state())?;
        check_browser(browser, &state.browser)?;
        oidc.provider.check_answerer(back.iss.as_deref(), now).await?;
        if let Some(error) = back.error {
            return Err(SignInError::ProviderSays(said(&error, back.error_description.as_deref())).into());
        }
        let code = back.code.filter(|code| (1..=MOST_CODE).contains(&code.len()));
        let code = code.ok_or(SignInError::Nonsense("code", "the identity provider's code is missing"))?;
        // From here on strangers make the server ask the provider.
        self.0.throttle.admit_sign_in(throttle::origin(address), now)?;
        let redirect_uri = oidc.settings.public_url.join(CALLBACK);
        let ties = Ties { nonce: &state.nonce, verifier: &state.verifier };
        let who = oidc.provider.who(&code, &redirect_uri, ties, now).await;
        let who = who.inspect_err(told)?;
        let memberships = oidc.settings.teams.memberships(who.groups.iter().map(String::as_str));
        if memberships.is_empty() {
            return Err(SignInError::NoTeam { name: who.person.name }.into());
        }
        if let Some(team) = &state.team {
            role_in(&memberships, team)?;
        }
        let Some(device) = state.device else {
            return self.returned(who.person, memberships, (state.return_to, state.browser));
        };
        let ticket = SealedTicket {
            subject: who.person.subject,
            name: who.person.name.clone(),
            memberships: memberships.iter().map(|(slug, role)| (slug.clone(), is_admin(*role))).collect(),
            device: device.clone(),
            browser: state.browser,
        };
        Ok(Next::Confirm(Confirm {
            ticket: oidc.seal.seal(Purpose::Ticket, &ticket, now, LIFE)?,
            user_code: user_code(&device),
            name: who.person.name,
            memberships,
            team: state.team,
            token_ttl: oidc.settings.token_ttl,
        }))
    }

    fn returned(
        &self,
        person: Person,
        memberships: Memberships,
        (return_to, browser): (Option<String>, TokenHash),
    ) -> Result<Next, Error> {
        let (oidc, now) = (self.oidc()?, self.0.clock.now());
        let (code, hash) = secrets::generate(Kind::HandOver)?;
        oidc.room.put(hash, Waiting::Returned { person, memberships, browser }, now, RETURNED_LIFE);
        let place = return_to.unwrap_or_else(|| "/".to_owned());
        // A fragment is sent to no server and written into no log.
        let place = format!("{}#code={code}", oidc.settings.public_url.join(place.trim_start_matches('/')));
        Ok(Next::Return(place))
    }

    /// Takes what the person has decided about a command line; says the person's name and the team.
    pub fn decide_sign_in(
        &self,
        decision: &Decision,
        browser: Option<&str>,
    ) -> Result<(String, String), Error> {
        let (oidc, now) = (self.oidc()?, self.0.clock.now());
        let ticket: SealedTicket =
            oidc.seal.open(Purpose::Ticket, &decision.ticket, now).map_err(|_| unknown_state())?;
        check_browser(browser, &ticket.browser)?;
        let issuer = oidc.settings.issuer.as_str().to_owned();
        let person = Person { issuer, subject: ticket.subject, name: ticket.name };
        let (name, key) = (person.name.clone(), device_key(&ticket.device));
        if oidc.room.is_used(&key, now) {
            return Err(SignInError::CodeGone.into());
        }
        if !decision.allowed {
            oidc.room.put(key, Waiting::Denied { person }, now, LIFE);
            return Ok((name, String::new()));
        }
        let role = |admin| if admin { Role::Admin } else { Role::Member };
        let memberships: Memberships =
            ticket.memberships.into_iter().map(|(slug, admin)| (slug, role(admin))).collect();
        let (team, role) = chosen(&memberships, decision.team.as_deref())?;
        let granted = Waiting::Granted { person, team: team.clone(), role };
        oidc.room.put(key, granted, now, LIFE);
        Ok((name, team))
    }

    /// Exchanges a device code, or the code of a page, for a team token. `former` is a token that the new one replaces.
    pub async fn exchange_code(
        &self,
        code: &str,
        team: Option<String>,
        former: Option<String>,
        browser: Option<&str>,
    ) -> Result<Exchanged, Error> {
        let (oidc, now) = (self.oidc()?, self.0.clock.now());
        let team = checked_team(team)?;
        let key = if let Some(sealed) = code.strip_prefix(Kind::Device.prefix()) {
            let device: String =
                oidc.seal.open(Purpose::Device, sealed, now).map_err(|_| SignInError::CodeGone)?;
            self.0.throttle.admit_poll(&device, now)?;
            device_key(&device)
        } else if secrets::is_of_kind(code, Kind::HandOver) {
            secrets::hash(code)
        } else {
            return Err(
                SignInError::Nonsense("code", "it is not a code that this server has given out").into()
            );
        };
        let taken = oidc.room.take(&key, now, |waiting| fits(waiting, team.as_deref(), browser))?;
        let again = taken.clone();
        let (person, slug, role) = match taken {
            None if secrets::is_of_kind(code, Kind::Device) => return Ok(Exchanged::Pending),
            None => return Err(SignInError::CodeGone.into()),
            // What is neither is not taken.
            Some(Waiting::Denied { .. } | Waiting::Used { .. }) => return Err(SignInError::Denied.into()),
            Some(Waiting::Granted { person, team, role }) => (person, team, role),
            Some(Waiting::Returned { person, memberships, .. }) => {
                let (slug, role) = chosen(&memberships, team.as_deref())?;
                (person, slug, role)
            }
        };
        let used = Waiting::Used { person: person.clone() };
        let made = self.insert_persons_token(person, slug, role, former).await;
        match (&made, again) {
            (Ok(_), _) => oidc.room.put(key, used, now, LIFE),
            // Nobody has the token: the same code may be tried again.
            (Err(_), Some(again)) => oidc.room.put(key, again, now, RETURNED_LIFE),
            (Err(_), None) => {}
        }
        made.map(Exchanged::Token)
    }

    /// Makes a token for somebody whom the provider has signed in, and the team if it is not there yet.
    async fn insert_persons_token(
        &self,
        person: Person,
        slug: String,
        role: Role,
        former: Option<String>,
    ) -> Result<PersonsToken, Error> {
        let (token, hash) = secrets::generate(Kind::Team)?;
        let former = former.map(|token| secrets::hash(&token));
        let (now, life) = (self.0.clock.now(), self.oidc()?.settings.token_ttl);
        let (name, expires_at) = (person.name.clone(), now.plus(life));
        let team_slug = slug.clone();
        let (team, id) = self
            .0
            .store
            .write(move |tx| {
                let team = match teams::by_slug(tx, &slug)? {
                    Some(team) => team.id,
                    None => teams::insert(tx, &slug, &slug, None, now)?.id,
                };
                let known = people::tokens(tx, team, &person)?;
                for gone in superseded(known, former, now) {
                    tokens::delete(tx, team, gone)?;
                }
                Ok::<_, Error>((team, people::insert(tx, team, &person, (role, hash), (now, expires_at))?))
            })
            .await?;
        let token = NewToken { id, token, name: Some(name.clone()), role, expires_at: Some(expires_at) };
        Ok(PersonsToken { team, team_slug, person: name, expires_at, token })
    }
}
