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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(type_id: u8, timestamp: u32, payload: &[u8]) -> RawMessage {
        RawMessage { type_id, stream_id: 1, timestamp, payload: Bytes::copy_from_slice(payload) }
    }

    fn tags(message: RawMessage) -> Result<Vec<Tag>, Error> {
        let mut tags = Vec::new();
        for_each_tag(message, |tag| tags.push(tag)).map(|()| tags)
    }

    fn tag(kind: Kind, timestamp: u32, payload: &[u8]) -> Tag {
        Tag { kind, timestamp, payload: Bytes::copy_from_slice(payload) }
    }

    fn aggregated(type_id: u8, timestamp: u32, payload: &[u8]) -> Vec<u8> {
        let [t0, t1, t2, t3] = timestamp.to_be_bytes();
        let [_, a, b, c] = (payload.len() as u32).to_be_bytes();
        let header = [type_id, a, b, c, t1, t2, t3, t0, 0, 0, 0];
        [&header, payload, &(payload.len() as u32 + 11).to_be_bytes()].concat()
    }

    #[test]
    fn media_passes_untouched_whatever_its_codec() {
        let enhanced = [&[0x90][..], b"hvc1", &[0; 9]].concat();
        assert_eq!(tags(message(9, 7, &enhanced)), Ok(vec![tag(Kind::Video, 7, &enhanced)]));
    }

    #[test]
    fn set_data_frame_is_taken_off() {
        let framed = [SET_DATA_FRAME, b"\x02\x00\x0AonMetaData\x05"].concat();
        assert_eq!(tags(message(18, 0, &framed)), Ok(vec![tag(Kind::Data, 0, b"\x02\x00\x0AonMetaData\x05")]));
    }

    #[test]
    fn set_data_frame_without_anything_behind_it_is_nothing() {
        assert_eq!(tags(message(18, 0, SET_DATA_FRAME)), Ok(vec![]));
    }

    #[test]
    fn amf3_data_loses_its_leading_0() {
        let framed = [&[0], SET_DATA_FRAME, b"\x02\x00\x01a"].concat();
        assert_eq!(tags(message(15, 0, &framed)), Ok(vec![tag(Kind::Data, 0, b"\x02\x00\x01a")]));
    }

    #[test]
    fn unknown_data_passes_as_it_came_even_if_it_is_no_utf_8() {
        let data = b"\x02\x00\x02\xff\xfe\x11\x22";
        assert_eq!(tags(message(18, 0, data)), Ok(vec![tag(Kind::Data, 0, data)]));
    }

    #[test]
    fn empty_media_is_left_out() {
        assert_eq!(tags(message(8, 0, &[])), Ok(vec![]));
    }

    #[test]
    fn an_aggregate_is_split_and_counts_from_its_own_timestamp() {
        let payload = [aggregated(8, 100, &[1]), aggregated(9, 140, &[2, 3]), aggregated(20, 0, &[9])].concat();
        let expected = vec![tag(Kind::Audio, 1000, &[1]), tag(Kind::Video, 1040, &[2, 3])];
        assert_eq!(tags(message(22, 1000, &payload)), Ok(expected));
    }

    #[test]
    fn timestamps_in_an_aggregate_have_32_bits_and_wrap() {
        let payload = [aggregated(8, 0xFFFF_FFFF, &[1]), aggregated(8, 4, &[2])].concat();
        let expected = vec![tag(Kind::Audio, 10, &[1]), tag(Kind::Audio, 15, &[2])];
        assert_eq!(tags(message(22, 10, &payload)), Ok(expected));
    }

    #[test]
    fn an_aggregate_that_is_cut_off_anywhere_inside_a_message_is_an_error() {
        let payload = aggregated(9, 0, &[1, 2, 3]);
        for length in 1..payload.len() {
            assert!(tags(message(22, 0, &payload[..length])).is_err(), "cut at {length}");
        }
    }

    #[test]
    fn an_aggregate_of_more_than_1024_messages_is_an_error() {
        let one = aggregated(8, 0, &[1]);
        assert_eq!(tags(message(22, 0, &one.repeat(1024))).map(|tags| tags.len()), Ok(1024));
        assert!(tags(message(22, 0, &one.repeat(1025))).is_err());
    }

    proptest! {
        #[test]
        fn arbitrary_bodies_never_panic(type_id: u8, payload in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = tags(message(type_id, 0, &payload));
            let _ = data_name(&payload);
        }
    }
}
