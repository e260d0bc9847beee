//! The entry points that take bytes of strangers. Each tells by a number what came of them: its errors, and how far it got.
//!
//! cargo-fuzz runs the same functions (`fuzz/fuzz_targets`), so nothing here may need anything of a test.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::LazyLock;
use std::time::{Duration, UNIX_EPOCH};

use bytes::BytesMut;
use rillcast::auth::{AccessRequest, Acknowledgement, Action, ClusterKey, Verifier, access};
use rillcast::config::{self, Role, Secret};
use rillcast::hls::Resource;
use rillcast::media::class::{Class, classify};
use rillcast::media::flv::FlvReader;
use rillcast::media::packet::Packet;
use rillcast::media::stream_key::StreamKey;
use rillcast::media::{Tag, metadata};
use rillcast::mux::fmp4::Fragmenter;
use rillcast::mux::frame::Frame;
use rillcast::mux::mpegts::Muxer;
use rillcast::mux::tracks::Tracks;
use rillcast::net::forwarded;
use rillcast::net::proxy_protocol::{self, MAX_HEADER_BYTES, Preamble};
use rillcast::rtmp::chunk_reader::ChunkReader;
use rillcast::rtmp::url::RtmpUrl;
use rillcast::rtmp::{ClientSession, ClientSettings, Goal, ServerEvent, ServerSession, ServerSettings, Status, amf0};

const SETTINGS: ServerSettings = ServerSettings { chunk_size: 60_000, window_acknowledgement: 2_500_000 };

/// A number for anything that can be shown; long texts differ by their beginnings.
fn outcome(shown: &impl std::fmt::Debug) -> u64 {
    let text = format!("{shown:?}");
    let mut hasher = DefaultHasher::new();
    text.chars()
        .filter(|character| !character.is_ascii_digit())
        .take(200)
        .for_each(|character| character.hash(&mut hasher));
    hasher.finish()
}

/// The first word of what is shown: the kind of an event.
fn kind(shown: &impl std::fmt::Debug) -> String {
    format!("{shown:?}").chars().take_while(|character| character.is_alphabetic()).collect()
}

/// The input in pieces, as a network would deliver it: its first byte says how large they are.
fn pieces(input: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (size, rest) = input.split_first().unwrap_or((&0, &[]));
    rest.chunks(match size {
        0..128 => usize::MAX,
        size => usize::from(size - 127),
    })
}

/// The first bytes of an RTMP connection.
pub fn handshake(input: &[u8]) -> u64 {
    let mut session = ServerSession::new(SETTINGS);
    let mut result = Ok(());
    for piece in pieces(input) {
        result = result.and_then(|()| session.feed(piece));
    }
    outcome(&(result, session.handshake_done(), session.take_output().len() / 1_000))
}

/// What an RTMP client says behind its handshake, answered as a server that takes everything.
pub fn session(input: &[u8]) -> u64 {
    let mut session = ServerSession::new(SETTINGS);
    session.take_calls();
    session.feed(&[&[3][..], &[0; 2 * 1536]].concat()).expect("a plain handshake is one");
    let (mut result, mut events) = (Ok(()), Vec::new());
    for piece in pieces(input) {
        result = result.and_then(|()| session.feed(piece));
        while let Some(event) = session.next_event() {
            match &event {
                ServerEvent::Connect(_) => session.accept_connect(&[]),
                ServerEvent::Publish(_) => session.accept_publish(),
                ServerEvent::Play(_) => session.accept_play(&[]),
                ServerEvent::Media(tag) => {
                    let _ = classify(tag);
                }
                _ => {}
            }
            events.push(kind(&event));
        }
        session.take_output();
        assert!(session.partial_bytes() <= input.len() * 2 + 4_096, "more memory than bytes");
    }
    session.end_publish(Status::UnpublishSuccess, "the end");
    events.dedup();
    outcome(&(result, events))
}

/// What an RTMP server says to a pull, from the first byte on.
pub fn client(input: &[u8]) -> u64 {
    let settings = ClientSettings {
        tc_url: "rtmp://origin.example:1935/live".to_owned(),
        app: "live".to_owned(),
        goal: Goal::Play { name: "x".to_owned() },
        mark: Some("v=1;node=edge-1".to_owned()),
        chunk_size: 4_096,
        four_cc: true,
        reconnects: true,
    };
    let Ok(mut session) = ClientSession::new(settings) else { return 0 };
    let (mut result, mut events) = (Ok(()), Vec::new());
    let handshake = [&[3][..], &[0; 2 * 1536]].concat();
    for piece in std::iter::once(&handshake[..]).chain(pieces(input)) {
        result = result.and_then(|()| session.feed(piece));
        while let Some(event) = session.next_event() {
            events.push(kind(&event));
        }
        session.take_output();
    }
    events.dedup();
    outcome(&(result, events))
}

