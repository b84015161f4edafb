//! Which certificates are trusted, against a TLS server on a loopback port.

use std::io::Write;
use std::sync::Arc;

use minitower_client::{Client, ClientConfig, Error, TransportReason};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;

/// A server for 127.0.0.1 that says it is healthy, and the certificate of its authority.
async fn serve() -> (ClientConfig, tempfile::NamedTempFile) {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_key = KeyPair::generate().unwrap();
    let authority_cert = authority.self_signed(&authority_key).unwrap();
    let key = KeyPair::generate().unwrap();
    let issuer = Issuer::new(authority, authority_key);
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
        loop {
            let (connection, _) = listener.accept().await.unwrap();
            // A client that does not trust us goes away.
            let Ok(mut connection) = acceptor.accept(connection).await else { continue };
            let _ = connection.read(&mut [0; 4096]).await;
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 15\r\n\r\n{\"status\":\"ok\"}";
            connection.write_all(answer).await.unwrap();
        }
    });
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(authority_cert.pem().as_bytes()).unwrap();
    (ClientConfig::new(url), file)
}

#[tokio::test]
async fn the_authority_in_the_ca_file_is_trusted() {
    let (mut config, authority) = serve().await;
    config.ca_file = Some(authority.path().to_owned());
    assert_eq!(Client::new(&config).unwrap().health().await.unwrap().status, "ok");
}

#[tokio::test]
async fn an_unknown_authority_is_refused_with_the_way_out() {
    let (mut config, _) = serve().await;
    let (_, another) = serve().await;
    config.ca_file = Some(another.path().to_owned());
    let error = Client::new(&config).unwrap().health().await.unwrap_err();
    assert!(matches!(&error, Error::Transport { reason: TransportReason::Certificate(_), .. }), "{error:?}");
    assert!(error.to_string().contains("MINITOWER_CA_FILE"), "{error}");
}

#[tokio::test]
async fn https_to_a_server_without_tls_says_so() {
    let (mut config, authority) = serve().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    config.server_url = format!("https://{}", listener.local_addr().unwrap());
    config.ca_file = Some(authority.path().to_owned());
    tokio::spawn(async move {
        let (mut connection, _) = listener.accept().await.unwrap();
        connection.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        let _ = connection.read(&mut [0; 4096]).await;
    });
    let error = Client::new(&config).unwrap().health().await.unwrap_err();
    assert!(error.to_string().contains("does the server speak https"), "{error}");
}
