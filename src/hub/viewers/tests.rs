use std::time::Duration;

use crate::hub::{Dispatchers, End, Hub, Limits, StreamSettings};
use crate::media::stream_key::StreamKey;
use crate::metrics::{Metrics, Protocol};

use super::*;

const PATIENCE: Duration = Duration::from_secs(30);

struct Bench {
    hub: Hub,
    metrics: Arc<Metrics>,
}

impl Bench {
    fn new(limits: Limits) -> Self {
        let metrics = Arc::<Metrics>::default();
        let (dispatchers, _) = Dispatchers::new(1);
        let hub = Hub::new(Box::new(|_| StreamSettings::default()), 1 << 30, Arc::clone(&metrics), dispatchers);
        hub.limit(limits);
        Self { hub, metrics }
    }

    fn players(&self) -> i64 {
        self.metrics.players(Protocol::Hls).get()
    }
}

fn key(name: &str) -> StreamKey {
    StreamKey::from_path(name).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_viewer_is_one_player_of_a_stream_however_often_it_asks() {
    let bench = Bench::new(Limits::default());
    for _ in 0..10 {
        bench.hub.note_viewer(&key("live/x"), 1, PATIENCE, None).unwrap();
    }
    bench.hub.note_viewer(&key("live/x"), 2, PATIENCE, None).unwrap();
    bench.hub.note_viewer(&key("live/y"), 1, PATIENCE, None).unwrap();
    assert_eq!(bench.players(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_viewer_that_is_silent_for_too_long_is_gone_and_its_stream_with_the_last_one() {
    let bench = Bench::new(Limits::default());
    bench.hub.note_viewer(&key("live/x"), 1, PATIENCE, None).unwrap();
    bench.hub.note_viewer(&key("live/x"), 2, PATIENCE, None).unwrap();
    tokio::time::advance(PATIENCE / 2).await;
    bench.hub.note_viewer(&key("live/x"), 2, PATIENCE, None).unwrap();
    tokio::time::advance(PATIENCE / 2).await;
    bench.hub.forget_silent_viewers();
    assert_eq!((bench.players(), bench.hub.streams()[0].players), (1, 1));
    tokio::time::advance(PATIENCE).await;
    bench.hub.forget_silent_viewers();
    assert_eq!((bench.players(), bench.hub.streams().len()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn viewers_take_the_places_of_players_and_give_them_back() {
    let bench = Bench::new(Limits { players: Some(1), egress: None });
    bench.hub.note_viewer(&key("live/x"), 1, PATIENCE, None).unwrap();
    assert_eq!(bench.hub.note_viewer(&key("live/x"), 2, PATIENCE, None), Err(End::TooManyPlayers));
    assert_eq!(bench.hub.note_viewer(&key("live/x"), 1, PATIENCE, None), Ok(()));
    tokio::time::advance(PATIENCE).await;
    bench.hub.forget_silent_viewers();
    assert_eq!(bench.hub.note_viewer(&key("live/x"), 2, PATIENCE, None), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn the_api_shows_a_stream_that_only_viewers_watch_and_what_they_got() {
    let bench = Bench::new(Limits::default());
    bench.hub.note_viewer(&key("live/x"), 1, PATIENCE, None).unwrap();
    bench.hub.note_sent_to_viewers(&key("live/x"), 5_000);
    bench.hub.note_sent_to_viewers(&key("live/nobody"), 5_000);
    let [view] = bench.hub.streams().try_into().unwrap();
    assert_eq!((view.key, view.players, view.sent_bytes, view.live.is_some()), (key("live/x"), 1, 5_000, false));
}

#[tokio::test(start_paused = true)]
async fn who_invents_viewers_is_served_and_fills_no_memory() {
    let bench = Bench::new(Limits::default());
    for viewer in 0..MAX_VIEWERS as u64 + 1_000 {
        bench.hub.note_viewer(&key("live/x"), viewer, PATIENCE, None).unwrap();
    }
    assert_eq!(bench.players(), MAX_VIEWERS as i64);
}
