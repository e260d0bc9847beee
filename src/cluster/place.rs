//! Where an origin serves what it holds, and the URLs that lead there.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::media::stream_key::StreamKey;

/// What need not be escaped in a part of a path (RFC 3986, 3.3).
const ESCAPED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/').remove(b'!').remove(b'@');

/// The addresses of one origin, as other servers of the cluster reach it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// `host:port` for RTMP.
    pub rtmp: String,
    /// `host:port` for HTTP, if it serves any.
    pub http: Option<String>,
}

/// The ports where every origin of the cluster speaks TLS, this one as all others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TlsPorts {
    /// For RTMP.
    pub rtmp: Option<u16>,
    /// For HTTP.
    pub http: Option<u16>,
}

impl Place {
    /// Where `key` is to be had over RTMP, by TLS.
    pub fn rtmps_url(&self, key: &StreamKey, ports: TlsPorts) -> Option<String> {
        let (app, stream) = key.to_wire();
        Some(format!("rtmps://{}:{}/{app}/{stream}", host_of(&self.rtmp), ports.rtmp?))
    }

    /// What begins the URL of whatever there is over HTTP, by TLS or not.
    pub fn http_base(&self, tls: Option<TlsPorts>) -> Option<String> {
        let http = self.http.as_ref()?;
        match tls {
            None => Some(format!("http://{http}")),
            Some(ports) => Some(format!("https://{}:{}", host_of(http), ports.http?)),
        }
    }

    /// Where `key` is to be had over RTMP.
    pub fn rtmp_url(&self, key: &StreamKey) -> String {
        let (app, stream) = key.to_wire();
        format!("rtmp://{}/{app}/{stream}", self.rtmp)
    }

    /// Where `key` is to be had as HTTP-FLV, by TLS or not.
    pub fn http_url(&self, key: &StreamKey, tls: Option<TlsPorts>) -> Option<String> {
        Some(format!("{}/{}.flv", self.http_base(tls)?, utf8_percent_encode(key.as_str(), ESCAPED)))
    }
}

/// The host of `host:port`.
fn host_of(place: &str) -> &str {
    place.rsplit_once(':').map_or(place, |(host, _)| host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_the_stream_so_that_it_is_read_back() {
        let place = Place { rtmp: "10.0.0.7:1935".to_owned(), http: Some("10.0.0.7:8080".to_owned()) };
        for name in ["live/x", "live/a b", "live/100%", "live/what?", "a/b/caf\u{e9}"] {
            let key = StreamKey::from_path(&name.replace('%', "%25")).unwrap();
            let url = place.http_url(&key, None).unwrap();
            let path = url.strip_prefix("http://10.0.0.7:8080/").and_then(|path| path.strip_suffix(".flv")).unwrap();
            assert_eq!(StreamKey::from_path(path), Ok(key.clone()), "{url}");
            let url = place.rtmp_url(&key);
            let (app, stream) = url.strip_prefix("rtmp://10.0.0.7:1935/").unwrap().rsplit_once('/').unwrap();
            assert_eq!(StreamKey::parse(app, stream).unwrap().key, key, "{url}");
        }
    }

    #[test]
    fn who_serves_no_http_has_no_url_for_it() {
        let place = Place { rtmp: "10.0.0.7:1935".to_owned(), http: None };
        assert_eq!(place.http_url(&StreamKey::from_path("live/x").unwrap(), None), None);
    }

    #[test]
    fn who_asks_over_tls_is_sent_to_ports_of_tls_or_nowhere() {
        let place = Place { rtmp: "[2001:db8::7]:1935".to_owned(), http: Some("origin-7:8080".to_owned()) };
        let (key, ports) = (StreamKey::from_path("live/x").unwrap(), TlsPorts { rtmp: Some(1443), http: Some(443) });
        assert_eq!(place.rtmps_url(&key, ports).as_deref(), Some("rtmps://[2001:db8::7]:1443/live/x"));
        assert_eq!(place.http_url(&key, Some(ports)).as_deref(), Some("https://origin-7:443/live/x.flv"));
        assert_eq!(place.rtmps_url(&key, TlsPorts::default()), None);
        assert_eq!(place.http_url(&key, Some(TlsPorts::default())), None);
    }
}
