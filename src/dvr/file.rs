//! A recording's file while it is being written: under a name of its own until it is complete.
//!
//! Owns the way of a file from its making to its final name: nothing is ever overwritten, and whoever else looks at the
//! directory sees by a lock that the file has a writer. Only threads for disks call it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use crate::mux::patch::Patch;

use super::name::{MAX_NUMBER, numbered};

/// What stands behind the name of a file that is being written.
pub(super) const PART: &str = ".part";
/// How often directories are made again that somebody has just removed.
const ATTEMPTS: usize = 5;

/// The final name of a recording, without number and extension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// The directory of all recordings.
    pub(super) directory: PathBuf,
    /// The path below it.
    pub(super) stem: String,
    /// Without its dot.
    pub(super) extension: &'static str,
}

impl Target {
    fn path(&self, number: u32) -> PathBuf {
        self.directory.join(format!("{}.{}", numbered(&self.stem, number), self.extension))
    }
}

/// A file that is being written, locked as long as this lives.
#[derive(Debug)]
pub(super) struct PartFile {
    file: File,
    path: PathBuf,
    target: Target,
    number: u32,
    length: u64,
}

impl PartFile {
    /// Makes an empty file, and the directories that it needs. A name that is taken gets a number.
    pub(super) fn create(target: Target) -> io::Result<Self> {
        let mut number = 1;
        let mut attempts = 0;
        while number <= MAX_NUMBER {
            let last = target.path(number);
            let path = part_of(&last);
            if last.try_exists()? {
                number += 1;
                continue;
            }
            match OpenOptions::new().read(true).write(true).create_new(true).open(&path) {
                Ok(file) => {
                    lock(&file)?;
                    // Whoever looked for leftovers may have removed it before it was locked.
                    if is_at(&file, &path) && !last.try_exists()? {
                        return Ok(Self { file, path, target, number, length: 0 });
                    }
                    let _ = fs::remove_file(&path);
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
                Err(error) if error.kind() == io::ErrorKind::NotFound && attempts < ATTEMPTS => {
                    attempts += 1;
                    fs::create_dir_all(path.parent().unwrap_or(&target.directory))?;
                }
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::new(io::ErrorKind::AlreadyExists, "there are too many recordings of this name"))
    }

    /// Takes over a file that was left half written; `None` if somebody is writing it, or it is gone.
    pub(super) fn take_over(path: &Path, target: Target) -> io::Result<Option<Self>> {
        let file = match OpenOptions::new().read(true).write(true).open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        if !is_at(&file, path) {
            return Ok(None);
        }
        let length = file.metadata()?.len();
        Ok(Some(Self { file, path: path.to_owned(), target, number: 1, length }))
    }

    /// The file itself, for reading.
    pub(super) const fn file(&self) -> &File {
        &self.file
    }

    /// The name that it has at present.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// How many bytes of it are good.
    pub(super) const fn length(&self) -> u64 {
        self.length
    }

    /// Writes behind what is there. After an error all is as before, except for bytes behind the good ones.
    pub(super) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, self.length)?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Writes over what is there.
    pub(super) fn patch(&self, patch: &Patch) -> io::Result<()> {
        self.file.write_all_at(&patch.bytes, patch.offset)
    }

    /// Cuts off what is behind so many bytes.
    pub(super) fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.file.set_len(length)?;
        self.length = length;
        Ok(())
    }

