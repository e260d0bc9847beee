use proptest::prelude::*;

use super::*;
use crate::media::Kind;
use crate::rtmp::chunk_writer::write_media;

const AUDIO: u8 = type_id::AUDIO;
const VIDEO: u8 = type_id::VIDEO;

/// A type 0 header.
fn full(chunk_stream: u8, timestamp: u32, length: u32, type_id: u8, stream_id: u32) -> Vec<u8> {
    let mut bytes = vec![chunk_stream];
    bytes.extend_from_slice(&timestamp.min(0xFF_FFFF).to_be_bytes()[1..]);
    bytes.extend_from_slice(&length.to_be_bytes()[1..]);
    bytes.push(type_id);
    bytes.extend_from_slice(&stream_id.to_le_bytes());
    if timestamp >= 0xFF_FFFF {
        bytes.extend_from_slice(&timestamp.to_be_bytes());
    }
    bytes
}

fn set_chunk_size(size: u32) -> Vec<u8> {
    [full(2, 0, 4, type_id::SET_CHUNK_SIZE, 0), size.to_be_bytes().to_vec()].concat()
}

fn read_all(reader: &mut ChunkReader, mut input: &[u8]) -> Result<Vec<RawMessage>, ChunkError> {
    let mut messages = Vec::new();
    while let Some(message) = reader.read(&mut input)? {
        messages.push(message);
    }
    assert!(input.is_empty(), "input is left over");
    Ok(messages)
}

fn messages(parts: &[&[u8]]) -> Result<Vec<RawMessage>, ChunkError> {
    read_all(&mut ChunkReader::new(), &parts.concat())
}

fn message(type_id: u8, timestamp: u32, payload: &[u8]) -> RawMessage {
    RawMessage { type_id, stream_id: 1, timestamp, payload: Bytes::copy_from_slice(payload) }
}

#[test]
fn a_message_in_one_chunk_is_read_with_its_header() {
    let header = full(6, 0x010203, 3, VIDEO, 0x01020304);
    let expected = RawMessage { stream_id: 0x01020304, ..message(VIDEO, 0x010203, b"abc") };
    assert_eq!(messages(&[&header, b"abc"]), Ok(vec![expected]));
}

#[test]
fn chunk_stream_ids_of_two_and_three_bytes_are_read() {
    let header = full(6, 0, 1, AUDIO, 1);
    let two = [&[0, 200], &header[1..]].concat();
    let three = [&[1, 200, 3], &header[1..]].concat();
    assert_eq!(messages(&[&two, b"a", &three, b"b", &[0xC0, 200], b"c"]).map(|messages| messages.len()), Ok(3));
}

#[test]
fn types_1_2_and_3_count_on_from_the_header_before() {
    let first = full(4, 1000, 2, AUDIO, 1);
    let type_1 = [0x44, 0, 0, 20, 0, 0, 1, VIDEO];
    let type_2 = [0x84, 0, 0, 30];
    let read = messages(&[&first, b"ab", &type_1, b"c", &type_2, b"d", &[0xC4], b"e"]);
    let expected = vec![
        message(AUDIO, 1000, b"ab"),
        message(VIDEO, 1020, b"c"),
        message(VIDEO, 1050, b"d"),
        message(VIDEO, 1080, b"e"),
    ];
    assert_eq!(read, Ok(expected));
}

#[test]
fn a_type_3_behind_a_type_0_takes_its_timestamp_for_the_delta() {
    let read = messages(&[&full(4, 20, 1, AUDIO, 1), b"a", &[0xC4], b"b"]).unwrap();
    assert_eq!(read[1].timestamp, 40);
}

#[test]
fn timestamps_wrap() {
    let type_1 = [0x44, 0, 0, 2, 0, 0, 1, AUDIO];
    let read = messages(&[&full(4, u32::MAX, 1, AUDIO, 1), b"a", &type_1, b"b"]).unwrap();
    assert_eq!((read[0].timestamp, read[1].timestamp), (u32::MAX, 1));
}

