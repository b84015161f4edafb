//! What a person has set for every command: flags, and variables of the environment.

use std::path::PathBuf;

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
    /// `XDG_DATA_HOME`.
    pub xdg_data_home: Option<String>,
    /// `HOME`.
    pub home: Option<String>,
    /// `NO_COLOR` (<https://no-color.org>) is set, or the terminal is dumb.
    pub no_color: bool,
}

impl Environment {
    /// Reads the process's environment; an empty variable counts as unset.
    pub fn from_process() -> Self {
        let read =
            |name| std::env::var(name).ok().map(|value| value.trim().to_owned()).filter(|v| !v.is_empty());
        Self {
            server_url: read("MINITOWER_SERVER_URL"),
            api_token: read("MINITOWER_API_TOKEN"),
            ca_file: read("MINITOWER_CA_FILE"),
            cli_config: read("MINITOWER_CLI_CONFIG"),
            xdg_config_home: read("XDG_CONFIG_HOME"),
            xdg_data_home: read("XDG_DATA_HOME"),
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
        help = "PEM file with additional trusted certificates [env: MINITOWER_CA_FILE]"
    )]
    pub ca_file: Option<PathBuf>,
    /// Send tokens and passwords over http to other machines without a warning
    #[arg(long, global = true)]
    pub insecure_http: bool,
    /// Show times in UTC instead of this machine's zone
    #[arg(long, global = true, help_heading = "Output")]
    pub utc: bool,
    /// Print the answer, and an error, as JSON
    #[arg(long, global = true, help_heading = "Output")]
    pub json: bool,
}
