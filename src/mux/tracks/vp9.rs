//! VP9's configuration record (VP Codec ISO Media File Format Binding, 2.2) and the head of its keyframes.

use bytes::{Buf, Bytes};

use crate::mux::bits::Bits;

/// The record without the version and flags of its box, with which ffmpeg sends it.
pub(super) fn bare_record(mut record: Bytes) -> Result<Bytes, &'static str> {
    const RECORD_BYTES: usize = 8;
    const VERSION_AND_FLAGS: &[u8] = &[1, 0, 0, 0];
    if record.len() >= RECORD_BYTES + VERSION_AND_FLAGS.len() && record.starts_with(VERSION_AND_FLAGS) {
        record.advance(VERSION_AND_FLAGS.len());
    }
    if record.len() < RECORD_BYTES { Err("its VPCodecConfigurationRecord is broken") } else { Ok(record) }
}

/// Reads the size from the uncompressed header of a keyframe (VP9 bitstream specification, 6.2).
pub(super) fn size_in_keyframe(frame: &[u8]) -> Option<(u32, u32)> {
    const SYNC_CODE: u32 = 0x49_83_42;
    const SRGB: u32 = 7;
    let mut bits = Bits::new(frame);
    bits.skip(2)?;
    let profile = bits.take(1)? | bits.take(1)? << 1;
    if profile == 3 {
        bits.skip(1)?;
    }
    let (shows_existing, is_inter) = (bits.flag()?, bits.flag()?);
    if shows_existing || is_inter {
        return None;
    }
    bits.skip(2)?;
    if bits.take(24)? != SYNC_CODE {
        return None;
    }
    if profile >= 2 {
        bits.skip(1)?;
    }
    let has_subsampling = profile % 2 == 1;
    if bits.take(3)? == SRGB {
        bits.skip(usize::from(has_subsampling))?;
    } else {
        bits.skip(if has_subsampling { 1 + 3 } else { 1 })?;
    }
    Some((bits.take(16)? + 1, bits.take(16)? + 1))
}
