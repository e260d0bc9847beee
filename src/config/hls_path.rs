//! Where playlists and segments are written: paths with placeholders, below a directory.
//!
//! Owns their text and their parts. Who writes files fills the parts in; which names a stream has is not decided here.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use ::config::{Value, ValueKind};

use super::form::{Form, Shape, Word, quoted};
use super::mistake::Mistake;

/// The path of playlists, such as `[app]/[stream].m3u8`.
pub type PlaylistPath = HlsPath<false>;
/// The path of segments, such as `[app]/[stream]/[seq].ts`, whose extension becomes that of what is in them.
pub type SegmentPath = HlsPath<true>;

/// A path below the directory, of segments or of playlists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HlsPath<const OF_SEGMENTS: bool> {
    text: String,
    parts: Vec<HlsPathPart>,
}

/// A piece of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HlsPathPart {
    /// Stands for itself; may hold slashes.
    Literal(String),
    /// The app, which may hold slashes.
    App,
    /// The stream's own name.
    Stream,
    /// The segment's number.
    Sequence,
}

/// Why a text is no such path; completes "expected ...".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HlsPathError {
    /// A part is empty, `.` or `..`, or it begins or ends with a slash.
    #[error("a path below hls.path, without empty parts, \".\" and \"..\"")]
    Relative,
    /// A character that file names must not have.
    #[error("a path without control characters")]
    Control,
    /// Brackets around something unknown, or only one of them.
    #[error("no other placeholders than [app], [stream] and, for segments, [seq]")]
    Placeholder,
    /// Another extension than the customary one, or a placeholder is missing.
    #[error("{0}")]
    Incomplete(&'static str),
}

impl<const OF_SEGMENTS: bool> HlsPath<OF_SEGMENTS> {
    const EXTENSION: &'static str = if OF_SEGMENTS { ".ts" } else { ".m3u8" };

    /// The parts, without the extension.
    pub fn parts(&self) -> &[HlsPathPart] {
        &self.parts
    }
}

impl PlaylistPath {
    /// Where playlists have their URLs, too.
    pub(super) fn beside_streams() -> Self {
        let parts = vec![HlsPathPart::App, HlsPathPart::Literal("/".to_owned()), HlsPathPart::Stream];
        Self { text: "[app]/[stream].m3u8".to_owned(), parts }
    }
}

impl SegmentPath {
    /// Where segments have their URLs, too.
    pub(super) fn below_streams() -> Self {
        let slash = || HlsPathPart::Literal("/".to_owned());
        let parts = vec![HlsPathPart::App, slash(), HlsPathPart::Stream, slash(), HlsPathPart::Sequence];
        Self { text: "[app]/[stream]/[seq].ts".to_owned(), parts }
    }
}

impl<const OF_SEGMENTS: bool> FromStr for HlsPath<OF_SEGMENTS> {
    type Err = HlsPathError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let stem = text.strip_suffix(Self::EXTENSION).ok_or(HlsPathError::Incomplete(Self::EXPECTED))?;
        if text.chars().any(char::is_control) {
            return Err(HlsPathError::Control);
        }
        if stem.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(HlsPathError::Relative);
        }
        let parts = parts(stem)?;
        let has = |part: HlsPathPart| parts.contains(&part);
        if !has(HlsPathPart::Stream) || has(HlsPathPart::Sequence) != OF_SEGMENTS {
            return Err(HlsPathError::Incomplete(Self::EXPECTED));
        }
        Ok(Self { text: text.to_owned(), parts })
    }
}

