//! The name of a stream, made the same way from every protocol.
//!
//! Owns the one normalisation of names, so that a stream published over RTMP and played over HTTP has one key. The RTMP
//! and HTTP sessions call it with what their peers sent; it never guesses: what it cannot name safely it refuses.

use std::fmt;
use std::sync::Arc;

use percent_encoding::percent_decode_str;

/// The longest key in bytes, app and stream together: enough for any real name, too little to be an attack on memory.
pub const MAX_KEY_BYTES: usize = 512;

/// `app/stream`: what identifies a stream on every node. The app may hold slashes, the stream never does.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamKey {
    text: Arc<str>,
    app_bytes: usize,
}

/// A key together with the query that stood behind its name, as a publisher or a player sent it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedStream {
    /// The normalised name.
    pub key: StreamKey,
    /// The parameters of app and stream, joined by `&`, without the leading `?`; not decoded.
    pub query: String,
}

/// Why a name was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing stood between two slashes, or app or stream is missing.
    #[error("the name needs an app and a stream, and no empty part between slashes")]
    Empty,
    /// A part is `.` or `..`.
    #[error("a part of the name is a relative path")]
    Relative,
    /// The decoded name holds a control character, NUL included.
    #[error("the name holds a control character")]
    Control,
    /// The percent-decoded bytes are no UTF-8.
    #[error("the name is not UTF-8")]
    Encoding,
    /// Longer than [`MAX_KEY_BYTES`].
    #[error("the name is longer than {MAX_KEY_BYTES} bytes")]
    TooLong,
}

impl StreamKey {
    /// Makes the key of `app` and `stream` as RTMP peers send them: each may carry a query, the app may be surrounded by
    /// slashes, and clients disagree on which side of the border a slash in the middle belongs.
    pub fn parse(app: &str, stream: &str) -> Result<NamedStream, NameError> {
        let (app, app_query) = split_query(app);
        let (stream, stream_query) = split_query(stream);
        let path = format!("{}/{}", app.trim_matches('/'), stream.trim_start_matches('/'));
        let query = match (app_query, stream_query) {
            ("", query) | (query, "") => query.to_owned(),
            (first, second) => format!("{first}&{second}"),
        };
        Ok(NamedStream { key: Self::from_path(&path)?, query })
    }

    /// Makes the key of a URL path `app/stream` (no leading slash, no query, no file extension): percent-decoded once.
    pub fn from_path(path: &str) -> Result<Self, NameError> {
        // Before decoding: a name that is too long is not worth the copy (each byte takes at most three).
        if path.len() > MAX_KEY_BYTES * 3 {
            return Err(NameError::TooLong);
        }
        let text = percent_decode_str(path).decode_utf8().map_err(|_| NameError::Encoding)?;
        if text.len() > MAX_KEY_BYTES {
            return Err(NameError::TooLong);
        }
        if text.chars().any(char::is_control) {
            return Err(NameError::Control);
        }
        for part in text.split('/') {
            match part {
                "" => return Err(NameError::Empty),
                "." | ".." => return Err(NameError::Relative),
                _ => {}
            }
        }
        let app_bytes = text.rfind('/').ok_or(NameError::Empty)?;
        Ok(Self { text: Arc::from(text.as_ref()), app_bytes })
    }

    /// The app, without the stream.
    pub fn app(&self) -> &str {
        &self.text[..self.app_bytes]
    }

    /// The stream's own name.
    pub fn stream(&self) -> &str {
        &self.text[self.app_bytes + 1..]
    }

    /// App and stream as an RTMP client sends them to a server that decodes names as [`Self::parse`] does.
    pub fn to_wire(&self) -> (String, String) {
        // Nothing else is escaped: foreign servers take names as they are.
        let escape = |text: &str| text.replace('%', "%25").replace('?', "%3F");
        (escape(self.app()), escape(self.stream()))
    }

    /// `app/stream`.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for StreamKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl fmt::Debug for StreamKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, formatter)
    }
}

fn split_query(text: &str) -> (&str, &str) {
    text.split_once('?').unwrap_or((text, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(app: &str, stream: &str) -> String {
        StreamKey::parse(app, stream).unwrap().key.to_string()
    }

    #[test]
    fn app_and_stream_are_joined_whatever_slashes_surround_them() {
        assert_eq!(key("live", "x"), "live/x");
        assert_eq!(key("/live/", "/x"), "live/x");
        assert_eq!(key("live/eu", "x"), key("live", "eu/x"));
    }

    #[test]
    fn the_last_slash_separates_app_and_stream() {
        let key = StreamKey::from_path("live/eu/x").unwrap();
        assert_eq!((key.app(), key.stream()), ("live/eu", "x"));
    }

    #[test]
    fn queries_of_both_sides_are_split_off_and_joined() {
        let named = StreamKey::parse("live?a=1", "x?b=2").unwrap();
        assert_eq!(named.key.as_str(), "live/x");
        assert_eq!(named.query, "a=1&b=2");
        assert_eq!(StreamKey::parse("live", "x?b=2?c").unwrap().query, "b=2?c");
    }

    #[test]
    fn names_are_percent_decoded_exactly_once() {
        assert_eq!(key("live", "caf%C3%A9"), "live/café");
        assert_eq!(key("live", "100%2525"), "live/100%25");
        assert_eq!(key("live", "50%"), "live/50%");
    }

    #[test]
    fn names_sent_to_a_server_are_the_same_there() {
        for name in ["live/x", "live/100%25", "live/a%3Fb", "live/caf%C3%A9 x"] {
            let key = StreamKey::from_path(name).unwrap();
            let (app, stream) = key.to_wire();
            assert_eq!(StreamKey::parse(&app, &stream).unwrap().key, key);
        }
    }

    #[test]
    fn unsafe_names_are_refused_with_their_reason() {
        let refused = |app: &str, stream: &str| StreamKey::parse(app, stream).unwrap_err();
        assert_eq!(refused("live", ""), NameError::Empty);
        assert_eq!(refused("", "x"), NameError::Empty);
        assert_eq!(refused("live//a", "x"), NameError::Empty);
        assert_eq!(refused("live", ".."), NameError::Relative);
        assert_eq!(refused("live", "%2e%2e/x"), NameError::Relative);
        assert_eq!(refused("live", "a%00b"), NameError::Control);
        assert_eq!(refused("live", "a\nb"), NameError::Control);
        assert_eq!(refused("live", "%ff"), NameError::Encoding);
        assert_eq!(refused("live", &"a".repeat(10_000)), NameError::TooLong);
        assert_eq!(refused("live", &"a".repeat(MAX_KEY_BYTES)), NameError::TooLong);
    }
}
