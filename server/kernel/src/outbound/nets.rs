//! Which addresses the server may call for others.
//!
//! Whoever names a URL must not reach through the server what only the server can reach: itself, its neighbours, the metadata service of
//! its cloud. So only addresses of the public internet are called, and those that the administrator allows.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Networks that may be called although they are not public.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowedNets(Vec<IpNet>);

/// A text that is not a list of networks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a network such as 10.0.0.0/8 or fd00::/8")]
pub struct NotANet(String);

/// An address that may not be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the address {address} is {why}")]
pub struct RefusedAddress {
    /// The address.
    pub address: IpAddr,
    /// What it is.
    pub why: NotPublic,
}

/// What an address is that is not of the public internet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotPublic {
    /// This machine.
    Loopback,
    /// A private network, or one shared by the customers of a provider.
    Private,
    /// The same link; clouds have their metadata there.
    LinkLocal,
    /// Many receivers.
    Multicast,
    /// A service of the cloud that only its machines reach.
    Metadata,
    /// Reserved, for documentation, or nowhere.
    Reserved,
}

impl fmt::Display for NotPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Loopback => "the server itself (loopback)",
            Self::Private => "in a private network",
            Self::LinkLocal => "link-local",
            Self::Multicast => "a multicast address",
            Self::Metadata => "a metadata service",
            Self::Reserved => "reserved",
        })
    }
}

const fn v4(a: u8, b: u8, c: u8, d: u8, length: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), length)
}

const fn v6(first: u16, second: u16, length: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(first, second, 0, 0, 0, 0, 0, 0), length)
}

/// IPv4 that is not public: <https://www.iana.org/assignments/iana-ipv4-special-registry>, and the address of Azure's metadata, which
/// looks public.
const V4: [(Ipv4Net, NotPublic); 17] = [
    (v4(127, 0, 0, 0, 8), NotPublic::Loopback),
    (v4(10, 0, 0, 0, 8), NotPublic::Private),
    (v4(172, 16, 0, 0, 12), NotPublic::Private),
    (v4(192, 168, 0, 0, 16), NotPublic::Private),
    (v4(100, 64, 0, 0, 10), NotPublic::Private),
    (v4(169, 254, 0, 0, 16), NotPublic::LinkLocal),
    (v4(168, 63, 129, 16, 32), NotPublic::Metadata),
    (v4(224, 0, 0, 0, 4), NotPublic::Multicast),
    (v4(0, 0, 0, 0, 8), NotPublic::Reserved),
    (v4(192, 0, 0, 0, 24), NotPublic::Reserved),
    (v4(192, 0, 2, 0, 24), NotPublic::Reserved),
    (v4(192, 31, 196, 0, 24), NotPublic::Reserved),
    (v4(192, 88, 99, 0, 24), NotPublic::Reserved),
    (v4(198, 18, 0, 0, 15), NotPublic::Reserved),
    (v4(198, 51, 100, 0, 24), NotPublic::Reserved),
    (v4(203, 0, 113, 0, 24), NotPublic::Reserved),
    (v4(240, 0, 0, 0, 4), NotPublic::Reserved),
];

/// IPv6 that has names of its own, before the rule that only `2000::/3` is public:
/// <https://www.iana.org/assignments/iana-ipv6-special-registry>.
const V6: [(Ipv6Net, NotPublic); 8] = [
    (v6(0xfe80, 0, 10), NotPublic::LinkLocal),
    (v6(0xfc00, 0, 7), NotPublic::Private),
    (v6(0xfec0, 0, 10), NotPublic::Private),
    (v6(0xff00, 0, 8), NotPublic::Multicast),
    // Teredo and others: tunnels, tests, hashes.
    (v6(0x2001, 0, 23), NotPublic::Reserved),
    (v6(0x2001, 0xdb8, 32), NotPublic::Reserved),
    // 6to4: it carries an IPv4 address, and nobody uses it any more.
    (v6(0x2002, 0, 16), NotPublic::Reserved),
    (v6(0x3fff, 0, 20), NotPublic::Reserved),
];

/// What is given out to networks as public.
const PUBLIC_V6: Ipv6Net = v6(0x2000, 0, 3);
/// IPv4 behind a translator (RFC 6052): the address is in the last 32 bits.
const NAT64: Ipv6Net = v6(0x64, 0xff9b, 96);

impl FromStr for AllowedNets {
    type Err = NotANet;

    fn from_str(text: &str) -> Result<Self, NotANet> {
        let nets = text.split(',').map(str::trim).filter(|net| !net.is_empty());
        nets.map(|net| {
            let address = || net.parse::<IpAddr>().map(IpNet::from);
            net.parse().or_else(|_| address()).map_err(|_| NotANet(net.chars().take(64).collect()))
        })
        .collect::<Result<_, _>>()
        .map(Self)
    }
}

