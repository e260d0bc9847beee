//! How much room a disk has.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The room of a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Space {
    /// Which file system it is.
    pub(super) device: u64,
    /// Bytes that this process may still write.
    pub(super) free: u64,
}

/// The room where a directory is, or will be.
pub(super) fn of(directory: &Path) -> io::Result<Space> {
    let mut found = Err(io::Error::from(io::ErrorKind::NotFound));
    for existing in directory.ancestors() {
        // The last one of a relative path is empty.
        let existing = if existing.as_os_str().is_empty() { Path::new(".") } else { existing };
        found = look(existing);
        if !matches!(&found, Err(error) if error.kind() == io::ErrorKind::NotFound) {
            break;
        }
    }
    found
}

fn look(directory: &Path) -> io::Result<Space> {
    let device = fs::metadata(directory)?.dev();
    let room = rustix::fs::statvfs(directory)?;
    Ok(Space { device, free: room.f_bavail.saturating_mul(room.f_frsize) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_is_not_there_yet_has_the_room_of_the_one_it_will_be_in() {
        let directory = tempfile::tempdir().unwrap();
        let there = of(directory.path()).unwrap();
        assert!(there.free > 0);
        assert_eq!(of(&directory.path().join("a/b/c")).unwrap().device, there.device);
        assert!(of(Path::new("not/there/either")).unwrap().free > 0);
    }
}
