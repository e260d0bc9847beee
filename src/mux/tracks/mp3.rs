//! The header of an MP3 frame (ISO/IEC 11172-3, 2.4.1.3, and 13818-3).

/// What a header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) sample_rate: u32,
    pub(super) channels: u8,
}

impl Header {
    pub(super) fn read(frame: &[u8]) -> Option<Self> {
        let &[0xff, second, third, fourth, ..] = frame else { return None };
        if second & 0xe0 != 0xe0 || second >> 1 & 0b11 != 0b01 {
            // No sync word, or not layer III.
            return None;
        }
        let rate = [44_100, 48_000, 32_000].get(usize::from(third >> 2 & 0b11))?;
        let divisor = match second >> 3 & 0b11 {
            0b11 => 1,
            0b10 => 2,
            0b00 => 4,
            _ => return None,
        };
        let channels = if fourth >> 6 == 0b11 { 1 } else { 2 };
        Some(Self { sample_rate: rate / divisor, channels })
    }
}

/// MPEG-1 has 1,152 samples a frame, MPEG-2 with its lower rates half of them.
pub(super) const fn samples_a_frame(sample_rate: u32) -> u32 {
    if sample_rate >= 32_000 { 1_152 } else { 576 }
}
