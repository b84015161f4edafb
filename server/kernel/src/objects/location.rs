//! Where a bucket is: `s3://bucket/prefix`, `gs://bucket/prefix` or `az://container/prefix`, and what its client needs to know.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::{BackoffConfig, Certificate, ClientOptions, ObjectStore, RetryConfig};

use crate::trust::Trust;

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(3);
/// Tries of a request after the first, and for how long. Who waits longer is told, and tries again.
const RETRIES: usize = 3;
const RETRY_FOR: Duration = Duration::from_secs(5);

/// Whose service it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cloud {
    /// Amazon S3, and the many that speak its protocol.
    S3,
    /// Google Cloud Storage.
    Google,
    /// Azure Blob Storage.
    Azure,
}

impl Cloud {
    fn scheme(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Google => "gs",
            Self::Azure => "az",
        }
    }

    /// How the names of its variables begin.
    fn prefix(self) -> &'static str {
        match self {
            Self::S3 => "AWS_",
            Self::Google => "GOOGLE_",
            Self::Azure => "AZURE_",
        }
    }

    /// The variables that name another address than the usual one; the first that is set counts.
    fn endpoints(self) -> &'static [&'static str] {
        match self {
            Self::S3 => &["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"],
            Self::Google => &["GOOGLE_BASE_URL"],
            Self::Azure => &["AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"],
        }
    }
}

/// Why a bucket's URL cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LocationError {
    /// It is not of a kind that is known.
    #[error(
        "it must be s3://BUCKET/PREFIX, gs://BUCKET/PREFIX or az://CONTAINER/PREFIX; for a folder, set MINITOWER_OBJECTS_DIR"
    )]
    Scheme,
    /// It names no bucket.
    #[error(
        "it must name a bucket: letters, digits, hyphens, dots and underscores, such as s3://my-bucket/minitower"
    )]
    Bucket,
    /// Its prefix is not a path.
    #[error(
        "its prefix must be a plain path such as minitower/prod, without empty parts, \"..\", \"?\" and \"#\""
    )]
    Prefix,
    /// Its address is no address.
    #[error("the endpoint must be an address such as https://s3.example.com")]
    Endpoint,
    /// Its address is not encrypted, and nobody said that it need not be.
    #[error(
        "the endpoint is http, so keys and content would cross the network unencrypted: use https, or set MINITOWER_OBJECTS_ALLOW_HTTP=true"
    )]
    Plaintext,
}

/// The client of a bucket cannot be made: a setting of its service makes no sense.
#[derive(Debug, thiserror::Error)]
#[error("the bucket's client cannot be set up from its {variables}… variables: {reason}")]
pub struct ClientError {
    variables: &'static str,
    reason: String,
}

/// Where a bucket is, and how to get in.
#[derive(Clone, PartialEq, Eq)]
pub struct Location {
    cloud: Cloud,
    bucket: String,
    prefix: String,
    endpoint: Option<String>,
    allow_http: bool,
    /// The variables of its service, which hold secrets.
    variables: Vec<(String, String)>,
    trust: Trust,
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Location({self})")
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.cloud.scheme(), self.bucket)?;
        if self.prefix.is_empty() { Ok(()) } else { write!(f, "/{}", self.prefix) }
    }
}

/// A bucket, by the two faces of its client, and the path of what is ours in it.
pub(crate) struct Client {
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(super) parts: Arc<dyn MultipartStore>,
    pub(crate) prefix: Path,
}

impl Location {
    /// Checks a URL. `endpoint` is an address in place of the usual one; `variables` are those of the environment, of which the
    /// service's own are kept: credentials, region and so on, by their usual names.
    pub fn parse(
        url: &str,
        endpoint: Option<String>,
        allow_http: bool,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, LocationError> {
        let (scheme, rest) = url.split_once("://").ok_or(LocationError::Scheme)?;
        let cloud = match scheme {
            "s3" | "s3a" => Cloud::S3,
            "gs" | "gcs" => Cloud::Google,
            "az" | "azure" => Cloud::Azure,
            _ => return Err(LocationError::Scheme),
        };
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        if bucket.is_empty() || bucket.len() > 255 || !bucket.bytes().all(is_name) {
            return Err(LocationError::Bucket);
        }
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        let is_odd = |part: &str| part.is_empty() || part == "." || part == "..";
        if !prefix.is_empty() && prefix.split('/').any(is_odd)
            || prefix.contains(['?', '#'])
            || prefix.len() > 512
            || Path::parse(prefix).is_err()
        {
            return Err(LocationError::Prefix);
        }
        let variables: Vec<_> =
            variables.into_iter().filter(|(name, _)| name.starts_with(cloud.prefix())).collect();
        let variable =
            |name: &str| variables.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str());
        let at = endpoint.as_deref().or_else(|| cloud.endpoints().iter().find_map(|name| variable(name)));
        let allow_http = allow_http || variable("AWS_ALLOW_HTTP") == Some("true");
        match at.map(|at| at.split_once("://")) {
            None => {}
            Some(Some(("https", host))) if !host.is_empty() => {}
            Some(Some(("http", host))) if !host.is_empty() && allow_http => {}
            Some(Some(("http", host))) if !host.is_empty() => return Err(LocationError::Plaintext),
            Some(_) => return Err(LocationError::Endpoint),
        }
        let (bucket, prefix) = (bucket.to_owned(), prefix.to_owned());
        Ok(Self { cloud, bucket, prefix, endpoint, allow_http, variables, trust: Trust::default() })
    }

    /// The same bucket, whose service may show a certificate of these authorities too.
    #[must_use]
    pub fn trusting(self, trust: Trust) -> Self {
        Self { trust, ..self }
    }

