//! Where recordings go: a path with placeholders for the stream and the time.
//!
//! Owns its text and its parts. The recorder fills the parts in; which names are safe, and what the time is, is not
//! decided here.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::form::Word;

/// The extensions that a path may end in, which must be that of the format.
const EXTENSIONS: [&str; 2] = ["flv", "mp4"];

/// A path such as `/var/recordings/[app]/[stream].[timestamp].flv`.
///
/// Everything before the first part of the path with a placeholder is the directory that recordings never leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordingPath {
    text: String,
    directory: PathBuf,
    parts: Vec<PathPart>,
    extension: Option<&'static str>,
}

/// A piece of a path below its directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathPart {
    /// Stands for itself; may hold slashes.
    Literal(String),
    /// The app, which may hold slashes.
    App,
    /// The stream's own name.
    Stream,
    /// The publish session.
    Session,
    /// When the recording begins, in UTC.
    Time(TimeField),
}

/// A part of a point in time, written as Go's and SRS's reference time has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeField {
    /// Four digits.
    Year,
    /// Two digits.
    Month,
    /// Two digits.
    Day,
    /// Two digits, from 00 to 23.
    Hour,
    /// Two digits.
    Minute,
    /// Two digits.
    Second,
    /// Three digits.
    Millisecond,
    /// Milliseconds since 1970.
    Timestamp,
}

/// Every placeholder, without its brackets.
const PLACEHOLDERS: [(&str, PathPart); 11] = [
    ("app", PathPart::App),
    ("stream", PathPart::Stream),
    ("session", PathPart::Session),
    ("2006", PathPart::Time(TimeField::Year)),
    ("01", PathPart::Time(TimeField::Month)),
    ("02", PathPart::Time(TimeField::Day)),
    ("15", PathPart::Time(TimeField::Hour)),
    ("04", PathPart::Time(TimeField::Minute)),
    ("05", PathPart::Time(TimeField::Second)),
    ("999", PathPart::Time(TimeField::Millisecond)),
    ("timestamp", PathPart::Time(TimeField::Timestamp)),
];

/// Why a text is no such path; completes "expected ...".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordingPathError {
    /// Empty, or the path of a directory.
    #[error("{}", RecordingPath::EXPECTED)]
    NoFile,
    /// A part below the directory is empty, `.` or `..`.
    #[error("a path without empty parts, \".\" and \"..\" behind its first placeholder")]
    Relative,
    /// A character that file names must not have.
    #[error("a path without control characters")]
    Control,
    /// Brackets around something unknown, or only one of them.
    #[error(
        "no other placeholders than [app], [stream], [session], [2006], [01], [02], [15], [04], [05], [999] and \
         [timestamp]"
    )]
    Placeholder,
}

impl RecordingPath {
    /// The directory that every recording is below; `.` if the path begins with a placeholder.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// What follows the directory, without an extension.
    pub fn parts(&self) -> &[PathPart] {
        &self.parts
    }

    /// The extension that is written out, without its dot.
    pub fn extension(&self) -> Option<&'static str> {
        self.extension
    }
}

impl Default for RecordingPath {
    fn default() -> Self {
        let (app, stream) = (PathPart::App, PathPart::Stream);
        let literal = |text: &str| PathPart::Literal(text.to_owned());
        Self {
            text: "recordings/[app]/[stream].[timestamp]".to_owned(),
            directory: PathBuf::from("recordings"),
            parts: vec![app, literal("/"), stream, literal("."), PathPart::Time(TimeField::Timestamp)],
            extension: None,
        }
    }
}

