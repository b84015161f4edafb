//! Against a receiver, a bucket's service and a stranger, each with a certificate of a company's own authority.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Method};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;

use super::{Answer, Failure, Outbound, Request, Target};
use crate::backup::{BackupError, Place, Target as BackupTarget, newest};
use crate::objects::Location;
use crate::trust::Trust;

/// A server on a loopback port that answers each request with 404, and its authority.
async fn serve() -> (String, Trust) {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_key = KeyPair::generate().unwrap();
    let pem = authority.self_signed(&authority_key).unwrap().pem();
    let (key, issuer) = (KeyPair::generate().unwrap(), Issuer::new(authority, authority_key));
    let cert =
        CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], PrivatePkcs8KeyDer::from(key.serialize_der()).into())
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // A client that does not trust us goes away.
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream
                    .write_all(b"HTTP/1.1 404 x\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
                    .await;
                let _ = stream.shutdown().await;
            });
        }
    });
    (url, Trust::parse(pem.as_bytes()).unwrap())
}

async fn send(url: &str, trust: Trust) -> Result<Answer, Failure> {
    let outbound = Outbound::new("127.0.0.0/8".parse().unwrap(), trust);
    let request = Request {
        method: Method::POST,
        target: Target::parse(url).unwrap(),
        headers: HeaderMap::new(),
        body: Vec::new(),
        timeout: Duration::from_secs(5),
        signing: None,
    };
    outbound.send(outbound.place(request.target.host()).unwrap(), request).await
}

#[tokio::test]
async fn a_receiver_of_a_private_authority_is_called_if_the_authority_is_named() {
    let (url, authority) = serve().await;
    let (_, another) = serve().await;
    assert_eq!(send(&url, authority.and(&another)).await.unwrap().status, 404);
    for wrong in [Trust::default(), another] {
        let told = send(&url, wrong).await.unwrap_err().to_string();
        assert!(told.contains("invalid peer certificate") && told.contains("MINITOWER_CA_FILE"), "{told}");
    }
    // The right authority does not make another name right.
    let elsewhere = send(&url.replace("127.0.0.1", "127.0.0.2"), authority).await;
    let told = elsewhere.unwrap_err().to_string();
    assert!(!told.contains("MINITOWER_CA_FILE"), "{told}");
}

#[tokio::test]
async fn a_bucket_of_a_private_authority_is_reached_if_the_authority_is_named() {
    let (url, authority) = serve().await;
    let (_, another) = serve().await;
    let staging = tempfile::tempdir().unwrap();
    let look = async |scheme: &str, trust: Trust| {
        let keys = [
            ("AWS_ACCESS_KEY_ID", "k"),
            ("AWS_SECRET_ACCESS_KEY", "s"),
            ("AWS_REGION", "us-east-1"),
            ("GOOGLE_SKIP_SIGNATURE", "true"),
            ("AZURE_STORAGE_ACCOUNT_NAME", "a"),
            ("AZURE_SKIP_SIGNATURE", "true"),
        ];
        let keys = keys.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let location = Location::parse(&format!("{scheme}://b"), Some(url.clone()), false, keys).unwrap();
        let target = BackupTarget::open(&Place::Bucket(location.trusting(trust)), staging.path()).unwrap();
        newest(&target).await
    };
    for scheme in ["s3", "gs", "az"] {
        let seen = look(scheme, authority.clone()).await;
        let told = seen.as_ref().err().map(ToString::to_string).unwrap_or_default();
        assert!(matches!(seen, Err(BackupError::Target { .. })) && told.contains("404"), "{scheme}: {told}");
        for wrong in [Trust::default(), another.clone()] {
            let told = look(scheme, wrong).await.unwrap_err().to_string();
            assert!(
                told.contains("invalid peer certificate") && told.contains("MINITOWER_CA_FILE"),
                "{scheme}: {told}"
            );
        }
    }
}
