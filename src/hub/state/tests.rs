use std::net::Ipv4Addr;

use bytes::Bytes;
use prometheus_client::metrics::gauge::Gauge;

use crate::media::codec::Codec;

use super::*;

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn state() -> (State, Instant) {
    state_with(StreamSettings { merge_window: Some(Duration::from_secs(1)), ..StreamSettings::default() })
}

fn state_with(settings: StreamSettings) -> (State, Instant) {
    let now = Instant::now();
    let budget = Arc::new(Budget::new(1 << 30, Gauge::default()));
    (State::new(Arc::new(settings), budget, now), now)
}

fn client(query: &str) -> PublishRequest {
    PublishRequest {
        source: Source::Client { address: CLIENT, query: query.to_owned() },
        session: Identity::random(),
        takes_over: false,
        resume_timeout: Duration::from_secs(15),
    }
}

fn tag(kind: Kind, timestamp: u32, payload: &'static [u8]) -> Tag {
    Tag { kind, timestamp, payload: Bytes::from_static(payload) }
}

const VIDEO_HEADER: &[u8] = &[0x17, 0, 0, 0, 0, 1];
const AUDIO_HEADER: &[u8] = &[0xaf, 0, 0x12, 0x10];
const KEYFRAME: &[u8] = &[0x17, 1, 0, 0, 0, 7];
const FRAME: &[u8] = &[0x27, 1, 0, 0, 0, 7];
const AUDIO: &[u8] = &[0xaf, 1, 0x21];

/// The classes of the packets in each block of the ring.
fn blocks(state: &State) -> Vec<Vec<Class>> {
    (state.ring.first()..state.ring.end())
        .map(|number| state.ring.get(number).unwrap().packets().iter().map(|packet| packet.class).collect())
        .collect()
}

fn is_header(class: &Class) -> bool {
    matches!(class, Class::Header(_))
}

#[test]
fn a_keyframe_begins_a_block_and_headers_keep_to_themselves() {
    let (mut state, now) = state();
    let (number, _) = state.begin_publish(client(""), now).unwrap();
    for (kind, payload) in [
        (Kind::Video, VIDEO_HEADER),
        (Kind::Audio, AUDIO_HEADER),
        (Kind::Video, KEYFRAME),
        (Kind::Audio, AUDIO),
        (Kind::Video, FRAME),
        (Kind::Video, KEYFRAME),
    ] {
        state.push(number, tag(kind, 0, payload), now).unwrap();
    }
    state.seal(now);
    let blocks = blocks(&state);
    assert!(blocks[0].iter().all(is_header) && blocks[0].len() == 2);
    assert_eq!(blocks[1], [Class::Keyframe, Class::Frame, Class::Frame]);
    assert_eq!(blocks[2], [Class::Keyframe]);
}

#[test]
fn a_block_is_sealed_at_128_kib_whatever_the_window() {
    let (mut state, now) = state();
    let (number, _) = state.begin_publish(client(""), now).unwrap();
    let large = || Tag { kind: Kind::Audio, timestamp: 0, payload: Bytes::from(vec![0xaf; 60_000]) };
    for _ in 0..5 {
        state.push(number, large(), now).unwrap();
    }
    assert!(blocks(&state).iter().all(|block| block.len() == 2));
    assert_eq!(blocks(&state).len(), 2);
}

#[test]
fn headers_that_repeat_what_is_in_force_are_not_sent_again() {
    let (mut state, now) = state();
    let (number, _) = state.begin_publish(client(""), now).unwrap();
    for _ in 0..3 {
        state.push(number, tag(Kind::Video, 0, VIDEO_HEADER), now).unwrap();
        state.push(number, tag(Kind::Video, 0, KEYFRAME), now).unwrap();
    }
    state.seal(now);
    assert_eq!(blocks(&state).concat().iter().filter(|class| is_header(class)).count(), 1);
}

#[test]
fn a_new_session_sends_its_headers_again_and_begins_with_a_keyframe() {
    let (mut state, now) = state();
    let (first, _) = state.begin_publish(client(""), now).unwrap();
    state.push(first, tag(Kind::Video, 0, VIDEO_HEADER), now).unwrap();
    state.push(first, tag(Kind::Video, 0, KEYFRAME), now).unwrap();
    state.readers = 1;
    assert!(state.end_publish(first, now));
    let before = state.ring.end();
    let (second, _) = state.begin_publish(client(""), now).unwrap();
    state.push(second, tag(Kind::Video, 0, VIDEO_HEADER), now).unwrap();
    state.push(second, tag(Kind::Video, 0, FRAME), now).unwrap();
    state.push(second, tag(Kind::Video, 40, KEYFRAME), now).unwrap();
    state.seal(now);
    let new: Vec<Class> = blocks(&state)[before as usize..].concat();
    assert!(is_header(&new[0]));
    assert_eq!(new[1..], [Class::Keyframe]);
}

