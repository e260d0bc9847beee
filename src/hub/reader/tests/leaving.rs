//! Players that are let go: when, and who is not.

use crate::drain::spread::Spread;
use crate::hub::Release;

use super::*;

/// From now on, everybody at once.
fn soon() -> Option<Release> {
    Some(Release::Gradual(Spread { from: crate::hub::now(), window: Duration::ZERO }))
}

/// A player of a stream whose header and first keyframe it has.
async fn playing(bench: &Bench, is_pull: bool) -> (Publisher, Player) {
    let mut publisher = bench.publish();
    publisher.push([header(1), keyframe(0, 1)]).unwrap();
    let mut player = bench.play(is_pull).unwrap();
    player.take(2).await;
    (publisher, player)
}

#[tokio::test(start_paused = true)]
async fn a_player_goes_when_the_next_keyframe_comes_and_not_before() {
    let bench = Bench::new(settings());
    let (mut publisher, mut player) = playing(&bench, false).await;
    bench.hub.release(soon());
    publisher.push([frame(40, 2)]).unwrap();
    assert_eq!(player.next().await, Ok((Kind::Video, 40, 2)));
    publisher.push([keyframe(80, 3)]).unwrap();
    assert_eq!(player.next().await, Err(End::Drained));
}

#[tokio::test(start_paused = true)]
async fn a_player_goes_at_its_own_moment_of_the_window() {
    let bench = Bench::new(settings());
    let (mut publisher, mut player) = playing(&bench, false).await;
    let (from, window) = (crate::hub::now(), Duration::from_secs(60));
    bench.hub.release(Some(Release::Gradual(Spread { from, window })));
    let playing = tokio::spawn(async move { while player.next().await.is_ok() {} });
    let mut number = 1_u32;
    while !playing.is_finished() {
        publisher.push([keyframe(number * 1_000, 1)]).unwrap();
        number += 1;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!(number < 64, "it went {number} s after the first");
}

#[tokio::test(start_paused = true)]
async fn without_keyframes_a_player_does_not_stay_for_ever() {
    let bench = Bench::new(settings());
    let (mut publisher, mut player) = playing(&bench, false).await;
    bench.hub.release(soon());
    for number in 1..240_u32 {
        tokio::time::sleep(Duration::from_millis(40)).await;
        publisher.push([frame(number * 40, 2)]).unwrap();
        assert!(player.next().await.is_ok());
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    publisher.push([frame(10_000, 2)]).unwrap();
    assert_eq!(player.next().await, Err(End::Drained));
}

#[tokio::test(start_paused = true)]
async fn a_player_whose_publisher_says_nothing_goes_without_a_keyframe() {
    let bench = Bench::new(settings());
    let (_publisher, mut player) = playing(&bench, false).await;
    bench.hub.release(soon());
    let began = tokio::time::Instant::now();
    assert_eq!(player.next().await, Err(End::Drained));
    assert!(began.elapsed() >= KEYFRAME_WAIT);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_publisher_goes_at_once() {
    let bench = Bench::new(settings());
    let (publisher, mut had) = playing(&bench, false).await;
    drop(publisher);
    let mut never_had = bench.play(false).unwrap();
    bench.hub.release(soon());
    let began = tokio::time::Instant::now();
    assert_eq!(had.next().await, Err(End::Drained));
    let live = std::future::poll_fn(|context| never_had.reader.poll_live(context)).await;
    assert_eq!(live, Err(End::Drained));
    assert!(began.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_pull_stays_with_the_publisher_that_is_connected_here_and_ends_with_it() {
    let bench = Bench::new(settings());
    let (mut publisher, mut pull) = playing(&bench, true).await;
    bench.hub.release(soon());
    tokio::time::sleep(KEYFRAME_WAIT * 2).await;
    publisher.push([keyframe(40, 2)]).unwrap();
    assert_eq!(pull.next().await, Ok((Kind::Video, 40, 2)));
    drop(publisher);
    assert_eq!(pull.next().await, Err(End::Ended));
}

#[tokio::test(start_paused = true)]
async fn a_pull_of_what_is_pulled_itself_goes_like_a_player() {
    let bench = Bench::new(settings());
    let request = PublishRequest {
        source: Source::Pull,
        session: Identity::random(),
        takes_over: false,
        resume_timeout: Duration::ZERO,
    };
    let mut publisher = bench.hub.publish(&bench.key, request).unwrap();
    publisher.push([header(1), keyframe(0, 1)]).unwrap();
    let mut pull = bench.play(true).unwrap();
    pull.take(2).await;
    bench.hub.release(soon());
    publisher.push([keyframe(40, 2)]).unwrap();
    assert_eq!(pull.next().await, Err(End::Drained));
}

#[tokio::test(start_paused = true)]
async fn in_the_end_everyone_goes_at_once_pulls_and_paused_players_included() {
    let bench = Bench::new(settings());
    let (mut publisher, mut pull) = playing(&bench, true).await;
    let mut paused = bench.play(false).unwrap();
    paused.take(2).await;
    bench.hub.release(Some(Release::Everyone));
    publisher.push([frame(40, 2)]).unwrap();
    assert_eq!(pull.next().await, Err(End::Drained));
    assert_eq!(std::future::poll_fn(|context| paused.reader.poll_end(context)).await, End::Drained);
}

#[tokio::test(start_paused = true)]
async fn a_release_that_is_taken_back_lets_players_stay() {
    let bench = Bench::new(settings());
    let (mut publisher, mut player) = playing(&bench, false).await;
    bench.hub.release(soon());
    publisher.push([frame(40, 2)]).unwrap();
    assert!(player.next().await.is_ok());
    bench.hub.release(None);
    publisher.push([keyframe(80, 3)]).unwrap();
    assert_eq!(player.next().await, Ok((Kind::Video, 80, 3)));
}

#[tokio::test(start_paused = true)]
async fn a_place_is_given_back_by_whoever_leaves_and_pulls_take_none() {
    let bench = Bench::new(settings());
    bench.hub.limit(crate::hub::Limits { players: Some(1), egress: None });
    let _publisher = bench.publish();
    let player = bench.play(false).unwrap();
    let _pull = bench.play(true).unwrap();
    assert_eq!(bench.play(false).err(), Some(End::TooManyPlayers));
    drop(player);
    assert!(bench.play(false).is_ok());
}