    /// Has the disk keep it and gives it its final name, which is returned. After an error it has the name that it had.
    pub(super) fn finish(self) -> io::Result<PathBuf> {
        // A write that failed may have left bytes behind the good ones.
        if self.file.metadata()?.len() != self.length {
            self.file.set_len(self.length)?;
        }
        self.file.sync_all()?;
        for number in self.number..=MAX_NUMBER {
            let last = self.target.path(number);
            match rename(&self.path, &last) {
                Ok(()) => {
                    if let Some(directory) = last.parent() {
                        File::open(directory)?.sync_all()?;
                    }
                    return Ok(last);
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::new(io::ErrorKind::AlreadyExists, "there are too many recordings of this name"))
    }

    /// Removes it.
    pub(super) fn discard(self) -> io::Result<()> {
        fs::remove_file(&self.path)
    }
}

/// The name that a recording has while it is being written.
pub(super) fn part_of(last: &Path) -> PathBuf {
    let mut path = last.as_os_str().to_owned();
    path.push(PART);
    PathBuf::from(path)
}

/// Renames unless there is something of that name.
fn rename(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // Some file systems cannot; then a look before has to do.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => match to.try_exists()? {
            true => Err(io::ErrorKind::AlreadyExists.into()),
            false => fs::rename(from, to),
        },
        renamed => renamed.map_err(io::Error::from),
    }
}

/// Locks a file that we have just made. Who looks for leftovers holds its lock for a moment at most.
fn lock(file: &File) -> io::Result<()> {
    match file.lock() {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(()),
        locked => locked,
    }
}

/// Whether this very file has that name.
fn is_at(file: &File, path: &Path) -> bool {
    let identity = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    match (file.metadata(), fs::symlink_metadata(path)) {
        (Ok(file), Ok(named)) => identity(file) == identity(named),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    fn target(directory: &TempDir, stem: &str) -> Target {
        Target { directory: directory.path().to_owned(), stem: stem.to_owned(), extension: "flv" }
    }

    #[test]
    fn a_file_has_its_name_only_when_it_is_complete() {
        let directory = tempfile::tempdir().unwrap();
        let mut file = PartFile::create(target(&directory, "live/a/x")).unwrap();
        let last = directory.path().join("live/a/x.flv");
        file.append(b"head").unwrap();
        file.append(b"body").unwrap();
        assert!(!last.exists() && directory.path().join("live/a/x.flv.part").exists());
        file.patch(&Patch { offset: 1, bytes: "EA".into() }).unwrap();
        assert_eq!(file.finish().unwrap(), last);
        assert_eq!(fs::read(&last).unwrap(), b"hEAdbody");
        assert!(!directory.path().join("live/a/x.flv.part").exists());
    }

    #[test]
    fn names_that_are_taken_get_a_number_whoever_took_them() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("x.flv"), "another's").unwrap();
        let first = PartFile::create(target(&directory, "x")).unwrap();
        let second = PartFile::create(target(&directory, "x")).unwrap();
        // Somebody takes the name while the file is being written.
        fs::write(directory.path().join("x-3.flv"), "another's").unwrap();
        assert_eq!(second.finish().unwrap(), directory.path().join("x-4.flv"));
        assert_eq!(first.finish().unwrap(), directory.path().join("x-2.flv"));
        for name in ["x.flv", "x-3.flv"] {
            assert_eq!(fs::read(directory.path().join(name)).unwrap(), b"another's");
        }
    }

    #[test]
    fn a_file_that_has_a_writer_is_not_taken_over() {
        let directory = tempfile::tempdir().unwrap();
        let file = PartFile::create(target(&directory, "x")).unwrap();
        let path = file.path().to_owned();
        assert!(PartFile::take_over(&path, target(&directory, "x")).unwrap().is_none());
        drop(file);
        assert!(PartFile::take_over(&path, target(&directory, "x")).unwrap().is_some());
        fs::remove_file(&path).unwrap();
        assert!(PartFile::take_over(&path, target(&directory, "x")).unwrap().is_none());
    }

    #[test]
    fn what_a_failed_write_left_is_cut_off() {
        let directory = tempfile::tempdir().unwrap();
        let mut file = PartFile::create(target(&directory, "x")).unwrap();
        file.append(b"good").unwrap();
        file.file.write_all_at(b"half of someth", 4).unwrap();
        assert_eq!(fs::read(file.finish().unwrap()).unwrap(), b"good");
    }
}
