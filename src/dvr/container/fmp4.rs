//! Recordings as fragmented MP4: an initialisation, the card in a box of its own, fragments. Whole up to the last fragment.

use std::fs::File;
use std::io;

use bytes::{BufMut, BytesMut};

use crate::dvr::card::{Card, MAX_CARD_BYTES};
use crate::media::packet::Packet;
use crate::mux::fmp4::{Mp4File, TIMESCALE};
use crate::mux::frame::{Frame, Track};
use crate::mux::patch::Patch;
use crate::mux::tracks::{Tracks, Unfit};

use super::{Closed, Head, Whole, read_at};

/// What the box with the card is known by (ISO/IEC 14496-12, 11.1): a random number.
const CARD_UUID: [u8; 16] =
    [0x5f, 0x2c, 0x8e, 0x11, 0x9d, 0x06, 0x4a, 0x3b, 0xb1, 0x77, 0x6e, 0xc4, 0x20, 0xd9, 0x83, 0x5a];
const BOX_HEAD_BYTES: usize = 8;
/// Where the duration stands in the box with the card; behind it is the card.
const DURATION_AT: usize = BOX_HEAD_BYTES + CARD_UUID.len();
/// How long a fragment is when a keyframe begins the next one, at least; and when there is no keyframe, at most. A crash loses no more.
const SHORT_FRAGMENT_MS: u64 = 1_000;
const LONG_FRAGMENT_MS: u64 = 2_000;
/// The most frames that wait for their fragment's end, in bytes.
const MAX_FRAGMENT_BYTES: usize = 8 << 20;
/// The largest `moof` that is read back: some hundred thousand samples.
const MAX_MOOF_BYTES: u64 = 8 << 20;

#[derive(Debug)]
pub(in crate::dvr) struct Writer {
    tracks: Tracks,
    file: Mp4File,
    /// When the fragment began that is gathered, on the stream's time line.
    fragment_from: u64,
    /// Where the card has the duration.
    duration_at: u64,
}

impl Writer {
    pub(super) fn begin(tracks: &Tracks, card: &Card, origin: u64, out: &mut BytesMut) -> Result<Self, Unfit> {
        let text = card.to_bytes();
        let mut card = BytesMut::new();
        card.put_u32((DURATION_AT + size_of::<u64>() + text.len()) as u32);
        card.put_slice(b"uuid");
        card.put_slice(&CARD_UUID);
        card.put_u64(0);
        card.put_slice(&text);
        let begin = out.len();
        let file = Mp4File::begin(tracks, origin, &card, out)?;
        let duration_at = (out.len() - begin - card.len() + DURATION_AT) as u64;
        Ok(Self { tracks: tracks.clone(), file, fragment_from: origin, duration_at })
    }

    pub(super) fn append(&mut self, packet: &Packet, out: &mut BytesMut) -> bool {
        let frame = match Frame::from_packet(packet, &self.tracks) {
            Ok(Some(frame)) => frame,
            Ok(None) => return false,
            Err(error) => {
                tracing::debug!(%error, "a frame is not recorded");
                return false;
            }
        };
        let length = frame.timestamp.saturating_sub(self.fragment_from);
        let begins_one = frame.track == Track::Video && frame.is_keyframe && length >= SHORT_FRAGMENT_MS;
        let is_full = self.file.waiting_bytes() + frame.data.len() > MAX_FRAGMENT_BYTES;
        if begins_one || length >= LONG_FRAGMENT_MS || is_full {
            self.file.flush(Some(&frame), out);
            self.fragment_from = frame.timestamp;
        }
        if let Err(error) = self.file.push(frame) {
            tracing::debug!(%error, "a frame is not recorded");
            return false;
        }
        true
    }

    pub(super) fn close(mut self, out: &mut BytesMut) -> Closed {
        self.file.flush(None, out);
        let duration_ms = self.file.duration_ms();
        let of_card = Patch { offset: self.duration_at, bytes: duration_ms.to_be_bytes().to_vec().into() };
        Closed { duration_ms, patches: vec![self.file.close(out), of_card] }
    }

    pub(super) fn duration_ms(&self) -> u64 {
        self.file.duration_ms()
    }
}

/// A box as it lies in a file.
struct Found {
    name: [u8; 4],
    begin: u64,
    end: u64,
}

/// The whole box that begins at `offset`, if there is one. Sizes of 64 bits are none of ours.
fn box_at(file: &File, offset: u64, length: u64) -> io::Result<Option<Found>> {
    let mut head = [0; BOX_HEAD_BYTES];
    if !read_at(file, &mut head, offset)? {
        return Ok(None);
    }
    let [size_3, size_2, size_1, size_0, name @ ..] = head;
    let size = u32::from_be_bytes([size_3, size_2, size_1, size_0]);
    let end = offset + u64::from(size);
    Ok((size as usize >= BOX_HEAD_BYTES && end <= length).then_some(Found { name, begin: offset, end }))
}

