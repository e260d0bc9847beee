//! The names of files.
//!
//! Owns the way from a stream's name and a segment's number to a path below the directory, and back, for what an earlier
//! process has left behind. No name leads out of the directory: that is checked for each, whatever the settings and the
//! stream's name are.

use std::path::{Component, Path, PathBuf};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::config::{HlsPathPart, PlaylistPath, SegmentPath};
use crate::hls::numbers::is_plausible;
use crate::hls::resource::File;
use crate::media::stream_key::StreamKey;

/// The longest name of a file or directory, in bytes.
const MAXIMUM_NAME_BYTES: usize = 255;
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The name makes no path below the directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the stream's name makes no name of a file")]
pub(super) struct Unnameable;

/// Makes paths, relative to the directory.
#[derive(Debug)]
pub(super) struct Names {
    directory: PathBuf,
    playlist: PlaylistPath,
    segment: SegmentPath,
}

impl Names {
    pub(super) const fn new(directory: PathBuf, playlist: PlaylistPath, segment: SegmentPath) -> Self {
        Self { directory, playlist, segment }
    }

    /// Where everything is.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The path of a file.
    pub(super) fn path(&self, key: &StreamKey, file: File) -> Result<String, Unnameable> {
        let path = match file {
            File::Master | File::Playlist => fill(self.playlist.parts(), key, "") + ".m3u8",
            File::Init(number) => fill(self.segment.parts(), key, &number.to_string()) + ".mp4",
            File::Fragments(number) => fill(self.segment.parts(), key, &number.to_string()) + ".m4s",
            File::TransportStream(number) => fill(self.segment.parts(), key, &number.to_string()) + ".ts",
        };
        if is_safe(&path) { Ok(path) } else { Err(Unnameable) }
    }

    /// What all paths of a stream's segments have in common, and no other stream's may.
    pub(super) fn segments(&self, key: &StreamKey) -> String {
        fill(self.segment.parts(), key, "*")
    }

    /// What a path can be of ours, by its name.
    pub(super) fn recognise(&self, path: &str, unix_ms: u64) -> Option<Ours> {
        if let Some(stem) = path.strip_suffix(".m3u8") {
            return matches(self.playlist.parts(), stem, &|_| false).then_some(Ours::Playlist);
        }
        let stem = [".ts", ".m4s", ".mp4"].iter().find_map(|extension| path.strip_suffix(extension))?;
        let is_number = |text: &str| text.parse().is_ok_and(|number| is_plausible(number, unix_ms));
        matches(self.segment.parts(), stem, &is_number).then_some(Ours::Segment)
    }
}

/// What a file can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ours {
    /// A playlist, if what is in it says so, too.
    Playlist,
    /// A segment or an initialisation.
    Segment,
}

/// Where `to` is for whoever reads the file `from`, both relative to the directory: escaped, as it stands in a playlist.
pub(super) fn uri(from: &str, to: &str) -> String {
    let mut from: Vec<&str> = from.split('/').collect();
    from.pop();
    let to: Vec<&str> = to.split('/').collect();
    let common = from.iter().zip(&to).take_while(|(one, other)| one == other).count();
    let up = from[common..].iter().map(|_| "..".to_owned());
    let down = to[common..].iter().map(|part| utf8_percent_encode(part, ESCAPED).to_string());
    up.chain(down).collect::<Vec<_>>().join("/")
}

fn fill(parts: &[HlsPathPart], key: &StreamKey, number: &str) -> String {
    let text = |part: &HlsPathPart| match part {
        HlsPathPart::Literal(text) => text.clone(),
        HlsPathPart::App => key.app().to_owned(),
        HlsPathPart::Stream => key.stream().to_owned(),
        HlsPathPart::Sequence => number.to_owned(),
    };
    parts.iter().map(text).collect()
}

fn is_safe(path: &str) -> bool {
    let is_plain = |part: &str| !part.is_empty() && part.len() <= MAXIMUM_NAME_BYTES && !part.contains('\0');
    path.split('/').all(is_plain) && Path::new(path).components().all(|part| matches!(part, Component::Normal(_)))
}

