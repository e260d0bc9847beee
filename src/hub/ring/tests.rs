use bytes::Bytes;
use prometheus_client::metrics::gauge::Gauge;
use proptest::prelude::*;

use crate::hub::block::{OpenBlock, Position};
use crate::hub::budget::Budget;
use crate::media::Kind;
use crate::media::class::Class;
use crate::media::packet::Packet;

use super::*;

const LIMITS: RingLimits = RingLimits {
    gop_cache: true,
    max_bytes: 10_000,
    max_packets: 1_000,
    max_duration: Duration::from_secs(30),
    queue_length: Duration::from_secs(3),
};

struct Bench {
    ring: Ring,
    limits: RingLimits,
    pressure: Pressure,
    start: Instant,
    budget: Arc<Budget>,
    used: Gauge,
    packets: u64,
}

impl Bench {
    fn new(limits: RingLimits) -> Self {
        let used = Gauge::default();
        let budget = Arc::new(Budget::new(u64::MAX, used.clone()));
        Self {
            ring: Ring::default(),
            limits,
            pressure: Pressure::None,
            start: Instant::now(),
            budget,
            used,
            packets: 0,
        }
    }

    /// Pushes a block of one packet of `bytes`, sealed `seconds` after the start.
    fn push(&mut self, seconds: u64, class: Class, bytes: usize) {
        let now = self.start + Duration::from_secs(seconds);
        let mut open = OpenBlock::default();
        let payload = Bytes::from(vec![0; bytes]);
        open.push(Packet { kind: Kind::Video, class, timestamp: seconds * 1_000, payload }, now);
        let block = open
            .seal(Arc::default(), Position { packet: self.packets, byte: 0 }, 0, now, |bytes| self.budget.charge(bytes))
            .unwrap();
        self.packets += 1;
        self.ring.push(block, &self.limits, self.pressure, now);
    }
}

#[test]
fn the_newest_gop_is_held_however_old_its_blocks_are() {
    let mut bench = Bench::new(LIMITS);
    bench.push(0, Class::Keyframe, 10);
    for second in 1..20 {
        bench.push(second, Class::Frame, 10);
    }
    assert_eq!((bench.ring.newest_keyframe(), bench.ring.first(), bench.ring.end()), (Some(0), 0, 20));
}

#[test]
fn what_lies_before_the_newest_gop_is_held_as_long_as_players_may_lag() {
    let mut bench = Bench::new(LIMITS);
    for second in 0..10 {
        bench.push(second, if second % 2 == 0 { Class::Keyframe } else { Class::Frame }, 10);
    }
    assert_eq!(bench.ring.newest_keyframe(), Some(8));
    assert_eq!(bench.ring.first(), 6);
}

#[test]
fn without_a_gop_cache_only_the_lag_is_held() {
    let mut bench = Bench::new(RingLimits { gop_cache: false, ..LIMITS });
    bench.push(0, Class::Keyframe, 10);
    for second in 1..20 {
        bench.push(second, Class::Frame, 10);
    }
    assert_eq!((bench.ring.first(), bench.ring.newest_keyframe()), (16, None));
    assert_eq!(bench.ring.keyframe_from(0), None);
}

#[test]
fn who_begins_at_what_is_recent_has_time_to_read_it() {
    let mut bench = Bench::new(RingLimits { queue_length: Duration::from_secs(8), ..LIMITS });
    for second in 0..20 {
        bench.push(second, if second % 2 == 0 { Class::Keyframe } else { Class::Frame }, 10);
    }
    let start = |bench: &Bench, at: u64| {
        bench.ring.recent_start(bench.start + Duration::from_secs(at), bench.limits.queue_length)
    };
    assert_eq!((bench.ring.first(), start(&bench, 19)), (11, 13));
    assert_eq!(start(&bench, 60), 18, "the newest keyframe, however old");
    bench.ring.begin_session();
    assert_eq!(start(&bench, 60), 20);
}

#[test]
fn the_caps_win_over_the_gop_cache() {
    let limits = RingLimits { queue_length: Duration::from_secs(30), ..LIMITS };
    let mut bytes = Bench::new(RingLimits { max_bytes: 55, ..limits });
    let mut packets = Bench::new(RingLimits { max_packets: 5, ..limits });
    let mut duration = Bench::new(RingLimits { max_duration: Duration::from_secs(4), ..limits });
    for bench in [&mut bytes, &mut packets, &mut duration] {
        bench.push(0, Class::Keyframe, 10);
        for second in 1..20 {
            bench.push(second, Class::Frame, 10);
        }
        assert_eq!((bench.ring.first(), bench.ring.newest_keyframe()), (15, None));
        assert_eq!(bench.ring.live_end(), 19);
    }
}

#[test]
fn a_block_larger_than_the_cap_is_held_alone() {
    let mut bench = Bench::new(LIMITS);
    bench.push(0, Class::Keyframe, 10);
    bench.push(0, Class::Keyframe, 20_000);
    assert_eq!((bench.ring.first(), bench.ring.end()), (1, 2));
}

#[test]
fn pressure_shortens_the_ring_to_the_newest_gop_and_then_to_the_newest_block() {
    let mut bench = Bench::new(LIMITS);
    bench.push(0, Class::Keyframe, 10);
    bench.push(0, Class::Keyframe, 10);
    bench.pressure = Pressure::High;
    bench.push(0, Class::Frame, 10);
    assert_eq!(bench.ring.first(), 1);
    bench.pressure = Pressure::Exceeded;
    bench.push(0, Class::Frame, 10);
    assert_eq!((bench.ring.first(), bench.ring.end(), bench.ring.newest_keyframe()), (3, 4, None));
}

#[test]
fn nobody_joins_at_what_a_session_before_has_sent() {
    let mut bench = Bench::new(LIMITS);
    bench.push(0, Class::Keyframe, 10);
    bench.ring.begin_session();
    assert_eq!((bench.ring.newest_keyframe(), bench.ring.live_end()), (None, 1));
    assert!(!bench.ring.session_has_media());
    bench.push(1, Class::Frame, 10);
    assert_eq!((bench.ring.live_end(), bench.ring.keyframe_from(0)), (1, None));
    bench.push(1, Class::Keyframe, 10);
    assert_eq!((bench.ring.newest_keyframe(), bench.ring.keyframe_from(0)), (Some(2), Some(2)));
}

proptest! {
    #[test]
    fn memory_is_bounded_and_accounted_whatever_is_pushed(
        pushes in proptest::collection::vec((0..5_u64, any::<bool>(), 1..4_000_usize, 0..20_u8), 1..200),
    ) {
        let mut bench = Bench::new(LIMITS);
        let mut seconds = 0;
        for (elapsed, keyframe, bytes, pressure) in pushes {
            seconds += elapsed;
            bench.pressure = match pressure {
                0 => Pressure::Exceeded,
                1 => Pressure::High,
                _ => Pressure::None,
            };
            bench.push(seconds, if keyframe { Class::Keyframe } else { Class::Frame }, bytes);
            let held: usize = bench.ring.blocks.iter().map(|block| block.payload_bytes()).sum();
            prop_assert_eq!(bench.ring.bytes, held);
            prop_assert!(held <= LIMITS.max_bytes || bench.ring.blocks.len() == 1);
            if let Some(keyframe) = bench.ring.newest_keyframe() {
                prop_assert!(bench.ring.get(keyframe).unwrap().starts_with_keyframe());
            }
        }
        bench.ring.clear();
        prop_assert_eq!(bench.used.get(), 0);
    }
}
