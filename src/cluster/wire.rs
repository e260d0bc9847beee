//! The questions and answers of origins as AMF0 commands: `lease`, `release` and `lookup`, many items in one.
//!
//! The form is documented in `docs/cluster.md`. Fields that are not known are ignored, so that versions can stand side by
//! side; an item that cannot be read is answered with `invalid`, and the others of its command go on.

use crate::hub::Identity;
use crate::media::stream_key::StreamKey;
use crate::rtmp::amf0::Value;

use super::lease::{Claim, Lease};
use super::message::{Answer, How, Item, Known};
use super::place::Place;

/// The version of the form.
const VERSION: f64 = 1.0;
/// The most items in one command: with all their values it stays below what one may hold.
pub(super) const MAX_ITEMS: usize = 32;
/// The most bytes of names in one command, for the same reason.
pub(super) const MAX_NAME_BYTES: usize = 12 << 10;
/// The longest node id and address that are taken, in bytes.
const MAX_TEXT_BYTES: usize = 300;

/// The command that an item travels in.
pub(super) const fn command(item: &Item) -> &'static str {
    match item {
        Item::Lease(_) | Item::Grant(_) => "lease",
        Item::Release { .. } => "release",
        Item::Lookup { .. } => "lookup",
    }
}

/// The argument of a command or of its answer.
pub(super) fn batch(items: Vec<Value>) -> Value {
    object([("v", Value::Number(VERSION)), ("items", Value::StrictArray(items))])
}

/// The items of a command or of its answer, if it is of a version that is known.
pub(super) fn items_of(argument: &Value) -> Option<&[Value]> {
    (argument.get("v")?.as_number()? == VERSION).then_some(())?;
    argument.get("items")?.as_array()
}

/// An item as it travels in the command that [`command`] names.
pub(super) fn write_item(item: &Item) -> Value {
    let mut fields = vec![("name", Value::string(item.key().as_str()))];
    match item {
        Item::Lease(lease) => fields.extend(lease_fields(lease)),
        Item::Grant(claim) => {
            fields.extend(claim_fields(claim));
            fields.push(("ask", Value::Boolean(true)));
        }
        Item::Release { node, session, .. } => {
            fields.push(("node", Value::string(&**node)));
            fields.push(("session", Value::string(session.as_str())));
        }
        Item::Lookup { deep, claim, .. } => {
            fields.push(("deep", Value::Boolean(*deep)));
            if let Some(claim) = claim {
                fields.push(("claim", object(claim_fields(claim))));
            }
        }
    }
    object(fields)
}

/// Reads an item of the command `name`.
pub(super) fn read_item(name: &str, value: &Value) -> Option<Item> {
    let key = read_key(value)?;
    match name {
        "lease" if flag(value, "ask") => read_claim(key, value).map(Item::Grant),
        "lease" => read_lease(key, value).map(Item::Lease),
        "release" => Some(Item::Release {
            key,
            node: text(value, "node")?.into(),
            session: Identity::from_peer(text(value, "session")?)?,
        }),
        "lookup" => {
            let claim = match value.get("claim") {
                Some(claim) => Some(read_claim(key.clone(), claim)?),
                None => None,
            };
            Some(Item::Lookup { key, deep: flag(value, "deep"), claim })
        }
        _ => None,
    }
}

/// An answer as it travels; `None` is that to an item that could not be read.
pub(super) fn write_answer(answer: Option<&Answer>) -> Value {
    let with_lease = |status, lease, how: Option<How>| {
        let mut fields = vec![("status", Value::string(status)), ("lease", object(lease_fields(lease)))];
        fields.extend(how.map(|how| ("how", Value::string(how_label(how)))));
        object(fields)
    };
    let plain = |status| object([("status", Value::string(status))]);
    match answer {
        Some(Answer::Leased { accepted }) => {
            object([("status", Value::string("leased")), ("accepted", Value::Number(*accepted as f64))])
        }
        Some(Answer::Denied(lease)) => with_lease("denied", lease, None),
        Some(Answer::Rival(Known { lease, how })) => with_lease("rival", lease, Some(*how)),
        Some(Answer::Found(Known { lease, how })) => with_lease("found", lease, Some(*how)),
        Some(Answer::Released) => plain("released"),
        Some(Answer::Absent) => plain("absent"),
        None => plain("invalid"),
    }
}

/// Reads the answer to an item about `key`.
pub(super) fn read_answer(key: &StreamKey, value: &Value) -> Option<Answer> {
    let lease = || read_lease(key.clone(), value.get("lease")?);
    let known = || Some(Known { lease: lease()?, how: how_of(text(value, "how")?)? });
    match text(value, "status")? {
        "leased" => Some(Answer::Leased { accepted: milliseconds(value, "accepted")? }),
        "denied" => lease().map(Answer::Denied),
        "rival" => known().map(Answer::Rival),
        "found" => known().map(Answer::Found),
        "released" => Some(Answer::Released),
        "absent" => Some(Answer::Absent),
        _ => None,
    }
}

fn lease_fields(lease: &Lease) -> Vec<(&'static str, Value)> {
    let mut fields = vec![
        ("node", Value::string(&*lease.node)),
        ("address", Value::string(lease.place.rtmp.as_str())),
        ("session", Value::string(lease.session.as_str())),
        ("accepted", Value::Number(lease.accepted as f64)),
        ("replaces", Value::Boolean(lease.replaces)),
    ];
    fields.extend(lease.place.http.as_deref().map(|http| ("http", Value::string(http))));
    fields
}

fn claim_fields(claim: &Claim) -> Vec<(&'static str, Value)> {
    let mut fields = lease_fields(&claim.lease);
    fields.push(("takesOver", Value::Boolean(claim.takes_over)));
    fields.push(("held", Value::Boolean(claim.is_held)));
    fields
}

