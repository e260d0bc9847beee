//! The task that follows one stream: from the ring to the disk, and never the other way.
//!
//! Owns the only queue of a recording: packets that wait while the disk is busy, as many as a batch holds. When there are
//! more the ring is not read, and what it no longer has when the disk is done is lost to the recording, up to the next
//! keyframe. Publisher and players never notice.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::config::Dvr;
use crate::hub::{Block, Following, Identity, ShardId, Tap, TapStart, Tapped};
use crate::media::packet::Packet;

use super::disk::Disk;
use super::library::{Library, now_ms};
use super::writer::{Batch, Writer};

/// How long packets are gathered before they are written.
const FLUSH_AFTER: Duration = Duration::from_millis(500);
/// How many bytes are gathered at most. As many may be on their way to the disk.
const MAX_BATCH_BYTES: usize = 2 << 20;

/// What a follower works with.
#[derive(Debug, Clone)]
pub(super) struct Context {
    pub(super) library: Library,
    /// Writes.
    pub(super) disk: Disk,
    pub(super) settings: Arc<Dvr>,
    /// For how long the same session may return.
    pub(super) resume_timeout: Duration,
    pub(super) stop: CancellationToken,
}

/// Records every session that comes, one after the other, until no more do. The stream is then `is_over` to whoever sends them, or else one
/// more is there.
pub(super) async fn follow(
    context: Context,
    shard: ShardId,
    mut sessions: mpsc::Receiver<Following>,
    mut is_over: impl FnMut(&mut mpsc::Receiver<Following>) -> Option<Following>,
) {
    let mut next = sessions.recv().await;
    // The session that was last, and which packet of it would have been next.
    let mut known: Option<(Identity, u64)> = None;
    while let Some(session) = next.take() {
        let from = known.filter(|(known, _)| known == session.session()).map_or(0, |(_, packet)| packet);
        let behind = record(&context, shard, &session, from).await;
        known = Some((session.session().clone(), behind));
        // Held until then, the stream keeps on counting its packets.
        next = tokio::select! {
            session = sessions.recv() => session,
            () = sleep(context.resume_timeout) => None,
            () = context.stop.cancelled() => None,
        };
        if next.is_none() {
            next = is_over(&mut sessions);
        }
        drop(session);
    }
}

/// Records one session from packet `from` on. Returns the number of the packet behind its last.
async fn record(context: &Context, shard: ShardId, session: &Following, from: u64) -> u64 {
    let settings = Arc::clone(&context.settings);
    let writer = Writer::new(context.library.clone(), session.key().clone(), session.session().clone(), settings);
    let mut tap = session.tap(shard, TapStart::Session);
    let mut relay = Relay { disk: &context.disk, home: Some(writer), away: None, batch: Batch::default(), due: None };
    let mut behind = from;
    let mut has_ended = false;
    while !has_ended {
        tokio::select! {
            biased;
            event = relay.event() => match event {
                Event::Due => relay.send(),
                Event::Returned => {}
                Event::Lost => {
                    tracing::error!(stream = %session.key(), "recording has failed");
                    return behind;
                }
            },
            tapped = poll_fn(|context| tap.poll_next(context)), if relay.has_room() => match tapped {
                Ok(Tapped::Headers(packets)) => packets.into_iter().for_each(|packet| relay.push(packet)),
                Ok(Tapped::Block(block)) => {
                    relay.take(&block, behind);
                    behind = behind.max(block.first_packet() + block.packets().len() as u64);
                }
                Err(_) => has_ended = true,
            },
        }
        note_skipped(context, session, &mut tap);
    }
    relay.finish().await;
    behind
}

/// Counts what the tap has left out because the disk was busy.
fn note_skipped(context: &Context, session: &Following, tap: &mut Tap) {
    let skipped = tap.take_skipped();
    if skipped.bytes > 0 {
        context.library.metrics().dvr.dropped_bytes.inc_by(skipped.bytes);
        let (packets, bytes) = (skipped.packets, skipped.bytes);
        tracing::warn!(stream = %session.key(), packets, bytes, "the disk is too slow; the recording has a gap");
    }
}

/// What happens to a relay.
enum Event {
    /// A batch should be written.
    Due,
    /// The writer has come back.
    Returned,
    /// The writer will not come back.
    Lost,
}

/// The way of batches to the disk: one is on its way, one is gathered.
struct Relay<'a> {
    disk: &'a Disk,
    /// The writer, while it has nothing to do.
    home: Option<Writer>,
    away: Option<oneshot::Receiver<Writer>>,
    batch: Batch,
    /// When the batch is to be written.
    due: Option<Instant>,
}

impl Relay<'_> {
    fn has_room(&self) -> bool {
        self.batch.bytes < MAX_BATCH_BYTES
    }

    /// Gathers the packets of a block, but those before number `from`.
    fn take(&mut self, block: &Block, from: u64) {
        let known = from.saturating_sub(block.first_packet());
        let known = usize::try_from(known).unwrap_or(usize::MAX);
        for packet in block.packets().iter().skip(known) {
            self.push(packet.clone());
        }
        self.batch.settled = block.headers().settled;
    }

    fn push(&mut self, packet: Packet) {
        if self.batch.packets.is_empty() {
            self.batch.since_ms = now_ms();
            self.due = Some(Instant::now() + FLUSH_AFTER);
        }
        self.batch.bytes += packet.payload.len();
        self.batch.packets.push(packet);
    }

    /// What happens next: the writer comes back, or with the writer there a batch should be written.
    async fn event(&mut self) -> Event {
        if let Some(away) = &mut self.away {
            let writer = away.await;
            self.away = None;
            self.home = writer.ok();
            return if self.home.is_some() { Event::Returned } else { Event::Lost };
        }
        match self.due {
            Some(due) if self.has_room() => sleep_until(due).await,
            Some(_) => {}
            None => std::future::pending().await,
        }
        Event::Due
    }

    /// Hands what was gathered to the disk, if the writer is there.
    fn send(&mut self) {
        let Some(mut writer) = self.home.take() else { return };
        self.due = None;
        let settled = self.batch.settled;
        let batch = std::mem::replace(&mut self.batch, Batch { settled, ..Batch::default() });
        self.away = Some(self.disk.begin(move || {
            writer.write(batch);
            writer
        }));
    }

    /// Has all that is left written, and the recording completed.
    async fn finish(mut self) {
        if self.away.is_some() {
            self.event().await;
        }
        let Some(mut writer) = self.home.take() else { return };
        let batch = std::mem::take(&mut self.batch);
        let finished = self.disk.run(move || {
            writer.write(batch);
            writer.finish();
        });
        // What has failed is in the log already.
        let _ = finished.await;
    }
}

#[cfg(test)]
mod tests;
