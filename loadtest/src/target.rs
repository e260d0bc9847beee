//! Where the load goes: a URL, and the rule that it stays on this host unless told otherwise.

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::str::FromStr;

use anyhow::{Context as _, bail, ensure};
use rillcast::rtmp::url::RtmpUrl;
use serde::Serialize;

/// How players are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Protocol {
    /// `rtmp://`
    Rtmp,
    /// `http://HOST/APP/STREAM.flv`
    HttpFlv,
    /// `ws://HOST/APP/STREAM.flv`
    WsFlv,
    /// `http://HOST/APP/STREAM.m3u8`
    Hls,
}

impl fmt::Display for Protocol {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Rtmp => "RTMP",
            Self::HttpFlv => "HTTP-FLV",
            Self::WsFlv => "WS-FLV",
            Self::Hls => "HLS",
        })
    }
}

/// A stream, or many whose names differ by a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// By the URL's scheme.
    pub(crate) protocol: Protocol,
    url: RtmpUrl,
}

const SUFFIX: &str = ".flv";
const PLAYLIST_SUFFIX: &str = ".m3u8";

impl FromStr for Target {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let (scheme, rest) = text.split_once("://").context("a URL begins with rtmp://, http:// or ws://")?;
        let (mut protocol, default_port) = match scheme {
            "rtmp" => (Protocol::Rtmp, 1935),
            "http" => (Protocol::HttpFlv, 80),
            "ws" => (Protocol::WsFlv, 80),
            _ => bail!("a URL begins with rtmp://, http:// or ws://"),
        };
        let (authority, path) = rest.split_once('/').context("a URL needs an app and a stream, as in /live/x")?;
        let has_port = authority.rsplit(']').next().unwrap_or(authority).contains(':');
        let port = if has_port { String::new() } else { format!(":{default_port}") };
        let mut url: RtmpUrl = format!("rtmp://{authority}{port}/{path}").parse()?;
        if protocol != Protocol::Rtmp {
            let (name, query) = url.stream.split_at(url.stream.find('?').unwrap_or(url.stream.len()));
            let playlist = name.strip_suffix(PLAYLIST_SUFFIX).filter(|_| protocol == Protocol::HttpFlv);
            let name = match playlist {
                Some(name) => {
                    protocol = Protocol::Hls;
                    name
                }
                None => {
                    name.strip_suffix(SUFFIX).context("an HTTP or WebSocket URL ends with .flv, or .m3u8 for HLS")?
                }
            };
            url.stream = format!("{name}{query}");
        }
        Ok(Self { protocol, url })
    }
}

impl Target {
    /// Where to connect. Anything but loopback has to be `allowed` by name.
    pub(crate) fn resolve(&self, allowed: Option<&str>) -> anyhow::Result<SocketAddr> {
        let host = self.url.host.as_str();
        let mut addresses =
            (host, self.url.port).to_socket_addrs().with_context(|| format!("cannot resolve {host}"))?;
        let address = addresses.next().with_context(|| format!("{host} has no address"))?;
        ensure!(
            address.ip().is_loopback() || allowed == Some(host),
            "{host} is not this machine; if you may load it, say --allow-remote {host}"
        );
        Ok(address)
    }

    /// The app.
    pub(crate) fn app(&self) -> &str {
        &self.url.app
    }

    /// The URL of the app, as RTMP names it.
    pub(crate) fn tc_url(&self) -> String {
        self.url.tc_url()
    }

    /// `host:port`.
    pub(crate) fn authority(&self) -> String {
        self.url.authority()
    }

    /// The name of stream `index` of `count`, with the query.
    pub(crate) fn stream(&self, index: usize, count: usize) -> String {
        self.numbered(index, count, "")
    }

    /// The HTTP path of stream `index` of `count`, with the query.
    pub(crate) fn path(&self, index: usize, count: usize) -> String {
        let suffix = if self.protocol == Protocol::Hls { PLAYLIST_SUFFIX } else { SUFFIX };
        format!("/{}/{}", self.url.app, self.numbered(index, count, suffix))
    }

    fn numbered(&self, index: usize, count: usize, suffix: &str) -> String {
        let stream = &self.url.stream;
        let (name, query) = stream.split_at(stream.find('?').unwrap_or(stream.len()));
        if count > 1 { format!("{name}{index}{suffix}{query}") } else { format!("{name}{suffix}{query}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(url: &str) -> Target {
        url.parse().unwrap()
    }

    #[test]
    fn the_scheme_chooses_the_protocol() {
        assert_eq!(target("rtmp://127.0.0.1/live/x").protocol, Protocol::Rtmp);
        assert_eq!(target("http://127.0.0.1:8080/live/x.flv").protocol, Protocol::HttpFlv);
        assert_eq!(target("ws://[::1]/live/x.flv").authority(), "[::1]:80");
        assert_eq!(target("http://127.0.0.1/live/x.m3u8?a=b").protocol, Protocol::Hls);
        assert_eq!(target("http://127.0.0.1/live/x.m3u8?a=b").path(3, 10), "/live/x3.m3u8?a=b");
        assert!("ws://127.0.0.1/live/x.m3u8".parse::<Target>().is_err());
        assert!("http://127.0.0.1/live/x".parse::<Target>().is_err());
        assert!("ftp://127.0.0.1/live/x".parse::<Target>().is_err());
    }

    #[test]
    fn many_streams_are_numbered_before_suffix_and_query() {
        let target = target("http://127.0.0.1:8080/live/x.flv?token=a");
        assert_eq!(target.path(3, 10), "/live/x3.flv?token=a");
        assert_eq!(target.path(0, 1), "/live/x.flv?token=a");
        assert_eq!(target.stream(3, 10), "x3?token=a");
    }

    #[test]
    fn load_stays_on_this_host_unless_another_is_named() {
        assert!(target("rtmp://127.0.0.1/live/x").resolve(None).is_ok());
        assert!(target("rtmp://localhost/live/x").resolve(None).is_ok());
        let remote = target("rtmp://192.0.2.1/live/x");
        assert!(remote.resolve(None).unwrap_err().to_string().contains("--allow-remote 192.0.2.1"));
        assert!(remote.resolve(Some("192.0.2.2")).is_err());
        assert!(remote.resolve(Some("192.0.2.1")).is_ok());
    }
}
