//! What every command is given: flags, environment, output.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use minitower_client::{Client, OnIgnored, TeamClient};
use minitower_daemon::signals::Signals;

use crate::connection::{self, ConnectionError};
use crate::failure::Failure;
use crate::output::Output;
use crate::profiles::{self, Profile, Profiles, ProfilesError};
use crate::settings::{Environment, GlobalArgs};

/// The surroundings of a command.
pub struct Context {
    /// Flags every command takes.
    pub flags: GlobalArgs,
    /// The environment.
    pub env: Environment,
    /// Where answers go.
    pub out: Output,
    signals: Mutex<Option<Signals>>,
}

impl Context {
    /// The process's own surroundings.
    pub fn from_process(flags: GlobalArgs) -> Self {
        let env = Environment::from_process();
        let out = Output::from_process(flags.json, env.no_color, flags.utc);
        Self { flags, env, out, signals: Mutex::default() }
    }

    /// The process's own surroundings, for work that says nothing.
    pub fn quiet(flags: GlobalArgs) -> Self {
        Self::from_process(GlobalArgs { json: true, ..flags })
    }

    /// Keeps the signals for the command that listens to them.
    pub fn give_signals(&self, signals: Option<Signals>) {
        *self.signals.lock().unwrap_or_else(PoisonError::into_inner) = signals;
    }

    /// The signals that were kept; taken once.
    pub fn take_signals(&self) -> Option<Signals> {
        self.signals.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Where profiles are kept.
    pub fn profiles_path(&self) -> Result<PathBuf, ProfilesError> {
        profiles::path(&self.env)
    }

    /// All profiles.
    pub fn profiles(&self) -> Result<Profiles, ProfilesError> {
        Profiles::load(&self.profiles_path()?)
    }

    /// The profile asked for, else the active one.
    pub fn profile(&self) -> Result<Option<Profile>, ProfilesError> {
        // Even a broken file of profiles does not disturb a person who names server and token by hand.
        let by_hand = (self.flags.server.is_some() || self.env.server_url.is_some())
            && (self.flags.token.is_some() || self.env.api_token.is_some());
        match &self.flags.profile {
            Some(name) => self.profiles()?.named(name).map(|(_, profile)| Some(profile.clone())),
            None if by_hand => {
                Ok(self.profiles().ok().and_then(|all| all.active().map(|(_, profile)| profile.clone())))
            }
            None => Ok(self.profiles()?.active().map(|(_, profile)| profile.clone())),
        }
    }

    /// The server's URL and a client for calls without a token. `fallback` is the profile that the call is about.
    pub fn client(&self, fallback: Option<&Profile>) -> Result<(String, Client), Failure> {
        let server = connection::server(&self.flags, &self.env, fallback);
        let server = server.map_err(|error| match (error, fallback, self.profiles_path()) {
            (ConnectionError::NoServer, None, Ok(profiles)) => ConnectionError::NoProfile { profiles },
            (error, ..) => error,
        })?;
        let mut config = connection::client_config(&self.flags, &self.env, server.clone());
        connection::check_ca_file(&self.flags, &config)?;
        let remembered = fallback
            .filter(|profile| connection::same_server(&profile.server, &server) && profile.insecure_http);
        connection::warn_of_http(&config, self.flags.insecure_http || remembered.is_some(), &self.out)?;
        let out = self.out.clone();
        config.on_ignored = Some(OnIgnored::new(move |fields| {
            out.warn(format_args!("the server does not know {fields}, and has ignored it"));
        }));
        Ok((server, Client::new(&config)?))
    }

    /// The team.
    pub fn team(&self) -> Result<TeamClient, Failure> {
        let profile = self.profile()?;
        let (server, client) = self.client(profile.as_ref())?;
        let token = connection::token(&self.flags, &self.env, profile.as_ref(), &server)?;
        Ok(client.team(token))
    }

    /// The app a command is about: the given one, otherwise the profile's.
    pub fn app(&self, given: Option<&str>) -> Result<String, Failure> {
        match given {
            Some(app) => Ok(app.to_owned()),
            None => Ok(connection::app(self.profile()?.as_ref())?),
        }
    }
}
