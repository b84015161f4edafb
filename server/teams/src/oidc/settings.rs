//! How the identity provider is reached, and what its groups are worth. Checked once, at startup.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use minitower_kernel::trust::Trust;
use reqwest::Url;

use crate::domain::people::Mapping;

/// Longest value of a setting that is one word, in bytes.
const MOST_BYTES: usize = 1024;

/// What the configuration decides about signing in.
#[derive(Debug, Clone)]
pub struct OidcSettings {
    /// The provider's issuer, to the letter.
    pub issuer: ServiceUrl,
    /// This server's id at the provider.
    pub client_id: String,
    /// This server's secret at the provider; none: it is a public client.
    pub client_secret: Option<ClientSecret>,
    /// What is asked for, separated by spaces.
    pub scopes: Scopes,
    /// The claim that names the groups.
    pub groups_claim: String,
    /// The claim that names the person; none: the usual ones.
    pub name_claim: Option<String>,
    /// What the groups are worth.
    pub teams: Mapping,
    /// How long a token lasts.
    pub token_ttl: Duration,
    /// Where browsers reach this server.
    pub public_url: ServiceUrl,
    /// Authorities that are trusted in addition to the system's.
    pub trust: Trust,
}

/// The URL of a service that is told secrets: https, or http on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceUrl {
    text: String,
    url: Url,
}

/// It is no such URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it must be an https URL (or http on this machine) without a query, a fragment or a password")]
pub struct BadUrl;

impl ServiceUrl {
    /// Checks a URL.
    pub fn parse(text: &str) -> Result<Self, BadUrl> {
        let text = text.trim();
        let url = Url::parse(text).map_err(|_| BadUrl)?;
        let plain = url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none();
        if text.len() > MOST_BYTES || !plain || !keeps_secrets(&url) {
            return Err(BadUrl);
        }
        Ok(Self { text: text.to_owned(), url })
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether what is sent there is encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.url.scheme() == "https"
    }

    /// A place below it.
    pub(crate) fn join(&self, path: &str) -> String {
        format!("{}/{path}", self.text.trim_end_matches('/'))
    }
}

/// Whether nobody on the way reads what is sent there.
pub(crate) fn keeps_secrets(url: &Url) -> bool {
    let on_this_machine = || {
        url.host_str().is_some_and(|host| {
            let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
            host == "localhost" || address.is_ok_and(|address| address.is_loopback())
        })
    };
    match url.scheme() {
        "https" => url.host_str().is_some(),
        "http" => on_this_machine(),
        _ => false,
    }
}

/// What is asked of the provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scopes(String);

impl Default for Scopes {
    fn default() -> Self {
        Self("openid profile email".to_owned())
    }
}

impl Scopes {
    /// Checks scopes, separated by spaces.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        // RFC 6749, section 3.3.
        let allowed = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
        if text.len() > MOST_BYTES || !words.iter().all(|word| word.bytes().all(allowed)) {
            return Err("it must be words of printable ASCII characters, separated by spaces");
        }
        if !words.contains(&"openid") {
            return Err("openid must be one of the scopes");
        }
        Ok(Self(words.join(" ")))
    }

    /// As the provider is asked.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// This server's secret at the provider. It is not shown.
#[derive(Clone)]
pub struct ClientSecret(String);

impl ClientSecret {
    /// Takes a secret; an empty one is none.
    pub fn new(secret: &str) -> Option<Self> {
        let secret = secret.trim();
        (!secret.is_empty()).then(|| Self(secret.to_owned()))
    }

    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ClientSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientSecret(…)")
    }
}

/// Checks a text that is one word, such as the name of a claim.
pub fn word(text: &str) -> Result<String, &'static str> {
    let text = text.trim();
    if text.is_empty() || text.len() > MOST_BYTES || text.chars().any(|c| c.is_control() || c == ' ') {
        return Err("it must be one word without control characters");
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("https://id.example.com", true)]
    #[case("https://id.example.com/realms/a/", true)]
    #[case("http://127.0.0.1:5556/dex", true)]
    #[case("http://[::1]:1", true)]
    #[case("http://localhost", true)]
    #[case("http://id.example.com", false)]
    #[case("http://localhost.example.com", false)]
    #[case("https://me:secret@id.example.com", false)]
    #[case("https://id.example.com?a=b", false)]
    #[case("https://id.example.com#a", false)]
    #[case("ftp://127.0.0.1", false)]
    #[case("id.example.com", false)]
    fn secrets_travel_encrypted_or_not_at_all(#[case] text: &str, #[case] good: bool) {
        assert_eq!(ServiceUrl::parse(text).is_ok(), good);
    }

    #[test]
    fn an_issuer_is_kept_to_the_letter_and_joined_with_one_slash() {
        let url = ServiceUrl::parse("https://id.example.com/a/").unwrap();
        assert_eq!(url.as_str(), "https://id.example.com/a/");
        assert_eq!(url.join(".well-known/x"), "https://id.example.com/a/.well-known/x");
    }

    #[rstest]
    #[case("openid", Ok("openid"))]
    #[case(" openid   groups ", Ok("openid groups"))]
    #[case("profile", Err("openid must be one of the scopes"))]
    #[case("openid \"a\"", Err("it must be words of printable ASCII characters, separated by spaces"))]
    fn scopes_are_words_with_openid(#[case] text: &str, #[case] expected: Result<&str, &str>) {
        assert_eq!(Scopes::parse(text).map(|scopes| scopes.0), expected.map(str::to_owned));
    }

    #[test]
    fn a_secret_is_not_shown() {
        let secret = ClientSecret::new("hunter2\n").unwrap();
        assert_eq!(secret.reveal(), "hunter2");
        assert!(!format!("{secret:?}").contains("hunter"));
        assert!(ClientSecret::new(" \n").is_none());
    }
}
