//! Turns audio, video, data and aggregate messages into tags (RTMP 1.0 specification 7.1.2 to 7.1.6).
//!
//! Owns what stands around media in RTMP and nowhere else: `@setDataFrame`, the AMF3 prefix, aggregates. Both session
//! machines call it for media they have a use for. It never decodes a payload: enhanced RTMP, unknown codecs and unknown
//! data pass as they came.

use bytes::Bytes;

use crate::media::{Kind, Tag};
use crate::rtmp::Error;
use crate::rtmp::chunk_reader::RawMessage;
use crate::rtmp::message::{type_id, without_amf3_prefix};

/// `@setDataFrame` as an AMF0 string: an encoder's order to the server to keep the data that follows.
pub(super) const SET_DATA_FRAME: &[u8] = b"\x02\x00\x0D@setDataFrame";

/// The most messages one aggregate may hold: some dozens are common, and each costs more memory than its wire form.
const MAX_AGGREGATED: usize = 1024;

/// Type, size, timestamp and message stream of an aggregated message.
const AGGREGATED_HEADER_BYTES: usize = 11;

/// The size of an aggregated message, repeated behind it.
const BACK_POINTER_BYTES: usize = 4;

/// Hands the tags in `message` to `sink` in their order. Empty ones, which some encoders send to keep a connection
/// alive, are left out.
pub(super) fn for_each_tag(message: RawMessage, mut sink: impl FnMut(Tag)) -> Result<(), Error> {
    if message.type_id == type_id::AGGREGATE {
        return split_aggregate(&message, &mut sink);
    }
    if let Some(tag) = tag(message.type_id, message.timestamp, message.payload) {
        sink(tag);
    }
    Ok(())
}

/// The AMF0 name at the start of a data message.
pub(super) fn data_name(payload: &[u8]) -> Option<&[u8]> {
    let (marker, rest) = payload.split_first()?;
    let (length, rest) = rest.split_first_chunk()?;
    (*marker == 2).then_some(rest)?.get(..usize::from(u16::from_be_bytes(*length)))
}

fn tag(type_id: u8, timestamp: u32, payload: Bytes) -> Option<Tag> {
    let (kind, payload) = match type_id {
        type_id::AUDIO => (Kind::Audio, payload),
        type_id::VIDEO => (Kind::Video, payload),
        type_id::DATA_AMF0 => (Kind::Data, without_set_data_frame(payload)),
        type_id::DATA_AMF3 => (Kind::Data, without_set_data_frame(without_amf3_prefix(&payload))),
        _ => return None,
    };
    (!payload.is_empty()).then_some(Tag { kind, timestamp, payload })
}

fn without_set_data_frame(payload: Bytes) -> Bytes {
    if payload.starts_with(SET_DATA_FRAME) { payload.slice(SET_DATA_FRAME.len()..) } else { payload }
}

/// Splits an aggregate (7.1.6): messages in FLV's form whose timestamps count from the first one's.
fn split_aggregate(aggregate: &RawMessage, sink: &mut impl FnMut(Tag)) -> Result<(), Error> {
    const BROKEN: Error = Error::Message("an aggregate is broken");
    let mut rest: &[u8] = &aggregate.payload;
    let mut offset = None;
    for _ in 0..MAX_AGGREGATED {
        if rest.is_empty() {
            return Ok(());
        }
        let (header, behind) = rest.split_first_chunk::<AGGREGATED_HEADER_BYTES>().ok_or(BROKEN)?;
        let [type_id, a, b, c, t1, t2, t3, t0, ..] = *header;
        let length = usize::try_from(u32::from_be_bytes([0, a, b, c])).map_err(|_| BROKEN)?;
        let (payload, behind) = behind.split_at_checked(length).ok_or(BROKEN)?;
        let (_, behind) = behind.split_at_checked(BACK_POINTER_BYTES).ok_or(BROKEN)?;
        rest = behind;

        let timestamp = u32::from_be_bytes([t0, t1, t2, t3]);
        let offset = *offset.get_or_insert_with(|| aggregate.timestamp.wrapping_sub(timestamp));
        // Copied, so that one small tag that is kept for long does not keep the whole aggregate in memory.
        if let Some(tag) = tag(type_id, timestamp.wrapping_add(offset), Bytes::copy_from_slice(payload)) {
            sink(tag);
        }
    }
    if rest.is_empty() { Ok(()) } else { Err(Error::Message("an aggregate holds too many messages")) }
}
