use std::net::{IpAddr, Ipv4Addr};
use std::sync::mpsc as threads;

use crate::dvr::bench::{AUDIO_HEADER, Bench, FRAME, KEYFRAME, VIDEO_HEADER, frames_in, key, tag};
use crate::dvr::library::Filter;
use crate::hub::{Dispatchers, Hub, OnSession, PublishRequest, Publisher, Source, StreamSettings};
use crate::media::{Kind, Tag};

use super::*;

/// How far a test may lie behind a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

struct Scene {
    bench: Bench,
    hub: Hub,
    disk: Disk,
    stop: CancellationToken,
    task: Option<tokio::task::JoinHandle<()>>,
}

/// Hands every session on to the follower.
struct Sender(mpsc::Sender<Following>);

impl OnSession for Sender {
    fn began(&self, session: Following) {
        self.0.try_send(session).unwrap();
    }
}

impl Scene {
    /// A hub with a follower of one stream, and one thread that writes.
    fn new() -> Self {
        let bench = Bench::new("");
        let (dispatchers, each) = Dispatchers::new(1);
        for dispatcher in each {
            tokio::spawn(dispatcher.run());
        }
        let mut settings = StreamSettings { merge_window: Some(Duration::ZERO), ..StreamSettings::default() };
        settings.ring.max_packets = 100;
        let hub = Hub::new(Box::new(move |_| settings.clone()), 1 << 30, Arc::clone(&bench.metrics), dispatchers);
        let (sender, sessions) = mpsc::channel(8);
        hub.tell_of_sessions(vec![Arc::new(Sender(sender))]);
        let disk = Disk::start("test", 1).unwrap();
        let stop = CancellationToken::new();
        let context = Context {
            library: bench.library.clone(),
            disk: disk.clone(),
            settings: Arc::new(bench.config.current().dvr_for("live")),
            resume_timeout: Duration::from_secs(3_600),
            stop: stop.clone(),
        };
        let task = tokio::spawn(follow(context, ShardId(0), sessions, |_| None));
        Self { bench, hub, disk, stop, task: Some(task) }
    }

    fn publish(&self, session: &Identity) -> Publisher {
        let request = PublishRequest {
            source: Source::Client { address: IpAddr::V4(Ipv4Addr::LOCALHOST), query: String::new() },
            session: session.clone(),
            takes_over: false,
            resume_timeout: Duration::from_secs(3_600),
        };
        self.hub.publish(&key(), request).unwrap()
    }

    /// Waits for the index to be as it should.
    async fn wait_until(&self, what: &str, condition: impl Fn(&Self) -> bool) {
        let waiting = async {
            while !condition(self) {
                sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("in vain: {what}"));
    }

    fn complete(&self) -> usize {
        let page = self.bench.library.list(&Filter::default(), 0, 100);
        page.recordings.iter().filter(|recording| recording.is_complete).count()
    }

    /// The frames of all recordings, by the stream's milliseconds since the first of each, the oldest recording first.
    async fn end(mut self) -> (Bench, Vec<Vec<(u8, u32)>>) {
        self.stop.cancel();
        self.task.take().unwrap().await.unwrap();
        let page = self.bench.library.list(&Filter::default(), 0, 100);
        let frames = page.recordings.iter().rev().map(|recording| frames_in(&recording.path)).collect();
        (self.bench, frames)
    }
}

/// With both, the tracks are known at once.
fn headers() -> [Tag; 2] {
    [tag(Kind::Video, 0, VIDEO_HEADER), tag(Kind::Audio, 0, AUDIO_HEADER)]
}

fn push(publisher: &mut Publisher, timestamps: std::ops::Range<u32>, gop: u32) {
    for number in timestamps {
        let body = if number.is_multiple_of(gop) { KEYFRAME } else { FRAME };
        publisher.push([tag(Kind::Video, number * 10, body)]).unwrap();
    }
}

#[tokio::test]
async fn a_disk_that_hangs_costs_the_recording_a_gap_and_nobody_else_a_moment() {
    let scene = Scene::new();
    let (release, held) = threads::channel::<()>();
    let hanging = scene.disk.begin(move || held.recv().is_ok());
    let mut publisher = scene.publish(&Identity::random());
    publisher.push(headers()).unwrap();
    // Each as large as a batch may be: two wait at most, and the ring holds no more than a hundred.
    let large = [KEYFRAME, &vec![0; MAX_BATCH_BYTES / 2][..]].concat();
    for number in 0..6 {
        publisher.push([tag(Kind::Video, number * 10, &large)]).unwrap();
        tokio::task::yield_now().await;
    }
    push(&mut publisher, 10..1_000, 50);
    release.send(()).unwrap();
    hanging.await.unwrap();
    scene.wait_until("the gap is counted", |scene| scene.bench.metrics.dvr.dropped_bytes.get() > 0).await;
    drop(publisher);
    scene.wait_until("it is complete", |scene| scene.complete() == 1).await;

    let (_, recorded) = scene.end().await;
    let frames = &recorded[0];
    let gap = frames.windows(2).position(|pair| pair[1].1 - pair[0].1 > 1_000).expect("there is a gap");
    assert_eq!(frames[gap + 1].0, 0x17, "it goes on at a keyframe");
    assert_eq!(frames.last().map(|(_, timestamp)| *timestamp), Some(9_990), "up to the end");
}

#[tokio::test]
async fn a_session_that_returns_goes_on_in_the_next_recording_without_a_frame_twice() {
    let scene = Scene::new();
    let session = Identity::random();
    let mut publisher = scene.publish(&session);
    publisher.push(headers()).unwrap();
    push(&mut publisher, 0..20, 10);
    scene.wait_until("it is being recorded", |scene| scene.bench.metrics.dvr.bytes.get() > 0).await;
    // A player stays, so that the ring is kept.
    let _tap = scene.hub.forward(&key(), &session).tap(ShardId(0), TapStart::Session);
    drop(publisher);
    scene.wait_until("it is complete", |scene| scene.complete() == 1).await;
    let mut publisher = scene.publish(&session);
    push(&mut publisher, 20..40, 10);
    scene.wait_until("it is recorded again", |scene| scene.bench.metrics.dvr.recordings.get() == 1).await;
    drop(publisher);
    scene.wait_until("both are complete", |scene| scene.complete() == 2).await;
    let (_, recorded) = scene.end().await;
    assert_eq!(recorded.iter().map(Vec::len).collect::<Vec<_>>(), [20, 20]);
    assert_eq!(recorded[1][0], (0x17, 0));
}

#[tokio::test]
async fn what_is_open_when_the_recorder_stops_is_completed() {
    let scene = Scene::new();
    let mut publisher = scene.publish(&Identity::random());
    publisher.push(headers()).unwrap();
    push(&mut publisher, 0..20, 10);
    scene.wait_until("it is being recorded", |scene| scene.bench.metrics.dvr.bytes.get() > 0).await;
    scene.hub.shut_down();
    let (bench, recorded) = scene.end().await;
    assert_eq!(recorded[0].len(), 20);
    assert_eq!(bench.metrics.dvr.recordings.get(), 0);
}
