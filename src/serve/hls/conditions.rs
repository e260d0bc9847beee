//! Whether a client has a file already (RFC 9110, section 13.1.2).

use http::HeaderMap;
use http::header::IF_NONE_MATCH;

/// Whether the client names the entity tag of the file as one that it has.
pub(super) fn is_known(headers: &HeaderMap, etag: &str) -> bool {
    let weak = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let names = |list: &str| list.trim() == "*" || list.split(',').any(|tag| weak(tag) == weak(etag));
    headers.get_all(IF_NONE_MATCH).iter().filter_map(|list| list.to_str().ok()).any(names)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_file_is_known_by_its_tag_in_any_list() {
        for (list, expected) in [
            ("\"a\"", true),
            ("W/\"a\"", true),
            ("\"b\", \"a\"", true),
            ("*", true),
            ("\"b\"", false),
            ("a", false),
            ("", false),
            ("\"a", false),
        ] {
            let headers = HeaderMap::from_iter([(IF_NONE_MATCH, HeaderValue::from_static(list))]);
            assert_eq!(is_known(&headers, "\"a\""), expected, "{list}");
        }
        assert!(!is_known(&HeaderMap::new(), "\"a\""));
    }
}
