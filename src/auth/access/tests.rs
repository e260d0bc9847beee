use proptest::prelude::*;

use crate::auth::signed_url::{Permission, sign};

use super::*;

const NOW: u64 = 1_800_000_000;
const KEY: &str = "0123456789abcdef";
const OTHER_KEY: &str = "fedcba9876543210";

fn key(name: &str) -> StreamKey {
    StreamKey::from_path(name).unwrap()
}

/// Somebody at 192.0.2.1 without a page who shows nothing and wants to play `live/x`.
struct Client {
    action: Action,
    stream: &'static str,
    query: String,
    bearer: Option<&'static str>,
    page: Option<&'static str>,
    address: &'static str,
}

impl Default for Client {
    fn default() -> Self {
        Self {
            action: Action::Play,
            stream: "live/x",
            query: String::new(),
            bearer: None,
            page: None,
            address: "192.0.2.1",
        }
    }
}

impl Client {
    fn showing(query: &str) -> Self {
        Self { query: query.to_owned(), ..Self::default() }
    }

    fn verdict(&self, settings: &config::Auth) -> Result<Grant, Denial> {
        let request = AccessRequest {
            action: self.action,
            key: &key(self.stream),
            query: &self.query,
            bearer: self.bearer,
            page: self.page,
            address: self.address.parse().unwrap(),
            now: UNIX_EPOCH + Duration::from_secs(NOW),
        };
        decide(settings, &request)
    }
}

fn networks(texts: &[&str]) -> Vec<Network> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn signed(with: &str, action: Action, stream: &str) -> String {
    sign(&Secret::new(with), &Permission { action, key: &key(stream), expires: NOW + 60, client: None })
}

#[test]
fn where_nothing_is_set_everybody_may_do_everything() {
    for action in [Action::Publish, Action::Play] {
        let client = Client { action, ..Client::default() };
        assert_eq!(client.verdict(&config::Auth::default()), Ok(Grant::UNLIMITED));
        assert!(!needs_token(&config::Auth::default(), action));
    }
}

#[test]
fn addresses_are_allowed_and_denied_for_each_action_by_itself() {
    let settings = config::Auth {
        play_allow: networks(&["192.0.2.0/24", "2001:db8::/32"]),
        play_deny: networks(&["192.0.2.66"]),
        publish_deny: networks(&["0.0.0.0/0"]),
        ..config::Auth::default()
    };
    for (action, address, expected) in [
        (Action::Play, "192.0.2.1", true),
        (Action::Play, "::ffff:192.0.2.1", true),
        (Action::Play, "2001:db8::1", true),
        (Action::Play, "192.0.2.66", false),
        (Action::Play, "198.51.100.1", false),
        (Action::Publish, "192.0.2.1", false),
        (Action::Publish, "2001:db8::1", true),
    ] {
        let client = Client { action, address, ..Client::default() };
        let expected = if expected { Ok(Grant::UNLIMITED) } else { Err(Denial::Address) };
        assert_eq!(client.verdict(&settings), expected, "{action} {address}");
    }
}

#[test]
fn pages_are_asked_of_players_only() {
    let settings = config::Auth { play_referers: vec!["player.example".parse().unwrap()], ..config::Auth::default() };
    let on = |action, page| Client { action, page, ..Client::default() }.verdict(&settings);
    assert_eq!(on(Action::Play, Some("https://player.example/a")), Ok(Grant::UNLIMITED));
    assert_eq!(on(Action::Play, Some("https://evil.example/")), Err(Denial::Referer));
    assert_eq!(on(Action::Play, None), Err(Denial::Referer));
    assert_eq!(on(Action::Publish, None), Ok(Grant::UNLIMITED));
}

