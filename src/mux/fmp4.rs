//! Fragmented MP4 (ISO/IEC 14496-12): an initialisation, then fragments, each playable with nothing but the initialisation.
//!
//! Owns the boxes. Packagers make segments (and later parts) of fragments ([`Fragmenter`]), recorders files ([`Mp4File`]). The boxes are written here and not by a crate, because configuration records
//! go into them as the encoder sent them, whatever it says in them; a crate would have to understand them first.
//!
//! All tracks count in 90 kHz, in which every millisecond of the stream is exact.

mod boxes;
mod file;
mod fragment;
mod initialisation;
mod sample_entry;

pub use file::Mp4File;
pub use fragment::{FragmentFull, Fragmenter, MAXIMUM_FRAGMENT_BYTES};
pub use initialisation::initialisation;

use super::frame::Track;

/// Units of time a second, on every track.
pub const TIMESCALE: u32 = 90_000;

const TICKS_A_MS: u64 = 90;

/// The number of a track in its boxes.
const fn track_id(track: Track) -> u32 {
    match track {
        Track::Video => 1,
        Track::Audio => 2,
    }
}

#[cfg(test)]
mod tests;
