//! What the sequence headers tell of a stream's pictures and sound.

use serde::Serialize;

use crate::hub::Headers;
use crate::media::class::Track;
use crate::media::codec::{AacConfig, AvcProfile, Codec, HevcProfile};
use crate::mux::tracks::{VideoCodec, VideoTrack};

#[derive(Debug, Serialize)]
pub(super) struct Video {
    codec: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    level: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    width: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    height: Option<u32>,
}

impl Video {
    pub(super) fn of(codec: Codec, headers: &Headers) -> Self {
        // The record stands behind the tag header: one byte, packet type and composition time, or one byte and FourCC.
        let body = headers.sequence_header(Track::Video);
        let record = body.and_then(|body| (body.len() > 5).then(|| body.slice(5..)));
        let carried = VideoCodec::of(codec);
        let (profile, level) = match (&record, carried) {
            (Some(record), Some(VideoCodec::Avc)) => {
                told(AvcProfile::parse(record).map(|avc| (avc.profile_name(), avc.level_name())))
            }
            (Some(record), Some(VideoCodec::Hevc)) => {
                told(HevcProfile::parse(record).map(|hevc| (hevc.profile_name(), hevc.level_name())))
            }
            _ => (None, None),
        };
        let track = carried.zip(record).and_then(|(codec, record)| VideoTrack::new(codec, record).ok());
        let size = track.map(|track| (track.width, track.height)).filter(|(width, height)| *width > 0 && *height > 0);
        Self {
            codec: codec.to_string(),
            profile,
            level,
            width: size.map(|(width, _)| width),
            height: size.map(|(_, height)| height),
        }
    }
}

fn told(profile: Option<(&'static str, String)>) -> (Option<&'static str>, Option<String>) {
    profile.unzip()
}

#[derive(Debug, Serialize)]
pub(super) struct Audio {
    codec: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    sample_rate: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<&'static str>,
}

impl Audio {
    pub(super) fn of(codec: Codec, headers: &Headers) -> Self {
        let header = headers.sequence_header(Track::Audio);
        let config = match codec {
            Codec::AAC => header.and_then(|body| body.get(2..)),
            Codec::FourCc([b'm', b'p', b'4', b'a']) => header.and_then(|body| body.get(5..)),
            _ => None,
        };
        let config = config.and_then(AacConfig::parse);
        Self {
            codec: codec.to_string(),
            sample_rate: config.map(|config| config.sample_rate),
            channel: config.map(|config| config.channels),
            profile: config.map(AacConfig::profile_name),
        }
    }
}