fn read_lease(key: StreamKey, value: &Value) -> Option<Lease> {
    Some(Lease {
        key,
        node: text(value, "node")?.into(),
        place: Place { rtmp: text(value, "address")?.to_owned(), http: text(value, "http").map(str::to_owned) },
        session: Identity::from_peer(text(value, "session")?)?,
        accepted: milliseconds(value, "accepted")?,
        replaces: flag(value, "replaces"),
    })
}

fn read_claim(key: StreamKey, value: &Value) -> Option<Claim> {
    let lease = read_lease(key, value)?;
    Some(Claim { lease, takes_over: flag(value, "takesOver"), is_held: flag(value, "held") })
}

/// Names travel decoded: a percent sign in them is one.
fn read_key(value: &Value) -> Option<StreamKey> {
    let name = value.get("name")?.as_str()?;
    StreamKey::from_path(&name.replace('%', "%25")).ok()
}

fn text<'v>(value: &'v Value, name: &str) -> Option<&'v str> {
    let text = value.get(name)?.as_str()?;
    let harmless = text.bytes().all(|byte| byte.is_ascii_graphic());
    (!text.is_empty() && text.len() <= MAX_TEXT_BYTES && harmless).then_some(text)
}

fn flag(value: &Value, name: &str) -> bool {
    value.get(name).and_then(Value::as_bool).unwrap_or(false)
}

/// A time in milliseconds since 1970, which a double carries exactly for as long as it matters.
fn milliseconds(value: &Value, name: &str) -> Option<u64> {
    let number = value.get(name)?.as_number()?;
    (number >= 0.0 && number <= (1_u64 << 53) as f64).then_some(number as u64)
}

const fn how_label(how: How) -> &'static str {
    match how {
        How::Held => "held",
        How::Leased => "leased",
        How::Asked => "asked",
        How::Requested => "requested",
    }
}

fn how_of(text: &str) -> Option<How> {
    [How::Held, How::Leased, How::Asked, How::Requested].into_iter().find(|how| how_label(*how) == text)
}

fn object(fields: impl IntoIterator<Item = (&'static str, Value)>) -> Value {
    Value::Object(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::lease::tests::lease;
    use crate::rtmp::amf0;

    fn some_lease() -> Lease {
        let key = StreamKey::from_path("live/100%25 caf\u{e9}").unwrap();
        let place = Place { rtmp: "10.0.0.7:1935".to_owned(), http: Some("10.0.0.7:8080".to_owned()) };
        Lease { key, place, ..lease("origin-0-7d9f", "0a1b", 1_767_225_600_123, true) }
    }

    #[test]
    fn items_survive_the_wire() {
        let claim = Claim { lease: some_lease(), takes_over: true, is_held: false };
        let (key, node) = (some_lease().key, some_lease().node);
        for item in [
            Item::Lease(Lease { place: Place { rtmp: "a:1".to_owned(), http: None }, ..some_lease() }),
            Item::Grant(claim.clone()),
            Item::Release { key: key.clone(), node, session: some_lease().session },
            Item::Lookup { key: key.clone(), deep: true, claim: None },
            Item::Lookup { key, deep: false, claim: Some(claim) },
        ] {
            assert_eq!(read_item(command(&item), &write_item(&item)), Some(item));
        }
    }

    #[test]
    fn answers_survive_the_wire() {
        let lease = some_lease();
        let known = |how| Known { lease: lease.clone(), how };
        for answer in [
            Answer::Leased { accepted: 1_767_225_600_124 },
            Answer::Denied(lease.clone()),
            Answer::Rival(known(How::Held)),
            Answer::Found(known(How::Leased)),
            Answer::Found(known(How::Asked)),
            Answer::Found(known(How::Requested)),
            Answer::Released,
            Answer::Absent,
        ] {
            assert_eq!(read_answer(&lease.key, &write_answer(Some(&answer))), Some(answer));
        }
        assert_eq!(read_answer(&lease.key, &write_answer(None)), None);
    }

    #[test]
    fn unknown_fields_are_ignored_and_unknown_versions_refused() {
        let Value::Object(mut fields) = write_item(&Item::Lease(some_lease())) else { unreachable!() };
        fields.push(("colour".to_owned(), Value::string("blue")));
        let read = read_item("lease", &Value::Object(fields));
        assert_eq!(read, Some(Item::Lease(some_lease())));
        assert!(items_of(&batch(Vec::new())).is_some());
        assert!(items_of(&object([("v", Value::Number(2.0)), ("items", Value::StrictArray(Vec::new()))])).is_none());
    }

    #[test]
    fn a_full_command_and_its_answer_stay_within_what_a_message_may_hold() {
        let long = "n".repeat(MAX_TEXT_BYTES);
        let place = Place { rtmp: long.clone(), http: Some(long.clone()) };
        let name = format!("live/{}", "x".repeat(MAX_NAME_BYTES / MAX_ITEMS));
        let key = StreamKey::from_path(&name).unwrap();
        let lease = Lease { key: key.clone(), node: long.as_str().into(), place, ..some_lease() };
        let claim = Claim { lease: lease.clone(), takes_over: true, is_held: true };
        let item = write_item(&Item::Lookup { key, deep: true, claim: Some(claim) });
        let answer = write_answer(Some(&Answer::Found(Known { lease, how: How::Leased })));
        for value in [item, answer] {
            let bytes = amf0::encode(&[batch(vec![value; MAX_ITEMS])]);
            assert!(bytes.len() < 60 << 10, "{} bytes", bytes.len());
            assert!(amf0::decode(&bytes).is_ok());
        }
    }
}
