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

impl Place {
    /// Where `key` is to be had over RTMP.
    pub fn rtmp_url(&self, key: &StreamKey) -> String {
        let (app, stream) = key.to_wire();
        format!("rtmp://{}/{app}/{stream}", self.rtmp)
    }

    /// Where `key` is to be had as HTTP-FLV.
    pub fn http_url(&self, key: &StreamKey) -> Option<String> {
        let http = self.http.as_ref()?;
        Some(format!("http://{http}/{}.flv", utf8_percent_encode(key.as_str(), ESCAPED)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_the_stream_so_that_it_is_read_back() {
        let place = Place { rtmp: "10.0.0.7:1935".to_owned(), http: Some("10.0.0.7:8080".to_owned()) };
        for name in ["live/x", "live/a b", "live/100%", "live/what?", "a/b/caf\u{e9}"] {
            let key = StreamKey::from_path(&name.replace('%', "%25")).unwrap();
            let url = place.http_url(&key).unwrap();
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
        assert_eq!(place.http_url(&StreamKey::from_path("live/x").unwrap()), None);
    }
}
