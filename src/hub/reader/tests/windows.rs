//! How packets gather in a merge window, and when players get them.

use std::collections::BTreeSet;

use super::*;

/// When each packet came to a player, by the packet's number, until the stream ends.
async fn arrivals(mut player: Player) -> Vec<(u8, tokio::time::Instant)> {
    let mut arrivals = Vec::new();
    while let Ok((_, _, number)) = player.next().await {
        arrivals.push((number, tokio::time::Instant::now()));
    }
    arrivals
}

const WIDE: Duration = Duration::from_millis(200);

/// Publishes a frame each 40 ms, on shards with a wide window.
async fn stream(bench: &Bench, publisher: &mut Publisher, numbers: std::ops::Range<u8>) {
    for number in numbers {
        bench.hub.shared.dispatchers.set_merge_window(WIDE);
        publisher.push([frame(u32::from(number) * 40, number)]).unwrap();
        let next = tokio::time::Instant::now() + Duration::from_millis(40);
        loop {
            tokio::select! {
                () = publisher.due() => publisher.push([]).unwrap(),
                () = tokio::time::sleep_until(next) => break,
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn within_a_wide_window_players_have_turns_and_each_has_everything_in_time() {
    let bench = Bench::new(StreamSettings { merge_window: None, ..settings() });
    let mut publisher = bench.publish();
    publisher.push([header(255), keyframe(0, 0)]).unwrap();
    let players: Vec<_> = (0..40).map(|_| tokio::spawn(arrivals(bench.play(false).unwrap()))).collect();
    let began = tokio::time::Instant::now();
    stream(&bench, &mut publisher, 1..101).await;
    // Nothing follows the last frame: whose turn has not come by then still gets it.
    let seal = async {
        loop {
            publisher.due().await;
            publisher.push([]).unwrap();
        }
    };
    assert!(tokio::time::timeout(2 * WIDE, seal).await.is_err(), "sealing never ends");
    bench.hub.shut_down();
    let mut moments = BTreeSet::new();
    for player in players {
        let arrivals = player.await.unwrap();
        let numbers: Vec<u8> = arrivals.iter().map(|(number, _)| *number).collect();
        let expected: Vec<u8> = [255].into_iter().chain(0..=100).collect();
        assert_eq!(numbers, expected);
        for (number, at) in &arrivals[2..] {
            let sent = began + Duration::from_millis(40) * (u32::from(*number) - 1);
            assert!(*at <= sent + WIDE * 3 / 2, "{number} came {:?} late", *at - sent);
        }
        moments.insert(arrivals.iter().map(|(_, at)| *at - began).filter(|at| *at > WIDE).min());
    }
    assert!(moments.len() > 1, "all were served at the same moments");
}

/// Publishes `tags` 40 ms apart, beginning 40 ms from now.
async fn publish_each_40_ms(publisher: &mut Publisher, tags: impl IntoIterator<Item = Tag>) {
    for tag in tags {
        let next = tokio::time::Instant::now() + Duration::from_millis(40);
        loop {
            tokio::select! {
                biased;
                () = tokio::time::sleep_until(next) => break,
                () = publisher.due() => publisher.push([]).unwrap(),
            }
        }
        publisher.push([tag]).unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_keyframe_within_a_window_waits_for_its_end_like_all_else() {
    let bench = Bench::new(StreamSettings { merge_window: Some(WIDE), ..settings() });
    let mut publisher = bench.publish();
    publisher.push([header(255), keyframe(0, 0)]).unwrap();
    let player = tokio::spawn(arrivals(bench.play(false).unwrap()));
    let tag = |number: u8| match number {
        7 => keyframe(u32::from(number) * 40, number),
        _ => frame(u32::from(number) * 40, number),
    };
    publish_each_40_ms(&mut publisher, (1..=20).map(tag)).await;
    bench.hub.shut_down();
    let arrivals = player.await.unwrap();
    let at = |wanted: u8| arrivals.iter().find(|(number, _)| *number == wanted).unwrap().1;
    assert_eq!(at(6), at(7));
    let moments: BTreeSet<_> = (1..=15).map(at).collect();
    assert!(moments.len() <= 4, "{} writes for three windows", moments.len());
}

#[tokio::test(start_paused = true)]
async fn input_may_wait_in_wide_windows_only_and_is_looked_for_at_the_end_of_each() {
    for (window, may_wait) in [(Duration::ZERO, false), (Duration::from_millis(20), false), (WIDE, true)] {
        let bench = Bench::new(StreamSettings { merge_window: Some(window), ..settings() });
        let mut publisher = bench.publish();
        assert!(!publisher.input_may_wait());
        publisher.push([header(1), keyframe(0, 1)]).unwrap();
        tokio::time::advance(window).await;
        publisher.push([]).unwrap();
        assert_eq!(publisher.input_may_wait(), may_wait, "{window:?}");
        let due = tokio::time::timeout(WIDE, publisher.due()).await;
        assert_eq!(due.is_ok(), may_wait, "{window:?}");
    }
}
