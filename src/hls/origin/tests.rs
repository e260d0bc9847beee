use std::net::{IpAddr, Ipv4Addr};

use bytes::Bytes;
use futures_util::FutureExt;
use parking_lot::Mutex;
use tokio::runtime::Handle;

use super::*;
use crate::config::{Live, Role};
use crate::hls::library::Freshness;
use crate::hooks::Hooks;
use crate::hub::{
    Dispatcher, Dispatchers, Hub, Identity, PublishRequest, Publisher, RingLimits, Source, StreamSettings,
};
use crate::media::{Kind, Tag};

const AAC_CONFIG: &[u8] = b"\xaf\x00\x12\x10";

/// A hub whose streams are packaged, all in this thread and by its clock.
struct Bench {
    hub: Hub,
    library: OriginLibrary,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
    tasks: Arc<Mutex<usize>>,
}

impl Bench {
    fn start(config: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("test.toml");
        std::fs::write(&file, config).unwrap();
        let config = Live::new(crate::config::load(Role::Origin, &[file], []).unwrap());
        let metrics = Arc::new(Metrics::new());
        let (dispatchers, each) = Dispatchers::new(1);
        each.into_iter().map(Dispatcher::run).for_each(|dispatcher| drop(tokio::spawn(dispatcher)));
        let ring = RingLimits { queue_length: Duration::from_secs(10), ..StreamSettings::default().ring };
        let settings = StreamSettings { merge_window: Some(Duration::ZERO), ring, ..StreamSettings::default() };
        let hub = Hub::new(Box::new(move |_| settings.clone()), 1 << 30, Arc::clone(&metrics), dispatchers);
        let (stop, tasks) = (CancellationToken::new(), Arc::new(Mutex::new(0)));
        let started = Arc::clone(&tasks);
        let spawn: SpawnOnShard = Box::new(move |packager| {
            *started.lock() += 1;
            Handle::current().spawn(packager(ShardId(0)));
        });
        let library =
            OriginLibrary::new(config, hub.downgrade(), Arc::clone(&metrics), Hooks::none(), spawn, stop.clone())
                .unwrap();
        hub.tell_of_sessions(vec![Arc::new(library.clone())]);
        Self { hub, library, metrics, stop, tasks }
    }

    fn publish(&self, stream: &str) -> Sound {
        let source = Source::Client { address: IpAddr::V4(Ipv4Addr::LOCALHOST), query: String::new() };
        let request = PublishRequest {
            source,
            session: Identity::random(),
            takes_over: false,
            resume_timeout: Duration::from_secs(15),
        };
        let mut publisher = self.hub.publish(&key(stream), request).unwrap();
        publisher.push([audio(0, AAC_CONFIG)]).unwrap();
        Sound { publisher, timestamp: 0 }
    }

    async fn find(&self, path: &str) -> Result<Object, Absent> {
        let resource = Resource::parse(path).unwrap().unwrap();
        self.library.find(&resource).await
    }

    fn packagers(&self) -> i64 {
        self.metrics.hls.streams.get()
    }
}

/// Of an origin that is one of several.
const PEERS: &str = "[cluster]\nkey = \"correct horse battery staple\"\npeers = [\"10.0.0.1:1935\"]";

/// A publisher of sound.
struct Sound {
    publisher: Publisher,
    timestamp: u32,
}

impl Sound {
    /// Publishes so many seconds as they pass.
    async fn go_on(&mut self, seconds: u32) {
        for _ in 0..seconds * 25 {
            self.publisher.push([audio(self.timestamp, b"\xaf\x01\x21\x10\x04")]).unwrap();
            self.timestamp += 40;
            tokio::time::sleep(Duration::from_millis(40)).await;
        }
    }
}

fn audio(timestamp: u32, payload: &'static [u8]) -> Tag {
    Tag { kind: Kind::Audio, timestamp, payload: Bytes::from_static(payload) }
}

fn key(path: &str) -> StreamKey {
    StreamKey::from_path(path).unwrap()
}

fn text(object: &Object) -> String {
    String::from_utf8(object.bytes.to_vec()).unwrap()
}

