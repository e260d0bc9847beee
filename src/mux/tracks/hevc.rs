//! HEVC's configuration record and sequence parameter set.

use crate::mux::bits::Bits;
use crate::mux::nal;

const SEQUENCE_PARAMETER_SET: u8 = 33;
/// Where the arrays of parameter sets begin in a record (ISO/IEC 14496-15, 8.3.3.1).
const ARRAYS_AT: usize = 22;

/// Reads the size from a record's first sequence parameter set, and the record to its end.
pub(super) fn size_in_record(record: &[u8]) -> Result<(u32, u32), &'static str> {
    let set = sequence_parameter_set(record).ok_or("its HEVCDecoderConfigurationRecord is broken")?;
    let set = set.ok_or("its record holds no sequence parameter set")?;
    size_in_parameter_set(&nal::without_emulation_prevention(set)).ok_or("its sequence parameter set is broken")
}

/// The first set of a record; `None` if the record is broken, `Some(None)` if it has none.
fn sequence_parameter_set(record: &[u8]) -> Option<Option<&[u8]>> {
    let (&arrays, mut rest) = record.get(ARRAYS_AT..)?.split_first()?;
    let mut found = None;
    for _ in 0..arrays {
        let (&[kind, count_1, count_0], mut behind) = rest.split_first_chunk::<3>()?;
        for _ in 0..u16::from_be_bytes([count_1, count_0]) {
            let (size, unit) = behind.split_first_chunk::<2>()?;
            let (unit, next) = unit.split_at_checked(u16::from_be_bytes(*size).into())?;
            if kind & 0x3f == SEQUENCE_PARAMETER_SET {
                found = found.or(Some(unit));
            }
            behind = next;
        }
        rest = behind;
    }
    Some(found)
}

/// ITU-T H.265, 7.3.2.2.1 up to the conformance window.
fn size_in_parameter_set(set: &[u8]) -> Option<(u32, u32)> {
    let mut bits = Bits::new(set);
    bits.skip(16 + 4)?;
    let sublayers = bits.take(3)?;
    bits.skip(1)?;
    skip_profile_tier_level(&mut bits, sublayers)?;
    bits.unsigned()?;
    let chroma = bits.unsigned()?;
    if chroma == 3 {
        bits.skip(1)?;
    }
    let (width, height) = (bits.unsigned()?, bits.unsigned()?);
    if !bits.flag()? {
        return (width > 0 && height > 0).then_some((width, height));
    }
    let [left, right, top, bottom] = [bits.unsigned()?, bits.unsigned()?, bits.unsigned()?, bits.unsigned()?];
    let (unit_x, unit_y) = match chroma {
        1 => (2, 2),
        2 => (2, 1),
        _ => (1, 1),
    };
    let cropped = |size: u32, one: u32, other: u32, unit: u32| {
        size.checked_sub(one.checked_add(other)?.checked_mul(unit)?).filter(|size| *size > 0)
    };
    Some((cropped(width, left, right, unit_x)?, cropped(height, top, bottom, unit_y)?))
}

/// ITU-T H.265, 7.3.3.
fn skip_profile_tier_level(bits: &mut Bits<'_>, sublayers: u32) -> Option<()> {
    const PROFILE_BITS: usize = 88;
    const LEVEL_BITS: usize = 8;
    bits.skip(PROFILE_BITS + LEVEL_BITS)?;
    let mut present = Vec::new();
    for _ in 0..sublayers {
        present.push((bits.flag()?, bits.flag()?));
    }
    if sublayers > 0 {
        bits.skip(2 * (8 - sublayers as usize))?;
    }
    for (profile, level) in present {
        bits.skip(if profile { PROFILE_BITS } else { 0 })?;
        bits.skip(if level { LEVEL_BITS } else { 0 })?;
    }
    Some(())
}
