use std::net::IpAddr;
use std::time::{Duration, UNIX_EPOCH};

use proptest::prelude::*;

use super::*;

const NOW: u64 = 1_800_000_000;

fn secret() -> Secret {
    Secret::new("0123456789abcdef")
}

fn key(name: &str) -> StreamKey {
    StreamKey::from_path(name).unwrap()
}

/// What becomes of a query that somebody at `address` shows at `now`, to do `action` with `stream`.
fn verdict(query: &str, action: Action, stream: &str, address: &str, now: u64) -> Option<Result<Grant, Denial>> {
    let request = AccessRequest {
        action,
        key: &key(stream),
        query,
        bearer: None,
        page: None,
        address: address.parse::<IpAddr>().unwrap(),
        now: UNIX_EPOCH + Duration::from_secs(now),
    };
    let parameters = Parameters::of(query);
    Shown::find(&parameters).map(|shown| verify(&secret(), &shown, &request))
}

fn signed(stream: &str, client: Option<&str>) -> String {
    let client = client.map(|client| client.parse().unwrap());
    sign(&secret(), &Permission { action: Action::Play, key: &key(stream), expires: NOW + 60, client })
}

#[test]
fn the_signature_is_that_of_the_documented_lines() {
    // printf 'rillcast-1\nplay\nlive/x\n1800000060\n192.0.2.0/24' | openssl dgst -sha256 -hmac 0123456789abcdef
    let mac = "a1b8b4424c4444473b93c17584806cb1a34ce7ad407921cf8cae872d93467b88";
    assert_eq!(
        signed("live/x", Some("192.0.2.0/24")),
        format!("expires=1800000060&ip=192%2E0%2E2%2E0%2F24&sign={mac}")
    );
}

#[test]
fn a_url_is_good_for_its_action_stream_client_and_time_only() {
    let query = signed("live/x", Some("192.0.2.0/24"));
    let ours = |action, stream, address, now| verdict(&query, action, stream, address, now).unwrap();
    assert_eq!(ours(Action::Play, "live/x", "192.0.2.9", NOW), Ok(Grant::until(NOW + 60)));
    assert_eq!(ours(Action::Play, "live/x", "192.0.2.9", NOW + 59), Ok(Grant::until(NOW + 60)));
    assert_eq!(ours(Action::Publish, "live/x", "192.0.2.9", NOW), Err(Denial::Wrong));
    assert_eq!(ours(Action::Play, "live/y", "192.0.2.9", NOW), Err(Denial::Wrong));
    assert_eq!(ours(Action::Play, "live/x", "192.0.3.9", NOW), Err(Denial::OtherAddress));
    assert_eq!(ours(Action::Play, "live/x", "192.0.2.9", NOW + 60), Err(Denial::Expired));
}

#[test]
fn what_was_changed_is_refused() {
    let query = signed("live/x", Some("192.0.2.9"));
    let changed = |from: &str, to: &str| {
        assert!(query.contains(from));
        verdict(&query.replace(from, to), Action::Play, "live/x", "192.0.2.9", NOW).unwrap()
    };
    assert_eq!(changed("expires=1800000060", "expires=1900000060"), Err(Denial::Wrong));
    assert_eq!(changed("expires=1800000060&", ""), Err(Denial::Malformed));
    assert_eq!(changed("192%2E0%2E2%2E9", "192%2E0%2E2%2E8"), Err(Denial::Wrong));
    assert_eq!(changed("ip=192%2E0%2E2%2E9&", ""), Err(Denial::Wrong));
    assert_eq!(changed("expires=1800000060", "expires=1800000060%0a"), Err(Denial::Malformed));
    assert_eq!(changed("&sign=", "&sign=00"), Err(Denial::Malformed));
    assert_eq!(verdict("expires=1800000060", Action::Play, "live/x", "192.0.2.9", NOW), None);
}

proptest! {
    #[test]
    fn what_is_signed_is_good_until_it_expires(
        name in "[a-z]{1,8}/[a-zé%]{1,8}",
        expires in 0_u64..1 << 40,
        now in 0_u64..1 << 40,
    ) {
        let Ok(stream) = StreamKey::from_path(&name) else { return Ok(()) };
        let query = sign(&secret(), &Permission { action: Action::Publish, key: &stream, expires, client: None });
        let verdict = verdict(&query, Action::Publish, &name, "::1", now).unwrap();
        prop_assert_eq!(verdict, if now < expires { Ok(Grant::until(expires)) } else { Err(Denial::Expired) });
    }

    #[test]
    fn no_other_signature_is_good(digits in "[0-9a-f]{64}") {
        let query = format!("expires={}&sign={digits}", NOW + 60);
        prop_assert_eq!(verdict(&query, Action::Play, "live/x", "::1", NOW).unwrap(), Err(Denial::Wrong));
    }

    #[test]
    fn no_query_panics(query in ".{0,200}") {
        let _ = verdict(&query, Action::Play, "live/x", "::1", NOW);
        let _ = verdict(&format!("sign={query}&expires={query}&ip={query}"), Action::Play, "live/x", "::1", NOW);
    }
}