/// Takes a text apart at its brackets.
fn parts(mut text: &str) -> Result<Vec<HlsPathPart>, HlsPathError> {
    let mut parts = Vec::new();
    while let Some(open) = text.find(['[', ']']) {
        let (literal, rest) = text.split_at(open);
        let (name, rest) =
            rest.strip_prefix('[').and_then(|rest| rest.split_once(']')).ok_or(HlsPathError::Placeholder)?;
        if !literal.is_empty() {
            parts.push(HlsPathPart::Literal(literal.to_owned()));
        }
        parts.push(match name {
            "app" => HlsPathPart::App,
            "stream" => HlsPathPart::Stream,
            "seq" => HlsPathPart::Sequence,
            _ => return Err(HlsPathError::Placeholder),
        });
        text = rest;
    }
    if !text.is_empty() {
        parts.push(HlsPathPart::Literal(text.to_owned()));
    }
    Ok(parts)
}

impl<const OF_SEGMENTS: bool> fmt::Display for HlsPath<OF_SEGMENTS> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl<const OF_SEGMENTS: bool> Word for HlsPath<OF_SEGMENTS> {
    const EXPECTED: &'static str = if OF_SEGMENTS {
        "a path with [stream] and [seq] in it that ends in .ts, such as \"[app]/[stream]/[seq].ts\""
    } else {
        "a path with [stream] in it that ends in .m3u8, such as \"[app]/[stream].m3u8\""
    };
}

/// The path of a directory.
pub(super) struct Directory;

impl Form<PathBuf> for Directory {
    const SHAPE: Shape = Shape::Text;

    fn read(value: &Value, key: &str, mistakes: &mut Vec<Mistake>) -> Option<PathBuf> {
        if let ValueKind::String(path) = &value.kind
            && !path.is_empty()
        {
            return Some(PathBuf::from(path));
        }
        mistakes.push(Mistake::unexpected(value, key, &"the path of a directory"));
        None
    }

    fn write(path: &PathBuf) -> String {
        quoted(&path.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn literal(text: &str) -> HlsPathPart {
        HlsPathPart::Literal(text.to_owned())
    }

    #[test]
    fn a_path_is_taken_apart_at_its_placeholders() {
        let path: SegmentPath = "hls/[app]/[stream]-[seq].ts".parse().unwrap();
        let expected =
            [literal("hls/"), HlsPathPart::App, literal("/"), HlsPathPart::Stream, literal("-"), HlsPathPart::Sequence];
        assert_eq!(path.parts(), expected);
        assert_eq!(path.to_string(), "hls/[app]/[stream]-[seq].ts");
    }

    #[test]
    fn the_defaults_are_what_their_text_says() {
        assert_eq!("[app]/[stream].m3u8".parse(), Ok(PlaylistPath::beside_streams()));
        assert_eq!("[app]/[stream]/[seq].ts".parse(), Ok(SegmentPath::below_streams()));
    }

    #[test]
    fn a_path_that_leaves_its_directory_is_refused() {
        for text in ["/[stream].m3u8", "../[stream].m3u8", "a/../[stream].m3u8", "a//[stream].m3u8", "./[stream].m3u8"]
        {
            assert_eq!(text.parse::<PlaylistPath>(), Err(HlsPathError::Relative), "{text}");
        }
        assert_eq!("a\n[stream].m3u8".parse::<PlaylistPath>(), Err(HlsPathError::Control));
    }

    #[test]
    fn a_path_that_several_segments_would_share_is_refused() {
        for text in ["[app]/[stream].ts", "[app]/[seq].ts", "[stream]-[seq].mp4", ""] {
            assert!(matches!(text.parse::<SegmentPath>(), Err(HlsPathError::Incomplete(_))), "{text}");
        }
        for text in ["[app].m3u8", "[stream]", "[stream]-[seq].m3u8"] {
            assert!(matches!(text.parse::<PlaylistPath>(), Err(HlsPathError::Incomplete(_))), "{text}");
        }
    }

    #[test]
    fn an_unknown_placeholder_is_refused() {
        for text in ["[stream][session]-[seq].ts", "[stream-[seq].ts", "stream]-[seq].ts"] {
            assert_eq!(text.parse::<SegmentPath>(), Err(HlsPathError::Placeholder), "{text}");
        }
    }
}
