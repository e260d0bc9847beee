//! What can be probed.

use std::fmt;
use std::str::FromStr;

use url::Url;

use crate::rtmp::url::{RtmpUrl, UrlError};

/// The address of a stream, as players have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProbeUrl {
    /// Over RTMP.
    Rtmp(RtmpUrl),
    /// FLV over HTTP or HTTPS.
    HttpFlv(Url),
}

/// Why a text is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProbeUrlError {
    /// Another protocol.
    #[error("expected rtmp://host/app/stream or http://host/app/stream.flv, or rtmps:// or https://")]
    Scheme,
    /// Not of that form.
    #[error(transparent)]
    Rtmp(#[from] UrlError),
    /// Not of that form.
    #[error("{0}")]
    Http(#[from] url::ParseError),
    /// Something else than FLV.
    #[error("over HTTP only FLV can be probed: expected http://host/app/stream.flv")]
    NotFlv,
}

impl FromStr for ProbeUrl {
    type Err = ProbeUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.starts_with("rtmp://") || text.starts_with("rtmps://") {
            return Ok(Self::Rtmp(text.parse()?));
        }
        if !text.starts_with("http://") && !text.starts_with("https://") {
            return Err(ProbeUrlError::Scheme);
        }
        let url = Url::parse(text)?;
        if url.path().ends_with(".flv") { Ok(Self::HttpFlv(url)) } else { Err(ProbeUrlError::NotFlv) }
    }
}

impl fmt::Display for ProbeUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rtmp(url) => url.fmt(formatter),
            Self::HttpFlv(url) => url.fmt(formatter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_protocols_are_read_and_shown_as_they_were_given() {
        for text in [
            "rtmp://edge:1935/live/x?token=a",
            "rtmps://edge:1443/live/x?token=a",
            "http://[::1]:8080/live/x.flv?token=a",
            "https://edge/live/x.flv",
        ] {
            assert_eq!(text.parse::<ProbeUrl>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_cannot_be_probed_is_refused_with_what_can() {
        let error = |text: &str| text.parse::<ProbeUrl>().unwrap_err();
        assert_eq!(error("ws://edge/live/x.flv"), ProbeUrlError::Scheme);
        assert_eq!(error("http://edge/live/x.m3u8"), ProbeUrlError::NotFlv);
        assert!(matches!(error("http://:80/live/x.flv"), ProbeUrlError::Http(_)));
        assert!(matches!(error("rtmp://edge/x"), ProbeUrlError::Rtmp(_)));
    }
}
