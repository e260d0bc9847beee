//! Playlists of foreign origins, whose segments have any names.
//!
//! Owns the translation into names of ours, so that a player can ask for nothing but what a playlist of its stream has named,
//! and that only where the playlist itself is. A name becomes a number by a digest: every edge makes the same one, and players
//! may change edges.

use std::collections::HashMap;
use std::time::Duration;

use sha2::{Digest, Sha256};
use url::Url;

use crate::hls::{File, Resource};
use crate::media::stream_key::StreamKey;

use super::playlist::Summary;

/// How long a segment may be kept by caches: its name may come again when its origin restarts.
pub(super) const SEGMENTS_KEPT_FOR: Duration = Duration::from_secs(30);

/// Parameters that are a player's own at SRS, and name no other file.
const PERSONAL_PARAMETER: &str = "hls_ctx=";

/// Tags that name files which are not offered here: parts of segments, and other playlists.
const LEFT_OUT: [&str; 7] = [
    "#EXT-X-PART:",
    "#EXT-X-PART-INF",
    "#EXT-X-PRELOAD-HINT",
    "#EXT-X-RENDITION-REPORT",
    "#EXT-X-SERVER-CONTROL",
    "#EXT-X-SKIP",
    "#EXT-X-DATERANGE",
];

/// A playlist of this stream, as `host` (with its port) has it at `path`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Foreign<'a> {
    pub(super) key: &'a StreamKey,
    pub(super) host: &'a str,
    pub(super) path: &'a str,
}

/// What a foreign playlist is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// A list of segments, in our names, and what these are at the origin.
    Media { text: String, names: HashMap<u64, String> },
    /// A list of playlists; the path of the best.
    Variant(String),
}

/// Why a playlist cannot be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Misfit {
    /// It is none.
    NoPlaylist,
    /// It names files of other servers, or such that are not below itself.
    Elsewhere,
    /// It is one of a kind that cannot be translated.
    Unsupported(&'static str),
}

impl Foreign<'_> {
    /// Reads and translates the playlist.
    pub(super) fn read(self, text: &str) -> Result<Read, Misfit> {
        let text = text.trim_start_matches('\u{feff}');
        Summary::of(text).ok_or(Misfit::NoPlaylist)?;
        match variant(text) {
            Some(uri) => self.resolve(uri).map(Read::Variant),
            None => self.translate(text),
        }
    }

    fn translate(self, text: &str) -> Result<Read, Misfit> {
        let mut names = HashMap::new();
        let mut translated = String::with_capacity(text.len());
        for line in text.lines().map(str::trim_end).filter(|line| !line.is_empty()) {
            if LEFT_OUT.iter().any(|tag| line.starts_with(tag)) {
                continue;
            }
            if line.starts_with("#EXT-X-KEY:") && !line.contains("METHOD=NONE") {
                return Err(Misfit::Unsupported("the origin's segments are encrypted"));
            }
            if let Some(attributes) = line.strip_prefix("#EXT-X-MAP:") {
                let uri = attribute(attributes, "URI").ok_or(Misfit::NoPlaylist)?;
                let named = self.name(uri, File::Init, &mut names)?;
                translated.push_str(&line.replace(uri, &named));
            } else if line.starts_with('#') {
                translated.push_str(line);
            } else {
                let kind = kind_of(line).ok_or(Misfit::Unsupported("the origin's segments are of no known kind"))?;
                translated.push_str(&self.name(line, kind, &mut names)?);
            }
            translated.push('\n');
        }
        Ok(Read::Media { text: translated, names })
    }

    /// Our name for a file of the origin's.
    fn name(self, uri: &str, kind: fn(u64) -> File, names: &mut HashMap<u64, String>) -> Result<String, Misfit> {
        let path = self.resolve(uri)?;
        let number = number_of(&path);
        names.insert(number, path);
        Ok(Resource { key: self.key.clone(), file: kind(number) }.uri())
    }

    /// The path that a URI of the playlist stands for: on the same server, and where the playlist is or below.
    fn resolve(self, uri: &str) -> Result<String, Misfit> {
        let base = Url::parse(&format!("http://{}{}", self.host, self.path)).map_err(|_| Misfit::Elsewhere)?;
        let url = base.join(uri).map_err(|_| Misfit::Elsewhere)?;
        let folder = base.path().rsplit_once('/').map_or("/", |(folder, _)| folder);
        let is_below = url.path().strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
        let is_hidden = url.path().to_ascii_lowercase().contains("%2e%2e");
        if url.origin() != base.origin() || !url.username().is_empty() || !is_below || is_hidden {
            return Err(Misfit::Elsewhere);
        }
        Ok(match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        })
    }
}

/// The playlist of the highest bandwidth in a playlist of playlists.
fn variant(text: &str) -> Option<&str> {
    let mut best: Option<(u64, &str)> = None;
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    while let Some(line) = lines.next() {
        let Some(attributes) = line.strip_prefix("#EXT-X-STREAM-INF:") else { continue };
        let bandwidth = attribute(attributes, "BANDWIDTH").and_then(|value| value.parse().ok()).unwrap_or(0);
        let Some(uri) = lines.by_ref().find(|line| !line.starts_with('#')) else { break };
        if best.is_none_or(|(most, _)| bandwidth > most) {
            best = Some((bandwidth, uri));
        }
    }
    best.map(|(_, uri)| uri)
}

/// The value of one attribute (RFC 8216, 4.2), without its quotation marks.
fn attribute<'a>(attributes: &'a str, name: &str) -> Option<&'a str> {
    let mut rest = attributes;
    loop {
        let (found, value) = rest.split_once('=')?;
        let (value, behind) = match value.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => value.split_at(value.find(',').unwrap_or(value.len())),
        };
        if found.trim() == name {
            return Some(value);
        }
        rest = behind.trim_start_matches(',');
    }
}

