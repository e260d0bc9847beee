//! What a player needs before anything else of a stream: metadata and sequence headers.

use bytes::{Bytes, BytesMut};

use crate::media::class::{Class, HeaderSlot, Track};
use crate::media::codec::Codec;
use crate::media::metadata::{self, Promise};
use crate::media::packet::Packet;
use crate::media::{Kind, flv};
use crate::rtmp::chunk_writer;

use super::block::WireForm;

/// The most headers that a stream may have in force: more than any multitrack stream needs, few enough to be no attack.
const MAX_HEADERS: usize = 64;

/// The tracks of a stream and their codecs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tracks {
    /// The audio codec, once there was audio.
    pub audio: Option<Codec>,
    /// The video codec, once there was video.
    pub video: Option<Codec>,
}

/// The headers in force at some point of a stream. Never changed once a block refers to them.
#[derive(Debug, Clone, Default)]
pub struct Headers {
    metadata: Option<Packet>,
    sequence: Vec<(HeaderSlot, Packet)>,
    /// The tracks seen so far.
    pub tracks: Tracks,
    /// Whether `tracks` is taken for complete.
    pub settled: bool,
}

impl Headers {
    /// Whether `packet` says again what is in force anyway.
    pub(super) fn repeats(&self, packet: &Packet) -> bool {
        let current = match packet.class {
            Class::Metadata => self.metadata.as_ref(),
            Class::Header(slot) => self.slot(slot),
            _ => None,
        };
        current.is_some_and(|current| current.payload == packet.payload)
    }

    /// Puts a header or metadata packet in force.
    pub(super) fn set(&mut self, packet: &Packet) {
        match packet.class {
            Class::Metadata => self.metadata = Some(packet.clone()),
            Class::Header(slot) => match self.sequence.binary_search_by_key(&slot, |(slot, _)| *slot) {
                Ok(at) => self.sequence[at].1 = packet.clone(),
                Err(at) if self.sequence.len() < MAX_HEADERS => self.sequence.insert(at, (slot, packet.clone())),
                Err(_) => {}
            },
            _ => {}
        }
    }

    /// Whether a player that was told of the tracks `told` cannot follow: a codec is another one, a track is new, or, once
    /// the tracks are settled, one is missing.
    pub(super) fn contradict(&self, told: Tracks) -> bool {
        let other = |now: Option<Codec>, told: Option<Codec>| now.is_some() && now != told;
        other(self.tracks.audio, told.audio)
            || other(self.tracks.video, told.video)
            || (self.settled && self.tracks != told)
    }

    /// What the metadata promises.
    pub(super) fn promise(&self) -> Option<Promise> {
        self.metadata.as_ref().and_then(|packet| metadata::promise(&packet.payload))
    }

    /// The body of the sequence header of the main video or audio track.
    pub fn sequence_header(&self, track: Track) -> Option<&Bytes> {
        self.sequence.iter().find(|(slot, _)| slot.track == track).map(|(_, packet)| &packet.payload)
    }

    fn slot(&self, slot: HeaderSlot) -> Option<&Packet> {
        let at = self.sequence.binary_search_by_key(&slot, |(slot, _)| *slot).ok()?;
        Some(&self.sequence[at].1)
    }

    /// Metadata, video headers, audio headers: as they go before a block. Timestamps are wire milliseconds.
    pub(super) fn wire(&self, form: WireForm, metadata_at: u32, sequence_at: u32) -> Bytes {
        let mut out = BytesMut::new();
        if let Some(packet) = &self.metadata {
            form.write(&mut out, packet.kind, metadata_at, &packet.payload);
        }
        for (_, packet) in &self.sequence {
            form.write(&mut out, packet.kind, sequence_at, &packet.payload);
        }
        out.freeze()
    }
}

impl WireForm {
    /// Appends one unit of media in this form.
    pub(super) fn write(self, out: &mut BytesMut, kind: Kind, timestamp: u32, payload: &[u8]) {
        match self {
            Self::Flv => flv::write_tag(out, kind, timestamp, payload),
            Self::Rtmp { chunk_size } => {
                chunk_writer::write_media(out, kind, timestamp, PLAYER_STREAM_ID, payload, chunk_size);
            }
        }
    }

    /// How many bytes [`Self::write`] appends.
    pub(super) fn wire_len(self, timestamp: u32, payload: &[u8]) -> usize {
        match self {
            Self::Flv => flv::TAG_OVERHEAD_BYTES + payload.len(),
            Self::Rtmp { chunk_size } => chunk_writer::media_wire_len(payload.len(), timestamp, chunk_size),
        }
    }
}

/// Every player's message stream, so that one wire form serves all of them.
const PLAYER_STREAM_ID: u32 = 1;
