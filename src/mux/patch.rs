//! What is written into a file again when its end is known.

use bytes::Bytes;

/// Bytes that replace as many others in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patch {
    /// Where in the file they begin.
    pub offset: u64,
    /// As many as there were.
    pub bytes: Bytes,
}
