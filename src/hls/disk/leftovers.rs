//! What an earlier process has left behind.
//!
//! Owns finding it, once, and removing it when nobody can want it any more. Until then it stays: a server that was started
//! again after a crash has players who still read its old playlist. Only files are touched that this server can have written:
//! by their name, their number and, of playlists, by what is in them.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::hls::numbers::is_plausible;

use super::files;
use super::names::{Names, Ours};

/// The most directories within each other that are looked into.
const MAXIMUM_DEPTH: usize = 64;
/// How much of a playlist is read to tell whether it is ours.
const HEAD_BYTES: u64 = 1_024;

/// Files that are not in use any more.
#[derive(Debug, Default)]
pub(super) struct Leftovers {
    /// Relative to the directory.
    paths: Vec<String>,
}

impl Leftovers {
    /// Finds them.
    pub(super) fn find(names: &Names, unix_ms: u64) -> Self {
        let mut paths = Vec::new();
        let mut directories = vec![(names.directory().to_owned(), 0)];
        while let Some((directory, depth)) = directories.pop() {
            let Ok(entries) = fs::read_dir(&directory) else { continue };
            for entry in entries.flatten() {
                // Neither links nor what they lead to are ours.
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() && depth < MAXIMUM_DEPTH => directories.push((entry.path(), depth + 1)),
                    Ok(kind) if kind.is_file() => {
                        paths.extend(ours(names, &entry.path(), unix_ms));
                    }
                    _ => {}
                }
            }
        }
        Self { paths }
    }

    /// Removes those that have not been changed for `stay`, and that `is_in_use` does not know. Returns how many there were.
    pub(super) fn remove(&mut self, directory: &Path, stay: Duration, is_in_use: impl Fn(&str) -> bool) -> usize {
        let before = self.paths.len();
        let now = SystemTime::now();
        self.paths.retain(|relative| {
            let path = directory.join(relative);
            let Ok(changed) = fs::metadata(&path).and_then(|metadata| metadata.modified()) else { return false };
            // A time that lies ahead says nothing.
            let age = now.duration_since(changed).unwrap_or(stay);
            if is_in_use(relative) || age < stay {
                return true;
            }
            if files::remove(&path).is_err() {
                return true;
            }
            files::remove_empty_directories(&path, directory);
            false
        });
        before - self.paths.len()
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }
}

/// The path of a file that is ours, relative to the directory.
fn ours(names: &Names, path: &Path, unix_ms: u64) -> Option<String> {
    let relative = path.strip_prefix(names.directory()).ok()?.to_str()?;
    let is_temporary = path.file_name().and_then(|name| name.to_str()).is_some_and(files::is_temporary);
    let is_ours = is_temporary
        || match names.recognise(relative, unix_ms)? {
            Ours::Segment => true,
            Ours::Playlist => has_plausible_number(path, unix_ms),
        };
    is_ours.then(|| relative.to_owned())
}

/// Whether a playlist counts its segments as we do.
fn has_plausible_number(path: &Path, unix_ms: u64) -> bool {
    let mut head = Vec::new();
    let read = fs::File::open(path).and_then(|file| file.take(HEAD_BYTES).read_to_end(&mut head));
    let text = String::from_utf8_lossy(&head);
    let number = text.lines().find_map(|line| line.strip_prefix("#EXT-X-MEDIA-SEQUENCE:"));
    read.is_ok() && number.and_then(|number| number.parse().ok()).is_some_and(|number| is_plausible(number, unix_ms))
}
