//! One address to connect to, with the names it goes by.

use std::net::{IpAddr, SocketAddr};

/// An address of an origin.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// Where to connect to.
    pub address: SocketAddr,
    /// `host:port` as a URL or a `Host` header has it: the configured name, the target of the SRV record, or the address.
    pub name: String,
    /// What placement hashes, the same on every node that names its origins in the same form. Lower case, without a final
    /// dot, with the RTMP port: the target of the SRV record, else the configured name if it has one address, else the
    /// address.
    pub rank_key: String,
}

impl Endpoint {
    /// An address literal.
    pub(super) fn of_address(address: SocketAddr) -> Self {
        Self { address, name: address.to_string(), rank_key: address.to_string() }
    }

    /// The addresses behind a configured name.
    pub(super) fn of_name(host: &str, port: u16, addresses: &[IpAddr]) -> Vec<Self> {
        let name = with_port(host, port);
        let only_one = addresses.len() == 1;
        let endpoint = |ip: &IpAddr| {
            let address = SocketAddr::new(*ip, port);
            let rank_key = if only_one { name.clone() } else { address.to_string() };
            Self { address, name: name.clone(), rank_key }
        };
        addresses.iter().map(endpoint).collect()
    }

    /// An address of an SRV record's target.
    pub(super) fn of_target(target: &str, port: u16, ip: IpAddr) -> Self {
        let name = with_port(target, port);
        Self { address: SocketAddr::new(ip, port), rank_key: name.clone(), name }
    }
}

fn with_port(host: &str, port: u16) -> String {
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    format!("{host}:{port}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_name_with_one_address_is_ranked_by_its_name() {
        let endpoints = Endpoint::of_name("origin.example.", 1935, &[ip("192.0.2.1")]);
        let address = "192.0.2.1:1935".parse().unwrap();
        let name = "origin.example:1935".to_owned();
        assert_eq!(endpoints, [Endpoint { address, name: name.clone(), rank_key: name }]);
    }

    #[test]
    fn a_name_with_several_addresses_is_ranked_by_address_and_keeps_its_name() {
        let endpoints = Endpoint::of_name("origin.example", 1936, &[ip("192.0.2.1"), ip("2001:db8::1")]);
        let keys: Vec<&str> = endpoints.iter().map(|endpoint| endpoint.rank_key.as_str()).collect();
        assert_eq!(keys, ["192.0.2.1:1936", "[2001:db8::1]:1936"]);
        assert!(endpoints.iter().all(|endpoint| endpoint.name == "origin.example:1936"));
    }

    #[test]
    fn a_target_is_ranked_by_its_name_whatever_its_address() {
        let one = Endpoint::of_target("Origin-0.Example.", 1935, ip("192.0.2.1"));
        let moved = Endpoint::of_target("origin-0.example", 1935, ip("192.0.2.9"));
        assert_eq!(one.rank_key, "origin-0.example:1935");
        assert_eq!((one.rank_key, one.name), (moved.rank_key, moved.name));
    }
}
