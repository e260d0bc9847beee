//! DNS servers: `"10.96.0.10"`, `"10.96.0.10:5353"`, `"[::1]:5353"`.
//!
//! Owns their text. The resolver asks them; a server is never itself named by a name.

use std::net::{IpAddr, SocketAddr};

use ::config::{Value, ValueKind};

use super::form::{Form, Shape, quoted};
use super::mistake::Mistake;

/// The port of DNS, where none is given (RFC 1035, section 4.2).
const DNS_PORT: u16 = 53;

/// The address of a DNS server.
pub(super) struct Nameserver;

impl Form<SocketAddr> for Nameserver {
    const SHAPE: Shape = Shape::Text;

    fn read(value: &Value, key: &str, mistakes: &mut Vec<Mistake>) -> Option<SocketAddr> {
        let address = match &value.kind {
            ValueKind::String(text) => parse(text),
            _ => None,
        };
        if address.is_none() {
            let expected = "the IP address of a DNS server such as \"10.96.0.10\" or \"10.96.0.10:53\"";
            mistakes.push(Mistake::unexpected(value, key, &expected));
        }
        address
    }

    fn write(value: &SocketAddr) -> String {
        quoted(value)
    }
}

fn parse(text: &str) -> Option<SocketAddr> {
    let literal = || text.parse::<IpAddr>().ok().map(|address| SocketAddr::new(address, DNS_PORT));
    text.parse().ok().or_else(literal).filter(|address| address.port() != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nameserver_has_port_53_unless_it_says_otherwise() {
        assert_eq!(parse("10.96.0.10"), Some("10.96.0.10:53".parse().unwrap()));
        assert_eq!(parse("10.96.0.10:5353"), Some("10.96.0.10:5353".parse().unwrap()));
        assert_eq!(parse("::1"), Some("[::1]:53".parse().unwrap()));
        assert_eq!(parse("[::1]:5353"), Some("[::1]:5353".parse().unwrap()));
    }

    #[test]
    fn names_and_port_zero_are_refused() {
        let mut mistakes = Vec::new();
        for text in ["", "dns.example", "10.96.0.10:", "10.96.0.10:0"] {
            assert_eq!(Nameserver::read(&Value::from(text), "key", &mut mistakes), None, "{text:?}");
        }
        assert_eq!(mistakes.len(), 4);
    }
}
