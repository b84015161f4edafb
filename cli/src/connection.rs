//! Which server, which token: flags first, then the environment, then the profile.

use std::path::PathBuf;

use minitower_client::ClientConfig;

use crate::failure::Failure;
use crate::kubectl::{self, Called};
use crate::profiles::Profile;

/// What the program reads from its environment.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// `MINITOWER_SERVER_URL`.
    pub server_url: Option<String>,
    /// `MINITOWER_API_TOKEN`.
    pub api_token: Option<String>,
    /// `MINITOWER_CA_FILE`.
    pub ca_file: Option<String>,
    /// `MINITOWER_CLI_CONFIG`.
    pub cli_config: Option<String>,
    /// `XDG_CONFIG_HOME`.
    pub xdg_config_home: Option<String>,
    /// `HOME`.
    pub home: Option<String>,
    /// `NO_COLOR` (<https://no-color.org>) is set, or the terminal is dumb.
    pub no_color: bool,
}

impl Environment {
    /// Reads the process's environment; empty values count as none.
    pub fn from_process() -> Self {
        let read =
            |name| std::env::var(name).ok().map(|value| value.trim().to_owned()).filter(|v| !v.is_empty());
        Self {
            server_url: read("MINITOWER_SERVER_URL"),
            api_token: read("MINITOWER_API_TOKEN"),
            ca_file: read("MINITOWER_CA_FILE"),
            cli_config: read("MINITOWER_CLI_CONFIG"),
            xdg_config_home: read("XDG_CONFIG_HOME"),
            home: read("HOME"),
            no_color: read("NO_COLOR").is_some() || read("TERM").is_some_and(|term| term == "dumb"),
        }
    }
}

/// Flags every command takes.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Connection")]
pub struct GlobalArgs {
    /// `--server`
    #[arg(
        long,
        global = true,
        value_name = "URL",
        help = "URL of the control plane [env: MINITOWER_SERVER_URL]"
    )]
    pub server: Option<String>,
    /// `--token`
    #[arg(long, global = true, value_name = "TOKEN", help = "Team token [env: MINITOWER_API_TOKEN]")]
    pub token: Option<String>,
    /// Profile to use instead of the active one
    #[arg(long, global = true, value_name = "NAME")]
    pub profile: Option<String>,
    /// `--ca-file`
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        help = "More trusted certificates, a PEM file [env: MINITOWER_CA_FILE]"
    )]
    pub ca_file: Option<PathBuf>,
    /// Print JSON
    #[arg(long, global = true, help_heading = "Output")]
    pub json: bool,
}

/// The server's URL.
pub fn server(flags: &GlobalArgs, env: &Environment, profile: Option<&Profile>) -> Result<String, Failure> {
    let given = flags.server.as_ref().or(env.server_url.as_ref()).map(|url| url.trim().to_owned());
    given.or_else(|| profile.map(|profile| profile.server.clone())).filter(|url| !url.is_empty()).ok_or_else(|| {
        Failure::new("no server is named").help(match Called::from_process() {
            Called::Plugin => kubectl::NO_SERVER,
            _ => {
                "run `minitower login --server URL`, give --server or set MINITOWER_SERVER_URL; `minitower dev` starts one"
            }
        })
    })
}

/// The team token for `server`. A profile's token goes to the profile's own server only.
pub fn token(
    flags: &GlobalArgs,
    env: &Environment,
    profile: Option<&Profile>,
    server: &str,
) -> Result<String, Failure> {
    if let Some(token) = flags.token.as_ref().or(env.api_token.as_ref()) {
        return Ok(token.trim().to_owned());
    }
    let profile = profile.filter(|profile| !profile.token.is_empty());
    let missing = |message: String| {
        Failure::new(message).help("run `minitower login`, give --token or set MINITOWER_API_TOKEN")
    };
    match profile {
        Some(profile) if profile.server.is_empty() || same_server(&profile.server, server) => {
            Ok(profile.token.clone())
        }
        Some(profile) => Err(missing(format!(
            "there is no token for {server}: the profile's belongs to {}",
            profile.server
        ))),
        None => Err(missing(format!("there is no token for {server}"))),
    }
}

/// How to reach `server`.
pub fn client_config(flags: &GlobalArgs, env: &Environment, server: String) -> ClientConfig {
    let mut config = ClientConfig::new(server);
    concat!("minitower-cli/", env!("CARGO_PKG_VERSION")).clone_into(&mut config.user_agent);
    config.ca_file = flags.ca_file.clone().or_else(|| env.ca_file.as_ref().map(PathBuf::from));
    config
}

fn same_server(one: &str, other: &str) -> bool {
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
    ) -> Result<(String, String), Failure> {
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
        let failure = resolve(&flags(None, None), &env(None, None), None).unwrap_err();
        assert!(failure.to_string().contains("minitower login"), "{failure}");
        assert!(failure.to_string().contains("minitower dev"), "{failure}");
    }
}
