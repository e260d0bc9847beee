mod leaving;
mod pacing;
mod windows;

use std::net::{IpAddr, Ipv4Addr};

use crate::hub::{
    Dispatchers, Hub, OnConflict, PublishRequest, Publisher, RingLimits, SettingsSource, Source, StreamSettings,
};
use crate::media::flv::FlvReader;
use crate::media::stream_key::StreamKey;
use crate::media::{Kind, Tag, flv};
use crate::metrics::{DropReason, Metrics};

use super::*;

/// A hub with its dispatcher running, and the name of one stream.
struct Bench {
    hub: Hub,
    key: StreamKey,
    metrics: Arc<Metrics>,
}

impl Bench {
    fn new(settings: StreamSettings) -> Self {
        let (dispatchers, each) = Dispatchers::new(1);
        for dispatcher in each {
            tokio::spawn(dispatcher.run());
        }
        let metrics = Arc::new(Metrics::new());
        let settings: SettingsSource = Box::new(move |_| settings.clone());
        let hub = Hub::new(settings, 1 << 30, Arc::clone(&metrics), dispatchers);
        Self { hub, key: StreamKey::from_path("live/x").unwrap(), metrics }
    }

    fn publish(&self) -> Publisher {
        let source = Source::Client { address: IpAddr::V4(Ipv4Addr::LOCALHOST), query: String::new() };
        let request = PublishRequest {
            source,
            session: Identity::random(),
            takes_over: false,
            resume_timeout: Duration::from_secs(15),
        };
        self.hub.publish(&self.key, request).unwrap()
    }

    fn play(&self, is_pull: bool) -> Result<Player, End> {
        let request = PlayRequest { protocol: Protocol::HttpFlv, form: WireForm::Flv, shard: ShardId(0), is_pull };
        let mut parser = FlvReader::default();
        parser.feed(&flv::header(true, true));
        Ok(Player { reader: self.hub.subscribe(&self.key, request)?, parser })
    }
}

struct Player {
    reader: Reader,
    parser: FlvReader,
}

impl Player {
    async fn next(&mut self) -> Result<(Kind, u32, u8), End> {
        loop {
            if let Some(tag) = self.parser.next_tag().unwrap() {
                return Ok((tag.kind, tag.timestamp, *tag.payload.last().unwrap()));
            }
            let wire = std::future::poll_fn(|context| self.reader.poll_wire(context)).await?;
            self.parser.feed(&wire);
        }
    }

    async fn take(&mut self, count: usize) -> Vec<(Kind, u32, u8)> {
        let mut taken = Vec::new();
        for _ in 0..count {
            taken.push(self.next().await.unwrap());
        }
        taken
    }
}

fn settings() -> StreamSettings {
    StreamSettings { merge_window: Some(Duration::ZERO), ..StreamSettings::default() }
}

fn tag(kind: Kind, timestamp: u32, payload: &[u8]) -> Tag {
    Tag { kind, timestamp, payload: Bytes::copy_from_slice(payload) }
}

fn header(version: u8) -> Tag {
    tag(Kind::Video, 0, &[0x17, 0, 0, 0, 0, version])
}

fn keyframe(timestamp: u32, number: u8) -> Tag {
    tag(Kind::Video, timestamp, &[0x17, 1, 0, 0, 0, number])
}

fn frame(timestamp: u32, number: u8) -> Tag {
    tag(Kind::Video, timestamp, &[0x27, 1, 0, 0, 0, number])
}

#[tokio::test(start_paused = true)]
async fn a_late_player_gets_headers_and_the_newest_gop() {
    let bench = Bench::new(settings());
    let mut publisher = bench.publish();
    for tag in [header(9), keyframe(0, 1), frame(40, 2), keyframe(80, 3), frame(120, 4)] {
        publisher.push([tag]).unwrap();
    }
    let mut player = bench.play(false).unwrap();
    assert_eq!(player.take(3).await, [(Kind::Video, 80, 9), (Kind::Video, 80, 3), (Kind::Video, 120, 4)]);
}

