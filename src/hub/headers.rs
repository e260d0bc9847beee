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
/// The most bytes that they may have together: every player who joins is sent them, and no ring's cap counts them.
const MAX_HEADER_BYTES: usize = 1 << 20;

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
    /// What the metadata promises, read once: it may be long, and every packet asks.
    promise: Option<Promise>,
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

    /// Puts a header or metadata packet in force, unless it is too large to be kept.
    pub(super) fn set(&mut self, packet: &Packet) {
        let replaced = match packet.class {
            Class::Metadata => self.metadata.as_ref(),
            Class::Header(slot) => self.slot(slot),
            _ => None,
        };
        let others = self.bytes() - replaced.map_or(0, |replaced| replaced.payload.len());
        if others + packet.payload.len() > MAX_HEADER_BYTES {
            return;
        }
        match packet.class {
            Class::Metadata => {
                self.promise = metadata::promise(&packet.payload);
                self.metadata = Some(packet.clone());
            }
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

    /// Metadata and sequence headers, as they would be sent again at `timestamp`.
    pub(super) fn again_at(&self, timestamp: u64) -> Vec<Packet> {
        self.packets(timestamp, timestamp).collect()
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.metadata.is_none() && self.sequence.is_empty()
    }

    /// Metadata, video headers, audio headers: as they go before a block.
    pub(super) fn packets(&self, metadata_at: u64, sequence_at: u64) -> impl Iterator<Item = Packet> {
        let metadata = self.metadata.iter().map(move |packet| Packet { timestamp: metadata_at, ..packet.clone() });
        let sequence = self.sequence.iter();
        metadata.chain(sequence.map(move |(_, packet)| Packet { timestamp: sequence_at, ..packet.clone() }))
    }

    /// What the metadata promises.
    pub(super) fn promise(&self) -> Option<Promise> {
        self.promise
    }

    fn bytes(&self) -> usize {
        let sequence = self.sequence.iter().map(|(_, packet)| packet);
        self.metadata.iter().chain(sequence).map(|packet| packet.payload.len()).sum()
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