/// The kind of a segment, by the extension of its name.
fn kind_of(uri: &str) -> Option<fn(u64) -> File> {
    let path = uri.split(['?', '#']).next()?;
    match path.rsplit_once('.')?.1.to_ascii_lowercase().as_str() {
        "ts" => Some(File::TransportStream),
        "m4s" | "mp4" | "m4v" | "m4a" | "cmfv" | "cmfa" => Some(File::Fragments),
        _ => None,
    }
}

/// The number of a file of the origin's: the same at every edge.
fn number_of(path: &str) -> u64 {
    let (name, query) = path.split_once('?').unwrap_or((path, ""));
    let mut hasher = Sha256::new();
    hasher.update(name);
    for parameter in query.split('&').filter(|parameter| !parameter.starts_with(PERSONAL_PARAMETER)) {
        hasher.update("&");
        hasher.update(parameter);
    }
    let digest = hasher.finalize();
    digest.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Read, Misfit> {
        let key = StreamKey::from_path("live/x").unwrap();
        Foreign { key: &key, host: "origin:8080", path: "/live/x.m3u8" }.read(text)
    }

    /// The paths at the origin that a playlist of these lines names, in the order of the translated lines.
    fn paths(lines: &str) -> Result<Vec<String>, Misfit> {
        let Read::Media { text, names } = read(&format!("#EXTM3U\n{lines}"))? else { panic!("no media playlist") };
        let number = |uri: &str| uri.strip_prefix("x/")?.split('.').next()?.parse::<u64>().ok();
        let uris = text.lines().map(|line| attribute(line, "#EXT-X-MAP:URI").unwrap_or(line));
        Ok(uris.filter_map(number).map(|number| names[&number].clone()).collect())
    }

    #[test]
    fn segments_get_numbers_and_everything_else_stays() {
        let Ok(Read::Media { text, names }) =
            read("#EXTM3U\r\n#EXT-X-TARGETDURATION:4\r\n#EXT-X-MEDIA-SEQUENCE:7\r\n\r\n#EXTINF:4.0,\r\nx-7.ts?a=b\r\n")
        else {
            panic!("it is a playlist");
        };
        let (number, path) = names.into_iter().next().unwrap();
        assert_eq!(path, "/live/x-7.ts?a=b");
        assert_eq!(
            text,
            format!("#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-MEDIA-SEQUENCE:7\n#EXTINF:4.0,\nx/{number}.ts\n")
        );
    }

    #[test]
    fn names_may_be_relative_or_absolute_as_long_as_they_are_below_the_playlist() {
        let lines = "#EXT-X-MAP:URI=\"init.mp4\"\na.m4s\n/live/b.m4s\nhttp://origin:8080/live/x/c.m4s\n./d/../e.m4s\n";
        assert_eq!(
            paths(lines).unwrap(),
            ["/live/init.mp4", "/live/a.m4s", "/live/b.m4s", "/live/x/c.m4s", "/live/e.m4s"]
        );
    }

    #[test]
    fn other_servers_and_other_folders_are_out_of_reach() {
        for uri in [
            "http://other:8080/live/a.ts",
            "http://origin:80/live/a.ts",
            "https://origin:8080/live/a.ts",
            "//other/live/a.ts",
            "http://user@origin:8080/live/a.ts",
            "file:///live/a.ts",
            "../secret/a.ts",
            "/admin/a.ts",
            "/live2/a.ts",
            "%2e%2e/secret/a.ts",
            "x/%2E%2e/%2e%2e/a.ts",
            "..\\secret\\a.ts",
        ] {
            assert_eq!(paths(uri), Err(Misfit::Elsewhere), "{uri}");
        }
    }

    #[test]
    fn the_best_of_several_playlists_is_taken() {
        let text = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1,CODECS=\"a,b\"\nlow.m3u8\n\
                    #EXT-X-STREAM-INF:CODECS=\"avc1,BANDWIDTH=9\",BANDWIDTH=2\nhigh.m3u8?hls_ctx=1\n";
        assert_eq!(read(text), Ok(Read::Variant("/live/high.m3u8?hls_ctx=1".to_owned())));
    }

    #[test]
    fn what_cannot_be_translated_is_refused_with_its_reason() {
        assert_eq!(read("<html>"), Err(Misfit::NoPlaylist));
        assert!(matches!(paths("#EXT-X-KEY:METHOD=AES-128,URI=\"k\"\na.ts"), Err(Misfit::Unsupported(_))));
        assert_eq!(paths("#EXT-X-KEY:METHOD=NONE\na.ts").unwrap(), ["/live/a.ts"]);
        assert!(matches!(paths("a.exe"), Err(Misfit::Unsupported(_))));
    }

    #[test]
    fn what_is_a_player_s_own_makes_no_other_number() {
        assert_eq!(number_of("/live/a.ts?hls_ctx=1"), number_of("/live/a.ts?hls_ctx=2"));
        assert_ne!(number_of("/live/a.ts?part=1"), number_of("/live/a.ts?part=2"));
        assert_ne!(number_of("/live/a.ts"), number_of("/live/b.ts"));
    }

    #[test]
    fn parts_of_segments_are_left_out() {
        assert_eq!(
            paths("#EXT-X-PART:DURATION=1,URI=\"a.1.ts\"\na.ts\n#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"b\"").unwrap(),
            ["/live/a.ts"]
        );
    }
}