#[tokio::test(start_paused = true)]
async fn a_player_that_reads_on_has_every_packet_once() {
    let bench = Bench::new(settings());
    let mut publisher = bench.publish();
    publisher.push([header(9), keyframe(0, 0)]).unwrap();
    let mut player = bench.play(false).unwrap();
    player.take(2).await;
    for number in 1..100 {
        let tag = if number % 10 == 0 { keyframe } else { frame };
        publisher.push([tag(u32::from(number) * 40, number)]).unwrap();
        assert_eq!(player.next().await, Ok((Kind::Video, u32::from(number) * 40, number)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_of_headers_reaches_players_that_are_there() {
    let bench = Bench::new(settings());
    let mut publisher = bench.publish();
    publisher.push([header(1), keyframe(0, 1)]).unwrap();
    let mut player = bench.play(false).unwrap();
    player.take(2).await;
    publisher.push([header(2), keyframe(40, 2)]).unwrap();
    assert_eq!(player.take(2).await[0].2, 2);
    let mut late = bench.play(false).unwrap();
    assert_eq!(late.take(2).await[0].2, 2);
}

#[tokio::test(start_paused = true)]
async fn players_stay_when_their_publisher_returns_in_time() {
    let bench = Bench::new(settings());
    let mut publisher = bench.publish();
    publisher.push([header(1), keyframe(0, 1)]).unwrap();
    let mut player = bench.play(false).unwrap();
    player.take(2).await;
    drop(publisher);
    let waiting = tokio::spawn(async move { (player.take(2).await, player) });
    tokio::time::sleep(Duration::from_secs(14)).await;
    let mut publisher = bench.publish();
    publisher.push([header(1), keyframe(0, 2)]).unwrap();
    let (taken, _player) = waiting.await.unwrap();
    assert_eq!(taken[0].2, 1);
    assert_eq!(taken[1].2, 2);
}

#[tokio::test(start_paused = true)]
async fn players_end_when_their_publisher_does_not_return() {
    let bench = Bench::new(settings());
    let mut publisher = bench.publish();
    publisher.push([header(1), keyframe(0, 1)]).unwrap();
    let mut player = bench.play(false).unwrap();
    player.take(2).await;
    drop(publisher);
    assert_eq!(player.next().await, Err(End::Ended));
}

#[tokio::test(start_paused = true)]
async fn a_pull_ends_with_its_publisher_and_never_waits() {
    let bench = Bench::new(settings());
    assert_eq!(bench.play(true).err(), Some(End::NotFound));
    let mut publisher = bench.publish();
    publisher.push([header(1), keyframe(0, 1)]).unwrap();
    let mut pull = bench.play(true).unwrap();
    std::future::poll_fn(|context| pull.reader.poll_live(context)).await.unwrap();
    pull.take(2).await;
    drop(publisher);
    assert_eq!(pull.next().await, Err(End::Ended));
}

#[tokio::test(start_paused = true)]
async fn a_pull_ends_when_another_publisher_takes_over() {
    let bench = Bench::new(StreamSettings { on_conflict: OnConflict::Replace, ..settings() });
    let mut first = bench.publish();
    first.push([header(1), keyframe(0, 1)]).unwrap();
    let mut pull = bench.play(true).unwrap();
    std::future::poll_fn(|context| pull.reader.poll_live(context)).await.unwrap();
    pull.take(2).await;
    let mut second = bench.publish();
    second.push([header(1), keyframe(0, 2)]).unwrap();
    assert_eq!(pull.next().await, Err(End::Ended));
}

#[tokio::test(start_paused = true)]
async fn an_absent_stream_is_waited_for_and_then_not_found() {
    let bench = Bench::new(settings());
    let began = tokio::time::Instant::now();
    assert_eq!(bench.play(false).unwrap().next().await, Err(End::NotFound));
    assert!(began.elapsed() >= Duration::from_secs(5));
    assert!(bench.hub.streams().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_miss_is_answered_at_once_until_somebody_publishes() {
    let bench = Bench::new(settings());
    assert_eq!(bench.play(false).unwrap().next().await, Err(End::NotFound));
    assert_eq!(bench.play(false).err(), Some(End::NotFound));
    let mut publisher = bench.publish();
    publisher.push([header(1), keyframe(0, 1)]).unwrap();
    assert_eq!(bench.play(false).unwrap().take(2).await[1].2, 1);
}

#[tokio::test(start_paused = true)]
async fn flv_players_end_when_a_codec_changes() {
    let bench = Bench::new(settings());
    let mut publisher = bench.publish();
    publisher.push([header(1), tag(Kind::Audio, 0, &[0xaf, 0, 0x12, 0x10]), keyframe(0, 1)]).unwrap();
    let mut player = bench.play(false).unwrap();
    let tracks = std::future::poll_fn(|context| player.reader.poll_tracks(context)).await.unwrap();
    assert!(tracks.audio.is_some() && tracks.video.is_some());
    player.take(3).await;
    publisher.push([tag(Kind::Video, 40, b"\x90hvc1\x01"), tag(Kind::Video, 40, b"\x91hvc1\0\0\0\x02")]).unwrap();
    assert_eq!(player.next().await, Err(End::TracksChanged));
}

#[tokio::test(start_paused = true)]
async fn a_publisher_of_nothing_but_data_is_no_stream_to_an_flv_player() {
    let bench = Bench::new(settings());
    let mut publisher = bench.publish();
    publisher.push([tag(Kind::Data, 0, b"\x02\x00\x0aonCuePoint\x05")]).unwrap();
    let mut player = bench.play(false).unwrap();
    let tracks = std::future::poll_fn(|context| player.reader.poll_tracks(context)).await;
    assert_eq!(tracks, Err(End::NotFound));
}

#[tokio::test(start_paused = true)]
async fn flv_players_follow_a_publisher_that_returns_with_the_same_tracks() {
    let bench = Bench::new(settings());
    let audio = || tag(Kind::Audio, 0, &[0xaf, 0, 0x12, 0x10]);
    let mut publisher = bench.publish();
    publisher.push([header(1), audio(), keyframe(0, 1)]).unwrap();
    let mut player = bench.play(false).unwrap();
    std::future::poll_fn(|context| player.reader.poll_tracks(context)).await.unwrap();
    player.take(3).await;
    drop(publisher);
    let mut publisher = bench.publish();
    for tag in [header(2), keyframe(0, 2), audio(), frame(40, 3)] {
        publisher.push([tag]).unwrap();
    }
    assert_eq!(player.take(4).await.last().unwrap().2, 3);
}

#[tokio::test(start_paused = true)]
async fn flv_players_end_when_a_returning_publisher_has_lost_a_track() {
    let bench = Bench::new(settings());
    let mut publisher = bench.publish();
    publisher.push([header(1), tag(Kind::Audio, 0, &[0xaf, 0, 0x12, 0x10]), keyframe(0, 1)]).unwrap();
    let mut player = bench.play(false).unwrap();
    std::future::poll_fn(|context| player.reader.poll_tracks(context)).await.unwrap();
    player.take(3).await;
    drop(publisher);
    let mut publisher = bench.publish();
    publisher.push([header(2), keyframe(0, 2)]).unwrap();
    player.take(2).await;
    tokio::time::advance(Duration::from_secs(2)).await;
    publisher.push([frame(40, 3)]).unwrap();
    assert_eq!(player.next().await, Err(End::TracksChanged));
}

#[tokio::test]
async fn a_player_that_lags_too_far_jumps_to_the_newest_keyframe_with_its_headers() {
    let ring = RingLimits { queue_length: Duration::ZERO, ..settings().ring };
    let bench = Bench::new(StreamSettings { ring, ..settings() });
    let mut publisher = bench.publish();
    publisher.push([header(1)]).unwrap();
    publisher.push([keyframe(0, 1)]).unwrap();
    let mut player = bench.play(false).unwrap();
    player.take(2).await;
    publisher.push([frame(40, 2)]).unwrap();
    publisher.push([header(2)]).unwrap();
    publisher.push([keyframe(80, 3)]).unwrap();
    publisher.push([frame(120, 4)]).unwrap();
    assert_eq!(player.take(3).await, [(Kind::Video, 80, 2), (Kind::Video, 80, 3), (Kind::Video, 120, 4)]);
    let dropped =
        bench.metrics.dropped_packets(DropReason::Overrun).get() + bench.metrics.dropped_packets(DropReason::Lag).get();
    assert_eq!((dropped, player.reader.skipped_packets()), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn a_player_knows_how_old_what_it_has_not_had_yet_is() {
    let bench = Bench::new(settings());
    let mut publisher = bench.publish();
    publisher.push([header(1), keyframe(0, 1)]).unwrap();
    let mut player = bench.play(false).unwrap();
    assert_eq!(player.reader.behind(), Duration::ZERO, "it has not begun");
    player.take(2).await;
    assert_eq!(player.reader.behind(), Duration::ZERO);
    publisher.push([frame(40, 2)]).unwrap();
    tokio::time::advance(Duration::from_secs(2)).await;
    publisher.push([frame(2_040, 3)]).unwrap();
    assert_eq!(player.reader.behind(), Duration::from_secs(2));
    player.take(2).await;
    assert_eq!((player.reader.behind(), player.reader.skipped_packets()), (Duration::ZERO, 0));
}

#[tokio::test(start_paused = true)]
async fn without_a_gop_cache_a_player_begins_at_the_next_keyframe() {
    let ring = RingLimits { gop_cache: false, ..settings().ring };
    let bench = Bench::new(StreamSettings { ring, ..settings() });
    let mut publisher = bench.publish();
    publisher.push([header(1), keyframe(0, 1), frame(40, 2)]).unwrap();
    let mut player = bench.play(false).unwrap();
    publisher.push([frame(80, 3)]).unwrap();
    publisher.push([keyframe(120, 4)]).unwrap();
    assert_eq!(player.take(2).await, [(Kind::Video, 120, 1), (Kind::Video, 120, 4)]);
}

#[tokio::test(start_paused = true)]
async fn audio_only_players_begin_at_the_live_end() {
    let bench = Bench::new(settings());
    let mut publisher = bench.publish();
    publisher.push([tag(Kind::Audio, 0, &[0xaf, 0, 9])]).unwrap();
    for number in 1..50 {
        publisher.push([tag(Kind::Audio, u32::from(number) * 23, &[0xaf, 1, number])]).unwrap();
    }
    let mut player = bench.play(false).unwrap();
    assert_eq!(player.take(2).await, [(Kind::Audio, 49 * 23, 9), (Kind::Audio, 49 * 23, 49)]);
}

#[tokio::test(start_paused = true)]
async fn everything_a_stream_held_is_given_back_when_the_last_handle_is_gone() {
    let bench = Bench::new(settings());
    let mut publisher = bench.publish();
    publisher.push([header(1), keyframe(0, 1)]).unwrap();
    let mut player = bench.play(false).unwrap();
    player.take(2).await;
    assert!(bench.metrics.ring_bytes.get() > 0);
    assert_eq!(bench.metrics.streams.get(), 1);
    drop(publisher);
    drop(player);
    assert_eq!(bench.metrics.ring_bytes.get(), 0);
    assert_eq!(bench.metrics.streams.get(), 0);
    assert_eq!(bench.metrics.players(Protocol::HttpFlv).get(), 0);
    assert!(bench.hub.streams().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_stopping_hub_ends_its_players_and_lets_no_more_in() {
    let bench = Bench::new(settings());
    let mut publisher = bench.publish();
    publisher.push([header(1), keyframe(0, 1)]).unwrap();
    let mut player = bench.play(false).unwrap();
    player.take(2).await;
    bench.hub.shut_down();
    assert_eq!(player.next().await, Err(End::Shutdown));
    assert_eq!(bench.play(false).err(), Some(End::Shutdown));
}

#[tokio::test(start_paused = true)]
async fn a_pull_gets_what_its_publisher_sent_last() {
    let bench = Bench::new(StreamSettings { merge_window: Some(Duration::from_millis(20)), ..settings() });
    let mut publisher = bench.publish();
    publisher.push([header(1), keyframe(0, 1)]).unwrap();
    publisher.due().await;
    publisher.push([]).unwrap();
    let mut pull = bench.play(true).unwrap();
    std::future::poll_fn(|context| pull.reader.poll_live(context)).await.unwrap();
    pull.take(2).await;
    publisher.push([frame(40, 2), frame(80, 3)]).unwrap();
    drop(publisher);
    assert_eq!(pull.next().await, Ok((Kind::Video, 40, 2)));
    assert_eq!(pull.next().await, Ok((Kind::Video, 80, 3)));
    assert_eq!(pull.next().await, Err(End::Ended));
}

#[tokio::test(start_paused = true)]
async fn an_flv_player_may_join_at_a_keyframe_from_before_the_other_track_began() {
    let bench = Bench::new(settings());
    let mut publisher = bench.publish();
    publisher.push([header(1), keyframe(0, 1)]).unwrap();
    tokio::time::advance(Duration::from_millis(1_500)).await;
    publisher.push([frame(1_500, 2)]).unwrap();
    publisher.push([tag(Kind::Audio, 1_540, &[0xaf, 0, 0x12, 0x10]), tag(Kind::Audio, 1_540, &[0xaf, 1, 3])]).unwrap();
    let mut player = bench.play(false).unwrap();
    let tracks = std::future::poll_fn(|context| player.reader.poll_tracks(context)).await.unwrap();
    assert!(tracks.audio.is_some() && tracks.video.is_some());
    let numbers: Vec<u8> = player.take(5).await.into_iter().map(|(_, _, number)| number).collect();
    assert_eq!(numbers, [1, 1, 2, 0x10, 3]);
}

#[tokio::test(start_paused = true)]
async fn flv_players_survive_further_tracks_of_a_multitrack_stream() {
    let bench = Bench::new(settings());
    let mut publisher = bench.publish();
    publisher.push([header(1), tag(Kind::Audio, 0, &[0xaf, 0, 0x12, 0x10]), keyframe(0, 1)]).unwrap();
    let mut player = bench.play(false).unwrap();
    std::future::poll_fn(|context| player.reader.poll_tracks(context)).await.unwrap();
    player.take(3).await;
    publisher.push([tag(Kind::Video, 0, b"\x96\x01hvc1\x01\x05")]).unwrap();
    publisher.push([frame(40, 6)]).unwrap();
    assert_eq!(player.take(2).await[1].2, 6);
}

#[tokio::test(start_paused = true)]
async fn players_join_at_the_keyframe_of_the_main_track() {
    let bench = Bench::new(settings());
    let mut publisher = bench.publish();
    publisher.push([header(1), keyframe(0, 2)]).unwrap();
    publisher.push([tag(Kind::Video, 0, b"\x96\x01hvc1\x01\x05")]).unwrap();
    let mut player = bench.play(false).unwrap();
    assert_eq!(player.take(3).await, [(Kind::Video, 0, 1), (Kind::Video, 0, 2), (Kind::Video, 0, 5)]);
}

#[tokio::test(start_paused = true)]
async fn a_player_that_paused_for_a_moment_gets_nothing_twice() {
    let bench = Bench::new(settings());
    let mut publisher = bench.publish();
    publisher.push([header(1), keyframe(0, 1)]).unwrap();
    publisher.push([frame(40, 2)]).unwrap();
    let mut player = bench.play(false).unwrap();
    player.take(3).await;
    player.reader.rejoin();
    publisher.push([frame(80, 3)]).unwrap();
    player.reader.rejoin();
    assert_eq!(player.next().await, Ok((Kind::Video, 80, 3)));
}

#[tokio::test(start_paused = true)]
async fn a_player_that_paused_for_long_goes_on_at_the_newest_keyframe() {
    let bench = Bench::new(settings());
    let mut publisher = bench.publish();
    publisher.push([header(1), keyframe(0, 1)]).unwrap();
    let mut player = bench.play(false).unwrap();
    player.take(2).await;
    for tag in [frame(40, 2), keyframe(80, 3), frame(120, 4)] {
        publisher.push([tag]).unwrap();
    }
    player.reader.rejoin();
    assert_eq!(player.take(2).await, [(Kind::Video, 80, 3), (Kind::Video, 120, 4)]);
}

#[tokio::test(start_paused = true)]
async fn a_player_that_goes_on_while_its_publisher_is_gone_waits_for_it() {
    let bench = Bench::new(settings());
    let mut publisher = bench.publish();
    publisher.push([header(1), keyframe(0, 1)]).unwrap();
    let mut player = bench.play(false).unwrap();
    player.take(2).await;
    tokio::time::advance(Duration::from_secs(60)).await;
    drop(publisher);
    player.reader.rejoin();
    let began = tokio::time::Instant::now();
    assert_eq!(player.next().await, Err(End::Ended));
    assert!(began.elapsed() >= Duration::from_secs(15));
}

#[tokio::test(start_paused = true)]
async fn without_a_gop_cache_a_stream_without_keyframes_is_played_all_the_same() {
    let ring = RingLimits { gop_cache: false, ..settings().ring };
    let bench = Bench::new(StreamSettings { ring, ..settings() });
    let mut publisher = bench.publish();
    publisher.push([header(1), keyframe(0, 1)]).unwrap();
    let mut player = bench.play(false).unwrap();
    let playing = tokio::spawn(async move { player.take(2).await });
    for number in 1..1_000_u32 {
        tokio::time::sleep(Duration::from_millis(40)).await;
        publisher.push([frame(number * 40, 7)]).unwrap();
    }
    assert!(playing.is_finished());
}
