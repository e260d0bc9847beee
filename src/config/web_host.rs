//! The hosts whose pages may play: `"player.example"`, `"*.example"`, and `"none"`.
//!
//! Owns their text and the matching. Which header names the page is the sessions' to know.

use std::fmt;
use std::str::FromStr;

use super::form::Word;

/// The word for players that name no page, as nginx has it.
const NONE: &str = "none";

/// Hosts that a page may be of.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum HostPattern {
    /// No page is named.
    None,
    /// This host.
    Exactly(String),
    /// Every host whose name ends in a dot and this.
    Below(String),
}

impl HostPattern {
    /// Whether the page at `url` is of such a host; `None` is a player that names no page.
    pub fn matches(&self, url: Option<&str>) -> bool {
        let Some(url) = url.filter(|url| !url.is_empty()) else { return *self == Self::None };
        let Some(host) = host_of(url) else { return false };
        match self {
            Self::None => false,
            Self::Exactly(expected) => host == *expected,
            Self::Below(domain) => host.strip_suffix(domain.as_str()).is_some_and(|rest| rest.ends_with('.')),
        }
    }
}

/// The host of an absolute URL, in lower case.
fn host_of(url: &str) -> Option<String> {
    let url = url::Url::parse(url).ok()?;
    Some(url.host_str()?.trim_end_matches('.').to_ascii_lowercase())
}

impl FromStr for HostPattern {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_host = |host: &str| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
            !host.is_empty() && !host.starts_with('.') && host.bytes().all(plain)
        };
        match text.strip_prefix("*.") {
            _ if text == NONE => Ok(Self::None),
            Some(domain) if is_host(domain) => Ok(Self::Below(domain.to_ascii_lowercase())),
            None if is_host(text) => Ok(Self::Exactly(text.to_ascii_lowercase())),
            _ => Err(Self::EXPECTED),
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => formatter.write_str(NONE),
            Self::Exactly(host) => formatter.write_str(host),
            Self::Below(domain) => write!(formatter, "*.{domain}"),
        }
    }
}

impl Word for HostPattern {
    const EXPECTED: &'static str =
        "a host such as \"player.example\", \"*.example\" for all below it, or \"none\" for players without a page";
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, url: &str) -> bool {
        pattern.parse::<HostPattern>().unwrap().matches(Some(url))
    }

    #[test]
    fn a_host_is_that_of_the_page_whatever_else_its_url_holds() {
        for url in ["https://player.example", "http://Player.Example:8080/a?b=c", "https://player.example./"] {
            assert!(matches("player.example", url), "{url}");
        }
        for url in [
            "https://evil.example/player.example",
            "https://player.example.evil.example/",
            "https://player.example@evil.example/",
            "https://evilplayer.example/",
            "player.example",
            "null",
        ] {
            assert!(!matches("player.example", url), "{url}");
        }
    }

    #[test]
    fn a_star_stands_for_everything_below_a_domain_and_not_for_the_domain() {
        assert!(matches("*.example.com", "https://a.b.example.com/"));
        assert!(!matches("*.example.com", "https://example.com/"));
        assert!(!matches("*.example.com", "https://badexample.com/"));
    }

    #[test]
    fn a_player_without_a_page_is_let_in_by_name_only() {
        let none: HostPattern = "none".parse().unwrap();
        assert!(none.matches(None) && none.matches(Some("")));
        assert!(!none.matches(Some("https://none/")));
        assert!(!"player.example".parse::<HostPattern>().unwrap().matches(None));
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for text in ["", "*", "*.", "https://player.example", "player.example/", "a b", ".example"] {
            assert!(text.parse::<HostPattern>().is_err(), "{text:?}");
        }
        for text in ["none", "player.example", "*.example", "localhost"] {
            assert_eq!(text.parse::<HostPattern>().unwrap().to_string(), text);
        }
    }
}
