//! The line that the log gets when a session has ended: who, what, how long, how much, how well, and why it ended.

use super::client::Client;
use super::session::Delay;

/// Writes the line. Its target is `access`, so that a filter can let it through alone or leave it out.
pub(super) fn log(client: &Client, delay: Option<Delay>, reason: &str) {
    let agent = (!client.agent.is_empty()).then_some(&*client.agent);
    tracing::info!(
        target: "access",
        parent: None,
        id = %client.id,
        peer = %client.peer,
        kind = client.kind.label(),
        server = client.is_server,
        stream = client.key.as_str(),
        seconds = (client.since.elapsed().as_secs_f64() * 1_000.0).round() / 1_000.0,
        sent_bytes = client.sent(),
        received_bytes = client.received(),
        first_frame_ms = client.first_frame(),
        behind_ms = delay.map(|delay| delay.behind.as_millis() as u64),
        skipped_packets = delay.map(|delay| delay.skipped),
        agent,
        reason,
        "session ended"
    );
}
