//! The life of a stream that is fetched on demand, under schedules of players who come and go.

use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;

use crate::media::{Kind, Tag};
use crate::metrics::Protocol;

use super::*;

/// Stands for an edge's pulls: publishes whatever is wanted, and lingers.
struct Fetcher {
    linger: Duration,
    connect: Duration,
    running: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
    started: Arc<AtomicUsize>,
}

impl OnDemand for Fetcher {
    fn serve(&self, demand: Demand) {
        let running = Arc::clone(&self.running);
        let now_running = running.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now_running, Ordering::SeqCst);
        self.started.fetch_add(1, Ordering::SeqCst);
        let (linger, connect) = (self.linger, self.connect);
        tokio::spawn(async move {
            fetch(demand, linger, connect).await;
            running.fetch_sub(1, Ordering::SeqCst);
        });
    }
}

async fn fetch(mut demand: Demand, linger: Duration, connect: Duration) {
    tokio::time::sleep(connect).await;
    let request = PublishRequest {
        source: Source::Pull,
        session: Identity::random(),
        takes_over: false,
        resume_timeout: Duration::from_secs(60),
    };
    let mut publisher = demand.publish(request).unwrap();
    let mut number = 0;
    loop {
        let keyframe = Bytes::from_static(&[0x17, 1, 0, 0, 0]);
        publisher.push([Tag { kind: Kind::Video, timestamp: number * 40, payload: keyframe }]).unwrap();
        number += 1;
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(40)) => {}
            () = async {
                demand.unwanted().await;
                tokio::time::sleep(linger).await;
            } => match demand.try_finish(Some(publisher)) {
                Ok(()) => return,
                Err(still_wanted) => publisher = still_wanted.publisher.unwrap(),
            },
        }
    }
}

const REQUEST: PlayRequest =
    PlayRequest { protocol: Protocol::HttpFlv, form: WireForm::Flv, shard: ShardId(0), is_pull: false };

fn hub() -> Hub {
    let (dispatchers, each) = Dispatchers::new(1);
    for dispatcher in each {
        tokio::spawn(dispatcher.run());
    }
    let settings = StreamSettings { merge_window: Some(Duration::ZERO), ..StreamSettings::default() };
    Hub::new(Box::new(move |_| settings.clone()), 1 << 30, Arc::default(), dispatchers)
}

fn key() -> StreamKey {
    StreamKey::from_path("live/x").unwrap()
}