#[test]
fn a_small_extended_timestamp_is_what_it_says() {
    let header = [&[4, 0xFF, 0xFF, 0xFF, 0, 0, 1, AUDIO, 1, 0, 0, 0][..], &[0, 0, 0, 7]].concat();
    assert_eq!(messages(&[&header, b"a"]), Ok(vec![message(AUDIO, 7, b"a")]));
}

#[test]
fn chunks_of_two_messages_interleave() {
    let video = full(6, 40, 200, VIDEO, 1);
    let audio = full(4, 41, 3, AUDIO, 1);
    let read = messages(&[&video, &[1; 128], &audio, b"abc", &[0xC6], &[2; 72]]);
    let picture = [[1; 128].as_slice(), &[2; 72]].concat();
    assert_eq!(read, Ok(vec![message(AUDIO, 41, b"abc"), message(VIDEO, 40, &picture)]));
}

#[test]
fn an_interleaved_message_longer_than_the_first_is_no_panic() {
    let video = full(6, 0, 130, VIDEO, 1);
    let audio = full(4, 0, 140, AUDIO, 1);
    let read = messages(&[&video, &[1; 128], &audio, &[2; 128], &[0xC6], &[1; 2], &[0xC4], &[2; 12]]);
    assert_eq!(read, Ok(vec![message(VIDEO, 0, &[1; 130]), message(AUDIO, 0, &[2; 140])]));
}

#[test]
fn extended_timestamps_may_be_repeated_or_left_out_in_type_3_chunks() {
    let header = full(6, 0x0102_0304, 130, VIDEO, 1);
    let expected = Ok(vec![message(VIDEO, 0x0102_0304, &[9; 130])]);
    assert_eq!(messages(&[&header, &[9; 128], &[0xC6, 1, 2, 3, 4], &[9; 2]]), expected);
    assert_eq!(messages(&[&header, &[9; 128], &[0xC6], &[9; 2]]), expected);
}

#[test]
fn payload_that_begins_like_the_left_out_timestamp_is_kept_whatever_the_splits() {
    let payload = [[9; 128].as_slice(), &[1, 2, 3]].concat();
    let stream = [
        full(6, 0x0102_0304, 131, VIDEO, 1),
        payload[..128].to_vec(),
        [&[0xC6], &payload[128..]].concat(),
        full(5, 5, 1, AUDIO, 1),
        b"a".to_vec(),
    ]
    .concat();
    for split in 0..stream.len() {
        let mut reader = ChunkReader::new();
        let mut read = read_all(&mut reader, &stream[..split]).unwrap();
        read.extend(read_all(&mut reader, &stream[split..]).unwrap());
        assert_eq!(read, [message(VIDEO, 0x0102_0304, &payload), message(AUDIO, 5, b"a")], "split at {split}");
    }
}

#[test]
fn a_new_message_by_type_3_may_repeat_the_extended_timestamp() {
    let header = full(6, 0x0100_0000, 1, VIDEO, 1);
    let read = messages(&[&header, b"a", &[0xC6, 1, 0, 0, 0], b"b", &[0xC6], b"c"]).unwrap();
    assert_eq!(read.iter().map(|message| message.timestamp).collect::<Vec<_>>(), [1 << 24, 2 << 24, 3 << 24]);
}

#[test]
fn a_chunk_size_takes_effect_for_the_next_chunk_of_the_same_input() {
    let long = full(6, 0, 300, VIDEO, 1);
    let read = messages(&[&set_chunk_size(300), &long, &[5; 300], &set_chunk_size(1), &full(6, 0, 2, VIDEO, 1)]);
    assert_eq!(read, Ok(vec![message(VIDEO, 0, &[5; 300])]));
    let read = messages(&[&set_chunk_size(1), &full(6, 0, 2, VIDEO, 1), b"a", &[0xC6], b"b"]);
    assert_eq!(read, Ok(vec![message(VIDEO, 0, b"ab")]));
}

#[test]
fn a_chunk_size_of_0_or_with_the_reserved_bit_is_refused() {
    assert_eq!(messages(&[&set_chunk_size(0)]), Err(ChunkError::ChunkSize(0)));
    assert_eq!(messages(&[&set_chunk_size(1 << 31)]), Err(ChunkError::ChunkSize(1 << 31)));
}

