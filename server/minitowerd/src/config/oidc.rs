//! The settings of the identity provider that people sign in through.

use std::path::Path;
use std::time::Duration;

use clap::Args;
use minitower_kernel::trust::Trust;
use minitower_teams::oidc::{ClientSecret, OidcSettings, Scopes, ServiceUrl, word};
use minitower_teams::people::Mapping;

use super::ConfigError;
use super::outside::{certificates, read};
use super::parse::{duration_between, value};

const ISSUER: &str = "MINITOWER_OIDC_ISSUER";
const CLIENT_ID: &str = "MINITOWER_OIDC_CLIENT_ID";
const CLIENT_SECRET: &str = "MINITOWER_OIDC_CLIENT_SECRET";
const CLIENT_SECRET_FILE: &str = "MINITOWER_OIDC_CLIENT_SECRET_FILE";
const SCOPES: &str = "MINITOWER_OIDC_SCOPES";
const GROUPS_CLAIM: &str = "MINITOWER_OIDC_GROUPS_CLAIM";
const NAME_CLAIM: &str = "MINITOWER_OIDC_NAME_CLAIM";
const TEAMS: &str = "MINITOWER_OIDC_TEAMS";
const TOKEN_TTL: &str = "MINITOWER_OIDC_TOKEN_TTL";
const CA_FILE: &str = "MINITOWER_OIDC_CA_FILE";
const PUBLIC_URL: &str = "MINITOWER_PUBLIC_URL";

/// How long the token of a person lasts by default: a day of work.
const DEFAULT_TTL: Duration = Duration::from_hours(12);

/// The flags about the identity provider.
#[derive(Debug, Clone, Default, Args)]
pub struct OidcArgs {
    /// The issuer URL of the identity provider (OpenID Connect) that people sign in through [default: none]
    #[arg(long = "oidc-issuer", env = "MINITOWER_OIDC_ISSUER", hide_env_values = true, value_name = "URL")]
    pub issuer: Option<String>,
    /// This server's client id at the identity provider
    #[arg(
        long = "oidc-client-id",
        env = "MINITOWER_OIDC_CLIENT_ID",
        hide_env_values = true,
        value_name = "ID"
    )]
    pub client_id: Option<String>,
    /// A file with this server's client secret, in place of `MINITOWER_OIDC_CLIENT_SECRET` [default: none]
    #[arg(
        long = "oidc-client-secret-file",
        env = "MINITOWER_OIDC_CLIENT_SECRET_FILE",
        hide_env_values = true,
        value_name = "FILE"
    )]
    pub client_secret_file: Option<String>,
    /// What to ask the identity provider for, separated by spaces [default: openid profile email]
    #[arg(
        long = "oidc-scopes",
        env = "MINITOWER_OIDC_SCOPES",
        hide_env_values = true,
        value_name = "SCOPES"
    )]
    pub scopes: Option<String>,
    /// The claim that names a person's groups [default: groups]
    #[arg(
        long = "oidc-groups-claim",
        env = "MINITOWER_OIDC_GROUPS_CLAIM",
        hide_env_values = true,
        value_name = "CLAIM"
    )]
    pub groups_claim: Option<String>,
    /// The claim that names a person [default: the first of `name`, `preferred_username`, `email`, `sub`]
    #[arg(
        long = "oidc-name-claim",
        env = "MINITOWER_OIDC_NAME_CLAIM",
        hide_env_values = true,
        value_name = "CLAIM"
    )]
    pub name_claim: Option<String>,
    /// What groups are worth: `GROUP=TEAM:ROLE`, separated by commas or by line breaks
    #[arg(long = "oidc-teams", env = "MINITOWER_OIDC_TEAMS", hide_env_values = true, value_name = "MAPPING")]
    pub teams: Option<String>,
    /// How long the token of somebody who signed in lasts [default: 12h]
    #[arg(
        long = "oidc-token-ttl",
        env = "MINITOWER_OIDC_TOKEN_TTL",
        hide_env_values = true,
        value_name = "DURATION"
    )]
    pub token_ttl: Option<String>,
    /// PEM certificates to trust for the identity provider alone, beside the system's and those of `--ca-file` [default: none]
    #[arg(
        id = "oidc_ca_file",
        long = "oidc-ca-file",
        env = "MINITOWER_OIDC_CA_FILE",
        hide_env_values = true,
        value_name = "FILE"
    )]
    pub ca_file: Option<String>,
}

