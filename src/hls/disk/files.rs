//! Files, written so that nobody ever sees half of one.

use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::Path;

use crate::metrics::HlsDiskError;

/// How the names of temporary files begin and end.
const TEMPORARY: (&str, &str) = (".rillcast-", ".tmp");

/// Writes whole files.
#[derive(Debug)]
pub(super) struct Files {
    /// What no other process has in its temporary names.
    unique: String,
    written: u64,
}

impl Files {
    pub(super) const fn new(unique: String) -> Self {
        Self { unique, written: 0 }
    }

    /// Puts `bytes` at `path`, at once and whole; directories are made.
    pub(super) fn write(&mut self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let directory = path.parent().unwrap_or(Path::new(""));
        self.written += 1;
        let (begin, end) = TEMPORARY;
        let temporary = directory.join(format!("{begin}{}-{}{end}", self.unique, self.written));
        let put = || -> io::Result<()> {
            let mut file = match fs::File::create(&temporary) {
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    fs::create_dir_all(directory)?;
                    fs::File::create(&temporary)?
                }
                created => created?,
            };
            file.write_all(bytes)?;
            drop(file);
            fs::rename(&temporary, path)
        };
        put().inspect_err(|_| {
            // What cannot be removed either is found at the next start.
            let _ = fs::remove_file(&temporary);
        })
    }
}

/// Whether a file of that name is half written.
pub(super) fn is_temporary(name: &str) -> bool {
    name.starts_with(TEMPORARY.0) && name.ends_with(TEMPORARY.1)
}

/// Removes a file, if it is there.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Removes the directories above `path` that are empty, up to `root`, which stays.
pub(super) fn remove_empty_directories(path: &Path, root: &Path) {
    let above = path.ancestors().skip(1).take_while(|directory| *directory != root && directory.starts_with(root));
    for directory in above {
        if fs::remove_dir(directory).is_err() {
            return;
        }
    }
}

/// What an error is counted as.
pub(super) fn reason(error: &io::Error) -> HlsDiskError {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => HlsDiskError::Full,
        ErrorKind::ReadOnlyFilesystem => HlsDiskError::ReadOnly,
        ErrorKind::PermissionDenied => HlsDiskError::Denied,
        ErrorKind::InvalidFilename => HlsDiskError::Name,
        _ => HlsDiskError::Failed,
    }
}