#[test]
fn a_chunk_size_beyond_the_largest_message_means_that() {
    let mut reader = ChunkReader::new();
    read_all(&mut reader, &set_chunk_size(0x7FFF_FFFF)).unwrap();
    assert_eq!(reader.chunk_size, MAX_CHUNK_SIZE);
    assert_eq!(reader.partial_bytes(), 0);
}

#[test]
fn a_chunk_size_without_its_four_bytes_is_refused() {
    assert_eq!(messages(&[&full(2, 0, 3, type_id::SET_CHUNK_SIZE, 0), &[0; 3]]), Err(ChunkError::Truncated));
}

#[test]
fn abort_discards_the_partial_message_and_its_memory() {
    let mut reader = ChunkReader::new();
    read_all(&mut reader, &[full(6, 0, 200, VIDEO, 1), vec![1; 128]].concat()).unwrap();
    assert!(reader.partial_bytes() >= 128);
    let abort = [full(2, 0, 4, type_id::ABORT, 0), 6_u32.to_be_bytes().to_vec()].concat();
    read_all(&mut reader, &abort).unwrap();
    assert_eq!(reader.partial_bytes(), 0);
    let next = [full(6, 9, 1, VIDEO, 1), b"a".to_vec()].concat();
    assert_eq!(read_all(&mut reader, &next), Ok(vec![message(VIDEO, 9, b"a")]));
}

#[test]
fn empty_messages_are_messages() {
    assert_eq!(messages(&[&full(4, 3, 0, AUDIO, 1)]), Ok(vec![message(AUDIO, 3, b"")]));
}

#[test]
fn librtmp_may_open_a_chunk_stream_with_a_type_1_header() {
    let read = messages(&[&[0x42, 0, 0, 0, 0, 0, 1, AUDIO], b"a"]).unwrap();
    assert_eq!(read[0].payload, "a");
}

#[test]
fn a_compressed_header_without_a_full_one_before_is_refused() {
    assert_eq!(messages(&[&[0xC4]]), Err(ChunkError::NoEarlierHeader));
    assert_eq!(messages(&[&[0x84, 0, 0, 0]]), Err(ChunkError::NoEarlierHeader));
}

#[test]
fn a_continuation_may_repeat_its_own_header() {
    let header = full(6, 7, 130, VIDEO, 1);
    assert_eq!(messages(&[&header, &[1; 128], &header, &[1; 2]]), Ok(vec![message(VIDEO, 7, &[1; 130])]));
}

#[test]
fn another_message_inside_an_unfinished_one_of_its_chunk_stream_is_refused() {
    let read = messages(&[&full(6, 0, 130, VIDEO, 1), &[1; 128], &full(6, 0, 5, VIDEO, 1)]);
    assert_eq!(read, Err(ChunkError::Interrupted));
}

#[test]
fn sixty_four_chunk_streams_are_enough() {
    let mut reader = ChunkReader::new();
    for chunk_stream in 0..=MAX_CHUNK_STREAMS {
        let id = u8::try_from(chunk_stream).unwrap();
        let header = full(6, 0, 0, AUDIO, 1);
        let result = read_all(&mut reader, &[&[0, id], &header[1..]].concat());
        if chunk_stream < MAX_CHUNK_STREAMS {
            assert!(result.is_ok());
        } else {
            assert_eq!(result, Err(ChunkError::TooManyChunkStreams));
        }
    }
}

#[test]
fn commands_and_media_have_their_limits() {
    for (type_id, limit) in
        [(type_id::COMMAND_AMF0, MAX_COMMAND_BYTES), (4, MAX_COMMAND_BYTES), (VIDEO, MAX_MEDIA_BYTES)]
    {
        assert_eq!(messages(&[&full(4, 0, limit, type_id, 0)]), Ok(vec![]));
        let refused = Err(ChunkError::MessageTooLarge { type_id, length: limit + 1 });
        assert_eq!(messages(&[&full(4, 0, limit + 1, type_id, 0)]), refused);
    }
}

