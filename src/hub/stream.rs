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
            wakers: StreamWakers::new(shared.dispatchers.clone(), settings.merge_window.is_none()),
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

    /// For how long packets are gathered at present.
    pub(super) fn pace(&self) -> Pace {
        match self.settings.merge_window {
            Some(window) => Pace::fixed(window),
            None => Pace::steered(self.wakers.merge_window()),
        }
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

/// A steered merge window from which on players have two turns in it, half of them each: below it, all are woken at once.
const WIDE_WINDOW: Duration = Duration::from_millis(80);

/// From which time on between two looks at a source's socket it is worth not to look at once.
const WORTH_WAITING: Duration = Duration::from_millis(30);

/// For how long packets are gathered, and when players take them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pace {
    /// From one write to a player to the next.
    pub(super) window: Duration,
    /// From a block's first packet to its end.
    pub(super) seal_after: Duration,
    /// The time in which each player has one turn; zero if all are woken at once.
    pub(super) turns_within: Duration,
}

impl Pace {
    /// A window that the user has set: a block is what goes out in one write.
    fn fixed(window: Duration) -> Self {
        Self { window, seal_after: window, turns_within: Duration::ZERO }
    }

    /// Whether packets may wait in their source's socket until they are due: they are taken in together then.
    pub(super) fn lets_input_wait(&self) -> bool {
        self.seal_after >= WORTH_WAITING
    }

    /// A window that follows the load. More than two blocks in it were tried: they cost more than shorter bursts gain.
    fn steered(window: Duration) -> Self {
        if window < WIDE_WINDOW {
            return Self::fixed(window);
        }
        Self { window, seal_after: window / 2, turns_within: window }
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
