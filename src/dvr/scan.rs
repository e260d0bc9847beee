//! Finding the recordings that there are, and completing those whose writer is gone.
//!
//! Owns the search through the directories of recordings. It runs once when the server starts, beside everything else. A file is a
//! recording if its name fits the template, and its head holds our card; nothing else is ever changed or deleted.

use std::fs::{self, DirEntry, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::config::{DvrFormat, RecordingPath};

use super::container::{self, extension};
use super::file::{PART, PartFile, Target};
use super::library::{Library, Size};
use super::name::matches;

/// The deepest that directories are searched: deeper than the longest names reach.
const MAX_DEPTH: usize = 300;

/// A file that could be a recording by its name.
#[derive(Debug, PartialEq, Eq)]
struct Candidate {
    target: Target,
    format: DvrFormat,
    is_part: bool,
}

/// Looks through all directories of recordings.
pub(super) fn scan(library: &Library) {
    let paths = library.config().recording_paths();
    let mut directories: Vec<&Path> = paths.iter().map(|(path, _)| path.directory()).collect();
    directories.sort();
    directories.dedup();
    for directory in directories {
        walk(directory, 0, &mut |path| {
            if let Some(candidate) = candidate(&paths, &path)
                && let Err(error) = look(library, &path, candidate)
            {
                tracing::warn!(path = %path.display(), %error, "a recording cannot be read");
            }
        });
    }
}

/// Tries again to complete a file that was left half written.
pub(super) fn complete(library: &Library, path: &Path) -> io::Result<()> {
    match candidate(&library.config().recording_paths(), path) {
        Some(candidate) => look(library, path, candidate),
        None => Ok(()),
    }
}

/// Shows every file below a directory to `look`. Links to other directories are not followed.
fn walk(directory: &Path, depth: usize, look: &mut impl FnMut(PathBuf)) {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return,
        Err(error) => {
            tracing::warn!(path = %directory.display(), %error, "a directory of recordings cannot be read");
            return;
        }
    };
    for entry in entries.filter_map(Result::ok) {
        let is = |kind: fn(&fs::FileType) -> bool| DirEntry::file_type(&entry).is_ok_and(|found| kind(&found));
        if is(fs::FileType::is_dir) {
            if depth < MAX_DEPTH {
                walk(&entry.path(), depth + 1, look);
            }
        } else if is(fs::FileType::is_file) {
            look(entry.path());
        }
    }
}

/// What a file may be by its name.
fn candidate(paths: &[(RecordingPath, DvrFormat)], path: &Path) -> Option<Candidate> {
    paths.iter().find_map(|(template, format)| {
        let name = path.strip_prefix(template.directory()).ok()?.to_str()?;
        let (name, is_part) = name.strip_suffix(PART).map_or((name, false), |name| (name, true));
        let stem = name.strip_suffix(extension(*format))?.strip_suffix('.')?;
        let directory = template.directory().to_owned();
        let target = Target { directory, stem: stem.to_owned(), extension: extension(*format) };
        matches(template.parts(), stem).then_some(Candidate { target, format: *format, is_part })
    })
}

fn look(library: &Library, path: &Path, candidate: Candidate) -> io::Result<()> {
    if candidate.is_part {
        return recover(library, path, candidate);
    }
    let file = File::open(path)?;
    let Some(head) = container::read_head(candidate.format, &file)? else { return Ok(()) };
    if library.knows(&head.card.id) {
        // A copy, or one that has become complete while the search went on.
        return Ok(());
    }
    let size = Size { bytes: file.metadata()?.len(), duration_ms: head.duration_ms };
    library.add(head.card, candidate.format, path.to_owned(), size, true);
    Ok(())
}

/// Cuts off what is not whole, and gives the rest its final name.
fn recover(library: &Library, path: &Path, candidate: Candidate) -> io::Result<()> {
    let Some(mut part) = PartFile::take_over(path, candidate.target)? else { return Ok(()) };
    if part.length() == 0 {
        // Its writer had just made it.
        return part.discard();
    }
    let Some(head) = container::read_head(candidate.format, part.file())? else { return Ok(()) };
    let whole = container::find_whole(candidate.format, part.file())?;
    if !whole.has_media {
        return part.discard();
    }
    let cut = part.length() - whole.bytes;
    part.truncate(whole.bytes)?;
    for patch in &whole.patches {
        part.patch(patch)?;
    }
    let last = part.finish()?;
    tracing::info!(path = %last.display(), cut, duration_ms = whole.duration_ms, "completed a recording that was cut short");
    let size = Size { bytes: whole.bytes, duration_ms: whole.duration_ms };
    library.add(head.card, candidate.format, last, size, true);
    library.metrics().dvr.files.inc();
    Ok(())
}

#[cfg(test)]
mod tests;
