//! Tokens on their way from a playlist's URL to those of its segments.
//!
//! Players ask for segments by the URLs that the playlist holds, without the parameters of its own. Where players have to show
//! something, what they showed for the playlist is put behind each URL in it.

use std::hash::{DefaultHasher, Hash, Hasher};

use bytes::Bytes;

use crate::auth::access;
use crate::hls::Object;

/// The attribute of a tag that holds a URL (RFC 8216, section 4.3.2.5).
const URI: &str = "URI=\"";

/// What parameters begin with by which players choose what they get (RFC 8216bis, section 6.2.5).
const DIRECTIVE: &str = "_HLS_";

/// `playlist` for a client that showed what is in `query`: with it in every URL, and an entity tag of its own.
pub(super) fn carry(playlist: Object, query: &str) -> Object {
    carry_parameters(playlist, access::shown(query))
}

/// The same with all of the client's parameters: who decides about it may go by any of them.
pub(super) fn carry_all(playlist: Object, query: &str) -> Object {
    let of_client: Vec<&str> = query.split('&').filter(|parameter| is_client_s(parameter)).collect();
    carry_parameters(playlist, of_client.join("&"))
}

/// Whether a parameter is the client's own, and not one by which it chooses what it gets.
pub(super) fn is_client_s(parameter: &str) -> bool {
    !parameter.starts_with(DIRECTIVE)
}

fn carry_parameters(playlist: Object, shown: String) -> Object {
    let Ok(text) = std::str::from_utf8(&playlist.bytes) else { return playlist };
    if shown.is_empty() {
        return playlist;
    }
    let mut hasher = DefaultHasher::new();
    shown.hash(&mut hasher);
    let etag = format!("\"{}-{:016x}\"", playlist.etag.trim_matches('"'), hasher.finish());
    Object { bytes: Bytes::from(with_parameters(text, &shown)), etag, ..playlist }
}

fn with_parameters(playlist: &str, parameters: &str) -> String {
    let mut out = String::with_capacity(playlist.len() + playlist.lines().count() * (parameters.len() + 1));
    for line in playlist.lines() {
        let in_tag = || {
            let start = line.find(URI)? + URI.len();
            Some(start + line[start..].find('"')?)
        };
        let end_of_url = if line.starts_with('#') { in_tag() } else { Some(line.len()).filter(|length| *length > 0) };
        let (before, behind) = line.split_at(end_of_url.unwrap_or(line.len()));
        out.push_str(before);
        if end_of_url.is_some() {
            out.push('?');
            out.push_str(parameters);
        }
        out.push_str(behind);
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::hls::{Freshness, MediaType};

    use super::*;

    const PLAYLIST: &str = "#EXTM3U\n#EXT-X-MAP:URI=\"x/1.mp4\"\n#EXTINF:2.000,\nx/1.m4s\n#EXTINF:2.000,\nx/2.m4s\n";

    fn object() -> Object {
        let max_age = Duration::from_secs(1);
        Object {
            bytes: Bytes::from_static(PLAYLIST.as_bytes()),
            media_type: MediaType::Playlist,
            etag: "\"p\"".to_owned(),
            freshness: Freshness::Changing { max_age, target: max_age },
        }
    }

    #[test]
    fn what_was_shown_stands_behind_every_url_and_nothing_else_does() {
        let carried = carry(object(), "a=1&sign=ab&expires=7&_HLS_msn=3");
        let expected = "#EXTM3U\n#EXT-X-MAP:URI=\"x/1.mp4?sign=ab&expires=7\"\n#EXTINF:2.000,\nx/1.m4s?sign=ab&expires=7\n\
                        #EXTINF:2.000,\nx/2.m4s?sign=ab&expires=7\n";
        assert_eq!(carried.bytes, expected);
    }

    #[test]
    fn each_client_has_an_entity_tag_of_its_own() {
        let tags = ["sign=ab", "sign=ac", ""].map(|query| carry(object(), query).etag);
        assert!(tags[0] != tags[1] && tags[1] != tags[2] && tags[0] != tags[2], "{tags:?}");
        assert_eq!(carry(object(), "sign=ab").etag, tags[0]);
        assert_eq!(carry(object(), "a=1"), object());
    }

    #[test]
    fn where_a_client_is_decided_about_all_of_its_parameters_are_carried() {
        let carried = carry_all(object(), "a=1&_HLS_msn=3&sign=ab&_HLS_skip=YES");
        let text = String::from_utf8(carried.bytes.to_vec()).unwrap();
        assert!(text.ends_with("x/2.m4s?a=1&sign=ab\n"), "{text}");
        assert_eq!(carry_all(object(), "_HLS_msn=3"), object());
    }
}
