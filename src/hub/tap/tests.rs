use std::future::poll_fn;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;

use crate::hub::{Dispatchers, Hub, PublishRequest, Publisher, Source, StreamSettings};
use crate::media::class::Class;
use crate::media::stream_key::StreamKey;
use crate::media::{Kind, Tag};
use crate::metrics::Metrics;

use super::*;

const SHARD: ShardId = ShardId(0);

struct Bench {
    hub: Hub,
    key: StreamKey,
}

impl Bench {
    fn new(settings: StreamSettings) -> Self {
        let (dispatchers, each) = Dispatchers::new(1);
        for dispatcher in each {
            tokio::spawn(dispatcher.run());
        }
        let settings = StreamSettings { merge_window: Some(Duration::ZERO), ..settings };
        let hub = Hub::new(Box::new(move |_| settings.clone()), 1 << 30, Arc::new(Metrics::new()), dispatchers);
        Self { hub, key: StreamKey::from_path("live/x").unwrap() }
    }

    fn publish(&self, session: &Identity) -> Publisher {
        let request = PublishRequest {
            source: Source::Client { address: IpAddr::V4(Ipv4Addr::LOCALHOST), query: String::new() },
            session: session.clone(),
            takes_over: false,
            resume_timeout: Duration::from_secs(15),
        };
        self.hub.publish(&self.key, request).unwrap()
    }
}

fn video(timestamp: u32, body: &[u8]) -> Tag {
    Tag { kind: Kind::Video, timestamp, payload: Bytes::copy_from_slice(body) }
}

fn header() -> Tag {
    video(0, &[0x17, 0, 0, 0, 0, 1])
}

fn keyframe(timestamp: u32) -> Tag {
    video(timestamp, &[0x17, 1, 0, 0, 0])
}

fn frame(timestamp: u32) -> Tag {
    video(timestamp, &[0x27, 1, 0, 0, 0])
}

/// The classes and timestamps of what the tap has at once; of what comes before a block and of the blocks.
fn take(tap: &mut Tap) -> Vec<(Class, u64)> {
    let mut taken = Vec::new();
    while let Some(tapped) = poll_fn(|context| tap.poll_next(context)).now_or_never() {
        let packets = match tapped.unwrap() {
            Tapped::Headers(packets) => packets,
            Tapped::Block(block) => block.packets().to_vec(),
        };
        taken.extend(packets.into_iter().map(|packet| (packet.class, packet.timestamp)));
    }
    taken
}

fn is_header(class: Class) -> bool {
    matches!(class, Class::Header(_))
}

#[tokio::test(start_paused = true)]
async fn a_tap_waits_for_its_session_and_begins_with_the_headers() {
    let bench = Bench::new(StreamSettings::default());
    let session = Identity::random();
    let forwarded = bench.hub.forward(&bench.key, &session);
    let mut tap = forwarded.tap(SHARD, TapStart::Keyframe);
    assert_eq!(take(&mut tap), []);
    let other = bench.publish(&Identity::random());
    assert_eq!(take(&mut tap), [], "another session is not its own");
    drop(other);

    let mut publisher = bench.publish(&session);
    publisher.push([header(), keyframe(40), frame(80)]).unwrap();
    let taken = take(&mut tap);
    assert!(is_header(taken[0].0), "{taken:?}");
    assert_eq!(taken[taken.len() - 2].0, Class::Keyframe);
    assert_eq!(taken[taken.len() - 1].0, Class::Frame);
}

#[tokio::test(start_paused = true)]
async fn a_tap_that_comes_later_begins_where_it_is_told_to_also_without_a_gop_cache() {
    let mut settings = StreamSettings::default();
    settings.ring.gop_cache = false;
    let bench = Bench::new(settings);
    let session = Identity::random();
    let forwarded = bench.hub.forward(&bench.key, &session);
    let mut publisher = bench.publish(&session);
    publisher.push([header(), keyframe(0), frame(40), keyframe(80), frame(120)]).unwrap();
    let media = |start| {
        let mut taken = take(&mut forwarded.tap(SHARD, start));
        assert!(is_header(taken[0].0));
        taken.retain(|(class, _)| !is_header(*class));
        taken
    };
    assert_eq!(media(TapStart::Keyframe), [(Class::Keyframe, 80), (Class::Frame, 120)]);
    let all = [(Class::Keyframe, 0), (Class::Frame, 40), (Class::Keyframe, 80), (Class::Frame, 120)];
    assert_eq!(media(TapStart::Session), all);
}

#[tokio::test(start_paused = true)]
async fn a_tap_gets_the_last_packets_of_a_publisher_without_players_and_then_the_end() {
    let bench = Bench::new(StreamSettings::default());
    let session = Identity::random();
    let forwarded = bench.hub.forward(&bench.key, &session);
    let mut tap = forwarded.tap(SHARD, TapStart::Keyframe);
    let mut publisher = bench.publish(&session);
    publisher.push([keyframe(0)]).unwrap();
    take(&mut tap);
    publisher.push([frame(40)]).unwrap();
    drop(publisher);
    let last = poll_fn(|context| tap.poll_next(context)).await.unwrap();
    assert!(matches!(last, Tapped::Block(block) if block.packets()[0].timestamp == 40));
    assert_eq!(poll_fn(|context| tap.poll_next(context)).await.unwrap_err(), End::Ended);
}

#[tokio::test(start_paused = true)]
async fn a_tap_that_lags_skips_to_the_newest_keyframe_and_tells_how_much() {
    let bench = Bench::new(StreamSettings::default());
    let session = Identity::random();
    let forwarded = bench.hub.forward(&bench.key, &session);
    let mut tap = forwarded.tap(SHARD, TapStart::Keyframe);
    let mut publisher = bench.publish(&session);
    publisher.push([keyframe(0)]).unwrap();
    take(&mut tap);
    for second in 1..60 {
        tokio::time::advance(Duration::from_secs(1)).await;
        publisher.push([keyframe(second * 1_000)]).unwrap();
        publisher.push([frame(second * 1_000 + 40)]).unwrap();
    }
    let taken = take(&mut tap);
    assert_eq!(taken.first(), Some(&(Class::Keyframe, 59_000)));
    assert_eq!(tap.take_skipped(), Skipped { packets: 58 * 2, bytes: 58 * 2 * 5 });
    assert_eq!(tap.take_skipped(), Skipped::default());
}
