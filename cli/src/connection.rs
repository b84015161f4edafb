//! Which server, which token, which app: flags first, then the environment, then the profile.

use std::borrow::Cow;
use std::path::PathBuf;

use minitower_client::{Carried, ClientConfig, Error};

use crate::failure::{Explained, Failure};
use crate::kubectl::{self, Called};
use crate::output::Output;
use crate::profiles::Profile;
use crate::settings::{Environment, GlobalArgs};

/// Nobody has said what a command needs to know before it can ask a server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectionError {
    /// No server.
    #[error("no server is named")]
    NoServer,
    /// No server, and no profile that would name one.
    #[error("no server is named, and there is no profile in {}", profiles.display())]
    NoProfile {
        /// The file of profiles, which may not be there.
        profiles: PathBuf,
    },
    /// No token for the server.
    #[error("there is no token for {server}")]
    NoToken {
        /// The server's URL.
        server: String,
    },
    /// The profile's token is for another server.
    #[error("there is no token for {server}: the profile's token is for {other}")]
    TokenOfAnother {
        /// The URL of the server that was asked for.
        server: String,
        /// The URL of the profile's server.
        other: String,
    },
    /// No app.
    #[error("no app is named")]
    NoApp,
    /// Certificates for a server that shows none.
    #[error("--ca-file is for servers at https, and {server} is http")]
    CaFileForHttp {
        /// The server's URL.
        server: String,
    },
}

impl Explained for ConnectionError {
    fn help(&self) -> Option<Cow<'static, str>> {
        Some(Cow::Borrowed(match self {
            Self::NoServer | Self::NoProfile { .. } if Called::from_process() == Called::Plugin => {
                kubectl::NO_SERVER
            }
            Self::NoServer | Self::NoProfile { .. } => {
                "run `minitower login --server URL`, pass --server or set MINITOWER_SERVER_URL; `minitower dev` starts \
                 a server"
            }
            Self::NoToken { .. } | Self::TokenOfAnother { .. } => {
                "run `minitower login`, pass --token or set MINITOWER_API_TOKEN"
            }
            Self::CaFileForHttp { .. } => "name the server's https address, or leave --ca-file out",
            Self::NoApp => "pass --app APP, or set one for good with `minitower config set --app APP`",
        }))
    }
}

/// The server's URL.
pub fn server(
    flags: &GlobalArgs,
    env: &Environment,
    profile: Option<&Profile>,
) -> Result<String, ConnectionError> {
    let given = flags.server.as_ref().or(env.server_url.as_ref()).map(|url| url.trim().to_owned());
    let server = given.or_else(|| profile.map(|profile| profile.server.clone()));
    server.filter(|url| !url.is_empty()).ok_or(ConnectionError::NoServer)
}

/// The team token for `server`. A profile's token goes to the profile's own server only.
pub fn token(
    flags: &GlobalArgs,
    env: &Environment,
    profile: Option<&Profile>,
    server: &str,
) -> Result<String, ConnectionError> {
    if let Some(token) = flags.token.as_ref().or(env.api_token.as_ref()) {
        return Ok(token.trim().to_owned());
    }
    match profile.filter(|profile| !profile.token.is_empty()) {
        None => Err(ConnectionError::NoToken { server: server.to_owned() }),
        Some(profile) if profile.server.is_empty() || same_server(&profile.server, server) => {
            Ok(profile.token.clone())
        }
        Some(profile) => {
            Err(ConnectionError::TokenOfAnother { server: server.to_owned(), other: profile.server.clone() })
        }
    }
}

/// The app of a command that names none: the profile's.
pub fn app(profile: Option<&Profile>) -> Result<String, ConnectionError> {
    let app = profile.map(|profile| &profile.app).filter(|app| !app.is_empty());
    app.cloned().ok_or(ConnectionError::NoApp)
}

