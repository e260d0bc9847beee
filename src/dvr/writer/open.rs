//! One recording that is being written.

use std::io;
use std::path::PathBuf;

use bytes::BytesMut;

use crate::config::Dvr;
use crate::dvr::card::Card;
use crate::dvr::container::{Container, extension};
use crate::dvr::file::{PartFile, Target};
use crate::dvr::library::{Library, Size};
use crate::dvr::name::expand;
use crate::dvr::scan;
use crate::hub::Identity;
use crate::media::packet::Packet;
use crate::media::stream_key::StreamKey;
use crate::mux::tracks::Tracks;

use super::failure::Failure;

/// What has to be free of a disk for a recording to begin, beside `dvr.min_free`, in bytes: else it would end at once.
pub(super) const ROOM_TO_BEGIN: u64 = 2 << 20;

/// What a recording begins with.
pub(super) struct Beginning<'a, H> {
    pub(super) key: &'a StreamKey,
    pub(super) session: &'a str,
    pub(super) tracks: &'a Tracks,
    /// The sequence headers in force.
    pub(super) headers: H,
    /// Which parameters these are.
    pub(super) parameters: u64,
    /// Its first moment on the stream's time line, in milliseconds.
    pub(super) origin: u64,
    /// The same on the wall clock, in milliseconds since 1970.
    pub(super) now_ms: u64,
}

/// A recording and its file.
#[derive(Debug)]
pub(super) struct Open {
    part: Part,
    container: Container,
    /// What is not in the file yet.
    buffer: BytesMut,
    /// Which parameters of the tracks it was begun with.
    pub(super) parameters: u64,
    /// The stream's time that is 0 in it.
    pub(super) origin: u64,
    /// Whether there is a frame in it.
    has_media: bool,
    directory: PathBuf,
}

/// Its file, and what is known of it in the library.
#[derive(Debug)]
struct Part {
    id: String,
    file: PartFile,
    /// The media that is taken and not in the file, in bytes.
    unwritten: u64,
}

impl Open {
    /// Makes the file of a recording.
    pub(super) fn begin<H: Iterator<Item = Packet>>(
        library: &Library,
        settings: &Dvr,
        beginning: Beginning<'_, H>,
    ) -> Result<Self, Failure> {
        let Beginning { key, session, tracks, headers, parameters, origin, now_ms } = beginning;
        let stem = expand(settings.path.parts(), key, session, now_ms)?;
        let card = Card {
            id: Identity::random().to_string(),
            app: key.app().to_owned(),
            stream: key.stream().to_owned(),
            session: session.to_owned(),
            begin_ms: now_ms,
        };
        let mut buffer = BytesMut::new();
        let container = Container::begin(settings.format, tracks, headers, &card, origin, &mut buffer)?;
        let directory = settings.path.directory().to_owned();
        if !library.make_room(&directory, ROOM_TO_BEGIN)? {
            return Err(io::Error::from(io::ErrorKind::StorageFull).into());
        }
        let target = Target { directory: directory.clone(), stem, extension: extension(settings.format) };
        let file = PartFile::create(target)?;
        let id = card.id.clone();
        library.add(card, settings.format, file.path().to_owned(), Size::default(), false);
        library.metrics().dvr.recordings.inc();
        tracing::info!(stream = %key, path = %file.path().display(), "recording");
        let part = Part { id, file, unwritten: 0 };
        Ok(Self { part, container, buffer, parameters, origin, has_media: false, directory })
    }

    /// Takes a packet.
    pub(super) fn append(&mut self, packet: &Packet) {
        self.part.unwritten += packet.payload.len() as u64;
        self.has_media |= self.container.append(packet, &mut self.buffer);
    }

    /// Writes what was taken, as long as the disk is to be written to.
    pub(super) fn flush(&mut self, library: &Library) -> Result<(), Failure> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        if !library.make_room(&self.directory, 0)? {
            return Err(io::Error::from(io::ErrorKind::StorageFull).into());
        }
        self.part.write(&mut self.buffer, library)?;
        let size = Size { bytes: self.part.file.length(), duration_ms: self.container.duration_ms() };
        library.grow(&self.part.id, size);
        Ok(())
    }

    /// Completes the file. Without a frame in it there is nothing worth to be kept.
    pub(super) fn close(self, library: &Library) -> Result<(), Failure> {
        let Self { mut part, container, mut buffer, has_media, .. } = self;
        if !has_media {
            part.leave(library);
            return Ok(part.file.discard()?);
        }
        let closed = container.close(&mut buffer);
        let written = part
            .write(&mut buffer, library)
            .and_then(|()| closed.patches.iter().try_for_each(|patch| part.file.patch(patch)));
        if let Err(error) = written {
            part.give_up(library);
            return Err(error.into());
        }
        part.finish(library, closed.duration_ms)
    }

    /// Makes of the file what can be made of what is in it. If that cannot be done now, it is done later.
    pub(super) fn give_up(self, library: &Library) {
        self.part.give_up(library);
    }
}

impl Part {
    fn write(&mut self, buffer: &mut BytesMut, library: &Library) -> io::Result<()> {
        self.file.append(buffer)?;
        library.metrics().dvr.bytes.inc_by(buffer.len() as u64);
        buffer.clear();
        self.unwritten = 0;
        Ok(())
    }

    fn finish(self, library: &Library, duration_ms: u64) -> Result<(), Failure> {
        let size = Size { bytes: self.file.length(), duration_ms };
        let path = self.file.path().to_owned();
        library.metrics().dvr.recordings.dec();
        match self.file.finish() {
            Ok(path) => {
                tracing::info!(path = %path.display(), bytes = size.bytes, duration_ms, "recorded");
                library.complete_with(&self.id, path, size);
                Ok(())
            }
            Err(error) => {
                library.forget(&self.id);
                library.leave(path);
                Err(error.into())
            }
        }
    }

    fn give_up(self, library: &Library) {
        self.leave(library);
        library.metrics().dvr.dropped_bytes.inc_by(self.unwritten);
        let path = self.file.path().to_owned();
        // The lock goes with the file.
        drop(self.file);
        if let Err(error) = scan::complete(library, &path) {
            tracing::warn!(path = %path.display(), %error, "a recording is completed later");
            library.leave(path);
        }
    }

    /// It is not a recording any more, or not yet.
    fn leave(&self, library: &Library) {
        library.forget(&self.id);
        library.metrics().dvr.recordings.dec();
    }
}
