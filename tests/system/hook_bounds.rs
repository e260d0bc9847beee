//! What hooks may cost: memory while somebody is asked, places that silence takes, and the time that ends are told in.

use std::io::Write;

use bytes::Bytes;

use super::harness::hook_server::{HookServer, Say, YES};
use super::harness::rtmp::{Message, RtmpClient, message_type, text};
use super::harness::server::Server;
use super::harness::wait_until;

/// What a client may send too early, and a few reads beyond that.
const MEMORY_BOUND: u64 = 64 << 20;

/// Sends media without end as `app/x`, before anything is answered, until the server closes.
fn flood(origin: &Server, app: &str) {
    let mut client = RtmpClient::open(origin.rtmp).unwrap();
    client.sink.set_chunk_size(60_000).unwrap();
    let properties = [("app".to_owned(), text(app))].into();
    let null = rml_rtmp::rml_amf0::Amf0Value::Null;
    let object = rml_rtmp::rml_amf0::Amf0Value::Object(properties);
    client.sink.send(&Message::command(0, "connect", 1.0, &[object])).unwrap();
    client.sink.send(&Message::command(0, "createStream", 2.0, std::slice::from_ref(&null))).unwrap();
    client.sink.send(&Message::command(1, "publish", 0.0, &[null, text("x"), text("live")])).unwrap();
    let payload = Bytes::from(vec![0x27; 50_000]);
    let media = Message { type_id: message_type::VIDEO, stream_id: 1, timestamp: 0, payload };
    let before = origin.resident_memory();
    let mut sent = 0_u64;
    while sent < 4 * MEMORY_BOUND && client.sink.send(&media).is_ok() {
        sent += 50_000;
    }
    let grown = origin.resident_memory().saturating_sub(before);
    assert!(grown < MEMORY_BOUND, "{app}: {grown} bytes more after {sent} bytes");
    // It may be closed by now.
    let _ = client.sink.stream().as_ref().flush();
}

#[test]
fn media_that_comes_before_an_answer_fills_no_memory() {
    let hooks = HookServer::start(|event| match event["action"].as_str() {
        Some("on_connect") if event["app"] == "connects" => Say::Nothing,
        Some("on_publish") => Say::Nothing,
        _ => YES,
    });
    let origin = Server::origin(&format!("{}timeout = \"10m\"\n", hooks.config()));
    flood(&origin, "connects");
    wait_until("who floods is closed upon", || {
        origin.metrics().labelled("rillcast_disconnects_total", "reason", "protocol_violation") == 1.0
    });
    flood(&origin, "publishes");
}