/// Whether `text` is what `parts` can be filled in to, with a number that is one.
fn matches(parts: &[HlsPathPart], text: &str, is_number: &dyn Fn(&str) -> bool) -> bool {
    let Some((part, rest)) = parts.split_first() else { return text.is_empty() };
    let any_end = |accepts: &dyn Fn(&str) -> bool| {
        let mut ends = text.char_indices().map(|(at, character)| at + character.len_utf8());
        ends.any(|end| accepts(&text[..end]) && matches(rest, &text[end..], is_number))
    };
    match part {
        HlsPathPart::Literal(literal) => {
            text.strip_prefix(literal.as_str()).is_some_and(|text| matches(rest, text, is_number))
        }
        HlsPathPart::App => any_end(&|_| true),
        HlsPathPart::Stream => any_end(&|name| !name.contains('/')),
        HlsPathPart::Sequence => any_end(is_number),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW_MS: u64 = 1_795_278_309_042;
    const NUMBER: u64 = 869_765_236;

    fn names(playlist: &str, segment: &str) -> Names {
        Names::new(PathBuf::from("/hls"), playlist.parse().unwrap(), segment.parse().unwrap())
    }

    fn usual() -> Names {
        names("[app]/[stream].m3u8", "[app]/[stream]/[seq].ts")
    }

    fn key(path: &str) -> StreamKey {
        StreamKey::from_path(path).unwrap()
    }

    #[test]
    fn files_have_the_names_of_their_urls_by_default() {
        let path = |file| usual().path(&key("live/news/x"), file).unwrap();
        assert_eq!(path(File::Playlist), "live/news/x.m3u8");
        assert_eq!(path(File::TransportStream(7)), "live/news/x/7.ts");
        assert_eq!(path(File::Fragments(7)), "live/news/x/7.m4s");
        assert_eq!(path(File::Init(7)), "live/news/x/7.mp4");
        assert_eq!(uri("live/news/x.m3u8", "live/news/x/7.ts"), "x/7.ts");
    }

    #[test]
    fn segments_are_found_from_wherever_the_playlist_is() {
        assert_eq!(uri("a/b/x.m3u8", "a/c/7.ts"), "../c/7.ts");
        assert_eq!(uri("x.m3u8", "a/7.ts"), "a/7.ts");
        assert_eq!(uri("lists/x.m3u8", "a: b/7#.ts"), "../a%3A%20b/7%23.ts");
    }

    #[test]
    fn a_name_that_no_file_can_have_is_refused() {
        assert_eq!(usual().path(&key(&format!("live/{}", "x".repeat(252))), File::Playlist), Err(Unnameable));
    }

    #[test]
    fn only_what_we_may_have_written_is_taken_for_ours() {
        let of = |path: &str| usual().recognise(path, NOW_MS);
        assert_eq!(of("live/x.m3u8"), Some(Ours::Playlist));
        assert_eq!(of(&format!("live/a/x/{NUMBER}.ts")), Some(Ours::Segment));
        assert_eq!(of(&format!("live/x/{NUMBER}.m4s")), Some(Ours::Segment));
        for path in ["x.m3u8", "live/x/1.ts", "live/x/intro.ts", "live/x/869765236.mkv", "869765236.ts", "notes.txt"] {
            assert_eq!(of(path), None, "{path}");
        }
    }

    proptest! {
        #[test]
        fn no_stream_leads_out_of_the_directory(
            text in "[a-z./%0-9-]{1,12}/[a-z./%0-9-]{1,12}",
            playlist in "(\\[app\\]|a|\\.|-|/){0,4}\\[stream\\](\\[app\\]|a|\\.|/){0,3}\\.m3u8",
        ) {
            let (Ok(key), Ok(playlist)) = (StreamKey::from_path(&text), playlist.parse()) else { return Ok(()) };
            let names = Names::new(PathBuf::from("/hls"), playlist, "[stream]-[seq].ts".parse().unwrap());
            if let Ok(path) = names.path(&key, File::Playlist) {
                let components: Vec<_> = Path::new(&path).components().collect();
                prop_assert!(components.iter().all(|part| matches!(part, Component::Normal(_))), "{}", path);
            }
        }

        #[test]
        fn what_is_written_is_recognised(app in "[a-z./-]{1,8}", stream in "[a-z.-]{1,8}", number in 0_u64..100) {
            let Ok(key) = StreamKey::from_path(&format!("{app}/{stream}")) else { return Ok(()) };
            let names = names("x-[app]/[stream].m3u8", "s/[stream]-[app]-[seq].ts");
            for (file, ours) in [
                (File::Playlist, Ours::Playlist),
                (File::TransportStream(NUMBER + number), Ours::Segment),
                (File::Init(NUMBER + number), Ours::Segment),
            ] {
                if let Ok(path) = names.path(&key, file) {
                    prop_assert_eq!(names.recognise(&path, NOW_MS), Some(ours), "{}", path);
                }
            }
        }
    }
}