#[test]
fn a_resumed_session_goes_on_where_it_was() {
    let (mut state, now) = state();
    let request = PublishRequest { source: Source::Pull, ..client("") };
    let (first, _) = state.begin_publish(request.clone(), now).unwrap();
    state.push(first, tag(Kind::Video, 0, VIDEO_HEADER), now).unwrap();
    state.push(first, tag(Kind::Video, 0, KEYFRAME), now).unwrap();
    state.push(first, tag(Kind::Video, 40, FRAME), now).unwrap();
    state.readers = 1;
    state.end_publish(first, now);
    let before = state.ring.end();
    let (second, _) = state.begin_publish(request, now).unwrap();
    for (timestamp, payload) in [(0, VIDEO_HEADER), (0, KEYFRAME), (40, FRAME), (80, FRAME)] {
        state.push(second, tag(Kind::Video, timestamp, payload), now).unwrap();
    }
    state.seal(now);
    assert_eq!(blocks(&state)[before as usize..].concat(), [Class::Frame]);
    assert_eq!(state.ring.get(before).unwrap().wire_timestamp(), 80);
}

#[test]
fn after_a_jump_headers_are_sent_again_and_video_begins_with_a_keyframe() {
    let (mut state, now) = state();
    let (number, _) = state.begin_publish(client(""), now).unwrap();
    for (timestamp, payload) in [(0, VIDEO_HEADER), (60_000, KEYFRAME), (60_040, FRAME)] {
        state.push(number, tag(Kind::Video, timestamp, payload), now).unwrap();
    }
    state.seal(now);
    let before = state.ring.end();
    for (timestamp, payload) in [(0, FRAME), (40, FRAME), (80, KEYFRAME), (120, FRAME)] {
        state.push(number, tag(Kind::Video, timestamp, payload), now).unwrap();
    }
    state.seal(now);
    let new: Vec<Class> = blocks(&state)[before as usize..].concat();
    assert!(is_header(&new[0]));
    assert_eq!(new[1..], [Class::Keyframe, Class::Frame]);
    assert_eq!(state.ring.newest_keyframe(), Some(before + 1));
}

#[test]
fn video_that_never_has_a_keyframe_is_let_through_after_a_while() {
    let (mut state, now) = state();
    let (number, _) = state.begin_publish(client(""), now).unwrap();
    state.push(number, tag(Kind::Video, 0, FRAME), now).unwrap();
    state.push(number, tag(Kind::Video, 40, FRAME), now + KEYFRAME_WAIT).unwrap();
    state.seal(now);
    assert_eq!(blocks(&state).concat().len(), 1);
}

#[test]
fn a_second_publisher_is_refused_and_changes_nothing() {
    let (mut state, now) = state();
    let (first, replaced) = state.begin_publish(client("a=1"), now).unwrap();
    assert_eq!(state.begin_publish(client("a=1"), now).unwrap_err(), PublishError::Conflict);
    assert!(!replaced.is_cancelled());
    state.push(first, tag(Kind::Audio, 0, AUDIO), now).unwrap();
}

#[test]
fn a_publisher_silent_for_two_seconds_yields_to_the_same_client() {
    let (mut state, now) = state();
    let (first, replaced) = state.begin_publish(client("a=1"), now).unwrap();
    state.push(first, tag(Kind::Audio, 0, AUDIO), now + Duration::from_secs(1)).unwrap();
    let later = now + Duration::from_secs(3);
    assert!(state.begin_publish(client("a=1"), later - Duration::from_millis(1)).is_err());
    assert!(state.begin_publish(client("a=2"), later).is_err());
    let other = Source::Client { address: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), query: "a=1".to_owned() };
    assert!(state.begin_publish(PublishRequest { source: other, ..client("") }, later).is_err());
    assert!(state.begin_publish(client("a=1"), later).is_ok());
    assert!(replaced.is_cancelled());
    assert_eq!(state.push(first, tag(Kind::Audio, 0, AUDIO), later), Err(Superseded));
}

