use std::future::poll_fn;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use parking_lot::Mutex;

use crate::hub::{Dispatchers, End, Hub, PublishRequest, Publisher, Source, StreamSettings, Tapped};
use crate::media::{Kind, Tag};
use crate::metrics::Metrics;

use super::*;

const SHARD: ShardId = ShardId(0);

#[derive(Default)]
struct Heard(Mutex<Vec<Following>>);

impl OnSession for Heard {
    fn began(&self, session: Following) {
        self.0.lock().push(session);
    }
}

fn bench() -> (Hub, Arc<Heard>, StreamKey) {
    let (dispatchers, _) = Dispatchers::new(1);
    let settings = StreamSettings { merge_window: Some(Duration::ZERO), ..StreamSettings::default() };
    let hub = Hub::new(Box::new(move |_| settings.clone()), 1 << 30, Arc::new(Metrics::new()), dispatchers);
    let heard = Arc::new(Heard::default());
    hub.tell_of_sessions(vec![heard.clone()]);
    (hub, heard, StreamKey::from_path("live/x").unwrap())
}

fn publish(hub: &Hub, key: &StreamKey, session: &Identity, source: Source) -> Publisher {
    let resume_timeout = Duration::from_secs(15);
    let request = PublishRequest { source, session: session.clone(), takes_over: false, resume_timeout };
    hub.publish(key, request).unwrap()
}

fn client() -> Source {
    Source::Client { address: IpAddr::V4(Ipv4Addr::LOCALHOST), query: String::new() }
}

fn keyframe(timestamp: u32) -> Tag {
    Tag { kind: Kind::Video, timestamp, payload: Bytes::from_static(&[0x17, 1, 0, 0, 0]) }
}

/// What the session has at once, as numbers and timestamps of packets, and whether it has ended.
fn take(tap: &mut Tap) -> (Vec<(u64, u64)>, bool) {
    let mut taken = Vec::new();
    loop {
        match poll_fn(|context| tap.poll_next(context)).now_or_never() {
            None => return (taken, false),
            Some(Err(end)) => {
                assert_eq!(end, End::Ended);
                return (taken, true);
            }
            Some(Ok(Tapped::Headers(_))) => {}
            Some(Ok(Tapped::Block(block))) => {
                let numbers = block.first_packet()..;
                taken.extend(numbers.zip(block.packets().iter().map(|packet| packet.timestamp)));
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn every_session_of_a_client_is_told_of_and_pulls_are_not() {
    let (hub, heard, key) = bench();
    let (first, second) = (Identity::random(), Identity::random());
    drop(publish(&hub, &key, &Identity::random(), Source::Pull));
    drop(publish(&hub, &key, &first, client()));
    let _publisher = publish(&hub, &key, &second, client());
    let sessions: Vec<Identity> = heard.0.lock().iter().map(|session| session.session().clone()).collect();
    assert_eq!(sessions, [first, second]);
}

#[tokio::test(start_paused = true)]
async fn the_session_in_force_can_be_followed_later_and_pulls_cannot() {
    let (hub, _, key) = bench();
    assert!(hub.follow(&key).is_none());
    let session = Identity::random();
    let publisher = publish(&hub, &key, &session, client());
    assert_eq!(hub.follow(&key).unwrap().session(), &session);
    drop(publisher);
    assert!(hub.follow(&key).is_none());
    let _pull = publish(&hub, &key, &session, Source::Pull);
    assert!(hub.follow(&key).is_none());
}

#[tokio::test(start_paused = true)]
async fn what_a_session_has_brought_is_there_from_its_beginning_and_ends_with_it() {
    let (hub, heard, key) = bench();
    let mut publisher = publish(&hub, &key, &Identity::random(), client());
    publisher.push([keyframe(0)]).unwrap();
    publisher.push([keyframe(40)]).unwrap();
    let mut tap = heard.0.lock()[0].tap(SHARD, TapStart::Session);
    assert_eq!(take(&mut tap), (vec![(0, 0), (1, 40)], false));
    drop(publisher);
    assert_eq!(take(&mut tap), (vec![], true));
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_over_is_not_waited_for() {
    let (hub, heard, key) = bench();
    drop(publish(&hub, &key, &Identity::random(), client()));
    let _other = publish(&hub, &key, &Identity::random(), client());
    let mut tap = heard.0.lock()[0].tap(SHARD, TapStart::Session);
    assert_eq!(take(&mut tap), (vec![], true));
}

#[tokio::test(start_paused = true)]
async fn a_session_that_returns_is_told_of_again_and_its_packets_are_numbered_on() {
    let (hub, heard, key) = bench();
    let session = Identity::random();
    let mut publisher = publish(&hub, &key, &session, client());
    publisher.push([keyframe(0)]).unwrap();
    let first = heard.0.lock()[0].clone();
    let mut tap = first.tap(SHARD, TapStart::Session);
    assert_eq!(take(&mut tap), (vec![(0, 0)], false));
    drop(publisher);
    assert_eq!(take(&mut tap), (vec![], true));

    let mut publisher = publish(&hub, &key, &session, client());
    publisher.push([keyframe(40)]).unwrap();
    let second = heard.0.lock()[1].clone();
    assert_eq!(take(&mut second.tap(SHARD, TapStart::Session)), (vec![(0, 0), (1, 40)], false));
}
