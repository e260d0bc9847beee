//! What a stream looks like outside RTMP and FLV: MPEG-TS, fragmented MP4, playlists, FLV files.
//!
//! Owns the way from the packets of the hub to the bytes of segments and of recordings. Packagers and recorders call it;
//! like [`crate::media`] it does no input or output, reads no clock and knows no runtime, and it never decodes pictures
//! or sound. Whoever calls it decides where to cut, what to keep and where bytes go.
//!
//! [`tracks::Tracks`] gathers what sequence headers tell, [`frame::Frame`] is one picture or piece of sound without its FLV
//! wrapping, and the muxers take frames: [`mpegts::Muxer`] and [`fmp4::Fragmenter`] for segments, [`fmp4::Mp4File`] for recordings.
//! [`flv::FlvFile`] takes packets as they are, because FLV is what they come in. [`playlist`] writes the lists of segments.

pub mod flv;
pub mod fmp4;
pub mod frame;
pub mod mpegts;
pub mod patch;
pub mod playlist;
pub mod tracks;
pub mod utc;

mod bits;
mod body;
mod nal;
