//! Which codec a track carries, and what its configuration record says of it.
//!
//! Owns the names of codecs and the few fields of configuration records that people want to see (profile, level, sample
//! rate). Classification and the admin API call it; it never decodes media.

use std::fmt;

/// A codec as FLV and enhanced RTMP name it on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    /// A video codec by its number (FLV specification E.4.3.1; 12 and 13 are the customary HEVC and AV1).
    Video(u8),
    /// An audio codec by its sound format (FLV specification E.4.2.1).
    Audio(u8),
    /// A codec by its four characters (enhanced RTMP v2, "Enhanced Audio", "Enhanced Video").
    FourCc([u8; 4]),
}

impl Codec {
    /// Advanced Video Coding in its FLV form.
    pub const AVC: Self = Self::Video(7);
    /// Advanced Audio Coding in its FLV form.
    pub const AAC: Self = Self::Audio(10);
}

impl fmt::Display for Codec {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Video(2) => "H263",
            Self::Video(3 | 6) => "Screen",
            Self::Video(4 | 5) => "VP6",
            Self::Video(7) => "H264",
            Self::Video(12) => "HEVC",
            Self::Video(13) => "AV1",
            Self::Audio(0 | 3) => "PCM",
            Self::Audio(1) => "ADPCM",
            Self::Audio(2 | 14) => "MP3",
            Self::Audio(4..=6) => "Nellymoser",
            Self::Audio(7) => "G711A",
            Self::Audio(8) => "G711U",
            Self::Audio(10) => "AAC",
            Self::Audio(11) => "Speex",
            Self::Video(number) | Self::Audio(number) => return write!(formatter, "Unknown({number})"),
            Self::FourCc(code) => match code {
                b"avc1" => "H264",
                b"hvc1" => "HEVC",
                b"vvc1" => "VVC",
                b"av01" => "AV1",
                b"vp08" => "VP8",
                b"vp09" => "VP9",
                b"mp4a" => "AAC",
                b".mp3" => "MP3",
                b"ac-3" => "AC3",
                b"ec-3" => "EAC3",
                b"fLaC" => "FLAC",
                b"Opus" => "Opus",
                other => return write!(formatter, "{}", other.escape_ascii()),
            },
        };
        formatter.write_str(name)
    }
}

/// Profile and level of an AVC stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AvcProfile {
    /// `AVCProfileIndication`.
    pub profile: u8,
    /// Ten times the level: 31 is level 3.1.
    pub level: u8,
}

impl AvcProfile {
    /// Reads the start of an AVCDecoderConfigurationRecord (ISO/IEC 14496-15, 5.3.3.1).
    pub fn parse(record: &[u8]) -> Option<Self> {
        match record {
            [1, profile, _, level, ..] => Some(Self { profile: *profile, level: *level }),
            _ => None,
        }
    }

    /// The level as people write it.
    pub fn level_name(self) -> String {
        format!("{}.{}", self.level / 10, self.level % 10)
    }

    /// The profile's usual name.
    pub fn profile_name(self) -> &'static str {
        match self.profile {
            66 => "Baseline",
            77 => "Main",
            88 => "Extended",
            100 => "High",
            110 => "High10",
            122 => "High422",
            244 => "High444",
            _ => "Other",
        }
    }
}

/// Profile and level of an HEVC stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HevcProfile {
    /// `general_profile_idc`.
    pub profile: u8,
    /// Thirty times the level: 93 is level 3.1.
    pub level: u8,
}

impl HevcProfile {
    /// Reads the start of an HEVCDecoderConfigurationRecord (ISO/IEC 14496-15, 8.3.3.1).
    pub fn parse(record: &[u8]) -> Option<Self> {
        // Some encoders of before the standard write version 0.
        let &[0 | 1, profile, ..] = record else { return None };
        Some(Self { profile: profile & 0x1f, level: *record.get(12)? })
    }