/// How to reach `server`.
pub fn client_config(flags: &GlobalArgs, env: &Environment, server: String) -> ClientConfig {
    let mut config = ClientConfig::new(server);
    concat!("minitower-cli/", env!("CARGO_PKG_VERSION")).clone_into(&mut config.user_agent);
    config.ca_file = flags.ca_file.clone().or_else(|| env.ca_file.as_ref().map(PathBuf::from));
    config
}

/// Refuses what a person typed about certificates of a server that has none. A variable is for all servers, and may
/// stand.
pub fn check_ca_file(flags: &GlobalArgs, config: &ClientConfig) -> Result<(), Failure> {
    if flags.ca_file.is_some() && config.carried()? != Carried::Encrypted {
        return Err(ConnectionError::CaFileForHttp { server: config.server_url.clone() }.into());
    }
    Ok(())
}

/// Warns of a token or password that everybody on the way to the server can read.
pub fn warn_of_http(config: &ClientConfig, allowed: bool, out: &Output) -> Result<(), Error> {
    if !allowed && config.carried()? == Carried::Openly {
        out.warn(format_args!(
            "{} is http: everybody on the way can read your token. Use https, or pass --insecure-http; \
             `minitower config set --insecure-http` remembers it",
            config.server_url
        ));
    }
    Ok(())
}

/// Whether two URLs name the same server.
pub fn same_server(one: &str, other: &str) -> bool {
    one.trim_end_matches('/').eq_ignore_ascii_case(other.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(server: Option<&str>, token: Option<&str>) -> GlobalArgs {
        GlobalArgs {
            server: server.map(str::to_owned),
            token: token.map(str::to_owned),
            ..GlobalArgs::default()
        }
    }

    fn env(server: Option<&str>, token: Option<&str>) -> Environment {
        Environment {
            server_url: server.map(str::to_owned),
            api_token: token.map(str::to_owned),
            ..Environment::default()
        }
    }

    fn profile() -> Profile {
        Profile { server: "http://profile".to_owned(), token: "p".to_owned(), ..Profile::default() }
    }

    fn resolve(
        flags: &GlobalArgs,
        env: &Environment,
        profile: Option<&Profile>,
    ) -> Result<(String, String), ConnectionError> {
        let server = server(flags, env, profile)?;
        let token = token(flags, env, profile, &server)?;
        Ok((server, token))
    }

    #[test]
    fn flags_come_before_the_environment_before_the_profile() {
        let (all_flags, all_env) = (flags(Some("http://f"), Some("f")), env(Some("http://e"), Some("e")));
        let none = flags(None, None);
        let pair = |server: &str, token: &str| (server.to_owned(), token.to_owned());
        assert_eq!(resolve(&all_flags, &all_env, Some(&profile())).unwrap(), pair("http://f", "f"));
        assert_eq!(resolve(&none, &all_env, Some(&profile())).unwrap(), pair("http://e", "e"));
        assert_eq!(resolve(&none, &env(None, None), Some(&profile())).unwrap(), pair("http://profile", "p"));
        assert_eq!(
            resolve(&none, &env(None, Some("e")), Some(&profile())).unwrap(),
            pair("http://profile", "e")
        );
    }

    #[test]
    fn a_profiles_token_never_goes_to_another_server() {
        let failure =
            resolve(&flags(Some("http://other"), None), &env(None, None), Some(&profile())).unwrap_err();
        assert!(failure.to_string().contains("http://other"), "{failure}");
        let same = flags(Some("http://Profile/"), None);
        assert_eq!(resolve(&same, &env(None, None), Some(&profile())).unwrap().1, "p");
    }

    #[test]
    fn nothing_at_all_names_the_ways_in() {
        let failure = Failure::from(resolve(&flags(None, None), &env(None, None), None).unwrap_err());
        assert!(failure.to_string().contains("minitower login"), "{failure}");
        assert!(failure.to_string().contains("minitower dev"), "{failure}");
    }
}
