//! An audio track: its codec, its record, its rate.

use std::fmt;

use bytes::Bytes;

use crate::media::codec::{AacConfig, Codec, SAMPLE_RATES};

use super::{Unfit, ac3, mp3, names};

/// An audio codec that can be carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AudioCodec {
    /// AAC in all its object types.
    Aac,
    /// MPEG-1 and MPEG-2 layer III.
    Mp3,
    /// Opus.
    Opus,
    /// FLAC.
    Flac,
    /// AC-3.
    Ac3,
    /// E-AC-3.
    Eac3,
}

impl AudioCodec {
    /// The codec behind a name of FLV or enhanced RTMP, if it can be carried.
    pub const fn of(codec: Codec) -> Option<Self> {
        match codec {
            Codec::Audio(10) => Some(Self::Aac),
            Codec::Audio(2 | 14) => Some(Self::Mp3),
            Codec::FourCc(code) => match &code {
                b"mp4a" => Some(Self::Aac),
                b".mp3" => Some(Self::Mp3),
                b"Opus" => Some(Self::Opus),
                b"fLaC" => Some(Self::Flac),
                b"ac-3" => Some(Self::Ac3),
                b"ec-3" => Some(Self::Eac3),
                _ => None,
            },
            _ => None,
        }
    }

    /// Whether its parameters come in a sequence header, and not in every frame.
    pub(super) const fn has_header(self) -> bool {
        matches!(self, Self::Aac | Self::Opus | Self::Flac)
    }
}

impl fmt::Display for AudioCodec {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Aac => "AAC",
            Self::Mp3 => "MP3",
            Self::Opus => "Opus",
            Self::Flac => "FLAC",
            Self::Ac3 => "AC-3",
            Self::Eac3 => "E-AC-3",
        })
    }
}

/// An audio track's parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AudioTrack {
    /// The codec.
    pub codec: AudioCodec,
    /// The decoder's configuration: AudioSpecificConfig, the Opus identification header (RFC 7845, 5.1), FLAC's `STREAMINFO` without
    /// its block header, what `dac3` or `dec3` hold; empty for MP3.
    pub configuration: Bytes,
    /// Hertz.
    pub sample_rate: u32,
    /// The number of channels; 0 where only the configuration tells.
    pub channels: u8,
}

/// What an Opus identification header begins with.
const OPUS_HEAD: &[u8] = b"OpusHead";
/// The size of FLAC's `STREAMINFO` block, without its header.
const STREAM_INFO_BYTES: usize = 34;