#[test]
fn lengths_that_are_announced_and_never_delivered_take_no_memory() {
    let mut reader = ChunkReader::new();
    let mut stream = set_chunk_size(MAX_CHUNK_SIZE);
    stream.extend(full(4, 0, MAX_MEDIA_BYTES, VIDEO, 1));
    read_all(&mut reader, &stream).unwrap();
    assert_eq!(reader.partial_bytes(), 0);
    read_all(&mut reader, &[7; 10]).unwrap();
    assert_eq!(reader.partial_bytes(), 10);
}

#[test]
fn partial_messages_take_at_most_twice_what_has_arrived() {
    let mut reader = ChunkReader::new();
    let mut arrived = 0;
    for chunk_stream in 3..63 {
        read_all(&mut reader, &full(chunk_stream, 0, MAX_MEDIA_BYTES, VIDEO, 1)).unwrap();
        read_all(&mut reader, &[7; 128]).unwrap();
        arrived += 128;
        assert!(reader.partial_bytes() <= 2 * arrived);
    }
}

/// Begins a message of a megabyte on one chunk stream after the other, up to an error, and counts those that were taken.
fn begin_messages(reader: &mut ChunkReader) -> (u32, Result<(), ChunkError>) {
    read_all(reader, &set_chunk_size(1 << 20)).unwrap();
    let piece = vec![0; 1 << 20];
    let mut taken = 0;
    let outcome = (3..40).try_for_each(|chunk_stream| {
        read_all(reader, &full(chunk_stream, 0, MAX_MEDIA_BYTES, VIDEO, 1))?;
        read_all(reader, &piece)?;
        taken += 1;
        Ok(())
    });
    (taken, outcome)
}

#[test]
fn partial_messages_of_one_connection_are_capped() {
    let mut reader = ChunkReader::new();
    reader.expect_media();
    let (taken, outcome) = begin_messages(&mut reader);
    assert_eq!(outcome, Err(ChunkError::PartialBytes));
    assert!(taken >= 8, "{taken} messages of a megabyte");
    assert!(reader.partial_bytes() <= MAX_PARTIAL_BYTES);
}

#[test]
fn a_peer_that_is_not_to_send_media_may_begin_little() {
    let mut reader = ChunkReader::new();
    assert_eq!(begin_messages(&mut reader), (0, Err(ChunkError::PartialBytes)));
    assert!(reader.partial_bytes() <= MAX_PARTIAL_BYTES_BEFORE_MEDIA);
}

#[test]
fn a_whole_message_leaves_no_memory_behind() {
    let mut reader = ChunkReader::new();
    let mut stream = set_chunk_size(4096);
    write_media(&mut stream, Kind::Video, 0, 1, &vec![3; 100_000], 4096);
    assert_eq!(read_all(&mut reader, &stream).map(|messages| messages.len()), Ok(1));
    assert_eq!(reader.partial_bytes(), 0);
}

/// What a sender with several unfinished messages may do next.
#[derive(Debug, Clone)]
enum Action {
    /// Send the next chunk of the message on this chunk stream, the first one included.
    Chunk(usize),
    SetChunkSize(u32),
}

#[derive(Debug, Clone)]
struct Queued {
    timestamp: u32,
    payload: Vec<u8>,
}

/// Chunk streams with basic headers of one, two and three bytes.
const CHUNK_STREAMS: [&[u8]; 4] = [&[4], &[5], &[0, 6], &[1, 0x50, 1]];

fn basic_header(chunk_stream: usize, chunk_type: u8) -> Vec<u8> {
    let mut bytes = CHUNK_STREAMS[chunk_stream].to_vec();
    bytes[0] |= chunk_type << 6;
    bytes
}

