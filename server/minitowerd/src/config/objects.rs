//! Where the objects lie, when that is a bucket.

use minitower_kernel::objects::{Location, LocationError};
use minitower_kernel::trust::Trust;

use super::{Args, ConfigError, outside, parse};

const URL: &str = "MINITOWER_OBJECTS_URL";
pub(super) const ENDPOINT: &str = "MINITOWER_OBJECTS_ENDPOINT";
/// Longest part of a bad value that is shown.
const SHOWN_CHARS: usize = 64;

/// How any bucket may be reached.
pub(super) struct Rules {
    allow_http: bool,
    trust: Trust,
}

impl Rules {
    pub(super) fn of(args: &Args) -> Result<Self, ConfigError> {
        Ok(Self { allow_http: parse::allow_http(args)?, trust: outside::trust(args)? })
    }
}

/// The bucket that the settings name; none: the objects lie in the folder.
pub(super) fn location(args: &Args, rules: &Rules) -> Result<Option<Location>, ConfigError> {
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let endpoint = given(&args.objects_endpoint);
    match given(&args.objects_url) {
        Some(url) => bucket(URL, &url, (ENDPOINT, endpoint), rules).map(Some),
        None if endpoint.is_some() => Err(ConfigError::Bad {
            variable: ENDPOINT,
            value: endpoint.unwrap_or_default().chars().take(SHOWN_CHARS).collect(),
            rule: format!("it belongs to a bucket, so set {URL} too"),
        }),
        None => Ok(None),
    }
}

/// A bucket by its URL, which `variable` holds, and the address of its service with the variable of that. Credentials are taken from the environment, by the names that the service's own tools use.
pub(super) fn bucket(
    variable: &'static str,
    url: &str,
    (endpoint_variable, endpoint): (&'static str, Option<String>),
    rules: &Rules,
) -> Result<Location, ConfigError> {
    let variables = std::env::vars_os().filter_map(|(name, value)| {
        let value = value.into_string().ok().filter(|value| !value.is_empty())?;
        Some((name.into_string().ok()?, value))
    });
    let location = Location::parse(url, endpoint.clone(), rules.allow_http, variables);
    location.map(|location| location.trusting(rules.trust.clone())).map_err(|error| {
        let of_endpoint = matches!(error, LocationError::Endpoint | LocationError::Plaintext);
        let (variable, value) = match endpoint {
            Some(endpoint) if of_endpoint => (endpoint_variable, endpoint),
            _ => (variable, url.to_owned()),
        };
        // Keys belong into the environment; one that was written into an address is not repeated.
        let value = value.rsplit_once('@').map_or(value.as_str(), |(_, host)| host);
        ConfigError::Bad {
            variable,
            value: value.chars().take(SHOWN_CHARS).collect(),
            rule: error.to_string(),
        }
    })
}
