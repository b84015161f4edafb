//! The control plane inside `minitower dev`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as URL_SAFE_NO_PAD;
use minitowerd::{Config, ListenAddr, Secret, Server, StartError};

use super::error::DevError;
use super::folder::Folder;

/// A short lease: the runner learns of a cancel from a heartbeat, which comes every third of this. There is no network
/// between the two whose outages a lease would have to outlast.
const LEASE_TTL: Duration = Duration::from_secs(10);
/// How often expired leases are looked for, at least.
const EXPIRY_CHECK_INTERVAL: Duration = Duration::from_secs(2);
/// Bytes of the bootstrap token, as many as any token has.
const TOKEN_BYTES: usize = 32;

/// A token that nobody else knows, for the lifetime of this process.
pub(super) fn random_token() -> Result<String, DevError> {
    let mut bytes = [0; TOKEN_BYTES];
    getrandom::fill(&mut bytes).map_err(DevError::Random)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// Starts it.
pub(super) async fn start(
    listen: ListenAddr,
    folder: &Folder,
    bootstrap_token: &str,
) -> Result<Server, DevError> {
    let config = Config {
        listen_addr: listen,
        db_path: folder.database(),
        objects_dir: folder.objects(),
        bootstrap_token: Secret::new(bootstrap_token),
        // There is one team, which already exists. Other people on this machine must not add theirs.
        public_signup_enabled: false,
        // Whoever runs this is on this machine already, and tries notifications with a receiver of their own.
        webhook_allowed_nets: "127.0.0.0/8,::1".parse().unwrap_or_default(),
        lease_ttl: LEASE_TTL,
        expiry_check_interval: EXPIRY_CHECK_INTERVAL,
        ..Config::default()
    };
    Server::start(config).await.map_err(|error| match error {
        StartError::Listen { addr, variable: _, source } => DevError::Listen { addr, source },
        source => DevError::ControlPlane { folder: folder.given().to_owned(), source: Box::new(source) },
    })
}

/// Its URL on this machine.
pub(super) fn url(server: &Server) -> String {
    format!("http://{}", reachable(server.local_addr()))
}

/// Nobody can connect to "every address"; the loopback address is one of them.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        // A socket on `::` also takes IPv4.
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_is_reached_over_loopback() {
        for (address, expected) in
            [("0.0.0.0:80", "127.0.0.1:80"), ("[::]:80", "127.0.0.1:80"), ("10.0.0.1:80", "10.0.0.1:80")]
        {
            assert_eq!(reachable(address.parse().unwrap()), expected.parse().unwrap());
        }
    }

    #[test]
    fn tokens_differ() {
        assert_ne!(random_token().unwrap(), random_token().unwrap());
    }
}
