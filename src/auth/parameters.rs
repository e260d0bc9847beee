//! The parameters of a URL: `name=value` joined by `&`, percent-encoded.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// The longest query that is looked at, in bytes: tokens with large keys are far below.
const MAX_BYTES: usize = 16 << 10;

/// The parameters of one query. Of several with one name the first counts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parameters<'a>(&'a str);

impl<'a> Parameters<'a> {
    /// Those of `query`, which stands without its `?`; one that is too long has none.
    pub(super) fn of(query: &'a str) -> Self {
        // Clients that append parameters may write a second question mark.
        Self(if query.len() <= MAX_BYTES { query.trim_start_matches('?') } else { "" })
    }

    /// The value of a parameter, decoded; `None` if it is absent or not UTF-8.
    pub(super) fn get(&self, name: &str) -> Option<Cow<'a, str>> {
        let mut parameters = self.0.split('&').filter_map(|parameter| parameter.split_once('='));
        let (_, value) = parameters.find(|(key, _)| *key == name)?;
        percent_decode_str(value).decode_utf8().ok()
    }

    /// Those with a name that is wanted, as they stand in the query.
    pub(super) fn only(&self, is_wanted: impl Fn(&str) -> bool) -> String {
        let name = |parameter: &&str| is_wanted(parameter.split('=').next().unwrap_or_default());
        self.0.split('&').filter(name).collect::<Vec<_>>().join("&")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_a_name_counts_and_is_decoded() {
        let parameters = Parameters::of("a=1&b=x%2Fy&b=2&c=&d");
        assert_eq!(parameters.get("b").as_deref(), Some("x/y"));
        assert_eq!(parameters.get("c").as_deref(), Some(""));
        assert_eq!(parameters.get("d"), None);
        assert_eq!(parameters.get("e"), None);
    }

    #[test]
    fn some_are_passed_on_as_they_stand() {
        let parameters = Parameters::of("?a=1%2F&b=2&a");
        assert_eq!(parameters.only(|name| name == "a"), "a=1%2F&a");
        assert_eq!(parameters.only(|name| name == "c"), "");
    }

    #[test]
    fn what_is_too_long_or_not_text_has_no_value() {
        assert_eq!(Parameters::of(&format!("a=1&b={}", "x".repeat(MAX_BYTES))).get("a"), None);
        assert_eq!(Parameters::of("a=%ff").get("a"), None);
    }
}
