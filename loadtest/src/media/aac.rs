//! AAC that any decoder takes: silence, behind a data stream element of any size that holds the stamp.
//!
//! References are to ISO 14496-3.

use super::bits::BitWriter;
use super::stamp;

/// Samples a second.
pub(crate) const SAMPLE_RATE: u64 = 44_100;
/// Samples in a frame.
pub(crate) const FRAME_SAMPLES: u64 = 1_024;

/// FLV's AAC packet header (FLV E.4.2): format, and whether it is the sequence header.
const RAW: [u8; 2] = [0xAF, 1];
const SEQUENCE_HEADER: [u8; 2] = [0xAF, 0];

/// A data stream element with tag 0 whose bytes are aligned (4.4.2.7): so what follows begins on a byte.
const DATA_ELEMENT: u8 = 0b1000_0001;
/// Where the second size byte of a large element begins to count.
const ESCAPE: usize = 255;

/// The body of the sequence header: AAC LC, 44.1 kHz, mono (1.6.2.1).
pub(crate) fn sequence_header() -> Vec<u8> {
    [&SEQUENCE_HEADER[..], &[0x12, 0x08]].concat()
}

/// The body of a silent frame, about `size` bytes long, and where its stamp begins.
pub(crate) fn frame(size: usize) -> (Vec<u8>, usize) {
    let silence = silence();
    let data = size.saturating_sub(RAW.len() + 3 + silence.len()).clamp(stamp::BYTES, 2 * ESCAPE);
    with_data(&silence, data)
}

/// Puts a data stream element with room for a stamp in front of a raw AAC frame; also tells where the stamp begins.
pub(crate) fn with_stamp_space(body: &[u8]) -> (Vec<u8>, usize) {
    with_data(body.get(RAW.len()..).unwrap_or_default(), stamp::BYTES)
}

fn with_data(raw: &[u8], data: usize) -> (Vec<u8>, usize) {
    let mut body = RAW.to_vec();
    body.push(DATA_ELEMENT);
    match data.checked_sub(ESCAPE) {
        None => body.push(data as u8),
        Some(more) => body.extend([ESCAPE as u8, more as u8]),
    }
    let stamp_at = body.len();
    body.resize(stamp_at + data, 0);
    body.extend_from_slice(raw);
    (body, stamp_at)
}

/// A single channel element without any spectral data, and the end (4.4.2.1, 4.4.2.7).
fn silence() -> Vec<u8> {
    let mut bits = BitWriter::default();
    bits.put(0, 3); // ID_SCE
    bits.put(0, 4); // element_instance_tag
    bits.put(0, 8); // global_gain
    bits.put(0, 1 + 2 + 1); // reserved, long window, its shape
    bits.put(0, 6); // max_sfb: nothing
    bits.put(0, 1); // no prediction
    bits.put(0, 3); // no pulses, no noise shaping, no gain control
    bits.put(7, 3); // ID_END
    bits.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_has_the_wanted_size_within_what_one_element_holds() {
        assert_eq!(frame(371).0.len(), 371);
        assert_eq!(frame(0).0.len(), RAW.len() + 2 + stamp::BYTES + silence().len());
        assert!(frame(10_000).0.len() < 600);
    }

    #[test]
    fn the_size_of_the_element_is_written_in_one_byte_or_two() {
        let (body, stamp_at) = frame(371);
        assert_eq!((body[2], body[3], stamp_at), (DATA_ELEMENT, 255, 5));
        let (body, stamp_at) = with_stamp_space(&[0xAF, 1, 0x21, 0x10]);
        assert_eq!((body[2], usize::from(body[3]), stamp_at), (DATA_ELEMENT, stamp::BYTES, 4));
        assert!(body.ends_with(&[0x21, 0x10]));
    }
}
