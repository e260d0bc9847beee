//! Where a server listens: `":1935"`, `"1935"`, `"127.0.0.1:1935"`, `"[::1]:1935"`.
//!
//! Owns the text of a listening address. The listeners bind what it says; it never resolves a name.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use super::form::Word;

/// One address to listen on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListenAddress {
    /// This port on every address of every family, IPv4 and IPv6.
    Any(u16),
    /// Exactly this address.
    Address(SocketAddr),
}

/// Why a text is not an address to listen on; completes "expected ...".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ListenAddressError {
    /// Neither a port nor an IP address with a port.
    #[error("{}", ListenAddress::EXPECTED)]
    Malformed,
    /// An IP address alone.
    #[error("a port behind the address, such as \"127.0.0.1:1935\" or \"[::1]:1935\"")]
    NoPort,
}

impl ListenAddress {
    /// The TCP port; 0 lets the system choose.
    pub const fn port(&self) -> u16 {
        match self {
            Self::Any(port) => *port,
            Self::Address(address) => address.port(),
        }
    }
}

impl FromStr for ListenAddress {
    type Err = ListenAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(address) = text.parse() {
            return Ok(Self::Address(address));
        }
        if text.parse::<std::net::IpAddr>().is_ok() {
            return Err(ListenAddressError::NoPort);
        }
        let port = text.strip_prefix(':').unwrap_or(text);
        // `u16` itself would read a sign.
        if !port.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(ListenAddressError::Malformed);
        }
        port.parse().map(Self::Any).map_err(|_| ListenAddressError::Malformed)
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any(port) => write!(formatter, ":{port}"),
            Self::Address(address) => write!(formatter, "{address}"),
        }
    }
}

impl Word for ListenAddress {
    const EXPECTED: &'static str =
        "a port such as \":1935\", or an IP address with one such as \"127.0.0.1:1935\" or \"[::1]:1935\"";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_alone_means_every_address() {
        assert_eq!(":1935".parse(), Ok(ListenAddress::Any(1935)));
        assert_eq!("1935".parse(), Ok(ListenAddress::Any(1935)));
        assert_eq!(":0".parse(), Ok(ListenAddress::Any(0)));
    }

    #[test]
    fn an_ip_address_with_a_port_means_only_that() {
        for text in ["127.0.0.1:1935", "[::1]:1935", "0.0.0.0:80"] {
            let address: ListenAddress = text.parse().unwrap();
            assert_eq!(address, ListenAddress::Address(text.parse().unwrap()));
            assert_eq!(address.to_string(), text);
        }
    }

    #[test]
    fn an_ip_address_without_a_port_is_told_so() {
        for text in ["127.0.0.1", "::1", "::"] {
            assert_eq!(text.parse::<ListenAddress>(), Err(ListenAddressError::NoPort), "{text:?}");
        }
    }

    #[test]
    fn names_and_broken_ports_are_refused() {
        for text in ["", ":", "localhost:1935", ":65536", "+1", ":-1", "::1935:", "*:1935", "rtmp://0.0.0.0", " :1"] {
            assert_eq!(text.parse::<ListenAddress>(), Err(ListenAddressError::Malformed), "{text:?}");
        }
    }
}
