//! Networks as they are written in a configuration: `"10.0.0.0/8"`, `"2001:db8::/32"`, `"192.0.2.1"`.
//!
//! Owns their text and what lies within them. An IPv4 address is the same by its own name and within IPv6.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net};

use super::form::Word;

/// All addresses that begin with the same bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network(IpNet);

/// Why a text is no network; completes "expected ...".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// Neither an address nor an address with a prefix length.
    #[error("{}", Network::EXPECTED)]
    Malformed,
    /// Bits behind the prefix are set, so that one of the two must be wrong.
    #[error("an address whose bits behind the prefix are 0: \"{0}\"")]
    HostBits(IpNet),
}

impl Network {
    /// Whether it has the address.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self(IpNet::from(address.to_canonical())));
        }
        let network: IpNet = text.parse().map_err(|_| NetworkError::Malformed)?;
        if network.trunc() != network {
            return Err(NetworkError::HostBits(network.trunc()));
        }
        Ok(Self(canonical(network)))
    }
}

/// The same network by its own name: one of IPv4 may be written within IPv6, behind 96 bits. A larger one of IPv6 has no
/// addresses of IPv4, for which there is a name of their own.
fn canonical(network: IpNet) -> IpNet {
    const MAPPED_BITS: u8 = 96;
    let within_ipv6 = |network: IpNet| {
        let IpNet::V6(within) = network else { return None };
        let length = within.prefix_len().checked_sub(MAPPED_BITS)?;
        Some(IpNet::V4(Ipv4Net::new(within.network().to_ipv4_mapped()?, length).ok()?))
    };
    within_ipv6(network).unwrap_or(network)
}

impl fmt::Display for Network {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, formatter)
    }
}

impl Word for Network {
    const EXPECTED: &'static str = "a network such as \"10.0.0.0/8\" or \"2001:db8::/32\", or an IP address";
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn network(text: &str) -> Network {
        text.parse().unwrap()
    }

    #[test]
    fn a_network_has_the_addresses_that_begin_like_it() {
        for (text, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.1"),
            ("192.0.2.1", "192.0.2.1", "192.0.2.2"),
            ("2001:db8::/32", "2001:db8:1::1", "2001:db9::1"),
            ("0.0.0.0/0", "203.0.113.9", "2001:db8::1"),
            ("::1", "::1", "127.0.0.1"),
        ] {
            assert!(network(text).contains(inside.parse().unwrap()), "{text} {inside}");
            assert!(!network(text).contains(outside.parse().unwrap()), "{text} {outside}");
        }
    }

    #[test]
    fn an_ipv4_address_within_ipv6_is_itself() {
        assert!(network("10.0.0.0/8").contains("::ffff:10.1.2.3".parse().unwrap()));
        assert!(network("::ffff:10.1.2.3").contains("10.1.2.3".parse().unwrap()));
    }

    #[test]
    fn a_network_of_ipv4_may_be_written_within_ipv6() {
        for (text, same) in [
            ("::ffff:127.0.0.0/104", "127.0.0.0/8"),
            ("::ffff:0:0/96", "0.0.0.0/0"),
            ("::ffff:192.0.2.1/128", "192.0.2.1"),
        ] {
            assert_eq!(network(text), network(same), "{text}");
        }
        assert!(network("::ffff:127.0.0.0/104").contains("127.0.0.1".parse().unwrap()));
        assert!("::ffff:0:0/95".parse::<Network>().is_err());
        assert!(!network("::/0").contains("127.0.0.1".parse().unwrap()), "that is all of IPv6");
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in ["", "10.0.0.0/33", "10.0.0/8", "example.org", "10.0.0.1-10.0.0.9", "10.0.0.0/"] {
            assert_eq!(text.parse::<Network>(), Err(NetworkError::Malformed), "{text:?}");
        }
    }

    #[test]
    fn bits_behind_the_prefix_are_a_mistake_that_shows_the_network() {
        let error = "10.1.2.3/8".parse::<Network>().unwrap_err();
        assert_eq!(error.to_string(), "an address whose bits behind the prefix are 0: \"10.0.0.0/8\"");
    }

    proptest! {
        #[test]
        fn a_written_network_reads_back_the_same(bits: u32, length in 0_u8..=32) {
            let network = IpNet::new(IpAddr::V4(bits.into()), length).unwrap().trunc();
            prop_assert_eq!(network.to_string().parse(), Ok(Network(network)));
        }

        #[test]
        fn no_text_panics(text in ".*") {
            let _ = text.parse::<Network>();
        }
    }
}
