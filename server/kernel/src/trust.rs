//! Certificates that are trusted in addition to the system's: those of a company's own authority.

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{CertificateError, RootCertStore};

/// The variable that names the file with them.
pub const CA_FILE: &str = "MINITOWER_CA_FILE";

/// Authorities that are trusted in addition to the system's. A cheap clone.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Trust(Arc<[CertificateDer<'static>]>);

/// A text that cannot be used as a list of authorities.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotTrust {
    /// There is none.
    #[error("it holds no PEM certificate")]
    Empty,
    /// It is no PEM, or it is cut off.
    #[error("it is not PEM: {0}")]
    Pem(String),
    /// One of them makes no sense.
    #[error("its certificate number {number} cannot be used: {reason}")]
    Certificate {
        /// Which one, counted from 1.
        number: usize,
        /// Why.
        reason: String,
    },
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Trust({} certificates)", self.0.len())
    }
}

impl Trust {
    /// Reads PEM. A bundle with one certificate that cannot be used is refused whole: that one would be missed later.
    pub fn parse(pem: &[u8]) -> Result<Self, NotTrust> {
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
        let certificates = certificates.map_err(|error| NotTrust::Pem(error.to_string()))?;
        let mut store = RootCertStore::empty();
        for (number, certificate) in (1..).zip(&certificates) {
            store.add(certificate.clone()).map_err(|error| {
                let reason = match error {
                    rustls::Error::InvalidCertificate(reason) => reason.to_string(),
                    other => other.to_string(),
                };
                NotTrust::Certificate { number, reason }
            })?;
        }
        if certificates.is_empty() { Err(NotTrust::Empty) } else { Ok(Self(certificates.into())) }
    }

    /// These authorities and those.
    #[must_use]
    pub fn and(&self, others: &Self) -> Self {
        if others.0.is_empty() {
            self.clone()
        } else {
            Self(self.0.iter().chain(&*others.0).cloned().collect())
        }
    }

    /// Each of them, in DER.
    pub fn certificates(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(AsRef::as_ref)
    }

    /// The same, for an HTTP client.
    pub fn of_http(&self) -> Result<Vec<reqwest::Certificate>, reqwest::Error> {
        self.certificates().map(reqwest::Certificate::from_der).collect()
    }
}

/// Why a client that needs the trusted certificates cannot be made, and what to do about it.
pub fn cannot_load(error: &(dyn Error + 'static)) -> String {
    let reason = find_tls(error).map_or_else(|| crate::chain(error), ToString::to_string);
    format!("the trusted certificates cannot be loaded ({reason}): name some in {CA_FILE}")
}

/// The failure of TLS below an error, in words, if there is one; with the way out if the authority is unknown.
pub fn of_tls(error: &(dyn Error + 'static)) -> Option<String> {
    let tls = find_tls(error)?;
    Some(match tls {
        // A bad signature: an authority that is trusted has the same name.
        rustls::Error::InvalidCertificate(
            CertificateError::UnknownIssuer | CertificateError::BadSignature,
        ) => {
            format!("{tls}; the server's administrator can name the authority that signed it in {CA_FILE}")
        }
        _ => tls.to_string(),
    })
}

/// TLS errors travel inside an `io::Error`, whose `source()` skips the error it wraps.
fn find_tls<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let mut below = Some(error);
    while let Some(this) = below {
        if let Some(tls) = this.downcast_ref() {
            return Some(tls);
        }
        let wrapped = this.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        below = match wrapped {
            Some(inner) => Some(inner),
            None => this.source(),
        };
    }
    None
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
    use rstest::rstest;

    use super::*;

    fn authority() -> String {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem()
    }

    #[test]
    fn a_bundle_may_hold_several_and_words_between() {
        let text = format!("# the old one\n{}\n# the new one\n{}", authority(), authority());
        let trust = Trust::parse(text.as_bytes()).unwrap();
        assert_eq!((trust.certificates().count(), trust.of_http().unwrap().len()), (2, 2));
        assert_eq!(trust.and(&trust).certificates().count(), 4);
        assert_eq!(trust.and(&Trust::default()), trust);
        assert_eq!(Trust::default().and(&trust), trust);
    }

    #[rstest]
    #[case::empty("", "it holds no PEM certificate")]
    #[case::words("see the wiki", "it holds no PEM certificate")]
    #[case::a_key(
        "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        "it holds no PEM certificate"
    )]
    #[case::not_base64("-----BEGIN CERTIFICATE-----\n???\n-----END CERTIFICATE-----\n", "it is not PEM: ")]
    #[case::no_certificate(
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        "its certificate number 1 cannot be used: "
    )]
    fn what_is_no_bundle_is_refused_with_the_reason(#[case] text: &str, #[case] says: &str) {
        let error = Trust::parse(text.as_bytes()).unwrap_err().to_string();
        assert!(error.starts_with(says) && error.lines().count() == 1, "{error}");
    }

    #[test]
    fn one_that_is_cut_off_is_not_left_out_in_silence() {
        let whole = authority();
        let text = format!("{whole}{}", &whole[..whole.len() / 2]);
        assert!(matches!(Trust::parse(text.as_bytes()), Err(NotTrust::Pem(_))));
        let text = format!("{whole}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
        assert!(matches!(Trust::parse(text.as_bytes()), Err(NotTrust::Certificate { number: 2, .. })));
    }

    #[test]
    fn only_another_authority_can_be_mended_by_naming_it() {
        let of = |reason| {
            let tls = rustls::Error::InvalidCertificate(reason);
            of_tls(&io::Error::other(io::Error::other(tls))).unwrap()
        };
        assert!(of(CertificateError::UnknownIssuer).contains(CA_FILE));
        assert!(of(CertificateError::BadSignature).contains(CA_FILE));
        assert!(!of(CertificateError::Expired).contains(CA_FILE));
        assert_eq!(of_tls(&io::Error::other("broken")), None);
    }
}
