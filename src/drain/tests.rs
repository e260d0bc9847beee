//! An order: given, raised, taken back, and what it comes to.

use super::*;

const TIMES: Times = Times {
    propagation_delay: Duration::from_secs(10),
    soft_timeout: Duration::from_secs(15),
    window: Duration::from_secs(60),
    hard_timeout: Duration::from_secs(90),
};

async fn pass(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn the_phases_follow_from_the_order_and_the_clock() {
    let drain = Drain::new(TIMES);
    assert_eq!(drain.phase(), Phase::Serving);
    drain.begin(Purpose::Terminate);
    for (seconds, phase) in [
        (0, Phase::Announced),
        (9, Phase::Announced),
        (1, Phase::Closed),
        (4, Phase::Closed),
        (1, Phase::Releasing),
        (74, Phase::Releasing),
        (1, Phase::Over),
        (1_000, Phase::Over),
    ] {
        pass(seconds).await;
        assert_eq!(drain.phase(), phase);
    }
}

#[tokio::test(start_paused = true)]
async fn every_change_of_phase_is_announced_by_the_schedule() {
    let drain = Drain::new(TIMES);
    drain.begin(Purpose::Stay);
    let order = drain.order().unwrap();
    let schedule = drain.schedule(order);
    let mut moment = order.since;
    let mut seen = vec![schedule.phase(moment)];
    while let Some(next) = schedule.next_change(moment) {
        moment = next;
        seen.push(schedule.phase(moment));
    }
    assert_eq!(seen, [Phase::Announced, Phase::Closed, Phase::Releasing, Phase::Over]);
}

#[test]
fn times_of_zero_lead_to_the_end_at_once() {
    let zero = Duration::ZERO;
    let times = Times { propagation_delay: zero, soft_timeout: zero, window: zero, hard_timeout: zero };
    let now = Instant::now();
    assert_eq!(times.schedule(now).phase(now), Phase::Over);
    assert_eq!(times.schedule(now).next_change(now), None);
}

#[tokio::test(start_paused = true)]
async fn a_second_order_counts_from_the_first_and_only_raises_its_purpose() {
    let drain = Drain::new(TIMES);
    drain.begin(Purpose::Stay);
    let first = drain.order().unwrap();
    pass(5).await;
    for (purpose, then) in
        [(Purpose::Exit, Purpose::Exit), (Purpose::Stay, Purpose::Exit), (Purpose::Terminate, Purpose::Terminate)]
    {
        drain.begin(purpose);
        assert_eq!(drain.order(), Some(Order { purpose: then, ..first }));
    }
}

#[tokio::test(start_paused = true)]
async fn an_order_of_an_operator_is_taken_back_and_one_of_the_system_is_not() {
    let drain = Drain::new(TIMES);
    assert_eq!(drain.take_back(), Ok(()));
    for purpose in [Purpose::Stay, Purpose::Exit] {
        drain.begin(purpose);
        pass(40).await;
        assert_eq!((drain.take_back(), drain.phase()), (Ok(()), Phase::Serving));
    }
    drain.begin(Purpose::Stay);
    drain.begin(Purpose::Terminate);
    assert_eq!((drain.take_back(), drain.phase()), (Err(Irrevocable), Phase::Announced));
}

#[tokio::test(start_paused = true)]
async fn who_watches_hears_of_every_change_and_of_nothing_else() {
    let drain = Drain::new(TIMES);
    let mut orders = drain.orders();
    drain.begin(Purpose::Stay);
    assert!(orders.has_changed().unwrap() && orders.borrow_and_update().is_some());
    drain.begin(Purpose::Stay);
    assert!(!orders.has_changed().unwrap());
    drain.take_back().unwrap();
    assert!(orders.has_changed().unwrap() && orders.borrow_and_update().is_none());
    drain.take_back().unwrap();
    assert!(!orders.has_changed().unwrap());
}

#[tokio::test]
async fn all_are_gone_once_the_last_guest_has_left() {
    let drain = Drain::new(TIMES);
    drain.all_gone().await;
    let (one, other) = (drain.welcome(), drain.welcome());
    let waiting = tokio::spawn({
        let drain = drain.clone();
        async move { drain.all_gone().await }
    });
    drop(one);
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    assert_eq!(drain.guests(), 1);
    other.leave();
    waiting.await.unwrap();
    drop(other);
    assert_eq!(drain.guests(), 0, "who has left leaves once");
}