impl AllowedNets {
    /// Whether an address may be called.
    pub fn check(&self, address: IpAddr) -> Result<(), RefusedAddress> {
        let meant = meant(address);
        if self.0.iter().any(|net| net.contains(&meant) || net.contains(&address)) {
            return Ok(());
        }
        not_public(meant).map_or(Ok(()), |why| Err(RefusedAddress { address, why }))
    }
}

/// The address that is reached in the end: some IPv6 addresses stand for one of IPv4.
fn meant(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    if let Some(v4) = v6.to_ipv4_mapped() {
        return v4.into();
    }
    if NAT64.contains(&v6) {
        let [.., a, b, c, d] = v6.octets();
        return Ipv4Addr::new(a, b, c, d).into();
    }
    address
}

fn not_public(address: IpAddr) -> Option<NotPublic> {
    match address {
        IpAddr::V4(v4) => V4.iter().find(|(net, _)| net.contains(&v4)).map(|(_, why)| *why),
        IpAddr::V6(Ipv6Addr::LOCALHOST) => Some(NotPublic::Loopback),
        IpAddr::V6(v6) => {
            let named = V6.iter().find(|(net, _)| net.contains(&v6)).map(|(_, why)| *why);
            named.or_else(|| (!PUBLIC_V6.contains(&v6)).then_some(NotPublic::Reserved))
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("127.0.0.1", NotPublic::Loopback)]
    #[case("127.255.255.255", NotPublic::Loopback)]
    #[case("::1", NotPublic::Loopback)]
    #[case("::ffff:127.0.0.1", NotPublic::Loopback)]
    #[case("64:ff9b::7f00:1", NotPublic::Loopback)]
    #[case("10.0.0.1", NotPublic::Private)]
    #[case("172.16.0.1", NotPublic::Private)]
    #[case("172.31.255.255", NotPublic::Private)]
    #[case("192.168.1.1", NotPublic::Private)]
    #[case("100.64.0.1", NotPublic::Private)]
    #[case("100.100.100.200", NotPublic::Private)]
    #[case("::ffff:10.1.2.3", NotPublic::Private)]
    #[case("64:ff9b::a00:1", NotPublic::Private)]
    #[case("fd00:ec2::254", NotPublic::Private)]
    #[case("fc00::1", NotPublic::Private)]
    #[case("169.254.169.254", NotPublic::LinkLocal)]
    #[case("::ffff:169.254.169.254", NotPublic::LinkLocal)]
    #[case("fe80::1", NotPublic::LinkLocal)]
    #[case("168.63.129.16", NotPublic::Metadata)]
    #[case("224.0.0.1", NotPublic::Multicast)]
    #[case("ff02::1", NotPublic::Multicast)]
    #[case("0.0.0.0", NotPublic::Reserved)]
    #[case("0.1.2.3", NotPublic::Reserved)]
    #[case("192.0.0.192", NotPublic::Reserved)]
    #[case("198.18.0.1", NotPublic::Reserved)]
    #[case("240.0.0.1", NotPublic::Reserved)]
    #[case("255.255.255.255", NotPublic::Reserved)]
    #[case("::", NotPublic::Reserved)]
    #[case("::7f00:1", NotPublic::Reserved)]
    #[case("64:ff9b:1::a00:1", NotPublic::Reserved)]
    #[case("2002:7f00:1::", NotPublic::Reserved)]
    #[case("2001:0:7f00:1::", NotPublic::Reserved)]
    #[case("2001:db8::1", NotPublic::Reserved)]
    #[case("100::1", NotPublic::Reserved)]
    #[case("4000::1", NotPublic::Reserved)]
    fn what_is_not_public_is_refused(#[case] address: IpAddr, #[case] why: NotPublic) {
        assert_eq!(AllowedNets::default().check(address), Err(RefusedAddress { address, why }));
    }

    #[rstest]
    #[case("1.1.1.1")]
    #[case("172.32.0.1")]
    #[case("100.128.0.1")]
    #[case("168.63.129.17")]
    #[case("2606:4700::1111")]
    #[case("2a00:1450:4001::1")]
    #[case("::ffff:1.1.1.1")]
    #[case("64:ff9b::101:101")]
    fn what_is_public_is_called(#[case] address: IpAddr) {
        assert_eq!(AllowedNets::default().check(address), Ok(()));
    }

    #[test]
    fn an_allowed_network_is_called_however_its_addresses_are_written() {
        let nets: AllowedNets = " 10.0.0.0/8, ::1 ,192.168.7.7".parse().unwrap();
        for address in ["10.1.2.3", "::ffff:10.1.2.3", "::1", "192.168.7.7", "1.1.1.1"] {
            assert_eq!(nets.check(address.parse().unwrap()), Ok(()), "{address}");
        }
        for address in ["127.0.0.1", "192.168.7.8", "fd00::1"] {
            assert!(nets.check(address.parse().unwrap()).is_err(), "{address}");
        }
        assert_eq!("".parse(), Ok(AllowedNets::default()));
        assert_eq!("10.0.0.0/8,all".parse::<AllowedNets>(), Err(NotANet("all".to_owned())));
        assert!("10.0.0.0/33".parse::<AllowedNets>().is_err());
    }
}
