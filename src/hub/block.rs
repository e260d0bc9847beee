//! A block: the packets of one merge window, sealed, with their wire forms.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use bytes::{Bytes, BytesMut};

use crate::media::class::Class;
use crate::media::packet::Packet;

use super::budget::Charge;
use super::headers::Headers;

/// The bytes at which a block is sealed before its window has passed: a window of 350 ms at 2 Mbit/s has to fit, since it
/// is the number of writes that costs.
pub(super) const MAX_BLOCK_BYTES: usize = 128 << 10;

/// How packets stand on a player's wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WireForm {
    /// RTMP messages on message stream 1, cut into chunks of `chunk_size` bytes (the same for the whole process).
    Rtmp {
        /// The outgoing chunk size in bytes.
        chunk_size: usize,
    },
    /// FLV tags.
    Flv,
}

/// Packets that are sent together, immutable and shared by all players of the stream.
///
/// Each wire form is built once, by the first reader that wants it, and contiguous: one write sends it.
#[derive(Debug)]
pub struct Block {
    packets: Vec<Packet>,
    headers: Arc<Headers>,
    sealed_at: Instant,
    first_packet: u64,
    first_byte: u64,
    session: u64,
    rtmp: OnceLock<Bytes>,
    flv: OnceLock<Bytes>,
    charge: Charge,
}

impl Block {
    /// The packets, at least one.
    pub fn packets(&self) -> &[Packet] {
        &self.packets
    }

    /// The headers in force for these packets.
    pub fn headers(&self) -> &Arc<Headers> {
        &self.headers
    }

    /// Whether a player can begin here.
    pub fn starts_with_keyframe(&self) -> bool {
        self.packets.first().is_some_and(|packet| packet.class == Class::Keyframe)
    }

    /// When the block became visible to readers.
    pub(super) fn sealed_at(&self) -> Instant {
        self.sealed_at
    }

    /// The number of packets that the stream had before this block.
    pub fn first_packet(&self) -> u64 {
        self.first_packet
    }

    /// The number of the packet behind this block.
    pub(super) fn end_packet(&self) -> u64 {
        self.first_packet + self.packets.len() as u64
    }

    /// The bytes of media that the stream had before this block.
    pub(super) fn first_byte(&self) -> u64 {
        self.first_byte
    }

    /// The number of the publish session that it belongs to.
    pub(super) fn session(&self) -> u64 {
        self.session
    }

    /// The first packet's timestamp as wire formats carry it, in milliseconds.
    pub fn wire_timestamp(&self) -> u32 {
        self.packets.first().map_or(0, Packet::wire_timestamp)
    }

    /// The bytes of the media bodies.
    pub fn payload_bytes(&self) -> usize {
        self.packets.iter().map(|packet| packet.payload.len()).sum()
    }

    /// The packets in a wire form.
    pub fn wire(&self, form: WireForm) -> Bytes {
        let cell = match form {
            WireForm::Rtmp { .. } => &self.rtmp,
            WireForm::Flv => &self.flv,
        };
        cell.get_or_init(|| self.build(form)).clone()
    }

    fn build(&self, form: WireForm) -> Bytes {
        let size = self.packets.iter().map(|packet| form.wire_len(packet.wire_timestamp(), &packet.payload)).sum();
        let mut out = BytesMut::with_capacity(size);
        for packet in &self.packets {
            form.write(&mut out, packet.kind, packet.wire_timestamp(), &packet.payload);
        }
        self.charge.add(size);
        out.freeze()
    }
}

/// How much a stream has had: packets, and the bytes of their bodies.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Position {
    pub(super) packet: u64,
    pub(super) byte: u64,
}

/// The block that the publisher is filling.
#[derive(Debug, Default)]
pub(super) struct OpenBlock {
    packets: Vec<Packet>,
    bytes: usize,
    opened_at: Option<Instant>,
}

impl OpenBlock {
    pub(super) fn push(&mut self, packet: Packet, now: Instant) {
        self.opened_at.get_or_insert(now);
        self.bytes += packet.payload.len();
        self.packets.push(packet);
    }

    /// Whether only headers and metadata are in it, so that another header may still join them.
    pub(super) fn holds_only_headers(&self) -> bool {
        self.packets.iter().all(|packet| matches!(packet.class, Class::Header(_) | Class::Metadata))
    }

    /// Whether `more` bytes would make it larger than a block should be.
    pub(super) fn is_full_with(&self, more: usize) -> bool {
        self.bytes + more > MAX_BLOCK_BYTES
    }

    /// When the first packet came.
    pub(super) fn opened_at(&self) -> Option<Instant> {
        self.opened_at
    }

    /// Seals what is there, and is empty again.
    pub(super) fn seal(
        &mut self,
        headers: Arc<Headers>,
        first: Position,
        session: u64,
        now: Instant,
        charge: impl FnOnce(usize) -> Charge,
    ) -> Option<Block> {
        let open = std::mem::take(self);
        if open.packets.is_empty() {
            return None;
        }
        // Tomorrow's block will be of about the same size.
        self.packets.reserve(open.packets.len());
        let held = open.bytes + open.packets.capacity() * size_of::<Packet>() + size_of::<Block>();
        Some(Block {
            packets: open.packets,
            headers,
            sealed_at: now,
            first_packet: first.packet,
            first_byte: first.byte,
            session,
            rtmp: OnceLock::new(),
            flv: OnceLock::new(),
            charge: charge(held),
        })
    }
}
