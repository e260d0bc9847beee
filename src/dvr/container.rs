//! The formats of recordings: how packets become a file that plays, also when its end never came.
//!
//! Owns what differs between the formats: the head with the recording's card, how packets are appended, what is patched at
//! the end, and how far a file is whole whose writer was killed. It appends to a buffer, and reads files; the writer
//! decides what goes where.

mod flv;
mod fmp4;

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use bytes::BytesMut;

use crate::config::DvrFormat;
use crate::media::packet::Packet;
use crate::mux::patch::Patch;
use crate::mux::tracks::{Tracks, Unfit};

use super::card::Card;

/// The extension of a format's files, without its dot.
pub(super) const fn extension(format: DvrFormat) -> &'static str {
    match format {
        DvrFormat::Flv => "flv",
        DvrFormat::Fmp4 => "mp4",
    }
}

/// A recording on its way into a file.
#[derive(Debug)]
pub(super) enum Container {
    Flv(flv::Writer),
    Fmp4(Box<fmp4::Writer>),
}

/// What is known of a recording at its end.
#[derive(Debug)]
pub(super) struct Closed {
    /// How long it plays, in milliseconds.
    pub(super) duration_ms: u64,
    /// What is to be written once all else is in the file.
    pub(super) patches: Vec<Patch>,
}

/// What the head of a recording says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) card: Card,
    /// As far as it was known when the head was last written, in milliseconds.
    pub(super) duration_ms: u64,
}

/// How far the file of a killed writer is whole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Whole {
    /// Up to which byte.
    pub(super) bytes: u64,
    /// How long that plays, in milliseconds.
    pub(super) duration_ms: u64,
    /// Whether there is a frame in it.
    pub(super) has_media: bool,
    /// What tells players of it, once the rest is cut off.
    pub(super) patches: Vec<Patch>,
}

impl Container {
    /// Begins a recording: appends its head to `out`. `origin` is the stream's time that becomes 0, in milliseconds, `headers`
    /// are the sequence headers in force.
    pub(super) fn begin(
        format: DvrFormat,
        tracks: &Tracks,
        headers: impl Iterator<Item = Packet>,
        card: &Card,
        origin: u64,
        out: &mut BytesMut,
    ) -> Result<Self, Unfit> {
        Ok(match format {
            DvrFormat::Flv => Self::Flv(flv::Writer::begin(tracks, headers, card, origin, out)),
            DvrFormat::Fmp4 => Self::Fmp4(Box::new(fmp4::Writer::begin(tracks, card, origin, out)?)),
        })
    }

    /// Appends a packet, or keeps it until there are enough for a fragment. Returns whether it holds a frame.
    pub(super) fn append(&mut self, packet: &Packet, out: &mut BytesMut) -> bool {
        match self {
            Self::Flv(writer) => writer.append(packet, out),
            Self::Fmp4(writer) => writer.append(packet, out),
        }
    }

    /// Appends what was kept.
    pub(super) fn close(self, out: &mut BytesMut) -> Closed {
        match self {
            Self::Flv(writer) => writer.close(),
            Self::Fmp4(writer) => writer.close(out),
        }
    }

    /// How long it plays so far, in milliseconds.
    pub(super) fn duration_ms(&self) -> u64 {
        match self {
            Self::Flv(writer) => writer.duration_ms(),
            Self::Fmp4(writer) => writer.duration_ms(),
        }
    }
}

/// Reads the head of a recording; `None` if the file is none.
pub(super) fn read_head(format: DvrFormat, file: &File) -> io::Result<Option<Head>> {
    match format {
        DvrFormat::Flv => flv::read_head(file),
        DvrFormat::Fmp4 => fmp4::read_head(file),
    }
}

/// Finds out how far a recording is whole.
pub(super) fn find_whole(format: DvrFormat, file: &File) -> io::Result<Whole> {
    match format {
        DvrFormat::Flv => flv::find_whole(file),
        DvrFormat::Fmp4 => fmp4::find_whole(file),
    }
}

/// Fills the buffer from a place in the file; `false` if the file ends before.
fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<bool> {
    match file.read_exact_at(buffer, offset) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
