//! What is asked for: one stream, by the name that the upstream in question knows it under.

use http::Uri;

use crate::config::UpstreamProtocol;
use crate::media::stream_key::StreamKey;
use crate::rtmp::url::RtmpUrl;

use super::upstreams::{Candidate, Place, Upstreams};

/// A stream as it is asked for: names as they go onto the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) app: String,
    /// The stream's name, with a query if a redirect gave one.
    pub(super) stream: String,
}

impl Target {
    pub(super) fn of(key: &StreamKey) -> Self {
        let (app, stream) = key.to_wire();
        Self { app, stream }
    }

    /// The path of the stream's HTTP-FLV form.
    pub(super) fn http_path(&self) -> String {
        let (stream, query) = self.stream.split_once('?').map_or((self.stream.as_str(), None), |(s, q)| (s, Some(q)));
        let mut path = String::from("/");
        for part in [&self.app, "/", stream, ".flv"] {
            percent_encode_path(&mut path, part);
        }
        if let Some(query) = query {
            path.push('?');
            path.push_str(query);
        }
        path
    }

    /// Follows a redirect: an RTMP URL of the stream or of its app, or an HTTP URL of its FLV.
    pub(super) async fn redirected(
        &self,
        location: &str,
        from: &Candidate,
        upstreams: &Upstreams,
    ) -> Option<(Candidate, Self)> {
        let (place, target) = self.read_location(location)?;
        Some((upstreams.redirected_to(&place, from).await?, target))
    }

    fn read_location(&self, location: &str) -> Option<(Place, Self)> {
        let plain = location.strip_prefix("rtmps://").map(|rest| format!("rtmp://{rest}"));
        let is_tls = plain.is_some();
        if let Some(location) = plain.as_deref().or_else(|| location.starts_with("rtmp://").then_some(location)) {
            let url = match location.parse::<RtmpUrl>() {
                // The app alone: the last part of the path is not the stream, but the end of the app.
                Ok(url) if format!("{}/{}", url.app, url.stream) == self.app => {
                    RtmpUrl { app: self.app.clone(), stream: self.stream.clone(), ..url }
                }
                Ok(url) => url,
                Err(_) => format!("{}/{}", location.trim_end_matches('/'), self.stream).parse().ok()?,
            };
            let place = Place { protocol: UpstreamProtocol::Rtmp, is_tls, host: url.host, port: url.port };
            return Some((place, Self { app: url.app, stream: url.stream }));
        }
        let uri: Uri = location.parse().ok()?;
        let host = uri.host()?.trim_matches(['[', ']']).to_owned();
        let (is_tls, default_port) = match uri.scheme_str()? {
            "http" => (false, 80),
            "https" => (true, 443),
            _ => return None,
        };
        let port = uri.port_u16().unwrap_or(default_port);
        let (app, stream) = uri.path().strip_prefix('/')?.strip_suffix(".flv")?.rsplit_once('/')?;
        let stream = uri.query().map_or_else(|| stream.to_owned(), |query| format!("{stream}?{query}"));
        Some((Place { protocol: UpstreamProtocol::HttpFlv, is_tls, host, port }, Self { app: app.to_owned(), stream }))
    }
}

/// Appends `text` with everything escaped that cannot stand in a path (RFC 3986, 3.3); what is escaped stays.
fn percent_encode_path(path: &mut String, text: &str) {
    use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
    const UNSAFE: &AsciiSet =
        &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'<').add(b'>').add(b'?').add(b'`').add(b'{').add(b'}');
    path.extend(utf8_percent_encode(text, UNSAFE));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target() -> Target {
        Target { app: "live".to_owned(), stream: "x".to_owned() }
    }

    fn read(location: &str) -> Option<(String, u16, String, String)> {
        let (place, target) = target().read_location(location)?;
        let is_rtmp = place.protocol == UpstreamProtocol::Rtmp;
        assert_eq!(is_rtmp, location.starts_with("rtmp"));
        assert_eq!(place.is_tls, location.contains("s://"));
        Some((place.host, place.port, target.app, target.stream))
    }

    fn place(host: &str, port: u16, app: &str, stream: &str) -> Option<(String, u16, String, String)> {
        Some((host.to_owned(), port, app.to_owned(), stream.to_owned()))
    }

    #[test]
    fn redirects_name_a_stream_or_its_app() {
        assert_eq!(read("rtmp://192.0.2.7:19350/live/x"), place("192.0.2.7", 19_350, "live", "x"));
        assert_eq!(read("rtmp://pod-1/live/x?a=b"), place("pod-1", 1_935, "live", "x?a=b"));
        assert_eq!(read("rtmps://pod-1:1443/live/x"), place("pod-1", 1_443, "live", "x"));
        assert_eq!(read("rtmp://pod-1:1936/live"), place("pod-1", 1_936, "live", "x"));
        assert_eq!(read("rtmp://pod-1:1936/live/"), place("pod-1", 1_936, "live", "x"));
    }

    #[test]
    fn http_redirects_name_the_flv() {
        assert_eq!(read("http://192.0.2.7:8080/live/x.flv?a=b"), place("192.0.2.7", 8_080, "live", "x?a=b"));
        assert_eq!(read("http://[2001:db8::1]/live/x.flv"), place("2001:db8::1", 80, "live", "x"));
        assert_eq!(read("https://192.0.2.7/live/x.flv"), place("192.0.2.7", 443, "live", "x"));
    }

    #[test]
    fn redirects_to_anything_else_lead_nowhere() {
        for location in ["", "x", "http://a/live/x.m3u8", "http://a/x.flv", "rtmp://", "ftp://a/b"] {
            assert_eq!(read(location), None, "{location}");
        }
    }

    #[test]
    fn paths_are_escaped_once() {
        let target = |stream: &str| Target { app: "live".to_owned(), stream: stream.to_owned() };
        assert_eq!(target("caf\u{e9} 1").http_path(), "/live/caf%C3%A9%201.flv");
        assert_eq!(target("100%25").http_path(), "/live/100%25.flv");
        assert_eq!(target("x?a=b").http_path(), "/live/x.flv?a=b");
    }
}
