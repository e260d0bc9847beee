//! Networks: `"10.0.0.0/8"`, `"2001:db8::/32"`, and single addresses.
//!
//! Owns their text and what lies within. Lists of them say where clients may come from.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

use super::form::Word;

/// A range of addresses. An IPv4 network holds IPv4 addresses however a socket shows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network(IpNet);

impl Network {
    /// Whether `address` lies within.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }
}

impl FromStr for Network {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let single = || text.parse::<IpAddr>().ok().map(|address| IpNet::from(address.to_canonical()));
        // The bits behind the prefix do not count: they are shown as they count.
        let network = text.parse::<IpNet>().ok().map(|network| network.trunc());
        network.or_else(single).map(Self).ok_or(Self::EXPECTED)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.prefix_len() == self.0.max_prefix_len() {
            write!(formatter, "{}", self.0.addr())
        } else {
            write!(formatter, "{}", self.0)
        }
    }
}

impl Word for Network {
    const EXPECTED: &'static str = "an address or a network such as \"192.0.2.7\", \"10.0.0.0/8\" or \"2001:db8::/32\"";
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(network: &str, address: &str) -> bool {
        network.parse::<Network>().unwrap().contains(address.parse().unwrap())
    }

    #[test]
    fn a_network_holds_the_addresses_of_its_prefix() {
        assert!(contains("10.1.0.0/16", "10.1.255.255"));
        assert!(!contains("10.1.0.0/16", "10.2.0.0"));
        assert!(contains("2001:db8::/32", "2001:db8:1::1"));
        assert!(contains("0.0.0.0/0", "192.0.2.1") && !contains("0.0.0.0/0", "2001:db8::1"));
    }

    #[test]
    fn an_ipv4_address_is_itself_on_a_socket_for_both_families() {
        assert!(contains("192.0.2.0/24", "::ffff:192.0.2.9"));
        assert!(contains("::ffff:192.0.2.9", "192.0.2.9"));
    }

    #[test]
    fn a_network_reads_and_writes_as_it_counts() {
        for (text, shown) in [("10.1.2.3/8", "10.0.0.0/8"), ("192.0.2.7", "192.0.2.7"), ("::1/128", "::1")] {
            assert_eq!(text.parse::<Network>().unwrap().to_string(), shown);
        }
        for text in ["", "10.0.0.0/33", "10.0.0/8", "example.com", "10.0.0.1-10.0.0.9", "*"] {
            assert!(text.parse::<Network>().is_err(), "{text:?}");
        }
    }
}
