//! The initialisation: which tracks there are, without a sample of them.

use bytes::{BufMut, Bytes, BytesMut};

use super::boxes::{put_box, put_full_box};
use super::{TIMESCALE, sample_entry, track_id};
use crate::mux::frame::Track;
use crate::mux::tracks::{Tracks, Unfit};

/// The unity matrix of `mvhd` and `tkhd`.
const MATRIX: [u32; 9] = [0x1_0000, 0, 0, 0, 0x1_0000, 0, 0, 0, 0x4000_0000];
/// The undetermined language, three letters of five bits.
const UNDETERMINED: u16 = 0x55c4;
/// Units of time a second in `mvhd` and `mehd`: milliseconds.
const MOVIE_TIMESCALE: u32 = 1_000;
const FULL_VOLUME: u16 = 0x0100;

/// The sample flags of a keyframe and of all sound (ISO/IEC 14496-12, 8.8.3.1): depends on nothing.
pub(super) const SYNC_SAMPLE: u32 = 0x0200_0000;
/// The sample flags of all other pictures: depends on others, and is no place to begin.
pub(super) const OTHER_SAMPLE: u32 = 0x0101_0000;

/// Whether there is room for a duration that is known later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DurationBox {
    /// There is none: the stream is live.
    Absent,
    /// A box that means nothing takes the room.
    Reserved,
}

/// The initialisation of these tracks: `ftyp` and `moov`.
pub fn initialisation(tracks: &Tracks) -> Result<Bytes, Unfit> {
    let mut out = BytesMut::with_capacity(1_024);
    put(tracks, DurationBox::Absent, &mut out)?;
    Ok(out.freeze())
}

/// Appends the initialisation; returns where in `out` [`put_duration`]'s bytes may stand.
pub(super) fn put(tracks: &Tracks, duration: DurationBox, out: &mut BytesMut) -> Result<usize, Unfit> {
    if tracks.is_empty() {
        return Err(Unfit::NoTracks);
    }
    let mut duration_at = 0;
    put_file_type(tracks, out);
    put_box(b"moov", out, |out| {
        put_movie_header(out);
        if let Some(video) = &tracks.video {
            put_track(Track::Video, (video.width, video.height), out, |out| sample_entry::put_video(video, out));
        }
        if let Some(audio) = &tracks.audio {
            put_track(Track::Audio, (0, 0), out, |out| sample_entry::put_audio(audio, out));
        }
        put_box(b"mvex", out, |out| {
            duration_at = out.len();
            if duration == DurationBox::Reserved {
                put_full_box(b"free", 0, 0, out, |out| out.put_u64(0));
            }
            tracks.video.iter().for_each(|_| put_track_extends(Track::Video, OTHER_SAMPLE, out));
            tracks.audio.iter().for_each(|_| put_track_extends(Track::Audio, SYNC_SAMPLE, out));
        });
    });
    Ok(duration_at)
}

/// Appends the duration of all fragments (`mehd`), as many bytes as are reserved for it.
pub(super) fn put_duration(duration_ms: u64, out: &mut BytesMut) {
    put_full_box(b"mehd", 1, 0, out, |out| out.put_u64(duration_ms));
}

/// CMAF allows one track a file, and only then its brand is said.
fn put_file_type(tracks: &Tracks, out: &mut BytesMut) {
    put_box(b"ftyp", out, |out| {
        out.put_slice(b"iso6\0\0\x02\0iso6mp41");
        if tracks.video.is_none() || tracks.audio.is_none() {
            out.put_slice(b"cmfc");
        }
    });
}

fn put_movie_header(out: &mut BytesMut) {
    put_full_box(b"mvhd", 0, 0, out, |out| {
        // Creation, modification; time scale; a duration that nobody knows yet.
        out.put_bytes(0, 8);
        out.put_u32(MOVIE_TIMESCALE);
        out.put_u32(0);
        // The rate, the volume, reserved.
        out.put_u32(0x1_0000);
        out.put_u16(FULL_VOLUME);
        out.put_bytes(0, 10);
        MATRIX.iter().for_each(|number| out.put_u32(*number));
        out.put_bytes(0, 24);
        // The next track's id.
        out.put_u32(track_id(Track::Audio) + 1);
    });
}

fn put_track(track: Track, size: (u32, u32), out: &mut BytesMut, sample_entry: impl FnOnce(&mut BytesMut)) {
    const ENABLED_IN_MOVIE: u32 = 3;
    put_box(b"trak", out, |out| {
        put_full_box(b"tkhd", 0, ENABLED_IN_MOVIE, out, |out| {
            out.put_bytes(0, 8);
            out.put_u32(track_id(track));
            out.put_bytes(0, 4 + 4 + 8);
            // Layer, alternate group.
            out.put_bytes(0, 4);
            out.put_u16(if track == Track::Audio { FULL_VOLUME } else { 0 });
            out.put_bytes(0, 2);
            MATRIX.iter().for_each(|number| out.put_u32(*number));
            // Fixed point numbers of 16 and 16 bits.
            out.put_u32(size.0 << 16);
            out.put_u32(size.1 << 16);
        });
        put_box(b"mdia", out, |out| {
            put_media_headers(track, out);
            put_box(b"minf", out, |out| {
                match track {
                    Track::Video => put_full_box(b"vmhd", 0, 1, out, |out| out.put_bytes(0, 8)),
                    Track::Audio => put_full_box(b"smhd", 0, 0, out, |out| out.put_bytes(0, 4)),
                }
                put_data_information(out);
                put_sample_table(out, sample_entry);
            });
        });
    });
}

fn put_media_headers(track: Track, out: &mut BytesMut) {
    put_full_box(b"mdhd", 0, 0, out, |out| {
        out.put_bytes(0, 8);
        out.put_u32(TIMESCALE);
        out.put_u32(0);
        out.put_u16(UNDETERMINED);
        out.put_u16(0);
    });
    put_full_box(b"hdlr", 0, 0, out, |out| {
        out.put_u32(0);
        let (handler, name): (&[u8], &[u8]) = match track {
            Track::Video => (b"vide", b"Video\0"),
            Track::Audio => (b"soun", b"Audio\0"),
        };
        out.put_slice(handler);
        out.put_bytes(0, 12);
        out.put_slice(name);
    });
}

/// The samples are in this very file.
fn put_data_information(out: &mut BytesMut) {
    const SAME_FILE: u32 = 1;
    put_box(b"dinf", out, |out| {
        put_full_box(b"dref", 0, 0, out, |out| {
            out.put_u32(1);
            put_full_box(b"url ", 0, SAME_FILE, out, |_| {});
        });
    });
}

/// The sample entry, and tables without a sample.
fn put_sample_table(out: &mut BytesMut, sample_entry: impl FnOnce(&mut BytesMut)) {
    put_box(b"stbl", out, |out| {
        put_full_box(b"stsd", 0, 0, out, |out| {
            out.put_u32(1);
            sample_entry(out);
        });
        put_full_box(b"stts", 0, 0, out, |out| out.put_u32(0));
        put_full_box(b"stsc", 0, 0, out, |out| out.put_u32(0));
        put_full_box(b"stsz", 0, 0, out, |out| out.put_u64(0));
        put_full_box(b"stco", 0, 0, out, |out| out.put_u32(0));
    });
}

fn put_track_extends(track: Track, flags: u32, out: &mut BytesMut) {
    put_full_box(b"trex", 0, 0, out, |out| {
        out.put_u32(track_id(track));
        // The first sample entry; no default duration and size.
        out.put_u32(1);
        out.put_u64(0);
        out.put_u32(flags);
    });
}
