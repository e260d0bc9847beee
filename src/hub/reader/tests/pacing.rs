//! How fast a player that joins gets what was sent before.

use super::*;

/// A stream whose GOP of `frames` frames, 100 ms each, is there at once.
fn with_gop(bench: &Bench, frames: u8) -> Publisher {
    let mut publisher = bench.publish();
    publisher.push([header(255), keyframe(0, 0)]).unwrap();
    for number in 1..frames {
        publisher.push([frame(u32::from(number) * 100, number)]).unwrap();
    }
    publisher
}

/// How long it took until each frame came, in milliseconds, the sequence header left out.
async fn waits(player: &mut Player, frames: u8) -> Vec<u128> {
    let began = tokio::time::Instant::now();
    let mut waits = Vec::new();
    for _ in 0..=frames {
        player.next().await.unwrap();
        waits.push(began.elapsed().as_millis());
    }
    waits.split_off(1)
}

#[tokio::test(start_paused = true)]
async fn who_joins_gets_the_first_second_at_once_and_the_rest_of_the_gop_at_its_pace() {
    let bench = Bench::new(StreamSettings { join_speed: 10, ..settings() });
    let _publisher = with_gop(&bench, 51);
    let waits = waits(&mut bench.play(false).unwrap(), 51).await;
    assert_eq!(waits[..=10], [0; 11]);
    // Four seconds at ten times their speed.
    assert!((400..450).contains(&waits[50]), "{waits:?}");
    assert!(waits.is_sorted());
}

#[tokio::test(start_paused = true)]
async fn who_has_caught_up_is_held_back_no_more() {
    let bench = Bench::new(StreamSettings { join_speed: 10, ..settings() });
    let mut publisher = with_gop(&bench, 21);
    let mut player = bench.play(false).unwrap();
    waits(&mut player, 21).await;
    let began = tokio::time::Instant::now();
    for number in 21..61 {
        publisher.push([frame(u32::from(number) * 100, number)]).unwrap();
    }
    player.take(40).await;
    assert!(began.elapsed() < Duration::from_millis(50), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn other_servers_and_everybody_without_the_limit_get_the_gop_at_once() {
    for (join_speed, is_pull) in [(10, true), (0, false)] {
        let bench = Bench::new(StreamSettings { join_speed, ..settings() });
        let _publisher = with_gop(&bench, 51);
        let waits = waits(&mut bench.play(is_pull).unwrap(), 51).await;
        assert!(waits[50] < 50, "{waits:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_held_back_still_ends_with_the_server() {
    let bench = Bench::new(StreamSettings { join_speed: 1, ..settings() });
    let _publisher = with_gop(&bench, 51);
    let mut player = bench.play(false).unwrap();
    let ended = tokio::spawn(async move {
        loop {
            if let Err(end) = player.next().await {
                return end;
            }
        }
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    bench.hub.shut_down();
    assert_eq!(ended.await.unwrap(), End::Shutdown);
}
