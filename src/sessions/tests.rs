//! Entering, leaving, looking and kicking.

use std::time::Duration;

use tokio::time::timeout;

use crate::metrics::Protocol;

use super::*;

fn key(text: &str) -> StreamKey {
    StreamKey::from_path(text).unwrap()
}

fn enter(sessions: &Sessions, kind: Kind) -> Session {
    let about = About::peer("192.0.2.1:1000".parse().unwrap());
    sessions.enter(sessions.next_id(), kind, &key("live/x"), about)
}

const PLAY: Kind = Kind::Play(Protocol::Rtmp);

#[test]
fn a_session_is_listed_from_its_begin_to_its_end() {
    let sessions = Sessions::new();
    let session = enter(&sessions, PLAY);
    assert_eq!(sessions.len(), 1);
    assert_eq!(sessions.view(session.id()).unwrap().key, key("live/x"));
    let id = session.id();
    session.end("done");
    assert!(sessions.is_empty() && sessions.view(id).is_none());
}

#[test]
fn no_two_ids_are_equal_and_those_of_other_processes_are_not_known() {
    let (one, other) = (Sessions::new(), Sessions::new());
    let (mine, theirs) = (enter(&one, PLAY), enter(&other, PLAY));
    assert_ne!(mine.id(), theirs.id());
    assert_ne!(one.next_id(), one.next_id());
    assert!(one.view(theirs.id()).is_none() && !one.kick(theirs.id()));
}

#[test]
fn pages_follow_each_other_in_the_order_of_the_connections() {
    let sessions = Sessions::new();
    let entered: Vec<Session> = (0..1_500).map(|_| enter(&sessions, PLAY)).collect();
    let all: Vec<ClientId> = entered.iter().map(Session::id).collect();
    let ids = |start, count| sessions.page(start, count).iter().map(|view| view.id).collect::<Vec<_>>();
    assert_eq!(ids(0, usize::MAX), all);
    assert_eq!(ids(3, 4), all[3..7]);
    assert_eq!(ids(510, 5), all[510..515]);
    assert_eq!(ids(1_490, 100), all[1_490..]);
    assert_eq!(ids(5_000, 10), []);
    assert_eq!(ids(0, 0), []);
}

#[test]
fn bytes_are_counted_and_their_rate_is_of_the_time_since_the_last_sample_but_one() {
    let sessions = Sessions::new();
    let session = enter(&sessions, PLAY);
    let count = session.count();
    count.sent(1_000_000_000);
    count.received(7);
    let view = sessions.view(session.id()).unwrap();
    assert_eq!((view.sent_bytes, view.received_bytes), (1_000_000_000, 7));
    assert!(view.sent_kilobits > 0);
    sessions.sample();
    assert!(sessions.view(session.id()).unwrap().sent_kilobits > 0);
    sessions.sample();
    assert_eq!(sessions.view(session.id()).unwrap().sent_kilobits, 0);
}

#[tokio::test]
async fn a_kick_wakes_who_waits_for_it_and_is_not_lost_on_who_comes_later() {
    let sessions = Sessions::new();
    let session = enter(&sessions, PLAY);
    let (id, mut count) = (session.id(), session.count());
    let waiting = tokio::spawn(async move { count.kicked().await });
    tokio::task::yield_now().await;
    assert!(sessions.kick(id));
    timeout(Duration::from_secs(60), waiting).await.unwrap().unwrap();
    drop(session);
    let session = enter(&sessions, PLAY);
    assert!(sessions.kick(session.id()));
    timeout(Duration::from_secs(60), session.count().kicked()).await.unwrap();
    assert!(session.is_kicked());
    session.end("kicked");
    assert!(sessions.is_empty());
}

#[test]
fn the_publisher_of_a_stream_is_the_last_that_was_given_its_name() {
    let sessions = Sessions::new();
    let first = enter(&sessions, Kind::Publish);
    assert_eq!(sessions.publisher_of(&key("live/x")), None);
    first.has_name();
    assert_eq!(sessions.publisher_of(&key("live/x")), Some(first.id()));
    let second = enter(&sessions, Kind::Pull(Protocol::Rtmp));
    second.has_name();
    first.end("publish_replaced");
    assert_eq!(sessions.publisher_of(&key("live/x")), Some(second.id()));
    drop(second);
    assert_eq!(sessions.publisher_of(&key("live/x")), None);
}

#[test]
fn a_connection_that_plays_again_before_its_first_session_has_gone_stays_listed() {
    let sessions = Sessions::new();
    let (id, about) = (sessions.next_id(), About::peer("192.0.2.1:1000".parse().unwrap()));
    let first = sessions.enter(id, PLAY, &key("live/x"), about.clone());
    let second = sessions.enter(id, PLAY, &key("live/y"), about);
    drop(first);
    assert_eq!(sessions.view(id).unwrap().key, key("live/y"));
    drop(second);
    assert!(sessions.is_empty());
}

#[test]
fn a_query_is_not_shown_for_it_may_hold_a_viewers_token() {
    let sessions = Sessions::new();
    let about = About {
        url: "rtmp://host/live?token=secret".to_owned(),
        page: "https://player.example/?token=secret".to_owned(),
        ..About::peer("192.0.2.1:1000".parse().unwrap())
    };
    let session = sessions.enter(sessions.next_id(), PLAY, &key("live/x"), about);
    let view = sessions.view(session.id()).unwrap();
    assert_eq!((&*view.url, &*view.page), ("rtmp://host/live", "https://player.example/"));
}