async fn play(hub: &Hub) -> Result<Reader, End> {
    let mut reader = hub.subscribe(&key(), REQUEST)?;
    std::future::poll_fn(|context| reader.poll_wire(context)).await?;
    Ok(reader)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_play_is_refused_because_a_pull_is_ending_and_there_is_one_pull_at_most(
        // When each player comes, and for how long it stays: in steps that meet the linger's end to the millisecond.
        players in proptest::collection::vec((0..200_u64, 0..100_u64), 1..40),
        linger in 0..40_u64,
        connect in 0..40_u64,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let hub = hub();
            let (running, most) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
            hub.fetch_from(Arc::new(Fetcher {
                linger: Duration::from_millis(linger),
                connect: Duration::from_millis(connect),
                running: Arc::clone(&running),
                most: Arc::clone(&most),
                started: Arc::default(),
            }));
            let began = tokio::time::Instant::now();
            let players: Vec<_> = players
                .into_iter()
                .map(|(comes, stays)| {
                    let hub = hub.clone();
                    tokio::spawn(async move {
                        tokio::time::sleep(Duration::from_millis(comes)).await;
                        let reader = play(&hub).await;
                        tokio::time::sleep(Duration::from_millis(stays)).await;
                        reader.map(drop)
                    })
                })
                .collect();
            for player in players {
                assert_eq!(player.await.unwrap(), Ok(()));
            }
            assert!(began.elapsed() < Duration::from_secs(1), "a player has waited for nobody");
            assert_eq!(most.load(Ordering::SeqCst), 1);
            while running.load(Ordering::SeqCst) > 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            assert!(hub.streams().is_empty());
        });
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_asks_at_once_shares_one_pull() {
    let hub = hub();
    let started = Arc::<AtomicUsize>::default();
    hub.fetch_from(Arc::new(Fetcher {
        linger: Duration::from_secs(10),
        connect: Duration::from_millis(100),
        running: Arc::default(),
        most: Arc::default(),
        started: Arc::clone(&started),
    }));
    let players = (0..100).map(|_| {
        let hub = hub.clone();
        tokio::spawn(async move { play(&hub).await.map(drop) })
    });
    for player in players.collect::<Vec<_>>() {
        assert_eq!(player.await.unwrap(), Ok(()));
    }
    assert_eq!(started.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_pull_that_is_given_up_leaves_room_for_the_next() {
    struct GivesUp {
        started: Arc<AtomicUsize>,
    }
    impl OnDemand for GivesUp {
        fn serve(&self, demand: Demand) {
            self.started.fetch_add(1, Ordering::SeqCst);
            drop(demand);
        }
    }
    let hub = hub();
    let started = Arc::<AtomicUsize>::default();
    hub.fetch_from(Arc::new(GivesUp { started: Arc::clone(&started) }));
    let first = hub.subscribe(&key(), REQUEST).unwrap();
    let second = hub.subscribe(&key(), REQUEST).unwrap();
    assert_eq!(started.load(Ordering::SeqCst), 2);
    drop((first, second));
    assert!(hub.streams().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_pull_gives_way_to_a_client_and_returns_when_the_client_has_left_players_behind() {
    let hub = hub();
    let (running, started) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    hub.fetch_from(Arc::new(Yields { running: Arc::clone(&running), started: Arc::clone(&started) }));
    let reader = hub.subscribe(&key(), REQUEST).unwrap();
    tokio::task::yield_now().await;
    assert_eq!(running.load(Ordering::SeqCst), 1);

    let client = PublishRequest {
        source: Source::Client { address: [127, 0, 0, 1].into(), query: String::new() },
        session: Identity::random(),
        takes_over: false,
        resume_timeout: Duration::from_secs(60),
    };
    let publisher = hub.publish(&key(), client).unwrap();
    while running.load(Ordering::SeqCst) > 0 {
        tokio::task::yield_now().await;
    }
    let _second = hub.subscribe(&key(), REQUEST).unwrap();
    assert_eq!(started.load(Ordering::SeqCst), 1, "what is published here is not fetched");
    drop(publisher);
    assert_eq!(started.load(Ordering::SeqCst), 2);
    drop((reader, _second));
    while running.load(Ordering::SeqCst) > 0 {
        tokio::task::yield_now().await;
    }
    assert!(hub.streams().is_empty());
}

/// Stands for a pull that finds nothing, as long as it is wanted.
struct Yields {
    running: Arc<AtomicUsize>,
    started: Arc<AtomicUsize>,
}

impl OnDemand for Yields {
    fn serve(&self, mut demand: Demand) {
        self.started.fetch_add(1, Ordering::SeqCst);
        self.running.fetch_add(1, Ordering::SeqCst);
        let running = Arc::clone(&self.running);
        tokio::spawn(async move {
            loop {
                demand.unwanted().await;
                if demand.try_finish(None).is_ok() {
                    break;
                }
            }
            drop(demand);
            running.fetch_sub(1, Ordering::SeqCst);
        });
    }
}

#[tokio::test(start_paused = true)]
async fn a_pull_that_waits_for_a_publisher_on_its_way_finds_it_or_loses_patience() {
    let hub = hub();
    assert!(!hub.wait_for_expected(&key()).await, "nobody is on the way");
    let expected = hub.expect(&key());
    let waiting = {
        let hub = hub.clone();
        tokio::spawn(async move { hub.wait_for_expected(&key()).await })
    };
    tokio::time::sleep(ARRIVAL_PATIENCE / 2).await;
    assert!(!waiting.is_finished());
    drop(expected);
    assert!(waiting.await.unwrap(), "it has arrived, or has been refused");
    let _late = hub.expect(&key());
    assert!(!hub.wait_for_expected(&key()).await, "it takes too long");
}
