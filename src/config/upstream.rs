//! Where an edge pulls from: `"name"`, `"name:port"`, `"1.2.3.4:1935"`, `"[::1]:1935"`, `"_rtmp._tcp.name"`.
//!
//! Owns the text of an origin's address. The upstream resolves and connects to what it says; nothing is resolved here.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use super::form::Word;

/// The port of RTMP, where none is given (RTMP specification 1.0, section 1).
pub const RTMP_PORT: u16 = 1935;

/// The longest name that DNS can carry, in characters without the final dot (RFC 1035, section 2.3.4).
const MAX_NAME_CHARS: usize = 253;

/// The longest part of a name between two dots (RFC 1035, section 2.3.4).
const MAX_LABEL_CHARS: usize = 63;

/// One configured origin: an address, or a name that stands for any number of them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum OriginAddress {
    /// An address literal; nothing to resolve.
    Address(SocketAddr),
    /// A name with A or AAAA records, lower-cased; every address of it is an origin.
    Name {
        /// The name; with a final dot if it was written so.
        host: String,
        /// The RTMP port of each address.
        port: u16,
    },
    /// A name with SRV records, lower-cased: `_service._tcp.name` (RFC 2782); each record brings its own port.
    Service(String),
}

/// Why a text is not an origin's address; completes "expected ...".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OriginAddressError {
    /// Nothing there.
    #[error("{}", OriginAddress::EXPECTED)]
    Empty,
    /// A URL, or a part of one.
    #[error("an origin as \"name:port\", without a scheme and without a path (players name the app and the stream)")]
    Url,
    /// What stands behind the colon is no port.
    #[error("a port from 1 to 65535 behind the name")]
    Port,
    /// Not a name that DNS could know, nor an IP address.
    #[error(
        "a host name or an IP address, such as \"origin.example:1935\", \"192.0.2.1:1935\" or \"[2001:db8::1]:1935\""
    )]
    Name,
    /// Begins like an SRV name and is none.
    #[error("an SRV name without a port, such as \"_rtmp._tcp.origin.example\"")]
    Service,
}

impl FromStr for OriginAddress {
    type Err = OriginAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Err(OriginAddressError::Empty);
        }
        if text.contains('/') {
            return Err(OriginAddressError::Url);
        }
        if let Some(address) = parse_literal(text)? {
            return Ok(Self::Address(address));
        }
        if text.starts_with('_') {
            return parse_service(text).map(Self::Service);
        }
        let (host, port) = match text.split_once(':') {
            Some((host, port)) => (host, parse_port(port)?),
            None => (text, RTMP_PORT),
        };
        if !is_host_name(host) {
            return Err(OriginAddressError::Name);
        }
        Ok(Self::Name { host: host.to_ascii_lowercase(), port })
    }
}

impl fmt::Display for OriginAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(formatter, "{address}"),
            Self::Name { host, port } => write!(formatter, "{host}:{port}"),
            Self::Service(name) => formatter.write_str(name),
        }
    }
}

impl Word for OriginAddress {
    const EXPECTED: &'static str = "an origin such as \"origin.example:1935\" or \"_rtmp._tcp.origin.example\"";

    /// Of a URL, userinfo, parameters and the name of the stream may be secret.
    fn may_be_shown(text: &str) -> bool {
        !text.contains(['/', '@', '?', '#'])
    }
}

/// An IP address with or without a port, an IPv6 address with or without brackets if it has none.
fn parse_literal(text: &str) -> Result<Option<SocketAddr>, OriginAddressError> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return if address.port() == 0 { Err(OriginAddressError::Port) } else { Ok(Some(address)) };
    }
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    Ok(bare.parse::<IpAddr>().ok().map(|address| SocketAddr::new(address, RTMP_PORT)))
}

fn parse_port(text: &str) -> Result<u16, OriginAddressError> {
    // `u16` itself would read a sign.
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(OriginAddressError::Port);
    }
    text.parse().ok().filter(|port| *port != 0).ok_or(OriginAddressError::Port)
}

fn parse_service(text: &str) -> Result<String, OriginAddressError> {
    let name = text.to_ascii_lowercase();
    let mut labels = name.splitn(3, '.');
    let service = labels.next().and_then(|label| label.strip_prefix('_')).unwrap_or_default();
    let protocol = labels.next().unwrap_or_default();
    let domain = labels.next().unwrap_or_default();
    if is_label(service) && protocol == "_tcp" && is_host_name(domain) && is_short(&name) {
        Ok(name)
    } else {
        Err(OriginAddressError::Service)
    }
}

