//! Packetised elementary streams (ISO/IEC 13818-1, 2.4.3.6): the header before each picture and each piece of sound, and its times.

use bytes::{BufMut, Bytes, BytesMut};

use super::LEAD;
use crate::mux::frame::FrameError;
use crate::mux::tracks::{AudioCodec, AudioTrack};

const TICKS_A_MS: u64 = 90;
const TIME_MASK: u64 = (1 << 33) - 1;
const VIDEO_STREAM: u8 = 0xe0;
const AUDIO_STREAM: u8 = 0xc0;
/// AC-3 goes in a private stream (ATSC A/53).
const PRIVATE_STREAM: u8 = 0xbd;

/// What the header of a unit takes behind its length: flags, the header's own length, one time.
const AUDIO_HEADER_BYTES: usize = 8;
/// The most that a unit with a length may hold.
pub(super) const MAXIMUM_PAYLOAD_BYTES: usize = u16::MAX as usize - AUDIO_HEADER_BYTES;

/// When to decode and to present, in 90 kHz modulo 2^33.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Times {
    decoding: u64,
    presentation: u64,
}

impl Times {
    /// The times of a frame in milliseconds of the stream.
    pub(super) fn of(timestamp: u64, composition: i32) -> Self {
        let decoding = ticks(timestamp).wrapping_add(LEAD);
        let presentation = decoding.wrapping_add_signed(i64::from(composition) * TICKS_A_MS as i64);
        // Nothing is presented before it is decoded: a negative composition time moves the decoding.
        let decoding = if composition < 0 { presentation } else { decoding };
        Self { decoding: decoding & TIME_MASK, presentation: presentation & TIME_MASK }
    }
}

/// The clock reference at a time of the stream, in 90 kHz modulo 2^33.
pub(super) const fn clock(timestamp: u64) -> u64 {
    ticks(timestamp) & TIME_MASK
}

const fn ticks(timestamp: u64) -> u64 {
    timestamp.wrapping_mul(TICKS_A_MS)
}

/// The header of a picture. Its length stays open, as it may for video.
pub(super) fn put_video_header(times: Times, out: &mut BytesMut) {
    put_start(VIDEO_STREAM, 0, out);
    put_times(times, out);
}

/// The header of sound, `payload` bytes of it.
pub(super) fn put_audio_header(codec: AudioCodec, times: Times, payload: usize, out: &mut BytesMut) {
    let stream = if codec == AudioCodec::Ac3 { PRIVATE_STREAM } else { AUDIO_STREAM };
    // What is gathered is bounded, and so is a frame.
    put_start(stream, (AUDIO_HEADER_BYTES + payload).min(u16::MAX.into()) as u16, out);
    put_times(times, out);
}

fn put_start(stream: u8, length: u16, out: &mut BytesMut) {
    out.put_slice(&[0, 0, 1, stream]);
    out.put_u16(length);
    // Marker bits; the payload is aligned.
    out.put_u8(0b1000_0100);
}

fn put_times(times: Times, out: &mut BytesMut) {
    const TIME_BYTES: u8 = 5;
    if times.decoding == times.presentation {
        out.put_slice(&[0b1000_0000, TIME_BYTES]);
        put_time(0b0010, times.presentation, out);
    } else {
        out.put_slice(&[0b1100_0000, 2 * TIME_BYTES]);
        put_time(0b0011, times.presentation, out);
        put_time(0b0001, times.decoding, out);
    }
}

/// 3, 15 and 15 bits, a marker bit behind each.
fn put_time(prefix: u8, time: u64, out: &mut BytesMut) {
    out.put_u8(prefix << 4 | ((time >> 30 & 0b111) as u8) << 1 | 1);
    out.put_u16((time >> 15 & 0x7fff) as u16 * 2 + 1);
    out.put_u16((time & 0x7fff) as u16 * 2 + 1);
}

/// The ADTS header before a raw AAC block (ISO/IEC 13818-7, 6.2).
pub(super) fn adts_header(audio: &AudioTrack, block: usize) -> Result<Bytes, FrameError> {
    const HEADER_BYTES: usize = 7;
    const MAXIMUM_FRAME_BYTES: usize = (1 << 13) - 1;
    let frame = block + HEADER_BYTES;
    // Tracks that do not fit have no muxer, so only the size can be wrong.
    let Some(adts) = audio.adts().ok().filter(|_| frame <= MAXIMUM_FRAME_BYTES) else {
        return Err(FrameError::TooLarge(block));
    };
    let frame = frame as u32;
    let mut header = BytesMut::with_capacity(HEADER_BYTES);
    // The sync word, MPEG-4, no checksum.
    header.put_u16(0xfff1);
    header.put_u8(adts.profile << 6 | adts.frequency << 2 | adts.channels >> 2);
    // The frame's length in 13 bits, "variable bit rate" in 11, one block.
    header.put_u32(u32::from(adts.channels & 0b11) << 30 | frame << 13 | 0x7ff << 2);
    Ok(header.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_wrap_at_33_bits() {
        // The first millisecond at which the presentation has wrapped.
        let timestamp = (TIME_MASK + 1 - LEAD).div_ceil(TICKS_A_MS);
        let times = Times::of(timestamp, 0);
        assert!(times.presentation < TICKS_A_MS && times.decoding == times.presentation);
        assert_eq!(Times::of(timestamp - 1, 1).presentation, times.presentation);
        assert!(Times::of(timestamp - 1, 1).decoding > TIME_MASK - TICKS_A_MS);
    }

    #[test]
    fn nothing_is_presented_before_it_is_decoded() {
        let times = Times::of(1_000, -40);
        assert_eq!((times.presentation, times.decoding), (960 * 90 + LEAD, 960 * 90 + LEAD));
    }

    #[test]
    fn the_largest_time_of_all_does_no_harm() {
        for composition in [i32::MIN, 0, i32::MAX] {
            let times = Times::of(u64::MAX, composition);
            assert!(times.presentation <= TIME_MASK && times.decoding <= TIME_MASK);
        }
    }
}