    /// The profile's usual name.
    pub fn profile_name(self) -> &'static str {
        match self.profile {
            1 => "Main",
            2 => "Main10",
            3 => "MainStillPicture",
            4 => "Rext",
            _ => "Other",
        }
    }

    /// The level as people write it.
    pub fn level_name(self) -> String {
        format!("{}.{}", self.level / 30, self.level % 30 / 3)
    }
}

/// What an AAC AudioSpecificConfig says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AacConfig {
    /// Audio object type: 2 is AAC-LC, 5 HE-AAC.
    pub object_type: u8,
    /// Hertz.
    pub sample_rate: u32,
    /// Channel configuration: the number of channels up to 6, 7 for eight.
    pub channels: u8,
}

/// Sampling frequencies by index (ISO/IEC 14496-3, table 1.18).
pub(crate) const SAMPLE_RATES: [u32; 13] =
    [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350];

impl AacConfig {
    /// Reads the start of an AudioSpecificConfig (ISO/IEC 14496-3, 1.6.2.1).
    pub fn parse(config: &[u8]) -> Option<Self> {
        let mut bits = Bits { bytes: config, position: 0 };
        let mut object_type = bits.take(5)?;
        if object_type == 31 {
            object_type = 32 + bits.take(6)?;
        }
        let sample_rate = match bits.take(4)? {
            15 => bits.take(24)?,
            index => *SAMPLE_RATES.get(index as usize)?,
        };
        let channels = bits.take(4)?;
        Some(Self { object_type: object_type as u8, sample_rate, channels: channels as u8 })
    }

    /// The object type's usual name.
    pub fn profile_name(self) -> &'static str {
        match self.object_type {
            1 => "Main",
            2 => "LC",
            5 => "HE",
            29 => "HEv2",
            _ => "Other",
        }
    }
}

/// Reads bits from the most significant on.
struct Bits<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl Bits<'_> {
    fn take(&mut self, count: usize) -> Option<u32> {
        let mut value = 0;
        for _ in 0..count {
            let byte = *self.bytes.get(self.position / 8)?;
            value = value << 1 | u32::from(byte >> (7 - self.position % 8) & 1);
            self.position += 1;
        }
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn avc_profile_and_level_are_read_from_the_record() {
        let profile = AvcProfile::parse(&[1, 100, 0, 31, 0xff]).unwrap();
        assert_eq!((profile.profile_name(), profile.level), ("High", 31));
        assert_eq!(AvcProfile::parse(&[1, 100]), None);
    }

    #[test]
    fn hevc_profile_and_level_are_read_from_the_record() {
        let record = [1, 0b0010_0010, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 93, 0];
        let profile = HevcProfile::parse(&record).unwrap();
        assert_eq!((profile.profile_name(), profile.level_name()), ("Main10", "3.1".to_owned()));
        assert_eq!(HevcProfile::parse(&record[..12]), None);
    }

    #[test]
    fn aac_rate_and_channels_are_read_from_the_config() {
        let config = AacConfig::parse(&[0x12, 0x10]).unwrap();
        assert_eq!((config.profile_name(), config.sample_rate, config.channels), ("LC", 44_100, 2));
        assert_eq!(AacConfig::parse(&[0x12]), None);
    }

    #[test]
    fn an_explicit_aac_rate_is_read() {
        // Object type 2, index 15, 24 bits of rate (16,000), one channel.
        let config = AacConfig::parse(&[0b0001_0111, 0b1000_0000, 0b0001_1111, 0b0100_0000, 0b0000_1000]).unwrap();
        assert_eq!((config.sample_rate, config.channels), (16_000, 1));
    }

    #[test]
    fn codecs_have_the_names_people_know() {
        assert_eq!(Codec::AVC.to_string(), "H264");
        assert_eq!(Codec::FourCc(*b"Opus").to_string(), "Opus");
        assert_eq!(Codec::FourCc([0, 1, b'a', b'b']).to_string(), "\\x00\\x01ab");
    }
}
