//! Whose address a request comes from, where proxies stand in between.
//!
//! `X-Forwarded-For` can be sent by anyone. It is believed from the networks of trusted proxies only, and read from its end: each proxy
//! appends whom it heard, so that the last address that is no trusted proxy is the client's, whatever stands before it.

use std::net::IpAddr;
use std::str::FromStr;

use http::{HeaderMap, HeaderName};
use ipnet::IpNet;

/// `X-Forwarded-For`.
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The networks whose `X-Forwarded-For` is believed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<IpNet>);

/// The text is no list of networks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an address or a network such as 10.0.0.0/8 or fd00::/8")]
pub struct InvalidNetwork(String);

impl FromStr for TrustedProxies {
    type Err = InvalidNetwork;

    fn from_str(text: &str) -> Result<Self, InvalidNetwork> {
        let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        let network = |entry: &str| {
            let one = || entry.parse::<IpAddr>().map(IpNet::from);
            entry.parse::<IpNet>().or_else(|_| one()).map_err(|_| InvalidNetwork(entry.to_owned()))
        };
        entries.map(network).collect::<Result<_, _>>().map(Self)
    }
}

impl TrustedProxies {
    /// Whether the address is a trusted proxy's.
    pub(super) fn contain(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }

    /// The client's address: the other end of the connection, or whom the trusted proxies in between name.
    pub(super) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        if !self.contain(client) {
            return client;
        }
        let values = headers.get_all(FORWARDED_FOR).into_iter().rev();
        for hop in values.filter_map(|value| value.to_str().ok()).flat_map(|value| value.rsplit(',')) {
            // Whoever comes before something that is no address cannot be known: the last proxy that can be counts.
            let Some(address) = parse_hop(hop.trim()) else { break };
            client = address;
            if !self.contain(client) {
                break;
            }
        }
        client
    }
}

/// An address, as proxies write it: alone, or with a port.
fn parse_hop(hop: &str) -> Option<IpAddr> {
    let with_port = || hop.parse::<std::net::SocketAddr>().ok().map(|address| address.ip());
    let bracketed = || hop.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    hop.parse().ok().or_else(with_port).or_else(bracketed).map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::no_proxy_is_believed_unless_it_is_listed("192.0.2.1", &["203.0.113.9"], "192.0.2.1")]
    #[case::a_proxy_without_the_header_is_the_client("10.0.0.1", &[], "10.0.0.1")]
    #[case::the_client_of_one_proxy("10.0.0.1", &["203.0.113.9"], "203.0.113.9")]
    #[case::what_the_client_itself_sent_is_not_believed("10.0.0.1", &["127.0.0.1, 203.0.113.9"], "203.0.113.9")]
    #[case::two_proxies("10.0.0.1", &["198.51.100.7, 203.0.113.9, 10.2.3.4"], "203.0.113.9")]
    #[case::several_headers_are_one_list("10.0.0.1", &["198.51.100.7", "203.0.113.9", "10.2.3.4"], "203.0.113.9")]
    #[case::only_proxies("10.0.0.1", &["10.9.9.9, 10.2.3.4"], "10.9.9.9")]
    #[case::nonsense_ends_the_list("10.0.0.1", &["203.0.113.9, unknown, 10.2.3.4"], "10.2.3.4")]
    #[case::with_a_port("10.0.0.1", &["203.0.113.9:4711"], "203.0.113.9")]
    #[case::ipv6_with_a_port("fd00::1", &["[2001:db8::1]:4711"], "2001:db8::1")]
    #[case::ipv4_on_an_ipv6_socket("::ffff:10.0.0.1", &["203.0.113.9"], "203.0.113.9")]
    fn the_client_is_the_last_address_that_is_no_trusted_proxy(
        #[case] peer: IpAddr,
        #[case] headers: &[&'static str],
        #[case] client: IpAddr,
    ) {
        let trusted: TrustedProxies = "10.0.0.0/8, fd00::/8".parse().unwrap();
        let mut map = HeaderMap::new();
        for value in headers {
            map.append(FORWARDED_FOR, HeaderValue::from_static(value));
        }
        assert_eq!(trusted.client(peer, &map), client);
    }

    #[test]
    fn what_is_no_network_is_named() {
        assert_eq!("".parse(), Ok(TrustedProxies::default()));
        assert!("192.0.2.1".parse::<TrustedProxies>().unwrap().contain(IpAddr::from([192, 0, 2, 1])));
        let error = "10.0.0.0/8, example.com".parse::<TrustedProxies>().unwrap_err();
        assert!(error.to_string().contains("example.com"), "{error}");
    }
}
