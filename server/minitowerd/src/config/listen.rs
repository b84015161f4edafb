//! Where the server listens.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use tokio::net::{TcpListener, TcpSocket, lookup_host};

/// Most connections that wait for being accepted; the system may allow fewer (`net.core.somaxconn`).
const QUEUE: u32 = 4096;

/// `:8080`, or `host:port`; port 0 takes any free one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenAddr {
    /// A name or an address; none: every address of the machine, IPv6 and IPv4.
    pub host: Option<String>,
    /// The port.
    pub port: u16,
}

/// The text is no address to listen on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it must be :PORT or HOST:PORT, such as :8080, 127.0.0.1:8080 or [::1]:8080")]
pub struct InvalidListenAddr;

impl FromStr for ListenAddr {
    type Err = InvalidListenAddr;

    fn from_str(text: &str) -> Result<Self, InvalidListenAddr> {
        let (host, port) = text.rsplit_once(':').ok_or(InvalidListenAddr)?;
        if port.is_empty() || !port.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(InvalidListenAddr);
        }
        let port = port.parse().map_err(|_| InvalidListenAddr)?;
        let host = match host.strip_prefix('[').map(|rest| rest.strip_suffix(']')) {
            Some(Some(inner)) if inner.parse::<Ipv6Addr>().is_ok() => inner,
            Some(_) => return Err(InvalidListenAddr),
            None if host.contains(|c: char| c == ':' || c == '/' || c == ']' || c.is_whitespace()) => {
                return Err(InvalidListenAddr);
            }
            None => host,
        };
        Ok(Self { host: (!host.is_empty()).then(|| host.to_owned()), port })
    }
}

impl fmt::Display for ListenAddr {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.as_deref() {
            Some(host) if host.contains(':') => write!(formatter, "[{host}]:{}", self.port),
            host => write!(formatter, "{}:{}", host.unwrap_or_default(), self.port),
        }
    }
}

impl ListenAddr {
    /// Where the same machine reaches it: the loopback address for every address.
    pub(crate) fn reached_at(&self) -> Self {
        let host = match self.host.as_deref() {
            // What listens on `::` takes IPv4 too, see [`Self::bind`].
            None | Some("0.0.0.0" | "::") => Ipv4Addr::LOCALHOST.to_string(),
            Some(host) => host.to_owned(),
        };
        Self { host: Some(host), port: self.port }
    }

    /// Opens the listener.
    pub async fn bind(&self) -> io::Result<TcpListener> {
        match &self.host {
            Some(host) => {
                let mut failed = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
                for addr in lookup_host((host.as_str(), self.port)).await? {
                    match listen(addr) {
                        Err(error) => failed = error,
                        listening => return listening,
                    }
                }
                Err(failed)
            }
            // On Linux a socket on `::` takes IPv4 too; where IPv6 is switched off, IPv4 is all there is.
            None => match listen((Ipv6Addr::UNSPECIFIED, self.port).into()) {
                Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
                    listen((Ipv4Addr::UNSPECIFIED, self.port).into())
                }
                bound => bound,
            },
        }
    }
}

/// A listener whose queue is long enough for a crowd that comes at once: where it is full, clients wait a second before they try again.
fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = if addr.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // As the standard library does: a restart finds its port free.
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    socket.listen(QUEUE)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(":8080", None, 8080)]
    #[case("127.0.0.1:0", Some("127.0.0.1"), 0)]
    #[case("localhost:80", Some("localhost"), 80)]
    #[case("[::1]:8080", Some("::1"), 8080)]
    fn addresses(#[case] text: &str, #[case] host: Option<&str>, #[case] port: u16) {
        let addr: ListenAddr = text.parse().unwrap();
        assert_eq!((addr.host.as_deref(), addr.port), (host, port));
        assert_eq!(addr.to_string(), text);
    }

    #[rstest]
    #[case(":8080", "127.0.0.1:8080")]
    #[case("0.0.0.0:8080", "127.0.0.1:8080")]
    #[case("[::]:8080", "127.0.0.1:8080")]
    #[case("[::1]:8080", "[::1]:8080")]
    #[case("10.1.2.3:80", "10.1.2.3:80")]
    fn every_address_is_reached_at_the_loopback_one(#[case] text: &str, #[case] reached: &str) {
        assert_eq!(text.parse::<ListenAddr>().unwrap().reached_at().to_string(), reached);
    }

    #[rstest]
    #[case("")]
    #[case("8080")]
    #[case("host:")]
    #[case("host:http")]
    #[case("host:+80")]
    #[case("host:65536")]
    #[case("::1:8080")]
    #[case("[host]:80")]
    #[case("http://host:80")]
    fn anything_else_is_refused(#[case] text: &str) {
        assert_eq!(text.parse::<ListenAddr>(), Err(InvalidListenAddr));
    }

    #[tokio::test]
    async fn without_a_host_both_families_reach_it() {
        let listener = ListenAddr { host: None, port: 0 }.bind().await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
    }
}
