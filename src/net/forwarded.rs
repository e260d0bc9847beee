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
        // Byte by byte: what a client has put in front must not make what proxies have added unreadable.
        for item in value.as_bytes().rsplit(|byte| *byte == b',') {
            // A proxy that hides an address, or writes none, ends what can be known.
            let Some(address) = std::str::from_utf8(item).ok().and_then(|item| address(item.trim())) else {
                return client;
            };
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
        let fields: Vec<&[u8]> = fields.iter().map(|field| field.as_bytes()).collect();
        found_in(&fields, peer)
    }

    fn found_in(fields: &[&[u8]], peer: &str) -> Option<String> {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(HEADER, HeaderValue::from_bytes(field).unwrap());
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

    #[test]
    fn bytes_that_are_no_text_hide_nothing_that_stands_to_their_right() {
        for (fields, expected) in [
            (&[&b"\xff, 192.0.2.7"[..]][..], Some("192.0.2.7")),
            (&[b"203.0.113.1 \xe2\x28, 192.0.2.7, 10.0.0.2"], Some("192.0.2.7")),
            (&[b"203.0.113.1, \x80, 10.0.0.2"], Some("10.0.0.2")),
            (&[b"\xff", b"192.0.2.7"], Some("192.0.2.7")),
            (&[b"192.0.2.7, \xff"], None),
            (&["\u{fc}, 192.0.2.7".as_bytes()], Some("192.0.2.7")),
        ] {
            assert_eq!(found_in(fields, "10.0.0.1").as_deref(), expected, "{fields:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_a_client_writes_a_proxy_names_it(written in prop::collection::vec(b' '..=b'\xff', 0..64)) {
            prop_assume!(!written.contains(&0x7f));
            let field = [&written[..], b", 192.0.2.7"].concat();
            let found = found_in(&[&field], "10.0.0.1");
            prop_assert_eq!(found.as_deref(), Some("192.0.2.7"));
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(b' '..=b'\xff', 0..128)) {
            prop_assume!(!bytes.contains(&0x7f));
            let mut headers = HeaderMap::new();
            headers.append(HEADER, HeaderValue::from_bytes(&bytes).unwrap());
            let _ = client(&headers, PROXY, |_| true);
        }
    }
}
