//! The synthetic stream: 30 frames a second, a keyframe every two seconds, 43 AAC frames a second.

use bytes::Bytes;
use rillcast::media::{Kind, Tag};
use rillcast::rtmp::amf0::{self, Value};

use super::script::{Body, Cadence, Script, TrackScript};
use super::{aac, h264};

const FRAME_RATE: u64 = 30;
const GOP_FRAMES: u32 = 60;
/// How many times larger a keyframe is than the others.
const KEYFRAME_FACTOR: usize = 8;
/// Bits a second of audio, unless a quarter of the whole is less.
const AUDIO_BITRATE: u64 = 128_000;

/// A stream of `bitrate` bits a second; there is a least one, of some 60 kbit/s, that stamps need.
pub(crate) fn script(bitrate: u64) -> Script {
    let audio_bitrate = AUDIO_BITRATE.min(bitrate / 4);
    let (audio, stamp_at) = aac::frame((audio_bitrate * aac::FRAME_SAMPLES / aac::SAMPLE_RATE / 8) as usize);
    let audio = Body { bytes: audio, stamp_at: Some(stamp_at) };
    let gop_bytes = ((bitrate - audio_bitrate) / 8 * u64::from(GOP_FRAMES) / FRAME_RATE) as usize;
    let frame_bytes = gop_bytes / (GOP_FRAMES as usize - 1 + KEYFRAME_FACTOR);
    let video = (0..2 * GOP_FRAMES).map(|number| {
        let (index, parity) = (number % GOP_FRAMES, number / GOP_FRAMES);
        let size = if index == 0 { frame_bytes * KEYFRAME_FACTOR } else { frame_bytes };
        Body { bytes: h264::frame(index, parity, size), stamp_at: Some(h264::STAMP_AT) }
    });
    Script {
        headers: headers(),
        tracks: vec![
            TrackScript {
                kind: Kind::Video,
                bodies: video.collect(),
                cadence: Cadence::Even { count: FRAME_RATE, seconds: 1 },
            },
            TrackScript {
                kind: Kind::Audio,
                bodies: vec![audio],
                cadence: Cadence::Even { count: aac::SAMPLE_RATE, seconds: aac::FRAME_SAMPLES },
            },
        ],
    }
}

fn headers() -> Vec<Tag> {
    let number = |name: &str, value: u32| (name.to_owned(), Value::Number(f64::from(value)));
    let metadata = vec![
        number("width", 640),
        number("height", 352),
        number("framerate", 30),
        number("videocodecid", 7),
        number("audiocodecid", 10),
        number("audiosamplerate", 44_100),
        number("audiochannels", 1),
    ];
    let metadata = amf0::encode(&[Value::string("onMetaData"), Value::EcmaArray(metadata)]);
    [(Kind::Data, metadata), (Kind::Video, h264::sequence_header()), (Kind::Audio, aac::sequence_header())]
        .map(|(kind, body)| Tag { kind, timestamp: 0, payload: Bytes::from(body) })
        .into()
}

#[cfg(test)]
mod tests {
    use rillcast::media::class::{Class, classify};

    use super::*;

    #[test]
    fn the_bitrate_is_the_one_wanted() {
        for bitrate in [500_000, 2_000_000, 20_000_000] {
            let actual = script(bitrate).bits_per_second();
            assert!((actual / bitrate as f64 - 1.0).abs() < 0.02, "{bitrate}: {actual}");
        }
    }

    #[test]
    fn a_server_knows_headers_keyframes_and_frames_apart() {
        let script = script(1_000_000);
        let classes: Vec<_> = script.headers.iter().map(|tag| classify(tag).0).collect();
        assert!(matches!(classes[..], [Class::Metadata, Class::Header(_), Class::Header(_)]));
        let mut position = script.begin();
        let tags: Vec<Tag> = (0..400).map(|_| script.take(&mut position, 0).unwrap()).collect();
        for (number, tag) in tags.iter().filter(|tag| tag.kind == Kind::Video).enumerate() {
            let expected = if number.is_multiple_of(GOP_FRAMES as usize) { Class::Keyframe } else { Class::Frame };
            assert_eq!(classify(tag).0, expected);
        }
    }
}