/// The card's box, which comes third, and what stands in it.
fn card_box(file: &File, length: u64) -> io::Result<Option<(Found, u64, Card)>> {
    let mut offset = 0;
    for expected in [b"ftyp", b"moov", b"uuid"] {
        let Some(found) = box_at(file, offset, length)?.filter(|found| found.name == *expected) else {
            return Ok(None);
        };
        offset = found.end;
        if found.name == *b"uuid" {
            let mut content = vec![0; (found.end - found.begin).min(MAX_CARD_BYTES as u64) as usize];
            if !read_at(file, &mut content, found.begin)? {
                return Ok(None);
            }
            let content = content.get(BOX_HEAD_BYTES..).and_then(|content| content.strip_prefix(&CARD_UUID));
            let Some((duration, text)) = content.and_then(|content| content.split_first_chunk::<8>()) else {
                return Ok(None);
            };
            return Ok(Card::from_bytes(text).map(|card| (found, u64::from_be_bytes(*duration), card)));
        }
    }
    Ok(None)
}

pub(super) fn read_head(file: &File) -> io::Result<Option<Head>> {
    let found = card_box(file, file.metadata()?.len())?;
    Ok(found.map(|(_, duration_ms, card)| Head { card, duration_ms }))
}

pub(super) fn find_whole(file: &File) -> io::Result<Whole> {
    let length = file.metadata()?.len();
    let Some((card, ..)) = card_box(file, length)? else { return Ok(Whole::default()) };
    let mut whole = Whole { bytes: card.end, ..Whole::default() };
    let mut end_ticks = 0;
    while let Some(moof) = box_at(file, whole.bytes, length)?.filter(|found| found.name == *b"moof") {
        let Some(mdat) = box_at(file, moof.end, length)?.filter(|found| found.name == *b"mdat") else { break };
        let size = moof.end - moof.begin;
        let mut content = vec![0; size.min(MAX_MOOF_BYTES) as usize];
        if !read_at(file, &mut content, moof.begin)? {
            break;
        }
        end_ticks = end_ticks.max(end_of_fragment(&content[BOX_HEAD_BYTES..]));
        whole.bytes = mdat.end;
        whole.has_media = true;
    }
    whole.duration_ms = end_ticks / (u64::from(TIMESCALE) / 1_000);
    let offset = card.begin + DURATION_AT as u64;
    whole.patches = vec![Patch { offset, bytes: whole.duration_ms.to_be_bytes().to_vec().into() }];
    Ok(whole)
}

/// When the last sample of a fragment ends, by the content of its `moof`: the time of each track's first sample and how long
/// all of them last.
fn end_of_fragment(moof: &[u8]) -> u64 {
    let mut end = 0;
    for (_, traf) in boxes(moof).filter(|(name, _)| name == b"traf") {
        let content = |wanted: &[u8; 4]| boxes(traf).find(|(name, _)| name == wanted).map(|(_, content)| content);
        let begin = content(b"tfdt").and_then(|tfdt| tfdt.get(4..)?.first_chunk::<8>());
        let begin = begin.map_or(0, |begin| u64::from_be_bytes(*begin));
        end = end.max(begin.saturating_add(content(b"trun").map_or(0, duration_of_run)));
    }
    end
}

/// How long the samples of a `trun` last, of those that we write: with a data offset and a duration each.
fn duration_of_run(trun: &[u8]) -> u64 {
    const FIRST_SAMPLE_AT: usize = 12;
    let Some(&[_, flags_2, flags_1, _]) = trun.first_chunk::<4>() else { return 0 };
    let fields = (flags_1 & 0x0f).count_ones() as usize;
    if flags_2 != 0 || flags_1 & 1 == 0 {
        return 0;
    }
    let samples = trun.get(FIRST_SAMPLE_AT..).unwrap_or_default().chunks_exact(fields * 4);
    samples
        .filter_map(|sample| sample.first_chunk::<4>())
        .map(|duration| u64::from(u32::from_be_bytes(*duration)))
        .sum()
}

/// The boxes of a buffer, with their content.
fn boxes(mut rest: &[u8]) -> impl Iterator<Item = ([u8; 4], &[u8])> {
    std::iter::from_fn(move || {
        let &[size_3, size_2, size_1, size_0, name_0, name_1, name_2, name_3] = rest.first_chunk::<BOX_HEAD_BYTES>()?;
        let size = u32::from_be_bytes([size_3, size_2, size_1, size_0]) as usize;
        let content = rest.get(BOX_HEAD_BYTES..size)?;
        rest = &rest[size..];
        Some(([name_0, name_1, name_2, name_3], content))
    })
}
