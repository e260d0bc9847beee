//! Who a request comes from, where proxies have passed it on: `X-Forwarded-For`. Pure.
//!
//! Each proxy adds, on the right, the address that it was connected from. So the list is read from the right as long as
//! proxies that are trusted have written it: the first other address is the client. What stands to the left of that was
//! written by the client itself, and may say anything.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;

const HEADER: &str = "x-forwarded-for";

/// The client's address: the right-most one that is no trusted proxy's. `None` where `peer` is not trusted, or tells
/// nobody else.
pub fn client(headers: &HeaderMap, peer: IpAddr, is_trusted: impl Fn(IpAddr) -> bool) -> Option<IpAddr> {
    if !headers.contains_key(HEADER) || !is_trusted(peer) {
        return None;
    }
    let mut client = None;
    // Several fields are one list (RFC 9110, section 5.3).
    for value in headers.get_all(HEADER).iter().rev() {
        for item in value.to_str().ok()?.rsplit(',') {
            // A proxy that hides an address, or writes none, ends what can be known.
            let Some(address) = address(item.trim()) else { return client };
            client = Some(address);
            if !is_trusted(address) {
                return client;
            }
        }
    }
    client
}

/// An address as proxies write it: bare, in brackets, or with a port.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()));
    address.map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    const PROXY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));

    fn found(fields: &[&str], peer: &str) -> Option<String> {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(HEADER, HeaderValue::from_str(field).unwrap());
        }
        let is_trusted = |address: IpAddr| matches!(address, IpAddr::V4(address) if address.octets()[0] == 10);
        client(&headers, peer.parse().unwrap(), is_trusted).map(|address| address.to_string())
    }

    #[test]
    fn the_client_is_the_rightmost_address_that_is_no_proxys() {
        for (fields, expected) in [
            (&["192.0.2.7"][..], "192.0.2.7"),
            (&["203.0.113.1, 192.0.2.7"], "192.0.2.7"),
            (&["203.0.113.1, 192.0.2.7, 10.0.0.2"], "192.0.2.7"),
            (&["203.0.113.1", "192.0.2.7 ,10.0.0.2"], "192.0.2.7"),
            (&["192.0.2.7:4711, 10.0.0.2:80"], "192.0.2.7"),
            (&["[2001:db8::7]:4711"], "2001:db8::7"),
            (&["[2001:db8::7]"], "2001:db8::7"),
            (&["2001:db8::7"], "2001:db8::7"),
            (&["::ffff:192.0.2.7"], "192.0.2.7"),
            (&["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ] {
            assert_eq!(found(fields, "10.0.0.1").as_deref(), Some(expected), "{fields:?}");
        }
    }

    #[test]
    fn what_nobody_trusted_has_written_says_nothing() {
        assert_eq!(found(&["192.0.2.7"], "192.0.2.9"), None);
        assert_eq!(found(&[], "10.0.0.1"), None);
    }

    #[test]
    fn what_is_no_address_ends_the_list() {
        assert_eq!(found(&["192.0.2.7, unknown"], "10.0.0.1"), None);
        assert_eq!(found(&["192.0.2.7, unknown, 10.0.0.2"], "10.0.0.1").as_deref(), Some("10.0.0.2"));
        assert_eq!(found(&[""], "10.0.0.1"), None);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[ -~]*") {
            let mut headers = HeaderMap::new();
            headers.append(HEADER, HeaderValue::from_str(&text).unwrap());
            let _ = client(&headers, PROXY, |_| true);
        }
    }
}