/// A host name, with underscores as found in real zones. One that ends in a number is an IPv4 address gone wrong.
fn is_host_name(name: &str) -> bool {
    let labels = name.strip_suffix('.').unwrap_or(name);
    let last = labels.rsplit('.').next().unwrap_or_default();
    is_short(name) && labels.split('.').all(is_label) && !last.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_short(name: &str) -> bool {
    name.strip_suffix('.').unwrap_or(name).len() <= MAX_NAME_CHARS
}

fn is_label(label: &str) -> bool {
    (1..=MAX_LABEL_CHARS).contains(&label.len())
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(host: &str, port: u16) -> Result<OriginAddress, OriginAddressError> {
        Ok(OriginAddress::Name { host: host.to_owned(), port })
    }

    fn refused(text: &str) -> OriginAddressError {
        text.parse::<OriginAddress>().unwrap_err()
    }

    #[test]
    fn a_name_has_the_rtmp_port_unless_it_says_otherwise() {
        assert_eq!("origin".parse(), name("origin", 1935));
        assert_eq!("origin:1936".parse(), name("origin", 1936));
        assert_eq!("origin.media.svc.cluster.local.:1935".parse(), name("origin.media.svc.cluster.local.", 1935));
    }

    #[test]
    fn names_are_lower_cased_so_that_every_node_ranks_the_same() {
        assert_eq!("Origin.Example".parse(), name("origin.example", 1935));
        assert_eq!("_RTMP._TCP.Origin".parse(), Ok(OriginAddress::Service("_rtmp._tcp.origin".to_owned())));
    }

    #[test]
    fn address_literals_are_not_names() {
        let address = |text: &str| Ok(OriginAddress::Address(text.parse().unwrap()));
        assert_eq!("192.0.2.1:1936".parse(), address("192.0.2.1:1936"));
        assert_eq!("192.0.2.1".parse(), address("192.0.2.1:1935"));
        assert_eq!("[::1]:1936".parse(), address("[::1]:1936"));
        assert_eq!("[::1]".parse(), address("[::1]:1935"));
        assert_eq!("::1".parse(), address("[::1]:1935"));
    }

    #[test]
    fn an_srv_name_is_a_form_of_its_own_and_takes_no_port() {
        assert_eq!("_rtmp._tcp.origin".parse(), Ok(OriginAddress::Service("_rtmp._tcp.origin".to_owned())));
        for text in ["_rtmp._tcp.origin:1935", "_rtmp._udp.origin", "_rtmp._tcp", "_rtmp._tcp.", "_rtmp", "_._tcp.x"] {
            assert_eq!(refused(text), OriginAddressError::Service, "{text:?}");
        }
    }

    #[test]
    fn a_url_is_told_to_drop_scheme_and_path() {
        for text in ["rtmp://origin:1935/live", "rtmp://origin", "origin/live"] {
            assert_eq!(refused(text), OriginAddressError::Url, "{text:?}");
        }
    }

    #[test]
    fn a_broken_port_is_named_as_such() {
        for text in ["origin:", "origin:0", "origin:65536", "origin:+1", "origin:rtmp", "192.0.2.1:0"] {
            assert_eq!(refused(text), OriginAddressError::Port, "{text:?}");
        }
    }

    #[test]
    fn what_dns_cannot_carry_is_refused() {
        let long_label = "a".repeat(64);
        let long_name = "abc.".repeat(64);
        for text in ["-a", "a-", "a..b", ".", "a b", "größe", "192.0.2.300", "1.2.3", &long_label, &long_name] {
            assert_eq!(refused(text), OriginAddressError::Name, "{text:?}");
        }
        assert_eq!(refused(""), OriginAddressError::Empty);
    }

    proptest! {
        #[test]
        fn what_is_accepted_reads_back_the_same(text in "[a-zA-Z0-9_.:\\[\\]-]{0,40}") {
            if let Ok(address) = text.parse::<OriginAddress>() {
                prop_assert_eq!(address.to_string().parse(), Ok(address));
            }
        }

        #[test]
        fn no_text_panics(text in ".*") {
            let _ = text.parse::<OriginAddress>();
        }
    }
}
