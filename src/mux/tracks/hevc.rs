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

#[cfg(test)]
mod tests {
    use super::*;

    /// What x265 writes for 326x178: 4:2:0, and 4:2:2 with three temporal layers.
    const SETS: [&[u8]; 2] = [
        b"\x42\x01\x01\x01\x60\x00\x00\x03\x00\x90\x00\x00\x03\x00\x00\x03\x00\x3c\xa0\x0a\x48\x0b\x9d\x49\x96\x56\x69\x24\
          \xca\xf0\x16\x80\x80\x00\x00\x03\x00\x80\x00\x00\x0c\x84",
        b"\x42\x01\x04\x04\x08\x00\x00\x03\x00\x9d\x08\x00\x00\x03\x00\x00\x3c\x00\x00\xb0\x0a\x48\x0b\x9d\x4f\x96\x56\x52\
          \xb2\x95\x96\x49\x32\xbc\x05\xa0\x20\x00\x00\x03\x00\x20\x00\x00\x03\x03\x21",
    ];

    /// A record with an empty unit of another kind, and then this set.
    fn record(set: &[u8]) -> Vec<u8> {
        let arrays = [&[2, 0x20, 0, 1, 0, 0, 0x21, 0, 1, 0, set.len() as u8], set].concat();
        [&[0; ARRAYS_AT][..], &arrays].concat()
    }

    #[test]
    fn a_cropped_size_is_read() {
        for set in SETS {
            assert_eq!(size_in_record(&record(set)), Ok((326, 178)));
        }
    }

    #[test]
    fn a_record_cut_anywhere_is_broken() {
        let record = record(SETS[0]);
        for end in 0..record.len() {
            assert!(size_in_record(&record[..end]).is_err(), "{end}");
        }
    }

    #[test]
    fn a_record_without_a_sequence_parameter_set_is_told_from_a_broken_one() {
        let error = size_in_record(&[0; ARRAYS_AT + 1]);
        assert_eq!(error, Err("its record holds no sequence parameter set"));
    }
}
