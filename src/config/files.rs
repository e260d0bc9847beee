//! The files of a configuration as they are read: anew each time, or once and for all.
//!
//! Owns reading within bounds, what was read of that which can be read only once (a pipe, standard input), and the stamp
//! that tells whether anything holds something else than it did. The sources read by it; what the files say is none of its
//! business.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use sha2::{Digest, Sha256};

/// The most that a file may hold, in bytes. Bounds what is read of one that does not end.
const MAX_BYTES: u64 = 16 << 20;

/// The files of one process. Clones share what was read once.
#[derive(Clone, Default)]
pub(super) struct Files {
    first: Arc<Mutex<First>>,
}

/// What the first loading has left behind.
#[derive(Default)]
struct First {
    is_over: bool,
    /// What was read of everything that is no regular file.
    contents: HashMap<PathBuf, Vec<u8>>,
}

/// What some files held, to compare with what they hold later; `None` of those that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stamp(BTreeMap<PathBuf, Option<[u8; 32]>>);

/// One reading of some files, and the stamp of what has been read so far.
pub(super) struct Reading {
    files: Files,
    stamp: Stamp,
}

impl Files {
    /// Begins to read some of them.
    pub(super) fn reading(&self) -> Reading {
        Reading { files: self.clone(), stamp: Stamp::default() }
    }

    /// From now on only regular files are read: of a pipe there is nothing left, and whoever opens another may wait for ever.
    pub(super) fn end_first(&self) {
        self.first.lock().is_over = true;
    }

    /// Whether a path is that of something that was read once, and never will be again.
    pub(super) fn is_kept(&self, path: &Path) -> bool {
        self.first.lock().contents.contains_key(path) && !is_regular(path)
    }

    /// What a file holds, or held when it could be read.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        if fs::metadata(path)?.is_file() {
            return read_bounded(path, MAX_BYTES);
        }
        if let Some(content) = self.first.lock().contents.get(path) {
            return Ok(content.clone());
        }
        if self.first.lock().is_over {
            return Err(io::Error::other("not a regular file: such are read at the start only"));
        }
        let content = read_bounded(path, MAX_BYTES)?;
        self.first.lock().contents.insert(path.to_owned(), content.clone());
        Ok(content)
    }

    /// The same without reading for the first time what can be read only once.
    fn look(&self, path: &Path) -> Option<Vec<u8>> {
        let is_known = is_regular(path) || self.is_kept(path);
        is_known.then(|| self.read(path).ok()).flatten()
    }
}

impl Reading {
    /// What a file holds.
    pub(super) fn read(&mut self, path: &Path) -> io::Result<Vec<u8>> {
        let content = self.files.read(path);
        self.stamp.note(path, content.as_deref().ok());
        content
    }

    /// Takes a file into the stamp that is read by somebody else, and later.
    pub(super) fn note(&mut self, path: &Path) {
        self.stamp.note(path, self.files.look(path).as_deref());
    }

    /// The stamp of all that was read.
    pub(super) fn into_stamp(self) -> Stamp {
        self.stamp
    }
}

impl Stamp {
    /// The files.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.0.keys().map(PathBuf::as_path)
    }

    /// Takes over what `later` has of other files. Of the same ones the earlier counts: so nothing is missed that was written
    /// between the two.
    pub fn extend(&mut self, later: Self) {
        for (path, digest) in later.0 {
            self.0.entry(path).or_insert(digest);
        }
    }

    fn note(&mut self, path: &Path, content: Option<&[u8]>) {
        self.0.insert(path.to_owned(), content.map(|content| Sha256::digest(content).into()));
    }
}

/// What a regular file holds, up to so many bytes. Nothing else is opened: it might keep whoever reads it waiting.
pub(super) fn read_regular(path: &Path, max_bytes: u64) -> io::Result<Vec<u8>> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    read_bounded(path, max_bytes)
}

fn read_bounded(path: &Path, max_bytes: u64) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    File::open(path)?.take(max_bytes + 1).read_to_end(&mut content)?;
    if content.len() as u64 > max_bytes {
        return Err(io::Error::other(format!("longer than {max_bytes} bytes")));
    }
    Ok(content)
}

fn is_regular(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.is_file())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A pipe that holds `text` and is closed, at a path of its own.
    fn pipe(directory: &Path, text: &str) -> (PathBuf, impl Drop) {
        use std::io::Write as _;
        use std::os::fd::AsRawFd as _;
        let (reader, mut writer) = io::pipe().unwrap();
        writer.write_all(text.as_bytes()).unwrap();
        let path = directory.join("pipe");
        symlink(format!("/proc/self/fd/{}", reader.as_raw_fd()), &path).unwrap();
        (path, std::os::fd::OwnedFd::from(reader))
    }

    #[test]
    fn a_pipe_is_read_once_and_its_content_stays() {
        let directory = tempfile::tempdir().unwrap();
        let (path, _open) = pipe(directory.path(), "text");
        let files = Files::default();
        let mut first = files.reading();
        assert_eq!(first.read(&path).unwrap(), b"text");
        files.end_first();
        let mut second = files.reading();
        assert_eq!(second.read(&path).unwrap(), b"text");
        assert_eq!(first.into_stamp(), second.into_stamp());
        assert!(files.is_kept(&path));
    }

    #[test]
    fn what_is_no_regular_file_is_not_opened_after_the_first_time() {
        let directory = tempfile::tempdir().unwrap();
        let (path, _open) = pipe(directory.path(), "text");
        let files = Files::default();
        files.end_first();
        assert!(files.reading().read(&path).unwrap_err().to_string().starts_with("not a regular file"));
        assert!(read_regular(&path, 100).is_err());
    }

    #[test]
    fn a_look_takes_nothing_out_of_a_pipe() {
        let directory = tempfile::tempdir().unwrap();
        let (path, _open) = pipe(directory.path(), "text");
        let files = Files::default();
        files.reading().note(&path);
        assert_eq!(files.reading().read(&path).unwrap(), b"text");
    }

    #[test]
    fn a_file_in_the_place_of_a_pipe_is_read_each_time() {
        let directory = tempfile::tempdir().unwrap();
        let (path, _open) = pipe(directory.path(), "text");
        let files = Files::default();
        files.reading().read(&path).unwrap();
        files.end_first();
        fs::remove_file(&path).unwrap();
        for text in ["one", "two"] {
            fs::write(&path, text).unwrap();
            assert_eq!(files.reading().read(&path).unwrap(), text.as_bytes());
        }
        assert!(!files.is_kept(&path));
    }

    #[test]
    fn what_does_not_end_is_not_read_for_ever() {
        assert!(Files::default().reading().read(Path::new("/dev/zero")).unwrap_err().to_string().starts_with("longer"));
    }

    #[test]
    fn of_two_stamps_of_a_file_the_earlier_counts() {
        let directory = tempfile::tempdir().unwrap();
        let [same, other] = ["same", "other"].map(|name| directory.path().join(name));
        let stamp = |text: &str, paths: &[&PathBuf]| {
            fs::write(&same, text).unwrap();
            let mut reading = Files::default().reading();
            paths.iter().for_each(|path| reading.note(path));
            reading.into_stamp()
        };
        let mut earlier = stamp("one", &[&same]);
        earlier.extend(stamp("two", &[&same, &other]));
        assert_eq!(earlier, stamp("one", &[&same, &other]));
        assert_eq!(earlier.files().count(), 2);
    }
}
