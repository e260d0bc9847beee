//! A tag that the server has understood: classified, and placed on its stream's time line.

use bytes::Bytes;

use super::Kind;
use super::class::Class;

/// One unit of media inside the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// The track.
    pub kind: Kind,
    /// What it is.
    pub class: Class,
    /// Milliseconds on the stream's time line, which does not wrap; wire formats carry its lower 32 bits.
    pub timestamp: u64,
    /// The body, as in [`super::Tag`].
    pub payload: Bytes,
}

impl Packet {
    /// The timestamp as wire formats carry it: modulo 2^32 milliseconds.
    pub const fn wire_timestamp(&self) -> u32 {
        self.timestamp as u32
    }
}
