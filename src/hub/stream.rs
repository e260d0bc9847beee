//! One stream: its state behind a lock, its waiting players, and the handles that keep it in the hub.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use crate::media::stream_key::StreamKey;

use super::identity::Identity;
use super::rates::Sample;
use super::settings::StreamSettings;
use super::state::State;
use super::wake::StreamWakers;
use super::{Shared, now};

pub(super) struct Stream {
    pub(super) key: StreamKey,
    pub(super) id: Identity,
    pub(super) settings: Arc<StreamSettings>,
    pub(super) wakers: StreamWakers,
    /// Told when the first player comes and when the last one leaves.
    pub(super) demand_changed: Notify,
    /// Told when the first shielded pull comes and when the last one leaves.
    pub(super) shielding_changed: Notify,
    pub(super) sent_bytes: AtomicU64,
    /// The ring's end, to be looked at without its lock: behind the ring for a moment, never ahead.
    pub(super) ring_end: AtomicU64,
    /// The handles there are. Rises from 0 only under the lock of the hub's map, so that a stream with none can go.
    pub(super) handles: AtomicUsize,
    state: Mutex<State>,
}

impl Stream {
    pub(super) fn new(key: StreamKey, shared: &Shared) -> Self {
        let settings = Arc::new((shared.settings)(&key));
        Self {
            key,
            id: Identity::random(),
            wakers: StreamWakers::new(shared.dispatchers.clone()),
            demand_changed: Notify::new(),
            shielding_changed: Notify::new(),
            sent_bytes: AtomicU64::new(0),
            ring_end: AtomicU64::new(0),
            handles: AtomicUsize::new(0),
            state: Mutex::new(State::new(Arc::clone(&settings), Arc::clone(&shared.budget), now())),
            settings,
        }
    }

    /// The state, for as short as possible: every player of the stream takes this lock once a block.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// For how long packets are gathered into one block at present.
    pub(super) fn merge_window(&self) -> Duration {
        self.settings.merge_window.unwrap_or_else(|| self.wakers.merge_window())
    }

    /// Lets readers know that the ring has grown.
    pub(super) fn publish_end(&self, state: &State) {
        self.ring_end.store(state.ring.end(), Ordering::Release);
    }

    /// The totals as of `now`.
    pub(super) fn sample(&self, state: &State, now: Instant) -> Sample {
        let sent_bytes = self.sent_bytes.load(Ordering::Relaxed);
        Sample { at: now, received_bytes: state.received_bytes, sent_bytes }
    }
}

/// Keeps a stream in the hub. The last handle to be dropped takes the stream, with all that it holds, out of it.
pub(super) struct StreamHandle {
    pub(super) shared: Arc<Shared>,
    pub(super) stream: Arc<Stream>,
}

impl StreamHandle {
    /// The handle of `key`, with a new stream behind it if there was none.
    pub(super) fn open(shared: &Arc<Shared>, key: &StreamKey) -> Self {
        // The entry holds the map's lock until the handle is counted.
        let entry = shared.streams.entry(key.clone()).or_insert_with(|| Arc::new(Stream::new(key.clone(), shared)));
        entry.handles.fetch_add(1, Ordering::Relaxed);
        Self { shared: Arc::clone(shared), stream: Arc::clone(&entry) }
    }
}

impl Clone for StreamHandle {
    fn clone(&self) -> Self {
        self.stream.handles.fetch_add(1, Ordering::Relaxed);
        Self { shared: Arc::clone(&self.shared), stream: Arc::clone(&self.stream) }
    }
}

impl Drop for StreamHandle {
    fn drop(&mut self) {
        if self.stream.handles.fetch_sub(1, Ordering::AcqRel) == 1 {
            let unused = |stream: &Arc<Stream>| stream.handles.load(Ordering::Acquire) == 0;
            self.shared.streams.remove_if(&self.stream.key, |_, stream| unused(stream));
        }
    }
}

impl fmt::Debug for StreamHandle {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("StreamHandle").field(&self.stream.key).finish()
    }
}
