//! What the configuration decides.

use std::str::FromStr;

use crate::mail::Smtp;

/// Settings of the subject, checked by whoever reads the configuration.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The mail server; none: no emails.
    pub smtp: Option<Smtp>,
    /// Where people find the server's pages; none: messages have no links.
    pub public_url: Option<PublicUrl>,
}

/// Where people find the server's pages: `http` or `https`, without a slash at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl(String);

/// A text that is not such a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it must be a URL such as https://minitower.example.com, without a query and without a user name")]
pub struct BadUrl;

impl PublicUrl {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PublicUrl {
    type Err = BadUrl;

    fn from_str(text: &str) -> Result<Self, BadUrl> {
        let url = minitower_kernel::outbound::Target::parse(text).map_err(|_| BadUrl)?;
        let url = url.as_str().trim_end_matches('/');
        // It stands in texts between `<` and `|`.
        let harmless = !url.contains(['?', '<', '>', '|', '"']);
        harmless.then(|| Self(url.to_owned())).ok_or(BadUrl)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_url_has_no_slash_at_its_end() {
        let url = |text: &str| text.parse().map(|url: PublicUrl| url.0);
        assert_eq!(url("https://t.example/"), Ok("https://t.example".to_owned()));
        assert_eq!(url("http://t.example:8080/tower/"), Ok("http://t.example:8080/tower".to_owned()));
        for bad in [
            "t.example",
            "ftp://t.example",
            "https://t.example/?a",
            "https://me@t.example",
            "https://t.example/|x",
        ] {
            assert_eq!(url(bad), Err(BadUrl), "{bad}");
        }
    }
}
