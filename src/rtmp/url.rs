//! RTMP URLs: `rtmp://host[:port]/app/stream[?query]`, or `rtmps://` over TLS.

use std::fmt;
use std::str::FromStr;

/// The port where none is given (RTMP specification 1.0, section 1).
const DEFAULT_PORT: u16 = 1935;
/// The same over TLS, which has none of its own: that of HTTPS, as clients have it.
const DEFAULT_TLS_PORT: u16 = 443;

/// The parts of an RTMP URL, as they stand in it: nothing is decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RtmpUrl {
    /// Whether it is spoken over TLS.
    pub tls: bool,
    /// A name or an address, without brackets.
    pub host: String,
    /// The TCP port.
    pub port: u16,
    /// All of the path but its last part.
    pub app: String,
    /// The last part of the path, with the query.
    pub stream: String,
}

/// Why a text is not an RTMP URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// It begins otherwise.
    #[error("an RTMP URL begins with rtmp:// or rtmps://")]
    Scheme,
    /// No host, or a port that is none.
    #[error("an RTMP URL needs a host, and behind a colon a port from 1 to 65535")]
    Host,
    /// App or stream is missing.
    #[error("an RTMP URL needs an app and a stream, as in rtmp://127.0.0.1/live/x")]
    Path,
}

impl FromStr for RtmpUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (tls, rest) = match text.split_once("://") {
            Some(("rtmp", rest)) => (false, rest),
            Some(("rtmps", rest)) => (true, rest),
            _ => return Err(UrlError::Scheme),
        };
        let default_port = if tls { DEFAULT_TLS_PORT } else { DEFAULT_PORT };
        let (authority, path) = rest.split_once('/').ok_or(UrlError::Path)?;
        let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, "")) => (host, None),
            Some((host, port)) => (host, Some(port.strip_prefix(':').ok_or(UrlError::Host)?)),
            None => authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port))),
        };
        let port = port.map_or(Ok(default_port), |port| port.parse().map_err(|_| UrlError::Host))?;
        if host.is_empty() || port == 0 {
            return Err(UrlError::Host);
        }
        // A slash in the query belongs to the query.
        let (path, query) = path.split_at(path.find('?').unwrap_or(path.len()));
        let (app, stream) = path.rsplit_once('/').ok_or(UrlError::Path)?;
        if app.is_empty() || stream.is_empty() {
            return Err(UrlError::Path);
        }
        Ok(Self { tls, host: host.to_owned(), port, app: app.to_owned(), stream: format!("{stream}{query}") })
    }
}

impl RtmpUrl {
    /// The URL of the app, as the connect command names it (7.2.1.1, `tcUrl`).
    pub fn tc_url(&self) -> String {
        let scheme = if self.tls { "rtmps" } else { "rtmp" };
        format!("{scheme}://{}/{}", self.authority(), self.app)
    }

    /// `host:port`, with brackets around an IPv6 address.
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for RtmpUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.tc_url(), self.stream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_part_of_the_path_is_the_stream() {
        let url: RtmpUrl = "rtmp://media.example/live/eu/x?token=a/b".parse().unwrap();
        assert_eq!((url.app.as_str(), url.stream.as_str(), url.port), ("live/eu", "x?token=a/b", 1935));
    }

    #[test]
    fn ports_and_ipv6_addresses_are_read() {
        let url: RtmpUrl = "rtmp://[::1]:1936/live/x".parse().unwrap();
        assert_eq!((url.host.as_str(), url.port), ("::1", 1936));
        assert_eq!(url.to_string(), "rtmp://[::1]:1936/live/x");
    }

    #[test]
    fn over_tls_another_port_is_meant_where_none_is_given() {
        let url: RtmpUrl = "rtmps://media.example/live/x".parse().unwrap();
        assert_eq!((url.tls, url.port), (true, 443));
        assert_eq!(url.to_string(), "rtmps://media.example:443/live/x");
    }

    #[test]
    fn what_is_missing_is_named() {
        let error = |text: &str| text.parse::<RtmpUrl>().unwrap_err();
        assert_eq!(error("http://a/live/x"), UrlError::Scheme);
        assert_eq!(error("rtmp:///live/x"), UrlError::Host);
        assert_eq!(error("rtmp://a:b/live/x"), UrlError::Host);
        assert_eq!(error("rtmp://a:0/live/x"), UrlError::Host);
        assert_eq!(error("rtmp://[::1/live/x"), UrlError::Host);
        assert_eq!(error("rtmp://a"), UrlError::Path);
        assert_eq!(error("rtmp://a/x"), UrlError::Path);
        assert_eq!(error("rtmp://a/live/"), UrlError::Path);
    }
}
