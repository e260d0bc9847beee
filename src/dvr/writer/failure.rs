//! Why a stream is not recorded at present.

use std::io;

use crate::dvr::name::NameError;
use crate::metrics::RecordingError;
use crate::mux::tracks::Unfit;

/// Why a stream cannot be recorded.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// Its name makes no name of a file.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The format cannot hold what it consists of.
    #[error("{0}")]
    Tracks(#[from] Unfit),
    /// The system says no.
    #[error(transparent)]
    File(#[from] io::Error),
}

impl Failure {
    /// As it stands in log and metric.
    pub(super) fn reason(&self) -> RecordingError {
        use io::ErrorKind;
        match self {
            Self::Name(_) => RecordingError::Name,
            Self::Tracks(_) => RecordingError::Codec,
            Self::File(error) => match error.kind() {
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => RecordingError::Full,
                ErrorKind::ReadOnlyFilesystem => RecordingError::ReadOnly,
                ErrorKind::PermissionDenied => RecordingError::Denied,
                ErrorKind::InvalidFilename => RecordingError::Name,
                _ => RecordingError::Failed,
            },
        }
    }
}