/// Checks the settings. `secret` is the value of `MINITOWER_OIDC_CLIENT_SECRET`.
pub(super) fn settings(
    args: OidcArgs,
    secret: Option<String>,
    public_url: Option<&str>,
    trust: &Trust,
) -> Result<Option<OidcSettings>, ConfigError> {
    let secret = secret.and_then(|text| ClientSecret::new(&text));
    let Some(issuer) = value(ISSUER, args.issuer.clone(), ServiceUrl::parse)? else {
        return nothing_without_issuer(&args, secret.as_ref()).map(|()| None);
    };
    let needed = |variable| ConfigError::Needed { variable, by: ISSUER };
    let public_url = public_url.ok_or_else(|| needed(PUBLIC_URL))?;
    let scopes = value(SCOPES, args.scopes, Scopes::parse)?.unwrap_or_default();
    let token_ttl = value(TOKEN_TTL, args.token_ttl, |text| {
        duration_between(text, Duration::from_mins(5), Duration::from_hours(30 * 24), "5m to 720h")
    })?;
    let named_file = args.client_secret_file.filter(|file| !file.is_empty());
    let client_secret = match (secret, named_file) {
        (Some(_), Some(_)) => {
            return Err(ConfigError::Both { one: CLIENT_SECRET, other: CLIENT_SECRET_FILE });
        }
        (secret, None) => secret,
        (None, Some(file)) => Some(read_secret(&file)?),
    };
    let ca = value(CA_FILE, args.ca_file, certificates)?;
    if ca.is_some() && !issuer.is_encrypted() {
        return Err(ConfigError::Bad {
            variable: ISSUER,
            value: issuer.as_str().chars().take(64).collect(),
            rule: format!("{CA_FILE} is for an issuer at https: leave it out"),
        });
    }
    Ok(Some(OidcSettings {
        issuer,
        client_id: value(CLIENT_ID, args.client_id, word)?.ok_or_else(|| needed(CLIENT_ID))?,
        client_secret,
        scopes,
        groups_claim: value(GROUPS_CLAIM, args.groups_claim, word)?.unwrap_or_else(|| "groups".to_owned()),
        name_claim: value(NAME_CLAIM, args.name_claim, word)?,
        teams: value(TEAMS, args.teams, Mapping::parse)?.ok_or_else(|| needed(TEAMS))?,
        token_ttl: token_ttl.unwrap_or(DEFAULT_TTL),
        public_url: value(PUBLIC_URL, Some(public_url.to_owned()), |text| {
            ServiceUrl::parse(text).map_err(|error| format!("for sign-in by OIDC {error}"))
        })?
        .ok_or_else(|| needed(PUBLIC_URL))?,
        trust: ca.map_or_else(|| trust.clone(), |ca| trust.and(&ca)),
    }))
}

/// A setting about a provider that nobody has named would be ignored.
fn nothing_without_issuer(args: &OidcArgs, secret: Option<&ClientSecret>) -> Result<(), ConfigError> {
    let set = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
    let others = [
        (CLIENT_ID, set(&args.client_id)),
        (CLIENT_SECRET, secret.is_some()),
        (CLIENT_SECRET_FILE, set(&args.client_secret_file)),
        (SCOPES, set(&args.scopes)),
        (GROUPS_CLAIM, set(&args.groups_claim)),
        (NAME_CLAIM, set(&args.name_claim)),
        (TEAMS, set(&args.teams)),
        (TOKEN_TTL, set(&args.token_ttl)),
        (CA_FILE, set(&args.ca_file)),
    ];
    match others.into_iter().find(|(_, set)| *set) {
        Some((by, _)) => Err(ConfigError::Needed { variable: ISSUER, by }),
        None => Ok(()),
    }
}

