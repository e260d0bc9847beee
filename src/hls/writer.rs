//! Frames into the bytes of segments.
//!
//! Owns the choice between MPEG-TS and fragmented MP4, and the muxer. The packer tells it where segments begin and end.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::config::HlsFormat;
use crate::mux::fmp4::{self, Fragmenter};
use crate::mux::frame::Frame;
use crate::mux::mpegts;
use crate::mux::tracks::{Tracks, Unfit};

use super::memory::Memory;
use super::segment::{Body, Initialisation};

/// How many bytes of frames are gathered before they become a fragment: a segment is not written in one go.
const FRAGMENT_BYTES: usize = 1 << 20;

/// Writes one segment after the other, all with the same tracks.
#[derive(Debug)]
pub(super) struct Writer {
    muxer: Muxer,
    out: BytesMut,
    /// The size of the last segment: about that of the next.
    expected: usize,
}

#[derive(Debug)]
enum Muxer {
    TransportStream(Box<mpegts::Muxer>),
    Fragments { fragmenter: Fragmenter, initialisation: Arc<Initialisation> },
}

impl Writer {
    /// A writer of `tracks`; `number` is that of its first segment.
    pub(super) fn new(format: HlsFormat, tracks: &Tracks, number: u64, memory: &Arc<Memory>) -> Result<Self, Unfit> {
        let muxer = match (format, tracks.fits_mpegts()) {
            (HlsFormat::Auto | HlsFormat::Mpegts, Ok(())) => {
                Muxer::TransportStream(Box::new(mpegts::Muxer::new(tracks)?))
            }
            (HlsFormat::Mpegts, Err(unfit)) => return Err(unfit),
            (HlsFormat::Auto | HlsFormat::Fmp4, _) => {
                let bytes = fmp4::initialisation(tracks)?;
                let charge = memory.charge(bytes.len());
                let initialisation = Arc::new(Initialisation { number, body: Body::new(bytes, charge) });
                Muxer::Fragments { fragmenter: Fragmenter::new(tracks, 0), initialisation }
            }
        };
        Ok(Self { muxer, out: BytesMut::new(), expected: 0 })
    }

    /// What goes before the segments, if they need anything.
    pub(super) fn initialisation(&self) -> Option<&Arc<Initialisation>> {
        match &self.muxer {
            Muxer::TransportStream(_) => None,
            Muxer::Fragments { initialisation, .. } => Some(initialisation),
        }
    }

    /// The bytes of the open segment, about.
    pub(super) fn bytes(&self) -> usize {
        self.out.len()
            + match &self.muxer {
                Muxer::TransportStream(_) => 0,
                Muxer::Fragments { fragmenter, .. } => fragmenter.bytes(),
            }
    }

    /// Begins a segment.
    pub(super) fn begin(&mut self) {
        self.out = BytesMut::with_capacity(self.expected / 8 * 9);
        if let Muxer::TransportStream(muxer) = &mut self.muxer {
            muxer.begin_segment(&mut self.out);
        }
    }

    /// Writes a frame. Returns whether it was one that could be written.
    pub(super) fn write(&mut self, frame: Frame) -> bool {
        match &mut self.muxer {
            Muxer::TransportStream(muxer) => muxer.write(&frame, &mut self.out).is_ok(),
            Muxer::Fragments { fragmenter, .. } => {
                if fragmenter.bytes() >= FRAGMENT_BYTES {
                    let is_first = self.out.is_empty();
                    self.out.extend_from_slice(&fragmenter.cut(Some(&frame), is_first));
                }
                fragmenter.push(frame).is_ok()
            }
        }
    }

    /// Ends the segment, and gives its bytes; `next` is the first frame of the next one, if that goes on at once.
    pub(super) fn end(&mut self, next: Option<&Frame>) -> Bytes {
        match &mut self.muxer {
            Muxer::TransportStream(muxer) => muxer.end_segment(&mut self.out),
            Muxer::Fragments { fragmenter, .. } => {
                let is_first = self.out.is_empty();
                let fragment = fragmenter.cut(next, is_first);
                self.out.extend_from_slice(&fragment);
            }
        }
        let out = std::mem::take(&mut self.out);
        self.expected = out.len();
        // Room that is not used counts nowhere.
        if out.capacity() > out.len() / 4 * 5 { Bytes::copy_from_slice(&out) } else { out.freeze() }
    }
}
