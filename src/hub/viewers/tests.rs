use std::sync::atomic::AtomicBool;
use std::time::Duration;

use crate::hub::{Dispatchers, End, Hub, Limits, StreamSettings};
use crate::media::stream_key::StreamKey;
use crate::metrics::{Metrics, Protocol};

use super::*;

const PATIENCE: Duration = Duration::from_secs(30);

/// How many viewers are shown, what they got, and whether they are to go.
#[derive(Default)]
struct Seats {
    taken: AtomicUsize,
    sent: AtomicUsize,
    is_dismissed: AtomicBool,
}

struct Seat {
    seats: Arc<Seats>,
    is_shown: bool,
}

impl Seat {
    fn take(seats: &Arc<Seats>, is_shown: bool) -> Self {
        seats.taken.fetch_add(1, Ordering::Relaxed);
        Self { seats: Arc::clone(seats), is_shown }
    }
}

impl Attendance for Seat {
    fn note_sent(&self, bytes: u64) {
        self.seats.sent.fetch_add(bytes as usize, Ordering::Relaxed);
    }

    fn is_shown(&self) -> bool {
        self.is_shown
    }

    fn is_dismissed(&self) -> bool {
        self.seats.is_dismissed.load(Ordering::Relaxed)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.seats.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Bench {
    hub: Hub,
    metrics: Arc<Metrics>,
    seats: Arc<Seats>,
    /// Whether something is kept of viewers that are not shown.
    keeps_all: bool,
}

impl Bench {
    fn new(limits: Limits) -> Self {
        let metrics = Arc::<Metrics>::default();
        let (dispatchers, _) = Dispatchers::new(1);
        let hub = Hub::new(Box::new(|_| StreamSettings::default()), 1 << 30, Arc::clone(&metrics), dispatchers);
        hub.limit(limits);
        Self { hub, metrics, seats: Arc::default(), keeps_all: false }
    }

    fn note(&self, name: &str, viewer: ViewerId) -> Result<(), End> {
        let attend = |is_shown: bool| {
            let seat = (is_shown || self.keeps_all).then(|| Seat::take(&self.seats, is_shown));
            seat.map(|seat| Box::new(seat) as Box<dyn Attendance>)
        };
        self.hub.note_viewer(&key(name), viewer, PATIENCE, attend)
    }

    fn seats(&self) -> usize {
        self.seats.taken.load(Ordering::Relaxed)
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
        bench.note("live/x", 1).unwrap();
    }
    bench.note("live/x", 2).unwrap();
    bench.note("live/y", 1).unwrap();
    assert_eq!(bench.players(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_viewer_that_is_silent_for_too_long_is_gone_and_its_stream_with_the_last_one() {
    let bench = Bench::new(Limits::default());
    bench.note("live/x", 1).unwrap();
    bench.note("live/x", 2).unwrap();
    tokio::time::advance(PATIENCE / 2).await;
    bench.note("live/x", 2).unwrap();
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
    bench.note("live/x", 1).unwrap();
    assert_eq!(bench.note("live/x", 2), Err(End::TooManyPlayers));
    assert_eq!(bench.note("live/x", 1), Ok(()));
    tokio::time::advance(PATIENCE).await;
    bench.hub.forget_silent_viewers();
    assert_eq!(bench.note("live/x", 2), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn the_api_shows_a_stream_that_only_viewers_watch_and_what_they_got() {
    let bench = Bench::new(Limits::default());
    bench.note("live/x", 1).unwrap();
    bench.hub.note_sent_to_viewer(&key("live/x"), 1, 5_000);
    bench.hub.note_sent_to_viewer(&key("live/nobody"), 1, 5_000);
    assert_eq!(bench.seats.sent.load(Ordering::Relaxed), 5_000);
    let [view] = bench.hub.streams().try_into().unwrap();
    assert_eq!((view.key, view.players, view.sent_bytes, view.live.is_some()), (key("live/x"), 1, 5_000, false));
}

#[tokio::test(start_paused = true)]
async fn who_invents_viewers_is_served_and_fills_no_memory() {
    let bench = Bench::new(Limits::default());
    for viewer in 0..MAX_VIEWERS as u64 + 1_000 {
        bench.note("live/x", viewer).unwrap();
    }
    assert_eq!((bench.players(), bench.seats()), (MAX_VIEWERS as i64, MAX_SHOWN));
    tokio::time::advance(PATIENCE).await;
    bench.hub.forget_silent_viewers();
    assert_eq!((bench.players(), bench.seats()), (0, 0));
    bench.note("live/x", 1).unwrap();
    assert_eq!(bench.seats(), 1, "there is room to show others");
}

#[tokio::test(start_paused = true)]
async fn a_viewer_that_is_dismissed_stays_out_until_it_has_been_silent() {
    let bench = Bench::new(Limits::default());
    bench.note("live/x", 1).unwrap();
    bench.seats.is_dismissed.store(true, Ordering::Relaxed);
    assert_eq!(bench.note("live/x", 1), Err(End::Dismissed));
    assert_eq!((bench.seats(), bench.players()), (0, 1));
    bench.seats.is_dismissed.store(false, Ordering::Relaxed);
    tokio::time::advance(PATIENCE / 2).await;
    assert_eq!(bench.note("live/x", 1), Err(End::Dismissed));
    tokio::time::advance(PATIENCE).await;
    bench.hub.forget_silent_viewers();
    assert_eq!(bench.note("live/x", 1), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_viewer_that_is_dismissed_is_shown_no_longer_though_it_asks_for_nothing() {
    let bench = Bench::new(Limits::default());
    bench.note("live/x", 1).unwrap();
    bench.seats.is_dismissed.store(true, Ordering::Relaxed);
    bench.hub.forget_silent_viewers();
    assert_eq!(bench.seats(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_to_be_told_of_a_viewer_is_kept_until_it_has_gone_though_it_is_not_shown() {
    let bench = Bench { keeps_all: true, ..Bench::new(Limits::default()) };
    for viewer in 0..MAX_SHOWN as u64 + 100 {
        bench.note("live/x", viewer).unwrap();
    }
    assert_eq!(bench.seats(), MAX_SHOWN + 100);
    tokio::time::advance(PATIENCE).await;
    bench.hub.forget_silent_viewers();
    assert_eq!(bench.seats(), 0);
    assert_eq!(bench.hub.shared.viewers.shown.load(Ordering::Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn a_viewer_is_known_to_be_dismissed_before_it_asks_for_a_playlist_again() {
    let bench = Bench::new(Limits::default());
    let presence = || bench.hub.presence(&key("live/x"), 1);
    assert_eq!(presence(), Presence::Unknown);
    bench.note("live/x", 1).unwrap();
    assert_eq!(presence(), Presence::Watching);
    bench.seats.is_dismissed.store(true, Ordering::Relaxed);
    assert_eq!(presence(), Presence::Dismissed);
    bench.hub.forget_silent_viewers();
    for _ in 0..4 {
        assert_eq!(presence(), Presence::Dismissed, "it does not stop asking");
        tokio::time::advance(PATIENCE / 2).await;
        bench.hub.forget_silent_viewers();
    }
    tokio::time::advance(PATIENCE / 2).await;
    bench.hub.forget_silent_viewers();
    assert_eq!(presence(), Presence::Unknown);
}
