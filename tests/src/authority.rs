//! A company's own authority, and the certificate of a server on this machine.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

/// An authority that no system knows, with a certificate that it signed for 127.0.0.1, as files.
#[derive(Debug)]
pub struct Authority(TempDir);

impl Authority {
    /// Makes one.
    #[expect(clippy::new_without_default, reason = "each is another one")]
    pub fn new() -> Self {
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let made = Self(tempfile::Builder::new().prefix("minitower-ca-").tempdir().unwrap());
        // Two of the same name would be taken for each other.
        authority.distinguished_name.push(DnType::CommonName, made.file(""));
        let authority_key = KeyPair::generate().unwrap();
        let of_authority = authority.self_signed(&authority_key).unwrap();
        let (key, issuer) = (KeyPair::generate().unwrap(), Issuer::new(authority, authority_key));
        let names = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let certificate = names.signed_by(&key, &issuer).unwrap();
        std::fs::write(made.ca(), of_authority.pem()).unwrap();
        std::fs::write(made.certificate(), certificate.pem()).unwrap();
        std::fs::write(made.key(), key.serialize_pem()).unwrap();
        made
    }

    fn file(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    /// The file with the authority's certificate.
    pub fn ca(&self) -> String {
        self.file("ca.pem")
    }

    /// The file with the server's certificate.
    pub fn certificate(&self) -> String {
        self.file("server.pem")
    }

    /// The file with its key.
    pub fn key(&self) -> String {
        self.file("server.key")
    }
}
