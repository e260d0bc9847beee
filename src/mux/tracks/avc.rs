//! H.264's configuration record and sequence parameter set.

use crate::mux::bits::Bits;
use crate::mux::nal::{self, ParameterSets};

/// Reads the size from a record's first sequence parameter set, and the record to its end.
pub(super) fn size_in_record(record: &[u8]) -> Result<(u32, u32), &'static str> {
    let sets = ParameterSets::read(record).ok_or("its AVCDecoderConfigurationRecord is broken")?;
    let sequence = sets.sequence.first().ok_or("its record holds no sequence parameter set")?;
    if sets.picture.is_empty() {
        return Err("its record holds no picture parameter set");
    }
    let set = nal::without_emulation_prevention(sequence);
    size_in_parameter_set(&set).ok_or("its sequence parameter set is broken")
}

/// The profiles whose parameter sets tell the chroma format (ITU-T H.264, 7.3.2.1.1).
const PROFILES_WITH_CHROMA: [u32; 13] = [100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135];

/// ITU-T H.264, 7.3.2.1.1 up to the cropping.
fn size_in_parameter_set(set: &[u8]) -> Option<(u32, u32)> {
    let mut bits = Bits::new(set);
    bits.skip(8)?;
    let profile = bits.take(8)?;
    bits.skip(16)?;
    bits.unsigned()?;
    let mut chroma = 1;
    let mut separate_planes = false;
    if PROFILES_WITH_CHROMA.contains(&profile) {
        chroma = bits.unsigned()?;
        if chroma == 3 {
            separate_planes = bits.flag()?;
        }
        bits.unsigned()?;
        bits.unsigned()?;
        bits.skip(1)?;
        if bits.flag()? {
            skip_scaling_matrix(&mut bits, if chroma == 3 { 12 } else { 8 })?;
        }
    }
    bits.unsigned()?;
    skip_picture_order(&mut bits)?;
    bits.unsigned()?;
    bits.skip(1)?;
    let width = bits.unsigned()?.checked_add(1)?.checked_mul(16)?;
    let map_units = bits.unsigned()?.checked_add(1)?;
    let only_frames = bits.flag()?;
    if !only_frames {
        bits.skip(1)?;
    }
    let fields = if only_frames { 1 } else { 2 };
    let height = map_units.checked_mul(16 * fields)?;
    bits.skip(1)?;
    if !bits.flag()? {
        return Some((width, height));
    }
    let [left, right, top, bottom] = [bits.unsigned()?, bits.unsigned()?, bits.unsigned()?, bits.unsigned()?];
    let (unit_x, unit_y) = match chroma {
        _ if separate_planes => (1, fields),
        1 => (2, 2 * fields),
        2 => (2, fields),
        _ => (1, fields),
    };
    let cropped = |size: u32, one: u32, other: u32, unit: u32| {
        size.checked_sub(one.checked_add(other)?.checked_mul(unit)?).filter(|size| *size > 0)
    };
    Some((cropped(width, left, right, unit_x)?, cropped(height, top, bottom, unit_y)?))
}

fn skip_scaling_matrix(bits: &mut Bits<'_>, lists: usize) -> Option<()> {
    for list in 0..lists {
        if !bits.flag()? {
            continue;
        }
        let (mut last, mut next) = (8_i32, 8_i32);
        for _ in 0..if list < 6 { 16 } else { 64 } {
            if next != 0 {
                next = last.wrapping_add(bits.signed()?) & 0xff;
            }
            last = if next == 0 { last } else { next };
        }
    }
    Some(())
}

fn skip_picture_order(bits: &mut Bits<'_>) -> Option<()> {
    match bits.unsigned()? {
        0 => {
            bits.unsigned()?;
        }
        1 => {
            bits.skip(1)?;
            bits.signed()?;
            bits.signed()?;
            for _ in 0..bits.unsigned()? {
                bits.signed()?;
            }
        }
        _ => {}
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cropped_size_is_read() {
        // x264, High, 320x180.
        let set = [
            0x67, 0x64, 0x00, 0x0d, 0xac, 0xd9, 0x41, 0x41, 0x9f, 0x9f, 0x01, 0x6c, 0x80, 0x00, 0x00, 0x03, 0x00, 0x80,
            0x00, 0x00, 0x1e, 0x07, 0x8a, 0x14, 0xcb,
        ];
        assert_eq!(size_in_parameter_set(&nal::without_emulation_prevention(&set)), Some((320, 180)));
    }

    #[test]
    fn interlaced_pictures_count_both_fields() {
        // x264, High 4:2:2 10 bit, 720x486 interlaced.
        let set = b"\x67\x7a\x00\x1e\xb6\xcd\x94\x0b\x42\x0f\xc7\x60\x22\x00\x00\x03\x00\x02\x00\x00\x03\x00\x64\x3e\x28\x53\x2c";
        assert_eq!(size_in_parameter_set(&nal::without_emulation_prevention(set)), Some((720, 486)));
    }

    #[test]
    fn a_set_that_crops_everything_away_is_broken() {
        assert_eq!(size_in_parameter_set(&[0x67, 66, 0, 31, 0xff]), None);
    }
}
