//! Who is still there: the connections of clients, counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::Notify;

use super::Shared;

/// The count, and who waits for its end.
#[derive(Debug, Default)]
pub(super) struct Guests {
    count: AtomicUsize,
    gone: Notify,
}

/// One client. Dropping it is its leaving.
#[derive(Debug)]
pub struct Guest {
    shared: Arc<Shared>,
    left: AtomicBool,
}

impl Guest {
    /// Is not waited for any more, though it stays: another server that is connected for as long as this one lives.
    pub fn leave(&self) {
        if self.left.swap(true, Ordering::AcqRel) {
            return;
        }
        let guests = &self.shared.guests;
        if guests.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            guests.gone.notify_waiters();
        }
    }
}

impl Guests {
    pub(super) fn welcome(shared: &Arc<Shared>) -> Guest {
        shared.guests.count.fetch_add(1, Ordering::AcqRel);
        Guest { shared: Arc::clone(shared), left: AtomicBool::new(false) }
    }

    pub(super) fn count(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    pub(super) async fn all_gone(&self) {
        loop {
            let gone = self.gone.notified();
            let mut gone = std::pin::pin!(gone);
            // From here on no notice is missed.
            gone.as_mut().enable();
            if self.count() == 0 {
                return;
            }
            gone.await;
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.leave();
    }
}
