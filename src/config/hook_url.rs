//! The URLs of hooks and callbacks: `"http://control.example:8085/api/v1/streams"`.
//!
//! Owns their text. Their query may hold a secret, so it is never shown.

use std::fmt;
use std::str::FromStr;

use url::Url;

use super::form::Word;
use super::secret::Secret;

/// Where a hook is posted to.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct HookUrl(Url);

impl HookUrl {
    /// The whole of it, for connecting to it.
    pub fn reveal(&self) -> &str {
        self.0.as_str()
    }

    /// Whose it is: scheme, host and port, without what stands behind.
    pub fn authority(&self) -> String {
        self.0.origin().ascii_serialization()
    }

    /// Whether it is spoken to over TLS.
    pub fn is_secure(&self) -> bool {
        self.0.scheme() == "https"
    }
}

impl FromStr for HookUrl {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let url = Url::parse(text).map_err(|_| Self::EXPECTED)?;
        let is_usable = matches!(url.scheme(), "http" | "https") && url.has_host() && url.fragment().is_none();
        // It would have to be sent as a header; a secret stands in the query.
        let is_plain = url.username().is_empty() && url.password().is_none();
        (is_usable && is_plain).then_some(Self(url)).ok_or(Self::EXPECTED)
    }
}

impl fmt::Display for HookUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = self.0.clone();
        if shown.query().is_some() {
            shown.set_query(Some("***"));
        }
        shown.fmt(formatter)
    }
}

impl fmt::Debug for HookUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl Word for HookUrl {
    const EXPECTED: &'static str = "a URL such as \"http://control.example:8085/hooks\"";

    fn may_be_shown(_: &str) -> bool {
        false
    }

    fn secret(&self) -> Option<Secret> {
        self.0.query().map(|_| Secret::new(self.reveal()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hook_is_posted_over_http_or_https_and_to_nothing_else() {
        for (text, is_secure) in [("http://a:8085/api/v1/clients", false), ("https://[::1]/x?key=1", true)] {
            let url: HookUrl = text.parse().unwrap();
            assert_eq!((url.reveal(), url.is_secure()), (text, is_secure));
        }
        for text in ["", "a:8085/x", "rtmp://a/x", "file:///etc/passwd", "http://a/x#y", "http://me:pw@a/"] {
            assert!(text.parse::<HookUrl>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_url_is_sealed_as_a_whole_where_a_part_of_it_is_not_shown() {
        let url = |text: &str| text.parse::<HookUrl>().unwrap().secret();
        assert_eq!(url("http://a/x?key=1"), Some(Secret::new("http://a/x?key=1")));
        assert_eq!(url("http://a/x"), None);
    }

    #[test]
    fn credentials_are_not_shown() {
        let url: HookUrl = "http://a/x?key=secret".parse().unwrap();
        assert_eq!(format!("{url} {url:?}"), "http://a/x?*** http://a/x?***");
    }
}
