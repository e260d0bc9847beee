//! FLV files: what recordings can be as well.
//!
//! Owns the head of a file, whose duration and size are known only at its end. A recorder writes the head, appends packets as
//! they come, and at last overwrites the head. A file whose end never came plays all the same; it only does not tell its duration.

use bytes::{BufMut, Bytes, BytesMut};

use crate::media::Kind;
use crate::media::codec::Codec;
use crate::media::flv::{HEADER_BYTES, TAG_OVERHEAD_BYTES, header, write_tag};
use crate::media::packet::Packet;

pub use super::patch::Patch;
use super::tracks::{AudioCodec, Tracks, VideoCodec};

/// A file being written.
#[derive(Debug, Clone)]
pub struct FlvFile {
    tracks: Tracks,
    /// A property of the head that is the writer's own.
    note: Option<(&'static str, Bytes)>,
    /// The stream's time that is 0 in the file.
    origin: u64,
    /// The latest time in the file, in milliseconds.
    duration_ms: u64,
    bytes: u64,
}

impl FlvFile {
    /// Begins a file: appends its head to `out`.
    ///
    /// `origin` is the stream's time, in milliseconds, that becomes 0: that of the first packet. The sequence headers in force are to be appended next.
    pub fn begin(tracks: &Tracks, origin: u64, out: &mut BytesMut) -> Self {
        Self::begin_with_note(tracks, origin, None, out)
    }

    /// The same with a note in the head: a property of the writer's own, by its name, of 65,535 bytes at most.
    pub fn begin_with_note(
        tracks: &Tracks,
        origin: u64,
        note: Option<(&'static str, Bytes)>,
        out: &mut BytesMut,
    ) -> Self {
        let note = note.filter(|(_, text)| text.len() <= usize::from(u16::MAX));
        let mut file = Self { tracks: tracks.clone(), note, origin, duration_ms: 0, bytes: 0 };
        let head = file.head();
        file.bytes = head.len() as u64;
        out.put_slice(&head);
        file
    }

    /// Appends a packet to `out`. Metadata is left out, because the file has its own.
    pub fn append(&mut self, packet: &Packet, out: &mut BytesMut) {
        if packet.kind == Kind::Data {
            return;
        }
        let time = packet.timestamp.saturating_sub(self.origin);
        self.duration_ms = self.duration_ms.max(time);
        self.bytes += (packet.payload.len() + TAG_OVERHEAD_BYTES) as u64;
        write_tag(out, packet.kind, time as u32, &packet.payload);
    }

    /// How large the file is.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The latest time in the file, in milliseconds.
    pub const fn duration_ms(&self) -> u64 {
        self.duration_ms
    }

    /// What replaces the head when nothing more is appended: its duration and size are those of the file.
    pub fn close(&self) -> Patch {
        Patch { offset: 0, bytes: self.head() }
    }

    /// The file header and `onMetaData`, of the same size whatever the numbers are.
    fn head(&self) -> Bytes {
        let metadata = self.metadata();
        let mut head = BytesMut::with_capacity(HEADER_BYTES + metadata.len() + TAG_OVERHEAD_BYTES);
        let audio = self.tracks.audio.is_some() || self.tracks.refused_audio.is_some();
        let video = self.tracks.video.is_some() || self.tracks.refused_video.is_some();
        head.put_slice(&header(audio, video));
        write_tag(&mut head, Kind::Data, 0, &metadata);
        head.freeze()
    }

    /// The body of `onMetaData` (FLV specification E.5).
    fn metadata(&self) -> BytesMut {
        let mut properties = vec![("duration", self.duration_ms as f64 / 1_000.0), ("filesize", self.bytes as f64)];
        if let Some(video) = &self.tracks.video {
            properties.push(("width", video.width.into()));
            properties.push(("height", video.height.into()));
            properties.push(("videocodecid", video_number(video.codec)));
        }
        if let Some(audio) = &self.tracks.audio {
            properties.push(("audiosamplerate", audio.sample_rate.into()));
            properties.push(("audiochannels", audio.channels.into()));
            properties.push(("audiocodecid", audio_number(audio.codec)));
        }
        let mut out = BytesMut::new();
        out.put_slice(b"\x02\x00\x0aonMetaData");
        // An ECMA array (AMF0 2.10), its end a name without a length.
        out.put_u8(8);
        out.put_u32((properties.len() + usize::from(self.note.is_some())) as u32);
        let put_name = |out: &mut BytesMut, name: &str| {
            out.put_u16(name.len() as u16);
            out.put_slice(name.as_bytes());
        };
        for (name, value) in properties {
            put_name(&mut out, name);
            out.put_u8(0);
            out.put_f64(value);
        }
        if let Some((name, text)) = &self.note {
            put_name(&mut out, name);
            out.put_u8(2);
            out.put_u16(text.len() as u16);
            out.put_slice(text);
        }
        out.put_slice(&[0, 0, 9]);
        out
    }
}

/// `videocodecid`: the number of FLV, or the FourCC of enhanced RTMP as one.
fn video_number(codec: VideoCodec) -> f64 {
    match codec {
        VideoCodec::Avc => number(Codec::AVC),
        VideoCodec::Hevc => number(Codec::FourCc(*b"hvc1")),
        VideoCodec::Av1 => number(Codec::FourCc(*b"av01")),
        VideoCodec::Vp9 => number(Codec::FourCc(*b"vp09")),
    }
}

/// `audiocodecid`, in the same way.
fn audio_number(codec: AudioCodec) -> f64 {
    match codec {
        AudioCodec::Aac => number(Codec::AAC),
        AudioCodec::Mp3 => number(Codec::Audio(2)),
        AudioCodec::Opus => number(Codec::FourCc(*b"Opus")),
        AudioCodec::Flac => number(Codec::FourCc(*b"fLaC")),
        AudioCodec::Ac3 => number(Codec::FourCc(*b"ac-3")),
        AudioCodec::Eac3 => number(Codec::FourCc(*b"ec-3")),
    }
}

fn number(codec: Codec) -> f64 {
    match codec {
        Codec::Video(number) | Codec::Audio(number) => number.into(),
        Codec::FourCc(code) => u32::from_be_bytes(code).into(),
    }
}

#[cfg(test)]
mod tests;