impl AudioTrack {
    /// Reads a sequence header, or the first frame of a codec that has none.
    pub(super) fn new(codec: AudioCodec, data: Bytes) -> Result<Self, &'static str> {
        let (configuration, sample_rate, channels) = match codec {
            AudioCodec::Aac => {
                let config = AacConfig::parse(&data).ok_or("its AudioSpecificConfig is broken")?;
                let channels = if config.channels == 7 { 8 } else { config.channels };
                (data, config.sample_rate, channels)
            }
            AudioCodec::Opus => {
                let channels = channels_of_opus(&data)?;
                // Opus always decodes to 48 kHz; the header's rate is that of the microphone.
                (data, 48_000, channels)
            }
            AudioCodec::Flac => {
                let info = stream_info(&data).ok_or("its STREAMINFO is missing")?;
                let rate = u32::from_be_bytes([0, info[10], info[11], info[12]]) >> 4;
                let channels = (info[12] >> 1 & 0b111) + 1;
                (lasting(info), rate, channels)
            }
            AudioCodec::Mp3 => {
                let header = mp3::Header::read(&data).ok_or("a frame of it has no MP3 header")?;
                (Bytes::new(), header.sample_rate, header.channels)
            }
            AudioCodec::Ac3 => ac3::read(&data)?,
            AudioCodec::Eac3 => ac3::read_enhanced(&data)?,
        };
        if sample_rate == 0 {
            return Err("its sample rate is 0");
        }
        Ok(Self { codec, configuration, sample_rate, channels })
    }

    /// `CODECS` of this track (RFC 6381).
    pub fn codec_string(&self) -> String {
        names::audio(self)
    }

    /// How many samples a frame usually has.
    pub const fn samples_a_frame(&self) -> u32 {
        match self.codec {
            AudioCodec::Aac => 1_024,
            AudioCodec::Mp3 => mp3::samples_a_frame(self.sample_rate),
            AudioCodec::Opus => 960,
            AudioCodec::Flac => 4_096,
            AudioCodec::Ac3 | AudioCodec::Eac3 => 1_536,
        }
    }

    pub(super) fn fits_mpegts(&self) -> Result<(), Unfit> {
        match self.codec {
            AudioCodec::Aac => self.adts().map(drop),
            AudioCodec::Mp3 | AudioCodec::Ac3 => Ok(()),
            codec => Err(Unfit::Audio(codec)),
        }
    }

    /// What ADTS headers say of this AAC track.
    pub(in crate::mux) fn adts(&self) -> Result<Adts, Unfit> {
        let config = AacConfig::parse(&self.configuration).ok_or(Unfit::Aac("its configuration is broken"))?;
        let profile = match config.object_type {
            object_type @ 1..=4 => object_type - 1,
            // High efficiency AAC is AAC-LC to a decoder that does not know better, and found in the frames by one that does.
            5 | 29 => 1,
            _ => return Err(Unfit::Aac("ADTS has no number for its object type")),
        };
        let frequency = SAMPLE_RATES
            .iter()
            .position(|rate| *rate == config.sample_rate)
            .ok_or(Unfit::Aac("ADTS has no number for its sample rate"))?;
        if !matches!(config.channels, 1..=7) {
            return Err(Unfit::Aac("ADTS has no number for its channel layout"));
        }
        Ok(Adts { profile, frequency: frequency as u8, channels: config.channels })
    }
}

/// The variable fields of an ADTS header (ISO/IEC 13818-7, 6.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::mux) struct Adts {
    /// The object type minus one.
    pub(in crate::mux) profile: u8,
    /// The sample rate's number.
    pub(in crate::mux) frequency: u8,
    /// The channel configuration.
    pub(in crate::mux) channels: u8,
}

/// RFC 7845, 5.1.
fn channels_of_opus(header: &[u8]) -> Result<u8, &'static str> {
    const FIXED_BYTES: usize = 19;
    if !header.starts_with(OPUS_HEAD) || header.len() < FIXED_BYTES {
        return Err("its identification header is broken");
    }
    let (channels, family) = (header[9], header[18]);
    let table = if family == 0 { 0 } else { 2 + usize::from(channels) };
    if channels == 0 || (family == 0 && channels > 2) || header.len() < FIXED_BYTES + table {
        return Err("its channel mapping is broken");
    }
    Ok(channels)
}

/// `STREAMINFO` without what encoders know only at the end, and then send again: sizes of frames, the number of samples, a hash.
fn lasting(info: &[u8]) -> Bytes {
    let mut info = info.to_vec();
    info[4..10].fill(0);
    info[13] &= 0xf0;
    info[14..].fill(0);
    info.into()
}

/// Finds `STREAMINFO` (RFC 9639, 8.2) in a sequence header: it comes bare, as a metadata block, or behind the stream marker.
fn stream_info(header: &[u8]) -> Option<&[u8]> {
    let blocks = header.strip_prefix(b"fLaC").unwrap_or(header);
    if blocks.len() == STREAM_INFO_BYTES {
        return Some(blocks);
    }
    match blocks.split_first_chunk::<4>()? {
        // The top bit marks the last block; STREAMINFO is of type 0.
        ([0 | 0x80, 0, 0, 34], rest) => rest.get(..STREAM_INFO_BYTES),
        _ => None,
    }
}
