use std::time::{Duration, UNIX_EPOCH};

use proptest::prelude::*;

use super::*;
use crate::config::Secret;

/// The example of docs/cluster.md, made with another implementation of HMAC.
const EXAMPLE_KEY: &str = "correct horse battery staple";
const EXAMPLE: &str = "v=1;node=edge-1-7d9f0a12;version=0.1.0;path=edge-1-7d9f0a12;t=1767225600;\
                       nonce=000102030405060708090a0b0c0d0e0f;\
                       mac=f04dcb79d988b9467ca2eb522fd9cf8fa78557b113a70f2cc14df758099ab8a0";
const EXAMPLE_TIME: u64 = 1_767_225_600;

fn key(text: &str) -> ClusterKey {
    ClusterKey::new(&Secret::new(text))
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn verifier() -> Verifier {
    Verifier::new(Some(key(EXAMPLE_KEY)))
}

fn mark() -> Mark {
    Mark { version: Some("0.1.0".to_owned()), ..Mark::of_pull("edge-1-7d9f0a12") }
}

/// Signs `text` whatever it is.
fn signed(text: &str) -> String {
    let mac: String = key(EXAMPLE_KEY).sign(text).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{text};mac={mac}")
}

#[test]
fn a_mark_signed_with_our_key_is_verified() {
    let text = mark().to_text(Some(&key(EXAMPLE_KEY)), at(EXAMPLE_TIME));
    assert_eq!(verifier().judge(&text, at(EXAMPLE_TIME)), Standing::Verified(mark()));
}

#[test]
fn the_documented_example_is_verified_and_written_the_same() {
    let nonce = u128::from_be_bytes(std::array::from_fn(|index| index as u8));
    assert_eq!(mark().to_signed_text(&key(EXAMPLE_KEY), at(EXAMPLE_TIME), nonce), EXAMPLE);
    assert_eq!(verifier().judge(EXAMPLE, at(EXAMPLE_TIME)), Standing::Verified(mark()));
    let manual = include_str!("../../../docs/cluster.md").split_whitespace().collect::<String>();
    assert!(manual.contains(EXAMPLE) && manual.contains(&EXAMPLE_KEY.replace(' ', "")));
}

#[test]
fn a_mark_signed_with_another_key_is_wrong() {
    let text = mark().to_text(Some(&key("the key of another cluster")), at(EXAMPLE_TIME));
    assert_eq!(verifier().judge(&text, at(EXAMPLE_TIME)), Standing::Refused(Refusal::Wrong));
}

#[test]
fn a_mark_is_old_after_a_minute() {
    assert_eq!(verifier().judge(EXAMPLE, at(EXAMPLE_TIME + 60)), Standing::Verified(mark()));
    assert_eq!(verifier().judge(EXAMPLE, at(EXAMPLE_TIME + 61)), Standing::Refused(Refusal::Old));
    assert_eq!(verifier().judge(EXAMPLE, at(u64::from(u32::MAX))), Standing::Refused(Refusal::Old));
}

#[test]
fn a_mark_may_be_ahead_of_us_for_a_minute() {
    assert_eq!(verifier().judge(EXAMPLE, at(EXAMPLE_TIME - 60)), Standing::Verified(mark()));
    assert_eq!(verifier().judge(EXAMPLE, at(EXAMPLE_TIME - 61)), Standing::Refused(Refusal::Future));
    assert_eq!(verifier().judge(EXAMPLE, UNIX_EPOCH), Standing::Refused(Refusal::Future));
}

#[test]
fn a_mark_is_good_once_as_long_as_it_is_not_old() {
    for first in [EXAMPLE_TIME - 60, EXAMPLE_TIME, EXAMPLE_TIME + 60] {
        let verifier = verifier();
        assert_eq!(verifier.judge(EXAMPLE, at(first)), Standing::Verified(mark()));
        for again in first..=EXAMPLE_TIME + 60 {
            assert_eq!(verifier.judge(EXAMPLE, at(again)), Standing::Refused(Refusal::Replayed));
        }
        assert_eq!(verifier.judge(EXAMPLE, at(EXAMPLE_TIME + 61)), Standing::Refused(Refusal::Old));
    }
}

#[test]
fn two_marks_of_the_same_second_are_both_good() {
    let verifier = verifier();
    for _ in 0..2 {
        let text = mark().to_text(Some(&key(EXAMPLE_KEY)), at(EXAMPLE_TIME));
        assert_eq!(verifier.judge(&text, at(EXAMPLE_TIME)), Standing::Verified(mark()));
    }
}

#[test]
fn a_mark_that_was_refused_is_not_remembered() {
    let verifier = verifier();
    assert_eq!(verifier.judge(EXAMPLE, at(EXAMPLE_TIME - 61)), Standing::Refused(Refusal::Future));
    assert_eq!(verifier.judge(EXAMPLE, at(EXAMPLE_TIME)), Standing::Verified(mark()));
}

#[test]
fn an_unsigned_mark_counts_for_nothing_where_there_is_a_key_and_is_unsigned_where_there_is_none() {
    let text = mark().to_text(None, at(EXAMPLE_TIME));
    for (verifier, expected) in
        [(verifier(), Standing::Refused(Refusal::Unsigned)), (Verifier::new(None), Standing::Unsigned(mark()))]
    {
        for now in [0, EXAMPLE_TIME, EXAMPLE_TIME, EXAMPLE_TIME + 1_000_000] {
            assert_eq!(verifier.judge(&text, at(now)), expected);
        }
    }
}

#[test]
fn a_signed_mark_is_unsigned_to_who_has_no_key() {
    let verifier = Verifier::new(None);
    for _ in 0..2 {
        assert_eq!(verifier.judge(EXAMPLE, at(0)), Standing::Unsigned(mark()));
    }
}

#[test]
fn what_is_no_mark_is_malformed_with_and_without_a_key() {
    let (fields, mac) = EXAMPLE.split_once(";mac=").unwrap();
    let nonce = "nonce=000102030405060708090a0b0c0d0e0f";
    for text in [
        String::new(),
        "hello".to_owned(),
        format!("{fields};mac="),
        format!("{fields};mac={}", &mac[1..]),
        format!("{fields};mac={mac}0"),
        format!("{fields};mac={};", &mac[1..]),
        format!("{fields};mac={mac};node=other"),
        format!("{fields};mac={mac};mac={mac}"),
        format!("{fields};mac=x{}", &mac[1..]),
        signed(&format!("v=1;node=a;t={EXAMPLE_TIME}")),
        signed(&format!("v=1;node=a;t={EXAMPLE_TIME};nonce=1")),
        signed(&format!("v=1;node=a;{nonce}")),
        signed(&format!("v=1;node=a;t=now;{nonce}")),
        signed(&format!("v=1;node=a;t=-1;{nonce}")),
        signed(&format!("v=1;node=a;t=99999999999999999999;{nonce}")),
        signed(&format!("v=2;node=a;t={EXAMPLE_TIME};{nonce}")),
    ] {
        for verifier in [verifier(), Verifier::new(None)] {
            assert_eq!(verifier.judge(&text, at(EXAMPLE_TIME)), Standing::Refused(Refusal::Malformed), "{text}");
        }
    }
}

#[test]
fn unknown_fields_are_signed_and_ignored() {
    let text = signed(&format!("v=1;colour=blue;node=a;t={EXAMPLE_TIME};nonce={:032x};shape", 1));
    assert_eq!(
        verifier().judge(&text, at(EXAMPLE_TIME)),
        Standing::Verified(Mark { version: None, ..Mark::of_pull("a") })
    );
    let changed = text.replace("blue", "pink");
    assert_eq!(verifier().judge(&changed, at(EXAMPLE_TIME)), Standing::Refused(Refusal::Wrong));
}

#[test]
fn neither_text_nor_debug_holds_the_key() {
    let text = mark().to_text(Some(&key(EXAMPLE_KEY)), at(EXAMPLE_TIME));
    assert!(!text.contains(EXAMPLE_KEY));
    assert!(!format!("{:?}", verifier()).contains(EXAMPLE_KEY));
}

proptest! {
    #[test]
    fn a_mark_that_was_changed_anywhere_is_not_verified(position in 0..EXAMPLE.len(), byte in b'!'..=b'~') {
        let mut bytes = EXAMPLE.as_bytes().to_vec();
        // Digits of the signature may be written either way.
        prop_assume!(!bytes[position].eq_ignore_ascii_case(&byte));
        bytes[position] = byte;
        let text = String::from_utf8(bytes).unwrap();
        let standing = verifier().judge(&text, at(EXAMPLE_TIME));
        prop_assert!(!matches!(standing, Standing::Verified(_)), "{:?}", standing);
    }

    #[test]
    fn no_text_panics(text in "(v=1;)?(node=[a-z;=,]{0,9};)?(t=.{0,20};)?(nonce=[0-9a-fé]{0,40})?(;mac=.{0,70})?") {
        let _ = verifier().judge(&text, at(EXAMPLE_TIME));
    }
}