#[test]
fn where_a_key_is_set_something_made_with_it_has_to_be_shown() {
    let settings = config::Auth { play_key: Some(Secret::new(KEY)), ..config::Auth::default() };
    let limited = Ok(Grant::until(NOW + 60));
    for (query, expected) in [
        (String::new(), Err(Denial::Missing)),
        ("token=abc".to_owned(), Err(Denial::Malformed)),
        (signed(KEY, Action::Play, "live/x"), limited),
        (format!("a=1&{}", signed(KEY, Action::Play, "live/x")), limited),
        (format!("?{}", signed(KEY, Action::Play, "live/x")), limited),
        (signed(OTHER_KEY, Action::Play, "live/x"), Err(Denial::Wrong)),
        (signed(KEY, Action::Publish, "live/x"), Err(Denial::Wrong)),
        (signed(KEY, Action::Play, "live/y"), Err(Denial::Wrong)),
    ] {
        assert_eq!(Client::showing(&query).verdict(&settings), expected, "{query}");
    }
    let publisher = Client { action: Action::Publish, ..Client::default() };
    assert_eq!(publisher.verdict(&settings), Ok(Grant::UNLIMITED));
}

#[test]
fn addresses_and_pages_are_looked_at_before_tokens() {
    let settings = config::Auth {
        play_key: Some(Secret::new(KEY)),
        play_deny: networks(&["192.0.2.66"]),
        play_referers: vec!["player.example".parse().unwrap()],
        ..config::Auth::default()
    };
    let client = Client::showing(&signed(KEY, Action::Play, "live/x"));
    assert_eq!(client.verdict(&settings), Err(Denial::Referer));
    assert_eq!(Client { address: "192.0.2.66", ..client }.verdict(&settings), Err(Denial::Address));
}

#[test]
fn of_several_things_shown_one_is_enough() {
    let settings = config::Auth {
        play_key: Some(Secret::new(KEY)),
        play_md5_key: Some(Secret::new("key_of_xiu")),
        ..config::Auth::default()
    };
    // printf key_of_xiux | md5sum
    let (token, good, bad) = (
        "token=ee5dc9c5f1ababbc9bf08026cc6d106b",
        signed(KEY, Action::Play, "live/x"),
        signed(OTHER_KEY, Action::Play, "live/x"),
    );
    assert_eq!(Client::showing(token).verdict(&settings), Ok(Grant::UNLIMITED));
    assert_eq!(Client::showing(&format!("{bad}&{token}")).verdict(&settings), Ok(Grant::UNLIMITED));
    assert_eq!(Client::showing(&format!("{good}&token=no")).verdict(&settings), Ok(Grant::until(NOW + 60)));
    assert_eq!(Client::showing(&format!("{bad}&token=no")).verdict(&settings), Err(Denial::Wrong));
}

#[test]
fn a_token_may_stand_in_a_header() {
    let settings = config::Auth { play_md5_key: Some(Secret::new("key_of_xiu")), ..config::Auth::default() };
    let client = Client { bearer: Some("ee5dc9c5f1ababbc9bf08026cc6d106b"), ..Client::default() };
    assert_eq!(client.verdict(&settings), Ok(Grant::UNLIMITED));
}

#[test]
fn an_app_may_be_excepted() {
    let settings = config::Auth { play: false, play_key: Some(Secret::new(KEY)), ..config::Auth::default() };
    assert_eq!(Client::default().verdict(&settings), Ok(Grant::UNLIMITED));
    assert!(!needs_token(&settings, Action::Play));
}

proptest! {
    #[test]
    fn nothing_that_was_not_made_with_a_key_lets_in(query in "((sign|expires|ip|token)=[0-9a-f.%]{0,64}&?){0,4}|.{0,99}") {
        let settings = config::Auth {
            play_key: Some(Secret::new(KEY)),
            play_jwt_key: Some(Secret::new(KEY)),
            play_md5_key: Some(Secret::new(KEY)),
            ..config::Auth::default()
        };
        prop_assert!(Client::showing(&query).verdict(&settings).is_err());
    }
}