    /// The same bucket, one part of the path further down.
    pub(crate) fn below(&self, part: &str) -> Self {
        let prefix = if self.prefix.is_empty() { part.to_owned() } else { format!("{}/{part}", self.prefix) };
        Self { prefix, ..self.clone() }
    }

    /// A client for it. Nothing is asked of the bucket yet.
    pub(crate) fn client(&self) -> Result<Client, ClientError> {
        // Whoever else is in this process may have installed it.
        let _already_installed = rustls::crypto::ring::default_provider().install_default();
        let refused = |error: object_store::Error| ClientError {
            variables: self.cloud.prefix(),
            reason: super::error::reason(&error),
        };
        let mut options = ClientOptions::new()
            .with_connect_timeout(CONNECT)
            // Whoever asks has a deadline: a part that is sent slowly is no silence.
            .with_timeout_disabled()
            .with_pool_max_idle_per_host(8)
            .with_pool_idle_timeout(Duration::from_secs(60))
            .with_allow_http(self.allow_http);
        for certificate in self.trust.certificates() {
            options = options.with_root_certificate(Certificate::from_der(certificate).map_err(refused)?);
        }
        let backoff = BackoffConfig {
            init_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(1),
            base: 2.0,
        };
        let retry = RetryConfig { backoff, max_retries: RETRIES, retry_timeout: RETRY_FOR };
        let prefix = Path::from(self.prefix.as_str());
        let variables = self.variables.iter().map(|(name, value)| (name.to_ascii_lowercase(), value));
        Ok(match self.cloud {
            Cloud::S3 => {
                let mut builder = AmazonS3Builder::new().with_client_options(options).with_retry(retry);
                for (name, value) in variables {
                    // Those that say nothing about storage are other programs'.
                    if let Ok(key) = name.parse() {
                        builder = builder.with_config(key, value);
                    }
                }
                if let Some(endpoint) = &self.endpoint {
                    builder = builder.with_endpoint(endpoint);
                }
                builder = builder.with_bucket_name(&self.bucket).with_allow_http(self.allow_http);
                Client::of(builder.build().map_err(refused)?, prefix)
            }
            Cloud::Google => {
                let mut builder =
                    GoogleCloudStorageBuilder::new().with_client_options(options).with_retry(retry);
                for (name, value) in variables {
                    if let Ok(key) = name.parse() {
                        builder = builder.with_config(key, value);
                    }
                }
                if let Some(endpoint) = &self.endpoint {
                    builder = builder.with_base_url(endpoint);
                }
                Client::of(builder.with_bucket_name(&self.bucket).build().map_err(refused)?, prefix)
            }
            Cloud::Azure => {
                let mut builder = MicrosoftAzureBuilder::new().with_client_options(options).with_retry(retry);
                for (name, value) in variables {
                    if let Ok(key) = name.parse() {
                        builder = builder.with_config(key, value);
                    }
                }
                if let Some(endpoint) = &self.endpoint {
                    builder = builder.with_endpoint(endpoint.clone());
                }
                builder = builder.with_container_name(&self.bucket).with_allow_http(self.allow_http);
                Client::of(builder.build().map_err(refused)?, prefix)
            }
        })
    }
}

impl Client {
    pub(super) fn of(store: impl ObjectStore + MultipartStore, prefix: Path) -> Self {
        let store = Arc::new(store);
        Self { store: Arc::clone(&store) as Arc<dyn ObjectStore>, parts: store, prefix }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn parse(url: &str, variables: &[(&str, &str)]) -> Result<Location, LocationError> {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Location::parse(url, None, false, variables)
    }

    #[rstest]
    #[case("s3://b", "s3://b")]
    #[case("s3://b/", "s3://b")]
    #[case("s3a://my-bucket/mini/tower/", "s3://my-bucket/mini/tower")]
    #[case("gs://b.c/p", "gs://b.c/p")]
    #[case("az://container/p", "az://container/p")]
    fn a_bucket_is_named_by_its_url(#[case] url: &str, #[case] shown: &str) {
        assert_eq!(parse(url, &[]).unwrap().to_string(), shown);
    }

    #[rstest]
    #[case("/var/objects", LocationError::Scheme)]
    #[case("file:///var/objects", LocationError::Scheme)]
    #[case("s3://", LocationError::Bucket)]
    #[case("s3:///p", LocationError::Bucket)]
    #[case("s3://user:key@host/p", LocationError::Bucket)]
    #[case("s3://b//p", LocationError::Prefix)]
    #[case("s3://b/../p", LocationError::Prefix)]
    #[case("s3://b/p?endpoint=http://h", LocationError::Prefix)]
    fn nonsense_is_refused(#[case] url: &str, #[case] error: LocationError) {
        assert_eq!(parse(url, &[]), Err(error));
    }

    #[test]
    fn plain_http_has_to_be_asked_for() {
        let at = |endpoint: &str, allow| Location::parse("s3://b", Some(endpoint.to_owned()), allow, []);
        assert_eq!(at("http://h", false), Err(LocationError::Plaintext));
        assert!(at("http://h", true).is_ok() && at("https://h", false).is_ok());
        assert_eq!(at("h:9000", true), Err(LocationError::Endpoint));
        let usual = [("AWS_ENDPOINT_URL", "http://h")];
        assert_eq!(parse("s3://b", &usual), Err(LocationError::Plaintext));
        assert!(parse("s3://b", &[usual[0], ("AWS_ALLOW_HTTP", "true")]).is_ok());
        assert!(parse("gs://b", &usual).is_ok(), "another service's variable");
    }

    #[test]
    fn secrets_are_not_shown() {
        let location = parse("s3://b/p", &[("AWS_SECRET_ACCESS_KEY", "s3cret")]).unwrap();
        assert_eq!(format!("{location:?}"), "Location(s3://b/p)");
    }
}
