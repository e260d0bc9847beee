use std::future::poll_fn;
use std::sync::Arc;

use tokio::sync::mpsc;

use crate::hub::{
    Demand, Dispatchers, Hub, Identity, OnDemand, PlayRequest, PublishError, PublishRequest, Reader, ShardId,
    StreamSettings, WireForm,
};
use crate::media::stream_key::StreamKey;
use crate::media::{Kind, Tag};
use crate::metrics::Protocol;

use super::*;

/// Hands every demand to the test.
struct Hands(mpsc::UnboundedSender<Demand>);

impl OnDemand for Hands {
    fn serve(&self, demand: Demand) {
        self.0.send(demand).unwrap();
    }
}

fn hub() -> Hub {
    let (dispatchers, each) = Dispatchers::new(1);
    for dispatcher in each {
        tokio::spawn(dispatcher.run());
    }
    let settings = StreamSettings { merge_window: Some(Duration::ZERO), ..StreamSettings::default() };
    Hub::new(Box::new(move |_| settings.clone()), 1 << 30, Arc::default(), dispatchers)
}

fn edge() -> (Hub, mpsc::UnboundedReceiver<Demand>) {
    let (hub, (sender, demands)) = (hub(), mpsc::unbounded_channel());
    hub.fetch_from(Arc::new(Hands(sender)));
    (hub, demands)
}

const REQUEST: PlayRequest =
    PlayRequest { protocol: Protocol::HttpFlv, form: WireForm::Flv, shard: ShardId(0), is_pull: true };

fn key() -> StreamKey {
    StreamKey::from_path("live/x").unwrap()
}

fn from(source: Source) -> PublishRequest {
    let session = Identity::from_peer("one").unwrap();
    PublishRequest { source, session, takes_over: false, resume_timeout: Duration::from_secs(60) }
}

async fn let_in(reader: &mut Reader) -> Result<String, End> {
    poll_fn(|context| reader.poll_live(context)).await.map(|session| session.to_string())
}

/// What a reader is told within less time than it may wait.
async fn told_at_once(reader: &mut Reader) -> Option<Result<String, End>> {
    tokio::time::timeout(PATIENCE / 4, let_in(reader)).await.ok()
}

fn keyframe(timestamp: u32) -> Tag {
    Tag { kind: Kind::Video, timestamp, payload: bytes::Bytes::from_static(&[0x17, 1, 0, 0, 0]) }
}

#[tokio::test(start_paused = true)]
async fn an_absent_stream_is_fetched_for_another_edge_which_hears_what_the_origins_say() {
    for (missing, end) in [(Missing::Absent, End::NotFound), (Missing::Unreachable, End::Unreachable)] {
        let (hub, mut demands) = edge();
        let mut reader = hub.subscribe_shielded(&key(), REQUEST).unwrap();
        let demand = demands.recv().await.unwrap();
        assert!(demand.shields());
        assert_eq!(told_at_once(&mut reader).await, None);
        demand.missed(missing);
        assert_eq!(told_at_once(&mut reader).await, Some(Err(end)));
        drop(reader);
        assert!(!demand.shields());
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_origins_said_before_another_edge_came_is_not_for_it() {
    let (hub, mut demands) = edge();
    let _player = hub.subscribe(&key(), PlayRequest { is_pull: false, ..REQUEST }).unwrap();
    let demand = demands.recv().await.unwrap();
    demand.missed(Missing::Absent);
    let mut reader = hub.subscribe_shielded(&key(), REQUEST).unwrap();
    assert_eq!(told_at_once(&mut reader).await, None);
    let _publisher = demand.publish(from(Source::Pull)).unwrap();
    assert_eq!(told_at_once(&mut reader).await, Some(Ok("one".to_owned())));
}

#[tokio::test(start_paused = true)]
async fn another_edge_waits_for_silent_origins_only_for_so_long() {
    let (hub, mut demands) = edge();
    let mut reader = hub.subscribe_shielded(&key(), REQUEST).unwrap();
    let _demand = demands.recv().await.unwrap();
    let began = tokio::time::Instant::now();
    assert_eq!(let_in(&mut reader).await, Err(End::Unreachable));
    assert!(began.elapsed() >= PATIENCE);
}

#[tokio::test(start_paused = true)]
async fn another_edge_is_let_in_once_the_stream_comes_from_an_origin() {
    let (hub, mut demands) = edge();
    let mut player = hub.subscribe(&key(), PlayRequest { is_pull: false, ..REQUEST }).unwrap();
    let demand = demands.recv().await.unwrap();
    let mut through_shield = demand.publish(from(Source::ShieldedPull)).unwrap();
    through_shield.push([keyframe(0)]).unwrap();
    assert_eq!(told_at_once(&mut player).await, Some(Ok("one".to_owned())));

    let mut reader = hub.subscribe_shielded(&key(), REQUEST).unwrap();
    demand.shielding_changed().await;
    assert_eq!(told_at_once(&mut reader).await, None);
    let mut from_origin = demand.publish(from(Source::Pull)).unwrap();
    assert_eq!(told_at_once(&mut reader).await, Some(Ok("one".to_owned())));
    from_origin.push([keyframe(40)]).unwrap();
    drop(through_shield);
    assert!(poll_fn(|context| reader.poll_wire(context)).await.is_ok());
    assert!(poll_fn(|context| player.poll_wire(context)).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn whom_others_pull_through_does_not_pull_through_others() {
    let (hub, mut demands) = edge();
    let reader = hub.subscribe_shielded(&key(), REQUEST).unwrap();
    let demand = demands.recv().await.unwrap();
    assert_eq!(demand.publish(from(Source::ShieldedPull)).unwrap_err(), PublishError::Shields);
    let mut from_origin = demand.publish(from(Source::Pull)).unwrap();
    assert_eq!(demand.publish(from(Source::ShieldedPull)).unwrap_err(), PublishError::Shields);
    from_origin.push([keyframe(0)]).unwrap();
    drop(reader);
    let mut through_shield = demand.publish(from(Source::ShieldedPull)).unwrap();
    through_shield.push([keyframe(40)]).unwrap();
    assert!(from_origin.push([keyframe(40)]).is_err(), "it has yielded");
}

#[tokio::test(start_paused = true)]
async fn another_edge_gets_what_is_published_here() {
    let (hub, mut demands) = edge();
    let address = std::net::Ipv4Addr::LOCALHOST.into();
    let _publisher = hub.publish(&key(), from(Source::Client { address, query: String::new() })).unwrap();
    let mut reader = hub.subscribe_shielded(&key(), REQUEST).unwrap();
    assert_eq!(told_at_once(&mut reader).await, Some(Ok("one".to_owned())));
    assert!(demands.try_recv().is_err(), "nothing is fetched");
}

#[tokio::test(start_paused = true)]
async fn where_nothing_is_fetched_another_edge_is_a_pull_like_any() {
    assert_eq!(hub().subscribe_shielded(&key(), REQUEST).unwrap_err(), End::NotFound);
}
