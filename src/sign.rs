//! `rillcast sign`: makes URLs that let whoever has them publish or play one stream.
//!
//! Owns what of a URL is the stream; the signature itself is the part of `auth::signed_url`. It talks to no server: the key
//! is all that it needs.

use std::fmt;
use std::str::FromStr;

use url::Url;

use crate::auth::Action;
use crate::auth::signed_url::{Permission, sign};
use crate::config::{Network, Secret};
use crate::hls::Resource;
use crate::media::stream_key::{NameError, StreamKey};

/// What is to be signed: a URL, or only the name of a stream.
#[derive(Debug, Clone)]
pub struct SignTarget {
    /// As it was given.
    text: String,
    is_url: bool,
    key: StreamKey,
}

/// Why a text cannot be signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignTargetError {
    /// Another scheme, or a path of which no stream follows.
    #[error("expected APP/STREAM, rtmp://HOST/APP/STREAM, or http://HOST/APP/STREAM.flv or .m3u8")]
    Form,
    /// The stream's name is refused by servers.
    #[error(transparent)]
    Name(#[from] NameError),
}

impl FromStr for SignTarget {
    type Err = SignTargetError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_url = text.contains("://");
        let key = if is_url { key_of_url(text)? } else { key_of_name(text)? };
        Ok(Self { text: text.to_owned(), is_url, key })
    }
}

fn key_of_name(path: &str) -> Result<StreamKey, NameError> {
    let (app, stream) = path.rsplit_once('/').unwrap_or(("", path));
    Ok(StreamKey::parse(app, stream)?.key)
}

fn key_of_url(text: &str) -> Result<StreamKey, SignTargetError> {
    let url = Url::parse(text).map_err(|_| SignTargetError::Form)?;
    // Of the text, not of what the parser makes of it: it encodes what it thinks should be.
    let path = text.split_once("://").and_then(|(_, rest)| rest.split_once('/')).map(|(_, path)| path);
    let path = path.ok_or(SignTargetError::Form)?;
    let path = path.split('?').next().unwrap_or_default();
    let key = match url.scheme() {
        "rtmp" | "rtmps" => key_of_name(path)?,
        "http" | "https" | "ws" | "wss" => match path.strip_suffix(".flv") {
            Some(name) => StreamKey::from_path(name)?,
            None => Resource::parse(path).ok_or(SignTargetError::Form)??.key,
        },
        _ => return Err(SignTargetError::Form),
    };
    Ok(key)
}

impl SignTarget {
    /// The stream.
    pub const fn key(&self) -> &StreamKey {
        &self.key
    }

    /// The URL with the parameters that let `action` be done until the second `expires`, from `client` only if there is one;
    /// only the parameters, if no URL was given.
    pub fn signed(&self, key: &Secret, action: Action, expires: u64, client: Option<Network>) -> String {
        let parameters = sign(key, &Permission { action, key: &self.key, expires, client });
        match (self.is_url, self.text.contains('?')) {
            (false, _) => parameters,
            (true, false) => format!("{}?{parameters}", self.text),
            (true, true) => format!("{}&{parameters}", self.text),
        }
    }
}

impl fmt::Display for SignTarget {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Result<String, SignTargetError> {
        text.parse().map(|target: SignTarget| target.key().to_string())
    }

    #[test]
    fn every_url_of_a_stream_is_for_the_same_stream() {
        for text in [
            "live/x",
            "rtmp://a:1935/live/x",
            "rtmps://a/live/x?a=b",
            "http://a:8080/live/x.flv",
            "ws://a/live/x.flv",
            "https://a/live/x.m3u8",
            "https://a/live/x.m3u",
        ] {
            assert_eq!(key(text).as_deref(), Ok("live/x"), "{text}");
        }
        assert_eq!(key("rtmp://a/live/eu/caf%C3%A9").as_deref(), Ok("live/eu/café"));
    }

    #[test]
    fn what_names_no_stream_is_refused() {
        for text in ["ftp://a/live/x", "http://a/live/x", "http://a/live/x.ts", "rtmp://a", "http://"] {
            assert_eq!(key(text), Err(SignTargetError::Form), "{text}");
        }
        for text in ["live", "", "rtmp://a/live", "live/../x"] {
            assert!(matches!(key(text), Err(SignTargetError::Name(_))), "{text}");
        }
    }

    #[test]
    fn parameters_follow_those_that_are_there() {
        let signed = |text: &str| {
            let target: SignTarget = text.parse().unwrap();
            target.signed(&Secret::new("0123456789abcdef"), Action::Play, 2_000_000_000, None)
        };
        let parameters = signed("live/x");
        assert!(parameters.starts_with("expires=2000000000&sign="), "{parameters}");
        assert_eq!(signed("rtmp://a/live/x"), format!("rtmp://a/live/x?{parameters}"));
        assert_eq!(signed("http://a/live/x.flv?b=1"), format!("http://a/live/x.flv?b=1&{parameters}"));
    }
}