#[test]
fn replace_lets_the_later_publisher_win() {
    let (mut state, now) = state_with(StreamSettings { on_conflict: OnConflict::Replace, ..StreamSettings::default() });
    let (first, replaced) = state.begin_publish(client("a=1"), now).unwrap();
    let (second, _) = state.begin_publish(client("b=2"), now).unwrap();
    assert!(replaced.is_cancelled());
    assert!(!state.end_publish(first, now), "the first one's end must not end the second");
    assert!(state.end_publish(second, now));
}

#[test]
fn a_pull_yields_to_a_publisher() {
    let (mut state, now) = state();
    state.begin_publish(PublishRequest { source: Source::Pull, ..client("") }, now).unwrap();
    assert!(state.begin_publish(client(""), now).is_ok());
}

#[test]
fn new_streams_are_refused_when_the_budget_is_used_up() {
    let (used, now) = (Gauge::default(), Instant::now());
    let budget = Arc::new(Budget::new(1_000, used.clone()));
    let mut state = State::new(Arc::default(), Arc::clone(&budget), now);
    let charge = budget.charge(1_001);
    assert_eq!(state.begin_publish(client(""), now).unwrap_err(), PublishError::RingBudget);
    drop(charge);
    assert!(state.begin_publish(client(""), now).is_ok());
}

fn tracks_after(tags: &[(Kind, &'static [u8])]) -> (State, Instant) {
    let (mut state, now) = state();
    let (number, _) = state.begin_publish(client(""), now).unwrap();
    for (kind, payload) in tags {
        state.push(number, tag(*kind, 0, payload), now).unwrap();
    }
    (state, now)
}

#[test]
fn tracks_are_settled_once_both_are_there() {
    let (state, now) = tracks_after(&[(Kind::Video, VIDEO_HEADER), (Kind::Audio, AUDIO_HEADER)]);
    assert!(state.tracks_are_settled(now));
    assert_eq!(state.headers.tracks.video, Some(Codec::AVC));
    assert_eq!(state.headers.tracks.audio, Some(Codec::AAC));
}

#[test]
fn one_track_is_taken_for_all_after_a_second() {
    let (state, now) = tracks_after(&[(Kind::Audio, AUDIO_HEADER), (Kind::Audio, AUDIO)]);
    assert!(!state.tracks_are_settled(now));
    assert!(state.tracks_are_settled(now + TRACKS_SETTLE_AFTER));
    assert_eq!(state.headers.tracks.video, None);
}

#[test]
fn metadata_that_promises_one_track_settles_it_at_once() {
    const VIDEO_ONLY: &[u8] =
        b"\x02\x00\x0aonMetaData\x08\0\0\0\x01\x00\x0cvideocodecid\x00\x40\x1c\0\0\0\0\0\0\0\0\x09";
    let (state, now) = tracks_after(&[(Kind::Data, VIDEO_ONLY), (Kind::Video, VIDEO_HEADER), (Kind::Video, KEYFRAME)]);
    assert!(state.tracks_are_settled(now));
}

#[test]
fn headers_in_force_take_little_memory_whatever_the_publisher_sends() {
    let (mut state, now) = state();
    let (number, _) = state.begin_publish(client(""), now).unwrap();
    for track in 0..64_u8 {
        let mut payload = b"\x96\x00hvc1".to_vec();
        payload.push(track);
        payload.resize(256 << 10, 0);
        state.push(number, Tag { kind: Kind::Video, timestamp: 0, payload: payload.into() }, now).unwrap();
    }
    let metadata = [b"\x02\x00\x0aonMetaData".to_vec(), vec![0; 4 << 20]].concat();
    state.push(number, Tag { kind: Kind::Data, timestamp: 0, payload: metadata.into() }, now).unwrap();
    assert!(state.headers.wire(crate::hub::WireForm::Flv, 0, 0).len() <= 2 << 20);
}

#[test]
fn large_metadata_does_not_slow_the_packets_behind_it() {
    let (mut state, now) = state();
    let (number, _) = state.begin_publish(client(""), now).unwrap();
    let metadata = [b"\x02\x00\x0aonMetaData".to_vec(), vec![0; 900 << 10]].concat();
    state.push(number, Tag { kind: Kind::Data, timestamp: 0, payload: metadata.into() }, now).unwrap();
    let began = Instant::now();
    for timestamp in 0..10_000 {
        state.push(number, tag(Kind::Audio, timestamp, AUDIO), now).unwrap();
    }
    assert!(began.elapsed() < Duration::from_secs(30));
}
