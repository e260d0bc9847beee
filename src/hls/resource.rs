//! What players ask for, as URL paths.
//!
//! Owns the form of every name below a stream's own: playlists stand beside the stream's other URLs, segments below its
//! name, and their names are numbers, so that no request can name anything else. The HTTP server and an edge's relay parse
//! paths with it, and playlists are written with it.
//!
//! | path | what |
//! | --- | --- |
//! | `APP/STREAM.m3u8` | the media playlist |
//! | `APP/STREAM.m3u` | a multivariant playlist that names this one, with its codecs and size |
//! | `APP/STREAM/123.ts` | a segment in MPEG-TS |
//! | `APP/STREAM/123.m4s` | a segment in fragmented MP4 |
//! | `APP/STREAM/123.mp4` | what goes before the segments from 123 on, until there is another |

use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::media::stream_key::{NameError, StreamKey};

/// What is escaped in a part of a path: everything that may have a meaning, the colon of a scheme included.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A file of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum File {
    /// The multivariant playlist.
    Master,
    /// The media playlist.
    Playlist,
    /// What a player of fragmented MP4 needs before the segments from this number on.
    Init(u64),
    /// The segment of this number in fragmented MP4.
    Fragments(u64),
    /// The segment of this number in MPEG-TS.
    TransportStream(u64),
}

impl File {
    /// Whether it is a playlist, which changes, and not a segment, which never does.
    pub const fn is_playlist(self) -> bool {
        matches!(self, Self::Master | Self::Playlist)
    }

    /// Reads the name of a segment: digits as they are written here, and nothing else.
    fn segment(name: &str) -> Option<Self> {
        let (digits, extension) = name.split_once('.')?;
        let plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
        let number = digits.parse().ok().filter(|_| plain)?;
        match extension {
            "mp4" => Some(Self::Init(number)),
            "m4s" => Some(Self::Fragments(number)),
            "ts" => Some(Self::TransportStream(number)),
            _ => None,
        }
    }
}

/// A file of a stream, by both their names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Resource {
    /// The stream.
    pub key: StreamKey,
    /// The file.
    pub file: File,
}

impl Resource {
    /// Reads a URL path (no leading slash, no query, as it came). `None` if it is not that of any file here.
    ///
    /// # Errors
    ///
    /// The path is that of a file, but the stream's name is refused.
    pub fn parse(path: &str) -> Option<Result<Self, NameError>> {
        let playlist = [(".m3u8", File::Playlist), (".m3u", File::Master)];
        let named = playlist.into_iter().find_map(|(suffix, file)| Some((path.strip_suffix(suffix)?, file)));
        let (name, file) = match named {
            Some(named) => named,
            None => {
                let (stream, name) = path.rsplit_once('/')?;
                (stream, File::segment(name)?)
            }
        };
        Some(StreamKey::from_path(name).map(|key| Self { key, file }))
    }

    /// The file relative to the stream's playlists, escaped: what stands in a playlist.
    pub fn uri(&self) -> String {
        let stream = utf8_percent_encode(self.key.stream(), ESCAPED);
        match self.file {
            File::Master => format!("{stream}.m3u"),
            File::Playlist => format!("{stream}.m3u8"),
            File::Init(number) => format!("{stream}/{number}.mp4"),
            File::Fragments(number) => format!("{stream}/{number}.m4s"),
            File::TransportStream(number) => format!("{stream}/{number}.ts"),
        }
    }

    /// The whole path, escaped, without a leading slash: what [`parse`](Self::parse) reads.
    pub fn path(&self) -> String {
        let parts = self.key.app().split('/').map(|part| utf8_percent_encode(part, ESCAPED).to_string());
        let app: Vec<String> = parts.collect();
        format!("{}/{}", app.join("/"), self.uri())
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.path())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(path: &str) -> Option<(String, File)> {
        let resource = Resource::parse(path)?.ok()?;
        Some((resource.key.to_string(), resource.file))
    }

    #[test]
    fn every_kind_of_file_has_a_path() {
        for (path, file) in [
            ("live/x.m3u8", File::Playlist),
            ("live/x.m3u", File::Master),
            ("live/x/0.ts", File::TransportStream(0)),
            ("live/x/123.ts", File::TransportStream(123)),
            ("live/x/123.m4s", File::Fragments(123)),
            ("live/x/123.mp4", File::Init(123)),
        ] {
            assert_eq!(parse(path), Some(("live/x".to_owned(), file)), "{path}");
            let resource = Resource { key: StreamKey::from_path("live/x").unwrap(), file };
            assert_eq!(resource.path(), path);
        }
    }

    #[test]
    fn names_of_segments_are_numbers_in_one_form_only() {
        for name in ["x", "01", "+1", "1.0", "-1", "", "1 ", "99999999999999999999", "1%2e", "%31"] {
            assert_eq!(Resource::parse(&format!("live/x/{name}.ts")), None, "{name:?}");
        }
        assert_eq!(parse("live/x/1.flv"), None);
        assert_eq!(parse("live/x.flv"), None);
        assert_eq!(parse("1.ts"), None);
    }

    #[test]
    fn names_that_are_refused_elsewhere_are_refused_here() {
        for path in ["live/../x.m3u8", "x.m3u8", "live/%2e%2e/1.ts", "live/.m3u8", "x/1.ts", "live/a%00b.m3u8"] {
            assert!(matches!(Resource::parse(path), Some(Err(_))), "{path}");
        }
    }

    #[test]
    fn what_means_something_in_a_url_is_escaped() {
        let key = StreamKey::from_path("live/a:b%3Fc%25 d").unwrap();
        let resource = Resource { key, file: File::TransportStream(7) };
        assert_eq!(resource.uri(), "a%3Ab%3Fc%25%20d/7.ts");
        assert_eq!(Resource::parse(&resource.path()), Some(Ok(resource)));
    }

    proptest! {
        #[test]
        fn a_path_reads_back_as_what_it_was(name in "[^/\\p{Cc}]{1,20}/[^/\\p{Cc}]{1,20}", number in any::<u64>()) {
            let escaped = utf8_percent_encode(&name, NON_ALPHANUMERIC).to_string();
            if let Ok(key) = StreamKey::from_path(&escaped) {
                for file in [File::Master, File::Playlist, File::Init(number), File::Fragments(number)] {
                    let resource = Resource { key: key.clone(), file };
                    prop_assert_eq!(Resource::parse(&resource.path()), Some(Ok(resource)));
                }
            }
        }
    }
}