fn read_secret(file: &str) -> Result<ClientSecret, ConfigError> {
    let bad = |rule: String| ConfigError::Bad {
        variable: CLIENT_SECRET_FILE,
        value: file.chars().take(64).collect(),
        rule,
    };
    let bytes = read(Path::new(file)).map_err(bad)?;
    let secret = String::from_utf8(bytes).ok().and_then(|text| ClientSecret::new(&text));
    secret.ok_or_else(|| bad("the file must hold the secret as text".to_owned()))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn good() -> OidcArgs {
        OidcArgs {
            issuer: Some("https://id.example.com".to_owned()),
            client_id: Some("tower".to_owned()),
            teams: Some("data=sales:member".to_owned()),
            ..OidcArgs::default()
        }
    }

    fn checked(args: OidcArgs) -> Result<Option<OidcSettings>, ConfigError> {
        settings(args, Some("s3cret\n".to_owned()), Some("https://tower.example.com"), &Trust::default())
    }

    #[test]
    fn three_settings_and_the_public_url_are_enough() {
        let settings = checked(good()).unwrap().unwrap();
        assert_eq!(settings.scopes.as_str(), "openid profile email");
        assert_eq!((settings.groups_claim.as_str(), settings.token_ttl), ("groups", DEFAULT_TTL));
        assert!(settings.client_secret.is_some());
        assert!(!format!("{settings:?}").contains("s3cret"));
        assert!(super::settings(OidcArgs::default(), None, None, &Trust::default()).unwrap().is_none());
    }

    type Change = fn(&mut OidcArgs);

    #[rstest]
    #[case(|args: &mut OidcArgs| args.issuer = Some("http://id.example.com".to_owned()), "MINITOWER_OIDC_ISSUER is \"http://id.example.com\": it must be an https URL")]
    #[case(|args: &mut OidcArgs| args.issuer = None, "MINITOWER_OIDC_ISSUER is not set: MINITOWER_OIDC_CLIENT_ID needs it")]
    #[case(|args: &mut OidcArgs| args.client_id = None, "MINITOWER_OIDC_CLIENT_ID is not set: MINITOWER_OIDC_ISSUER needs it")]
    #[case(|args: &mut OidcArgs| args.client_id = Some("a b".to_owned()), "MINITOWER_OIDC_CLIENT_ID is \"a b\": it must be one word")]
    #[case(|args: &mut OidcArgs| args.teams = None, "MINITOWER_OIDC_TEAMS is not set")]
    #[case(|args: &mut OidcArgs| args.teams = Some("data=sales".to_owned()), "MINITOWER_OIDC_TEAMS is \"data=sales\": \"data=sales\" is not of the form GROUP=TEAM:ROLE")]
    #[case(|args: &mut OidcArgs| args.scopes = Some("profile".to_owned()), "MINITOWER_OIDC_SCOPES is \"profile\": openid must be")]
    #[case(|args: &mut OidcArgs| args.token_ttl = Some("1m".to_owned()), "MINITOWER_OIDC_TOKEN_TTL is \"1m\": it must be a duration")]
    #[case(|args: &mut OidcArgs| args.token_ttl = Some("721h".to_owned()), "from 5m to 720h")]
    #[case(|args: &mut OidcArgs| args.groups_claim = Some("a b".to_owned()), "MINITOWER_OIDC_GROUPS_CLAIM is \"a b\"")]
    #[case(|args: &mut OidcArgs| args.ca_file = Some("/nothing/here".to_owned()), "MINITOWER_OIDC_CA_FILE is \"/nothing/here\": it cannot be read")]
    #[case(|args: &mut OidcArgs| args.client_secret_file = Some("/x".to_owned()), "set MINITOWER_OIDC_CLIENT_SECRET or MINITOWER_OIDC_CLIENT_SECRET_FILE, not both")]
    fn a_bad_setting_is_one_line_that_names_it(#[case] change: Change, #[case] says: &str) {
        let mut args = good();
        change(&mut args);
        let message = checked(args).unwrap_err().to_string();
        assert!(message.contains(says) && message.lines().count() == 1, "{message}");
    }

    #[test]
    fn certificates_are_for_a_provider_that_shows_one() {
        let key = rcgen::KeyPair::generate().unwrap();
        let authority = rcgen::CertificateParams::new(Vec::new()).unwrap().self_signed(&key).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), authority.pem()).unwrap();
        let args = OidcArgs {
            issuer: Some("http://127.0.0.1:1".to_owned()),
            ca_file: Some(file.path().display().to_string()),
            ..good()
        };
        let message = checked(args).unwrap_err().to_string();
        assert!(message.contains("MINITOWER_OIDC_CA_FILE is for an issuer at https"), "{message}");
    }

    #[test]
    fn browsers_have_to_come_back_encrypted() {
        for (url, says) in [
            (
                Some("http://tower.example.com"),
                "MINITOWER_PUBLIC_URL is \"http://tower.example.com\": for sign-in by OIDC it must be",
            ),
            (None, "MINITOWER_PUBLIC_URL is not set: MINITOWER_OIDC_ISSUER needs it"),
        ] {
            let message = settings(good(), None, url, &Trust::default()).unwrap_err().to_string();
            assert!(message.contains(says), "{message}");
        }
    }

    #[test]
    fn a_secret_is_read_from_its_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let args = || OidcArgs { client_secret_file: Some(file.path().display().to_string()), ..good() };
        let url = Some("https://tower.example.com");
        let message = settings(args(), None, url, &Trust::default()).unwrap_err().to_string();
        assert!(message.contains("the file must hold the secret as text"), "{message}");
        std::fs::write(file.path(), "hunter2\n").unwrap();
        assert!(settings(args(), None, url, &Trust::default()).unwrap().unwrap().client_secret.is_some());
    }
}