/// Chunks alone.
pub fn chunks(input: &[u8]) -> u64 {
    let mut reader = ChunkReader::new();
    let mut types = Vec::new();
    let mut rest = BytesMut::new();
    for piece in pieces(input) {
        rest.extend_from_slice(piece);
        let mut unread = &rest[..];
        loop {
            match reader.read(&mut unread) {
                Ok(Some(message)) => types.push(char::from(b'a' + message.type_id % 26)),
                Ok(None) => break,
                Err(error) => return outcome(&(error, types)),
            }
            if types.len() == 3 {
                reader.expect_media();
            }
        }
        let left = unread.len();
        let _ = rest.split_to(rest.len() - left);
    }
    types.dedup();
    outcome(&types)
}

/// AMF0 values: what can be read can be written, and reads the same again.
pub fn amf0(input: &[u8]) -> u64 {
    let decoded = amf0::decode(input);
    if let Ok(values) = &decoded {
        let again = amf0::decode(&amf0::encode(values)).expect("what was written can be read");
        // NaN is not equal to itself.
        assert_eq!(format!("{again:?}"), format!("{values:?}"));
    }
    outcome(&decoded.map(|values| values.len().min(4)))
}

/// FLV as an upstream sends it over HTTP.
pub fn flv(input: &[u8]) -> u64 {
    let (tags, result) = tags(input);
    let classes: Vec<_> = tags.iter().take(8).map(classify).collect();
    for tag in &tags {
        let _ = metadata::promise(&tag.payload);
    }
    outcome(&(classes, result))
}

fn tags(input: &[u8]) -> (Vec<Tag>, Result<(), rillcast::media::flv::FlvError>) {
    let mut reader = FlvReader::default();
    let mut tags = Vec::new();
    for piece in pieces(input) {
        reader.feed(piece);
        loop {
            match reader.next_tag() {
                Ok(Some(tag)) => tags.push(tag),
                Ok(None) => break,
                Err(error) => return (tags, Err(error)),
            }
        }
    }
    (tags, Ok(()))
}

/// Media of a publisher, through everything that makes other containers of it.
pub fn media(input: &[u8]) -> u64 {
    let (mut tracks, mut shown) = (Tracks::default(), Vec::new());
    let (mut segments, mut fragments) = (None, None);
    let mut out = BytesMut::new();
    let (tags, _) = tags(input);
    for (index, tag) in tags.iter().enumerate() {
        let (class, _) = classify(tag);
        let timestamp = index as u64 * 40 + u64::from(tag.timestamp & 7);
        let packet = Packet { kind: tag.kind, class, timestamp, payload: tag.payload.clone() };
        match tracks.take(&packet) {
            Ok(true) => {
                let _ = tracks.codecs();
                fragments = Some(Fragmenter::new(&tracks, 0));
                segments = Muxer::new(&tracks).ok();
                if let Some(muxer) = &mut segments {
                    muxer.begin_segment(&mut out);
                }
            }
            Ok(false) => {}
            Err(error) => shown.push(outcome(&error)),
        }
        match Frame::from_packet(&packet, &tracks) {
            Ok(Some(frame)) => {
                if let Some(muxer) = &mut segments {
                    shown.push(outcome(&muxer.write(&frame, &mut out).is_ok()));
                }
                if let Some(fragmenter) = &mut fragments {
                    if class == Class::Keyframe && !fragmenter.is_empty() {
                        fragmenter.cut(Some(&frame), true);
                    }
                    shown.push(outcome(&fragmenter.push(frame).is_ok()));
                }
            }
            Ok(None) => shown.push(0),
            Err(error) => shown.push(outcome(&error)),
        }
    }
    if let Some(muxer) = &mut segments {
        muxer.end_segment(&mut out);
    }
    if let Some(mut fragmenter) = fragments.filter(|fragmenter| !fragmenter.is_empty()) {
        fragmenter.cut(None, true);
    }
    shown.dedup();
    outcome(&shown)
}

/// Names of apps and streams over RTMP and HTTP, with their queries.
pub fn names(input: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(input);
    let (app, name) = text.split_once('\n').unwrap_or((&text, ""));
    let named = StreamKey::parse(app, name);
    if let Ok(named) = &named {
        let (app, name) = named.key.to_wire();
        assert_eq!(StreamKey::parse(&app, &name).map(|again| again.key).as_ref(), Ok(&named.key));
    }
    let path = StreamKey::from_path(&text);
    let file = Resource::parse(&text).map(|file| file.map(|file| (file.path(), file.uri()).0.len().min(9)));
    let url = text.parse::<RtmpUrl>().map(|url| (url.tc_url(), url.authority()).0.len().min(9));
    outcome(&(named.is_ok(), named.err(), path.err(), file, url.err()))
}

