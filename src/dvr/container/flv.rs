//! Recordings as FLV: tags behind tags, whole up to the last one.

use std::fs::File;
use std::io;

use bytes::{Bytes, BytesMut};

use crate::dvr::card::{Card, MAX_CARD_BYTES};
use crate::media::class::{Class, classify};
use crate::media::flv::{HEADER_BYTES, MAX_BODY_BYTES, TAG_OVERHEAD_BYTES};
use crate::media::packet::Packet;
use crate::media::{Kind, Tag};
use crate::mux::flv::FlvFile;
use crate::mux::patch::Patch;
use crate::mux::tracks::Tracks;

use super::{Closed, Head, Whole, read_at};

/// The property of `onMetaData` that the card is in.
const CARD_NAME: &str = "rillcast";
/// Its name as AMF0 has it, and the marker of a string behind it.
const CARD: &[u8] = b"\x00\x08rillcast\x02";
const TAG_HEADER_BYTES: usize = 11;
/// How much of a tag tells what it is.
const CLASS_BYTES: usize = 16;

#[derive(Debug)]
pub(in crate::dvr) struct Writer {
    file: FlvFile,
}

impl Writer {
    pub(super) fn begin(
        tracks: &Tracks,
        headers: impl Iterator<Item = Packet>,
        card: &Card,
        origin: u64,
        out: &mut BytesMut,
    ) -> Self {
        let note = Some((CARD_NAME, card.to_bytes().into()));
        let mut file = FlvFile::begin_with_note(tracks, origin, note, out);
        for header in headers {
            file.append(&Packet { timestamp: origin, ..header }, out);
        }
        Self { file }
    }

    pub(super) fn append(&mut self, packet: &Packet, out: &mut BytesMut) -> bool {
        self.file.append(packet, out);
        matches!(packet.class, Class::Keyframe | Class::Frame)
    }

    pub(super) fn close(self) -> Closed {
        Closed { duration_ms: self.file.duration_ms(), patches: vec![self.file.close()] }
    }

    pub(super) fn duration_ms(&self) -> u64 {
        self.file.duration_ms()
    }
}

/// A tag as it lies in a file.
struct Found {
    kind: Kind,
    timestamp: u32,
    body_at: u64,
    body_bytes: usize,
    end: u64,
}

/// The whole tag that begins at `offset`, if there is one.
fn tag_at(file: &File, offset: u64) -> io::Result<Option<Found>> {
    let mut head = [0; TAG_HEADER_BYTES];
    if !read_at(file, &mut head, offset)? {
        return Ok(None);
    }
    let [kind, size_2, size_1, size_0, time_2, time_1, time_0, time_3, 0, 0, 0] = head else { return Ok(None) };
    let Some(kind) = Kind::from_type_id(kind) else { return Ok(None) };
    let body_bytes = u32::from_be_bytes([0, size_2, size_1, size_0]);
    let behind = u64::from(body_bytes) + TAG_HEADER_BYTES as u64;
    // What stands behind the body has the tag's size again: what was not written to the end has not.
    let mut size_again = [0; 4];
    if body_bytes as usize > MAX_BODY_BYTES || !read_at(file, &mut size_again, offset + behind)? {
        return Ok(None);
    }
    Ok((u64::from(u32::from_be_bytes(size_again)) == behind).then(|| Found {
        kind,
        timestamp: u32::from_be_bytes([time_3, time_2, time_1, time_0]),
        body_at: offset + TAG_HEADER_BYTES as u64,
        body_bytes: body_bytes as usize,
        end: offset + u64::from(body_bytes) + TAG_OVERHEAD_BYTES as u64,
    }))
}

/// At most so many bytes of a tag's body.
fn body(file: &File, tag: &Found, most: usize) -> io::Result<Option<Bytes>> {
    let mut body = vec![0; tag.body_bytes.min(most)];
    Ok(read_at(file, &mut body, tag.body_at)?.then(|| body.into()))
}

/// `onMetaData`, which comes first, and the card in it.
struct Heads {
    metadata: Bytes,
    metadata_at: u64,
    card: Card,
    end: u64,
}

fn heads(file: &File) -> io::Result<Option<Heads>> {
    let mut signature = [0; 3];
    if !read_at(file, &mut signature, 0)? || signature != *b"FLV" {
        return Ok(None);
    }
    let Some(first) = tag_at(file, HEADER_BYTES as u64)? else { return Ok(None) };
    let Some(metadata) = body(file, &first, MAX_CARD_BYTES)? else { return Ok(None) };
    let card = behind(&metadata, CARD).and_then(|(_, rest)| {
        let (size, rest) = rest.split_first_chunk::<2>()?;
        Card::from_bytes(rest.get(..usize::from(u16::from_be_bytes(*size)))?)
    });
    Ok(card.map(|card| Heads { metadata, metadata_at: first.body_at, card, end: first.end }))
}

pub(super) fn read_head(file: &File) -> io::Result<Option<Head>> {
    let Some(heads) = heads(file)? else { return Ok(None) };
    let seconds = number(&heads.metadata, DURATION).map_or(0.0, |(_, seconds)| seconds);
    // A float becomes the nearest number that there is; nothing of ours is negative.
    Ok(Some(Head { card: heads.card, duration_ms: (seconds * 1_000.0).round() as u64 }))
}

pub(super) fn find_whole(file: &File) -> io::Result<Whole> {
    let Some(heads) = heads(file)? else { return Ok(Whole::default()) };
    let mut whole = Whole { bytes: heads.end, ..Whole::default() };
    while let Some(tag) = tag_at(file, whole.bytes)? {
        let Some(payload) = body(file, &tag, CLASS_BYTES)? else { break };
        whole.bytes = tag.end;
        whole.duration_ms = whole.duration_ms.max(tag.timestamp.into());
        let (class, _) = classify(&Tag { kind: tag.kind, timestamp: tag.timestamp, payload });
        whole.has_media |= matches!(class, Class::Keyframe | Class::Frame);
    }
    let totals = [(DURATION, whole.duration_ms as f64 / 1_000.0), (FILE_SIZE, whole.bytes as f64)];
    whole.patches = totals
        .into_iter()
        .filter_map(|(name, value)| {
            let (at, _) = number(&heads.metadata, name)?;
            Some(Patch { offset: heads.metadata_at + at as u64, bytes: value.to_be_bytes().to_vec().into() })
        })
        .collect();
    Ok(whole)
}

/// Names of numbers in `onMetaData`: their length, the name, the marker of a number (AMF0 2.2).
const DURATION: &[u8] = b"\x00\x08duration\x00";
const FILE_SIZE: &[u8] = b"\x00\x08filesize\x00";

/// Where a number of that name stands, and the number.
fn number(metadata: &[u8], name: &[u8]) -> Option<(usize, f64)> {
    let (at, rest) = behind(metadata, name)?;
    Some((at, f64::from_be_bytes(*rest.first_chunk::<8>()?)))
}

/// What stands behind a name, and where. Names hold bytes that no text of a card does.
fn behind<'a>(metadata: &'a [u8], name: &[u8]) -> Option<(usize, &'a [u8])> {
    let at = metadata.windows(name.len()).position(|window| window == name)? + name.len();
    Some((at, &metadata[at..]))
}