impl FromStr for RecordingPath {
    type Err = RecordingPathError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.chars().any(char::is_control) {
            return Err(RecordingPathError::Control);
        }
        let extension = EXTENSIONS.into_iter().find(|extension| text.ends_with(&format!(".{extension}")));
        let stem = extension.map_or(text, |extension| &text[..text.len() - extension.len() - 1]);
        let literal = stem.find('[').unwrap_or(stem.len());
        let (directory, below) = match stem[..literal].rfind('/') {
            Some(0) => ("/", &stem[1..]),
            Some(slash) => (&stem[..slash], &stem[slash + 1..]),
            None => (".", stem),
        };
        if below.is_empty() || below.ends_with('/') {
            return Err(RecordingPathError::NoFile);
        }
        if below.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(RecordingPathError::Relative);
        }
        Ok(Self { text: text.to_owned(), directory: PathBuf::from(directory), parts: parts(below)?, extension })
    }
}

/// Takes the text apart at its placeholders.
fn parts(text: &str) -> Result<Vec<PathPart>, RecordingPathError> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(bracket) = rest.find(['[', ']']) {
        let (literal, behind) = rest.split_at(bracket);
        if !literal.is_empty() {
            parts.push(PathPart::Literal(literal.to_owned()));
        }
        let named = behind.strip_prefix('[').and_then(|behind| behind.split_once(']'));
        let (name, behind) = named.ok_or(RecordingPathError::Placeholder)?;
        let known = PLACEHOLDERS.iter().find(|(known, _)| *known == name);
        parts.push(known.ok_or(RecordingPathError::Placeholder)?.1.clone());
        rest = behind;
    }
    if !rest.is_empty() {
        parts.push(PathPart::Literal(rest.to_owned()));
    }
    Ok(parts)
}

impl fmt::Display for RecordingPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl Word for RecordingPath {
    const EXPECTED: &'static str = "the path of a file such as \"/var/recordings/[app]/[stream].[timestamp].flv\"";
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn path(text: &str) -> RecordingPath {
        text.parse().unwrap()
    }

    #[test]
    fn the_default_is_what_its_text_says() {
        let default = RecordingPath::default();
        assert_eq!(path(&default.to_string()), default);
    }

    #[test]
    fn the_directory_ends_before_the_first_part_with_a_placeholder() {
        for (text, directory) in [
            ("/var/dvr/[app]/[stream].flv", "/var/dvr"),
            ("/var/dvr/live-[stream]", "/var/dvr"),
            ("../dvr/[app]", "../dvr"),
            ("[app]/[stream]", "."),
            ("/[app]", "/"),
            ("dvr/all.flv", "dvr"),
        ] {
            assert_eq!(path(text).directory(), Path::new(directory), "{text}");
        }
    }

    #[test]
    fn an_extension_is_told_apart_from_the_name() {
        let with = path("a/[stream].mp4");
        assert_eq!((with.extension(), with.parts()), (Some("mp4"), &[PathPart::Stream][..]));
        assert_eq!(path("a/[stream].ts").extension(), None);
    }

    #[test]
    fn every_placeholder_is_known() {
        let text = "[app][stream][session][2006][01][02][15][04][05][999][timestamp]";
        let known: Vec<PathPart> = PLACEHOLDERS.iter().map(|(_, part)| part.clone()).collect();
        assert_eq!(path(text).parts(), known);
    }

    #[test]
    fn what_names_no_file_or_leaves_the_directory_is_refused() {
        let error = |text: &str| text.parse::<RecordingPath>().unwrap_err();
        for text in ["", "/", "dvr/", ".flv", "dvr/[app]/"] {
            assert_eq!(error(text), RecordingPathError::NoFile, "{text:?}");
        }
        for text in ["dvr/[app]/../[stream]", "[app]//[stream]", "dvr/[app]/./x", "dvr/.."] {
            assert_eq!(error(text), RecordingPathError::Relative, "{text:?}");
        }
        for text in ["[vhost]/x", "[app", "app]", "[[app]]", "[]"] {
            assert_eq!(error(text), RecordingPathError::Placeholder, "{text:?}");
        }
        assert_eq!(error("a\nb"), RecordingPathError::Control);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(\\[|\\]|[a-z/.0-9\n]){0,30}") {
            let _ = text.parse::<RecordingPath>();
        }
    }
}