/// What a server says that it is, before anybody knows whether it is true.
pub fn mark(input: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(input);
    let key = ClusterKey::new(&Secret::new("0123456789abcdef"));
    let now = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let signed = Verifier::new(Some(key)).judge(&text, now);
    let unsigned = Verifier::new(None).judge(&text, now);
    outcome(&(signed, unsigned, Acknowledgement::parse(&text).is_some()))
}

/// What a proxy says in front of a connection (PROXY protocol), and in a request (`X-Forwarded-For`).
pub fn proxy(input: &[u8]) -> u64 {
    let parsed = proxy_protocol::parse(input);
    match parsed {
        Ok(Preamble::Header { length, .. }) => assert!(length <= input.len(), "a header is no longer than what came"),
        Ok(Preamble::Incomplete) => assert!(input.len() < MAX_HEADER_BYTES, "nothing is waited for without end"),
        _ => {}
    }
    // Whatever comes in pieces is not taken for something else before it is complete.
    for end in 0..input.len().min(MAX_HEADER_BYTES) {
        let before = proxy_protocol::parse(&input[..end]);
        let is_settled = before.is_err() || matches!(before, Ok(Preamble::Header { .. }));
        assert!(!is_settled || before == parsed, "{end} bytes say {before:?}, all say {parsed:?}");
    }
    let mut headers = http::HeaderMap::new();
    for line in input.split(|byte| *byte == b'\n').take(8) {
        if let Ok(value) = http::HeaderValue::from_bytes(line) {
            headers.append("x-forwarded-for", value);
        }
    }
    let proxy = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let client = forwarded::client(&headers, proxy, |address| address.is_loopback());
    assert_eq!(forwarded::client(&headers, proxy, |_| false), None, "who is not trusted names nobody");
    outcome(&(parsed, client.map(|client| (client.is_ipv4(), client.is_loopback()))))
}

/// What a client shows: the parameters of its URL, and in the second line a bearer token.
pub fn token(input: &[u8]) -> u64 {
    static SETTINGS: LazyLock<[config::Auth; 2]> =
        LazyLock::new(|| ["0123456789abcdef", "another key that none of them knows"].map(all_forms));
    let text = String::from_utf8_lossy(input);
    let (query, bearer) = text.split_once('\n').map_or((&*text, None), |(query, bearer)| (query, Some(bearer)));
    let key = StreamKey::parse("live", "x").expect("a name").key;
    let request = AccessRequest {
        action: Action::Play,
        key: &key,
        query,
        bearer,
        page: bearer,
        address: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)),
        now: UNIX_EPOCH + Duration::from_secs(1_700_000_000),
    };
    let [ours, other] = &*SETTINGS;
    let decided = access::decide(ours, &request);
    assert!(access::decide(other, &request).is_err(), "made with no key that this one knows");
    let shown = access::shown(query);
    assert_eq!(access::shown(&shown), shown, "what is passed on is passed on whole");
    let again = access::decide(ours, &AccessRequest { query: &shown, ..request });
    assert_eq!(again, decided, "the URLs of a playlist allow what its own does");
    outcome(&decided.map(|grant| grant.expires_at.is_some()))
}

/// Settings that take everything that is made with `key`.
fn all_forms(key: &str) -> config::Auth {
    let text = format!("[auth]\nplay_key = \"{key}\"\nplay_jwt_key = \"{key}{key}\"\nplay_md5_key = \"{key}\"\n");
    config::load_text(Role::Origin, "fuzz.toml", &text).expect("a configuration").auth_for("live")
}

/// A configuration: that of an operator is no stranger's, but that of an API may be anybody's.
pub fn config(input: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(input).into_owned();
    let variable = text.lines().next().unwrap_or_default().replace('\0', "");
    let environment = [("RILLCAST_PLAY__MW_LATENCY".to_owned(), variable.clone()), (variable, text.clone())];
    let from_environment = config::load(Role::Origin, &[], environment);
    let from_text = config::load_text(Role::Edge, "fuzz.toml", &text);
    for result in [&from_environment, &from_text] {
        if let Err(error) = result {
            assert_eq!(error.to_string().lines().count(), error.mistakes.len(), "a mistake is a line");
        }
    }
    let mistakes = from_text.map(|_| ()).map_err(|error| error.mistakes.into_iter().take(3).collect::<Vec<_>>());
    outcome(&mistakes)
}
