//! Sample entries: a codec with its configuration (ISO/IEC 14496-12, 8.5.2, and the codecs' own bindings).

use bytes::{BufMut, BytesMut};

use super::boxes::{put_box, put_descriptor, put_full_box};
use crate::mux::tracks::{AudioCodec, AudioTrack, VideoCodec, VideoTrack};

/// Appends the entry of a video track.
pub(super) fn put_video(track: &VideoTrack, out: &mut BytesMut) {
    let (name, record) = match track.codec {
        VideoCodec::Avc => (b"avc1", b"avcC"),
        VideoCodec::Hevc => (b"hvc1", b"hvcC"),
        VideoCodec::Av1 => (b"av01", b"av1C"),
        VideoCodec::Vp9 => (b"vp09", b"vpcC"),
    };
    put_box(name, out, |out| {
        put_entry_head(out);
        out.put_bytes(0, 16);
        out.put_u16(u16::try_from(track.width).unwrap_or(u16::MAX));
        out.put_u16(u16::try_from(track.height).unwrap_or(u16::MAX));
        // 72 dots per inch both ways, reserved, one picture a sample.
        out.put_u32(0x0048_0000);
        out.put_u32(0x0048_0000);
        out.put_u32(0);
        out.put_u16(1);
        // No compressor's name; 24 bits a pixel; no colour table.
        out.put_bytes(0, 32);
        out.put_u16(0x0018);
        out.put_u16(0xffff);
        match track.codec {
            VideoCodec::Vp9 => put_full_box(record, 1, 0, out, |out| out.put_slice(&track.configuration)),
            _ => put_box(record, out, |out| out.put_slice(&track.configuration)),
        }
    });
}

/// Appends the entry of an audio track.
pub(super) fn put_audio(track: &AudioTrack, out: &mut BytesMut) {
    let name = match track.codec {
        AudioCodec::Aac | AudioCodec::Mp3 => b"mp4a",
        AudioCodec::Opus => b"Opus",
        AudioCodec::Flac => b"fLaC",
        AudioCodec::Ac3 => b"ac-3",
        AudioCodec::Eac3 => b"ec-3",
    };
    put_box(name, out, |out| {
        put_entry_head(out);
        out.put_bytes(0, 8);
        // Where the configuration tells the layout, two channels stand for it.
        out.put_u16(if track.channels == 0 { 2 } else { track.channels.into() });
        out.put_u16(16);
        out.put_u32(0);
        // Fixed point, 16 bits before it: a rate that does not fit is told by the configuration alone.
        out.put_u32(u16::try_from(track.sample_rate).map_or(0, |rate| u32::from(rate) << 16));
        put_configuration(track, out);
    });
}

/// Reserved, and the number of the data reference.
fn put_entry_head(out: &mut BytesMut) {
    out.put_bytes(0, 6);
    out.put_u16(1);
}

fn put_configuration(track: &AudioTrack, out: &mut BytesMut) {
    let record = &track.configuration;
    match track.codec {
        AudioCodec::Aac => put_stream_descriptor(object_type::AAC, record, out),
        AudioCodec::Mp3 if track.sample_rate >= 32_000 => put_stream_descriptor(object_type::MPEG1_AUDIO, record, out),
        AudioCodec::Mp3 => put_stream_descriptor(object_type::MPEG2_AUDIO, record, out),
        AudioCodec::Opus => put_box(b"dOps", out, |out| put_opus(record, out)),
        AudioCodec::Flac => put_full_box(b"dfLa", 0, 0, out, |out| {
            // The last metadata block, of type 0.
            out.put_u32(1 << 31 | record.len() as u32);
            out.put_slice(record);
        }),
        AudioCodec::Ac3 => put_box(b"dac3", out, |out| out.put_slice(record)),
        AudioCodec::Eac3 => put_box(b"dec3", out, |out| out.put_slice(record)),
    }
}

/// `objectTypeIndication` (ISO/IEC 14496-1, table 5).
mod object_type {
    pub(super) const AAC: u8 = 0x40;
    pub(super) const MPEG2_AUDIO: u8 = 0x69;
    pub(super) const MPEG1_AUDIO: u8 = 0x6b;
}

/// `esds` (ISO/IEC 14496-14, 5.6.1).
fn put_stream_descriptor(object_type: u8, configuration: &[u8], out: &mut BytesMut) {
    const AUDIO_STREAM: u8 = 5 << 2 | 1;
    put_full_box(b"esds", 0, 0, out, |out| {
        put_descriptor(3, out, |out| {
            // The id of the elementary stream, no flags.
            out.put_bytes(0, 3);
            put_descriptor(4, out, |out| {
                out.put_u8(object_type);
                out.put_u8(AUDIO_STREAM);
                // Buffer size, maximum and average bit rate: unknown.
                out.put_bytes(0, 3 + 4 + 4);
                if !configuration.is_empty() {
                    put_descriptor(5, out, |out| out.put_slice(configuration));
                }
            });
            put_descriptor(6, out, |out| out.put_u8(2));
        });
    });
}

/// Encapsulation of Opus in ISOBMFF, 4.3.2: the identification header without its name, the numbers the other way round.
fn put_opus(header: &[u8], out: &mut BytesMut) {
    // Version, channels, pre-skip, input rate, gain, mapping; checked when the track was made.
    let &[_, channels, skip_0, skip_1, rate_0, rate_1, rate_2, rate_3, gain_0, gain_1, family] =
        header.get(8..19).and_then(|fixed| fixed.first_chunk::<11>()).unwrap_or(&[0; 11]);
    out.put_slice(&[0, channels, skip_1, skip_0, rate_3, rate_2, rate_1, rate_0, gain_1, gain_0, family]);
    if family != 0 {
        out.put_slice(header.get(19..21 + usize::from(channels)).unwrap_or_default());
    }
}
