//! Strings that must look a certain way: node names, log filters, host names, web origins.
//!
//! Owns what is accepted. The fields they end in are plain strings, and nothing about them is changed on the way.

use std::marker::PhantomData;

use ::config::{Value, ValueKind};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use super::form::{Form, Shape, quoted};
use super::mistake::Mistake;

/// The longest node name: that of a host name.
const MAX_NODE_NAME_BYTES: usize = 253;

/// A kind of text that a key takes.
pub(super) trait Kind {
    /// Completes "expected ...".
    const EXPECTED: &'static str;

    fn accepts(text: &str) -> bool;
}

/// A string of a certain kind.
pub(super) struct Text<K>(PhantomData<K>);

impl<K: Kind> Form<String> for Text<K> {
    const SHAPE: Shape = Shape::Text;

    fn read(value: &Value, key: &str, mistakes: &mut Vec<Mistake>) -> Option<String> {
        if let ValueKind::String(text) = &value.kind
            && K::accepts(text)
        {
            return Some(text.clone());
        }
        mistakes.push(Mistake::unexpected(value, key, &K::EXPECTED));
        None
    }

    fn write(value: &String) -> String {
        quoted(value)
    }
}

/// How a node calls itself towards others: without the characters that separate the fields of a pull's mark.
pub(super) struct NodeName;

impl Kind for NodeName {
    const EXPECTED: &'static str = "a name of letters, digits, \".\", \"-\" and \"_\"";

    fn accepts(text: &str) -> bool {
        (1..=MAX_NODE_NAME_BYTES).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
    }
}

/// What is logged, in the directives of `tracing_subscriber::EnvFilter`.
pub(super) struct LogFilter;

impl Kind for LogFilter {
    const EXPECTED: &'static str = "\"error\", \"warn\", \"info\", \"debug\", \"trace\", \"off\", or directives such as \"info,rillcast::pull=debug\"";

    fn accepts(text: &str) -> bool {
        // A misspelt level would be taken for a module, and silence everything else; an empty one for "error".
        let scoped = |part: &str| part.contains(['=', '[']);
        let level = |part: &str| !part.is_empty() && part.parse::<LevelFilter>().is_ok();
        text.split(',').map(str::trim).all(|part| scoped(part) || level(part))
            && EnvFilter::builder().parse(text).is_ok()
    }
}

/// What a certificate is for: a host name, or an IP address.
pub(super) struct HostName;

impl Kind for HostName {
    const EXPECTED: &'static str = "a host name or an IP address, without a port";

    fn accepts(text: &str) -> bool {
        rustls::pki_types::ServerName::try_from(text).is_ok()
    }
}

/// Whose pages may play: `*`, or an origin as a browser sends it (RFC 6454, section 6.2).
pub(super) struct WebOrigin;

impl Kind for WebOrigin {
    const EXPECTED: &'static str = "\"*\", or scheme and host without a path such as \"https://player.example\"";

    fn accepts(text: &str) -> bool {
        let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).unwrap_or_default();
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-_:[]".contains(&byte);
        text == "*" || (!host.is_empty() && host.bytes().all(plain))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_name_holds_nothing_that_could_end_a_field() {
        assert!(NodeName::accepts("rillcast-edge-7f9c.media_1"));
        for text in ["", "a b", "a;b", "a=b", "a/b", "é", &"a".repeat(254)] {
            assert!(!NodeName::accepts(text), "{text:?}");
        }
    }

    #[test]
    fn a_log_filter_is_a_level_or_directives() {
        for text in ["info", "OFF", "info,rillcast::pull=debug", "rillcast[player{id=1}]=trace,warn"] {
            assert!(LogFilter::accepts(text), "{text:?}");
        }
    }

    #[test]
    fn a_misspelt_level_is_not_taken_for_a_module() {
        for text in ["", "inof", "info,", "info,rillcast::pull=debgu", "rillcast"] {
            assert!(!LogFilter::accepts(text), "{text:?}");
        }
    }

    #[test]
    fn a_certificate_is_for_a_host_and_no_port() {
        for text in ["origin.example", "origin", "192.0.2.1", "2001:db8::1"] {
            assert!(HostName::accepts(text), "{text:?}");
        }
        for text in ["", "origin.example:1935", "https://origin", "a b"] {
            assert!(!HostName::accepts(text), "{text:?}");
        }
    }

    #[test]
    fn a_web_origin_is_what_a_browser_would_send() {
        for text in ["*", "https://player.example", "http://localhost:3000", "http://[::1]:3000"] {
            assert!(WebOrigin::accepts(text), "{text:?}");
        }
        for text in ["", "player.example", "https://", "https://a/", "https://a\r\nb", "https://A", "https://*.a"] {
            assert!(!WebOrigin::accepts(text), "{text:?}");
        }
    }
}
