//! The tracks of a stream: which codecs, with which parameters.
//!
//! Owns what segments, playlists and recordings say of a stream before its first frame. Packagers and recorders show it every
//! packet, and compare: when the tracks have changed, a new initialisation is due. Codecs without sequence headers (MP3,
//! AC-3) tell their parameters in their frames, VP9 its size in its keyframes.

mod ac3;
mod audio;
mod av1;
mod avc;
mod hevc;
mod mp3;
mod names;
mod video;
mod vp9;

pub use audio::{AudioCodec, AudioTrack};
pub use video::{VideoCodec, VideoTrack};

use crate::media::Kind;
use crate::media::codec::Codec;
use crate::media::packet::Packet;

use super::body::{self, Part, Truncated};

/// The tracks of a stream, as far as they are known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tracks {
    /// The video track.
    pub video: Option<VideoTrack>,
    /// The audio track.
    pub audio: Option<AudioTrack>,
    /// Video that is there, in a codec that nothing here can carry.
    pub refused_video: Option<Codec>,
    /// Audio that is there, in a codec that nothing here can carry.
    pub refused_audio: Option<Codec>,
}

/// Why a packet does not become a track. The stream has no such track then, until the next header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TrackError {
    /// The codec is none that segments or recordings can carry.
    #[error("{0} fits neither MPEG-TS nor fragmented MP4")]
    Unsupported(Codec),
    /// The configuration record, or the frame that stands for one, is broken.
    #[error("the {codec} track cannot be used: {problem}")]
    Configuration {
        /// Whose configuration it is.
        codec: Codec,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The body of a tag ends within its header.
    #[error("a tag ends within its header")]
    Truncated,
}

/// Why tracks cannot be carried in a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// There is neither video nor audio.
    #[error("there is no track that could be carried")]
    NoTracks,
    /// The container does not carry the video codec.
    #[error("{0} video does not fit into MPEG-TS")]
    Video(VideoCodec),
    /// The container does not carry the audio codec.
    #[error("{0} audio does not fit into MPEG-TS")]
    Audio(AudioCodec),
    /// The AAC configuration cannot be said in an ADTS header.
    #[error("this AAC does not fit into MPEG-TS: {0}")]
    Aac(&'static str),
}

impl Tracks {
    /// Takes what a packet tells of its track; returns whether anything has changed. To be shown every packet, before its frame is written.
    ///
    /// A codec that nothing can carry is an error once, not with every frame.
    pub fn take(&mut self, packet: &Packet) -> Result<bool, TrackError> {
        let body = match body::read(packet.kind, &packet.payload) {
            Ok(Some(body)) => body,
            Ok(None) => return Ok(false),
            Err(Truncated) => return Err(TrackError::Truncated),
        };
        let data = packet.payload.slice_ref(body.data);
        match packet.kind {
            Kind::Video => self.take_video(body.codec, body.part, body.is_keyframe, data),
            Kind::Audio => self.take_audio(body.codec, body.part, data),
            Kind::Data => Ok(false),
        }
    }

    /// Whether there is neither video nor audio.
    pub const fn is_empty(&self) -> bool {
        self.video.is_none() && self.audio.is_none()
    }

    /// The codecs as `CODECS` of a playlist and MIME types name them (RFC 6381), video first, with commas between.
    pub fn codecs(&self) -> String {
        let video = self.video.as_ref().map(VideoTrack::codec_string);
        let audio = self.audio.as_ref().map(AudioTrack::codec_string);
        video.into_iter().chain(audio).collect::<Vec<_>>().join(",")
    }

    /// Whether MPEG-TS can carry all tracks as players expect it: H.264, AAC, MP3 and AC-3.
    pub fn fits_mpegts(&self) -> Result<(), Unfit> {
        if self.is_empty() {
            return Err(Unfit::NoTracks);
        }
        if let Some(video) = &self.video
            && video.codec != VideoCodec::Avc
        {
            return Err(Unfit::Video(video.codec));
        }
        self.audio.as_ref().map_or(Ok(()), AudioTrack::fits_mpegts)
    }

    fn take_video(
        &mut self,
        name: Codec,
        part: Part,
        is_keyframe: bool,
        data: bytes::Bytes,
    ) -> Result<bool, TrackError> {
        let Some(codec) = VideoCodec::of(name) else {
            self.video = None;
            return refuse(&mut self.refused_video, name);
        };
        if part == Part::Frame {
            // A size that was not known, or has changed without a header.
            return Ok(is_keyframe
                && self.video.as_mut().is_some_and(|track| track.codec == codec && track.take_size_of(&data)));
        }
        if data.is_empty() {
            // ffmpeg announces a track so before it has the record.
            return Ok(false);
        }
        self.refused_video = None;
        let mut track = VideoTrack::new(codec, data).map_err(|problem| {
            self.video = None;
            TrackError::Configuration { codec: name, problem }
        })?;
        if let Some(before) = &self.video
            && before.configuration == track.configuration
        {
            track.keep_size_of(before);
        }
        Ok(replace(&mut self.video, track))
    }

    fn take_audio(&mut self, name: Codec, part: Part, data: bytes::Bytes) -> Result<bool, TrackError> {
        let Some(codec) = AudioCodec::of(name) else {
            self.audio = None;
            return refuse(&mut self.refused_audio, name);
        };
        if data.is_empty() || (part == Part::Frame) == codec.has_header() {
            return Ok(false);
        }
        self.refused_audio = None;
        let track = AudioTrack::new(codec, data).map_err(|problem| {
            self.audio = None;
            TrackError::Configuration { codec: name, problem }
        })?;
        if let Some(before) = &self.audio
            && !codec.has_header()
            && (before.codec, before.sample_rate, before.channels) == (codec, track.sample_rate, track.channels)
        {
            // Frames differ in bit rate; nothing depends on it.
            return Ok(false);
        }
        Ok(replace(&mut self.audio, track))
    }
}

/// Remembers a codec that cannot be carried; an error only when it is news.
fn refuse(refused: &mut Option<Codec>, codec: Codec) -> Result<bool, TrackError> {
    if refused.replace(codec) == Some(codec) {
        return Ok(false);
    }
    Err(TrackError::Unsupported(codec))
}

/// Puts a track in its place; returns whether it is another one.
fn replace<T: PartialEq>(place: &mut Option<T>, track: T) -> bool {
    let changed = place.as_ref() != Some(&track);
    *place = Some(track);
    changed
}

#[cfg(test)]
mod tests;