/// The path of the newest segment of a playlist.
fn newest(object: &Object) -> String {
    format!("live/{}", text(object).lines().last().unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_packaged_once_somebody_asks_for_it_from_what_there_is_of_it() {
    let bench = Bench::start("");
    let mut publisher = bench.publish("live/x");
    publisher.go_on(8).await;
    assert_eq!(bench.packagers(), 0);
    let playlist = bench.find("live/x.m3u8").await.unwrap();
    assert!(text(&playlist).matches("#EXTINF").count() >= 3, "{}", text(&playlist));
    let half = Duration::from_secs(1);
    assert_eq!(playlist.freshness, Freshness::Changing { max_age: half, target: Duration::from_secs(3) });
    let segment = bench.find(&newest(&playlist)).await.unwrap();
    assert_eq!((segment.freshness, segment.media_type.content_type()), (Freshness::Immutable, "video/mp2t"));
    assert_eq!(bench.packagers(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_first_who_ask_wait_for_the_first_segment_and_share_a_packager() {
    let bench = Bench::start("");
    let mut publisher = bench.publish("live/x");
    publisher.go_on(1).await;
    let (one, other, ()) = tokio::join!(bench.find("live/x.m3u8"), bench.find("live/x.m3u"), publisher.go_on(3));
    assert!(text(&one.unwrap()).contains("#EXTINF:1.96"));
    assert!(text(&other.unwrap()).contains("CODECS=\"mp4a.40.2\"\nx.m3u8\n"));
    assert_eq!(*bench.tasks.lock(), 1);
}

#[tokio::test(start_paused = true)]
async fn who_asks_for_a_stream_that_brings_nothing_is_told_so_in_time() {
    let bench = Bench::start("");
    let _publisher = bench.publish("live/x");
    assert_eq!(bench.find("live/x.m3u8").await, Err(Absent::NotYet));
}

#[tokio::test(start_paused = true)]
async fn an_absent_stream_is_absent_at_once_and_leaves_nothing_behind() {
    let bench = Bench::start("");
    for path in ["live/x.m3u8", "live/x.m3u", "live/x/1.ts"] {
        assert_eq!(bench.find(path).now_or_never(), Some(Err(Absent::NoStream)), "{path}");
    }
    assert!(bench.hub.streams().is_empty());
    assert_eq!(*bench.tasks.lock(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_segment_that_is_not_there_is_gone_and_one_in_another_container_is_not_there() {
    let bench = Bench::start("");
    let mut publisher = bench.publish("live/x");
    publisher.go_on(5).await;
    let playlist = bench.find("live/x.m3u8").await.unwrap();
    assert_eq!(bench.find("live/x/1.ts").await, Err(Absent::Gone));
    assert_eq!(bench.find(&newest(&playlist).replace(".ts", ".m4s")).await, Err(Absent::Gone));
}

#[tokio::test(start_paused = true)]
async fn nobody_who_asks_for_long_ends_it_and_the_next_one_begins_it_again() {
    let bench = Bench::start("[hls]\nidle = \"10s\"");
    let mut publisher = bench.publish("live/x");
    publisher.go_on(5).await;
    let before = bench.find("live/x.m3u8").await.unwrap();
    publisher.go_on(9).await;
    assert_eq!(bench.packagers(), 1);
    // Time on the wall stands still in this test.
    publisher.go_on(3).await;
    assert_eq!((bench.packagers(), bench.library.shared.streams.len()), (0, 0));
    assert_eq!(bench.metrics.hls.memory_bytes.get(), 0);
    let after = bench.find("live/x.m3u8").await.unwrap();
    assert_eq!((bench.packagers(), *bench.tasks.lock()), (1, 2));
    let number = |playlist: &Object| {
        let text = text(playlist);
        let line = text.lines().find_map(|line| line.strip_prefix("#EXT-X-MEDIA-SEQUENCE:")).unwrap();
        line.parse::<u64>().unwrap()
    };
    assert!(number(&after) > number(&before));
}

#[tokio::test(start_paused = true)]
async fn a_publisher_that_returns_goes_on_in_the_same_playlist() {
    let bench = Bench::start("");
    let mut publisher = bench.publish("live/x");
    publisher.go_on(5).await;
    bench.find("live/x.m3u8").await.unwrap();
    drop(publisher);
    tokio::time::sleep(Duration::from_secs(3)).await;
    let mut publisher = bench.publish("live/x");
    publisher.go_on(5).await;
    let playlist = text(&bench.find("live/x.m3u8").await.unwrap());
    assert_eq!(playlist.matches("#EXT-X-DISCONTINUITY\n").count(), 1, "{playlist}");
    assert_eq!(*bench.tasks.lock(), 1);
}

#[tokio::test(start_paused = true)]
async fn where_others_may_have_had_the_stream_a_session_begins_a_playlist() {
    let bench = Bench::start(PEERS);
    let mut publisher = bench.publish("live/x");
    publisher.go_on(5).await;
    let before = bench.find("live/x.m3u8").await.unwrap();
    drop(publisher);
    let mut publisher = bench.publish("live/x");
    publisher.go_on(5).await;
    let playlist = text(&bench.find("live/x.m3u8").await.unwrap());
    assert!(!playlist.contains("#EXT-X-DISCONTINUITY\n"), "{playlist}");
    assert!(!playlist.contains(text(&before).lines().last().unwrap()), "{playlist}");
    assert!(bench.find(&newest(&before)).await.is_ok(), "who has read of it may still have it");
}

#[tokio::test(start_paused = true)]
async fn players_keep_the_playlist_of_the_session_before_until_the_new_one_lasts_a_target_duration() {
    let bench = Bench::start(PEERS);
    let mut publisher = bench.publish("live/x");
    publisher.go_on(5).await;
    bench.find("live/x.m3u8").await.unwrap();
    drop(publisher);
    tokio::time::sleep(Duration::from_millis(1)).await;
    let before = bench.find("live/x.m3u8").await.unwrap();
    let mut publisher = bench.publish("live/x");
    let mut seen = Vec::new();
    for _ in 0..6 {
        publisher.go_on(1).await;
        seen.push(bench.find("live/x.m3u8").await.unwrap());
    }
    seen.dedup();
    assert_eq!(seen[0], before);
    let lengths: Vec<usize> = seen[1..].iter().map(|playlist| text(playlist).matches("#EXTINF").count()).collect();
    assert_eq!(lengths.first(), Some(&2), "a segment has 2 s, and the target duration is 3 s");
    assert!(!text(&seen[1]).contains(text(&before).lines().last().unwrap()));
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_when_its_publisher_stays_away_and_is_let_go_of() {
    let bench = Bench::start("[hls]\non_demand = false\ndispose = \"40s\"");
    let mut publisher = bench.publish("live/x");
    publisher.go_on(5).await;
    drop(publisher);
    tokio::time::sleep(Duration::from_secs(14)).await;
    assert!(!text(&bench.find("live/x.m3u8").await.unwrap()).contains("#EXT-X-ENDLIST"));
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(text(&bench.find("live/x.m3u8").await.unwrap()).ends_with("#EXT-X-ENDLIST\n"));
    assert!(bench.hub.streams().is_empty());
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(bench.find("live/x.m3u8").await, Err(Absent::NoStream));
    assert_eq!((bench.packagers(), bench.metrics.hls.memory_bytes.get()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn what_returns_after_its_end_is_a_playlist_without_an_end() {
    let bench = Bench::start("[hls]\non_demand = false");
    let mut publisher = bench.publish("live/x");
    publisher.go_on(5).await;
    drop(publisher);
    tokio::time::sleep(Duration::from_secs(20)).await;
    let mut publisher = bench.publish("live/x");
    publisher.go_on(5).await;
    let playlist = text(&bench.find("live/x.m3u8").await.unwrap());
    assert!(!playlist.contains("#EXT-X-ENDLIST"), "{playlist}");
    assert_eq!(playlist.matches("#EXTINF").count(), 2, "{playlist}");
}

#[tokio::test(start_paused = true)]
async fn a_codec_that_nothing_carries_is_said_at_once() {
    let bench = Bench::start("");
    let mut publisher = bench.publish("live/x");
    publisher
        .publisher
        .push([Tag { kind: Kind::Video, timestamp: 0, payload: Bytes::from_static(b"\x12\0\0") }])
        .unwrap();
    publisher.go_on(2).await;
    let answer = bench.find("live/x.m3u8").await;
    assert_eq!(answer, Err(Absent::Unsupported("H263 fits neither MPEG-TS nor fragmented MP4".to_owned())));
}

#[tokio::test(start_paused = true)]
async fn apps_without_hls_have_none() {
    let bench = Bench::start("[[apps]]\nmatch = \"secret\"\nhls.enabled = false");
    let _publisher = bench.publish("secret/x");
    assert!(matches!(bench.find("secret/x.m3u8").await, Err(Absent::Unsupported(_))));
}

#[tokio::test(start_paused = true)]
async fn when_memory_is_used_up_no_other_stream_begins() {
    let bench = Bench::start("[hls]\nmemory_bytes = \"1MiB\"");
    let mut publisher = bench.publish("live/x");
    publisher.go_on(5).await;
    let held = bench.library.shared.means.memory.charge(2 << 20);
    assert_eq!(bench.find("live/x.m3u8").await, Err(Absent::Full));
    drop(held);
    assert!(bench.find("live/x.m3u8").await.is_ok());
    let _held = bench.library.shared.means.memory.charge(2 << 20);
    publisher.go_on(6).await;
    let playlist = text(&bench.find("live/x.m3u8").await.unwrap());
    assert_eq!(playlist.matches("#EXTINF").count(), 1, "{playlist}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stops_keeps_no_packager() {
    let bench = Bench::start("[hls]\non_demand = false");
    let mut publisher = bench.publish("live/x");
    publisher.go_on(3).await;
    assert_eq!(bench.packagers(), 1);
    bench.stop.cancel();
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(bench.packagers(), 0);
}