/// The bytes of a sender that follows `actions` and then sends what is left, and the messages in the order of their last
/// chunks.
fn send(queues: &[Vec<Queued>], actions: &[Action], repeat_extended: bool) -> (Vec<u8>, Vec<RawMessage>) {
    let mut stream = Vec::new();
    let mut expected = Vec::new();
    let mut chunk_size = 128;
    let mut progress = vec![(0, 0); queues.len()];
    let rest = (0..queues.len()).flat_map(|index| vec![Action::Chunk(index); 2000]);
    for action in actions.iter().cloned().chain(rest) {
        let index = match action {
            Action::SetChunkSize(size) => {
                stream.extend(set_chunk_size(size));
                chunk_size = size as usize;
                continue;
            }
            Action::Chunk(index) => index,
        };
        let (message_index, sent) = &mut progress[index];
        let Some(queued) = queues[index].get(*message_index) else { continue };
        let extended = queued.timestamp >= 0xFF_FFFF;
        if *sent == 0 {
            stream.extend(basic_header(index, 0));
            stream.extend(&full(0, queued.timestamp, queued.payload.len() as u32, VIDEO, 1)[1..]);
        } else {
            stream.extend(basic_header(index, 3));
            if extended && repeat_extended {
                stream.extend(queued.timestamp.to_be_bytes());
            }
        }
        let end = queued.payload.len().min(*sent + chunk_size);
        stream.extend(&queued.payload[*sent..end]);
        *sent = end;
        if end == queued.payload.len() {
            expected.push(message(VIDEO, queued.timestamp, &queued.payload));
            *message_index += 1;
            *sent = 0;
        }
    }
    (stream, expected)
}

/// Few different payload bytes, so that payload often begins like an extended timestamp that was left out; its last byte
/// is never among them, or nobody could tell the two apart.
fn queued() -> impl Strategy<Value = Queued> {
    let timestamp = prop_oneof![0_u32..100, Just(0x00FF_FFFE), Just(0x0101_01FF), Just(0x0102_01FF)];
    let payload = proptest::collection::vec(1_u8..3, 1..400);
    (timestamp, payload).prop_map(|(timestamp, payload)| Queued { timestamp, payload })
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        8 => (0..CHUNK_STREAMS.len()).prop_map(Action::Chunk),
        1 => (4_u32..300).prop_map(Action::SetChunkSize),
    ]
}

proptest! {
    #[test]
    fn interleaved_messages_arrive_whole_under_any_splits(
        queues in proptest::collection::vec(proptest::collection::vec(queued(), 0..4), CHUNK_STREAMS.len()),
        actions in proptest::collection::vec(action(), 0..60),
        repeat_extended: bool,
        splits in proptest::collection::vec(1_usize..40, 1..20),
    ) {
        let (mut stream, mut expected) = send(&queues, &actions, repeat_extended);
        // Without a byte behind it, a last chunk that looks like the start of a timestamp cannot be told from one.
        stream.extend(full(6, 9, 1, AUDIO, 1));
        stream.push(0);
        expected.push(message(AUDIO, 9, &[0]));
        let mut reader = ChunkReader::new();
        let mut read = Vec::new();
        let mut rest = stream.as_slice();
        for size in splits.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, behind) = rest.split_at(rest.len().min(*size));
            read.extend(read_all(&mut reader, piece).unwrap());
            rest = behind;
        }
        prop_assert_eq!(read, expected);
        prop_assert_eq!(reader.partial_bytes(), 0);
    }

    #[test]
    fn what_the_writer_writes_the_reader_reads(
        tags in proptest::collection::vec((0..3_usize, any::<u32>(), 0..3000_usize), 1..8),
        chunk_size in 1_u32..70_000,
        stream_id: u32,
    ) {
        let mut stream = set_chunk_size(chunk_size);
        let mut expected = Vec::new();
        for (kind, timestamp, length) in tags {
            let kind = [Kind::Audio, Kind::Video, Kind::Data][kind];
            let payload = vec![kind.type_id(); length];
            write_media(&mut stream, kind, timestamp, stream_id, &payload, chunk_size as usize);
            expected.push(RawMessage { type_id: kind.type_id(), stream_id, timestamp, payload: payload.into() });
        }
        prop_assert_eq!(read_all(&mut ChunkReader::new(), &stream), Ok(expected));
    }

    #[test]
    fn arbitrary_bytes_never_panic_and_take_no_more_memory_than_they_are(
        input in proptest::collection::vec(any::<u8>(), 0..4000),
    ) {
        let mut reader = ChunkReader::new();
        let mut rest = input.as_slice();
        while let Ok(Some(_)) = reader.read(&mut rest) {}
        prop_assert!(reader.partial_bytes() <= 2 * input.len());
    }
}
