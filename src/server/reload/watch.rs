//! The watch on the files of the configuration: the kernel tells of changes in their directories, and a look from time to
//! time finds what it did not tell.
//!
//! Owns the watch alone. What is told is only that there may be something new; what is new is found by comparing content. So
//! it does not matter how a file changes: written in place, renamed over another, or behind a link that leads elsewhere,
//! as a ConfigMap of Kubernetes does.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Duration;

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use tokio::net::unix::pipe;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use super::Reload;

/// How often it is looked without being told.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// How long the files have to stay the same until they are read.
pub(super) const SETTLE: Duration = Duration::from_millis(200);
/// How often that is waited for.
pub(super) const SETTLE_ATTEMPTS: u32 = 10;

/// How much is read at once: more than one event with the longest name, or reading fails.
const EVENTS_BYTES: usize = 4096;

/// What is to be told of a directory. Not that a file is being written: only that it has been.
const CHANGES: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::CLOSE_WRITE)
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::ATTRIB);

/// Loads the configuration again whenever its files have changed, until `stop`.
pub(in crate::server) async fn watch(reload: Reload, stop: CancellationToken) {
    let told = Told::new()
        .inspect_err(|error| tracing::warn!(%error, "changes of the configuration are noticed within ten seconds only"))
        .ok();
    let mut looks = interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let follow = async {
        loop {
            tokio::select! {
                _ = looks.tick() => {}
                () = changed(told.as_ref()) => {
                    // A change seldom comes alone. What comes meanwhile is part of it.
                    sleep(SETTLE).await;
                    told.iter().for_each(Told::forget);
                }
            }
            // Before the look, so that nothing is missed between the two; a directory may be another one by now.
            if let Some(told) = &told {
                reload.directories().await.iter().for_each(|directory| told.watch(directory));
            }
            reload.if_changed().await;
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = follow => {}
    }
}

async fn changed(told: Option<&Told>) {
    match told {
        Some(told) if told.waits().await.is_ok() => {}
        // Then only time tells.
        _ => std::future::pending().await,
    }
}

/// What the kernel tells: something to be read, as from a pipe.
struct Told {
    events: pipe::Receiver,
}

impl Told {
    fn new() -> io::Result<Self> {
        let events = File::from(inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?);
        Ok(Self { events: pipe::Receiver::from_file_unchecked(events)? })
    }

    /// Has changes in a directory told. To watch it twice is to watch it once; one that is gone is watched no more.
    fn watch(&self, directory: &Path) {
        if let Err(error) = inotify::add_watch(&self.events, directory, CHANGES) {
            tracing::debug!(directory = %directory.display(), %error, "a directory cannot be watched");
        }
    }

    /// Completes when there is something to be told.
    async fn waits(&self) -> io::Result<()> {
        self.events.readable().await
    }

    /// Lets go of everything that has been told. What it was does not matter.
    fn forget(&self) {
        let mut buffer = [0; EVENTS_BYTES];
        while self.events.try_read(&mut buffer).is_ok_and(|bytes| bytes > 0) {}
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tokio::time::timeout;

    use super::*;

    const LONG: Duration = Duration::from_secs(30);

    #[tokio::test]
    async fn a_change_in_a_directory_is_told_once_until_the_next() {
        let directory = tempfile::tempdir().unwrap();
        let told = Told::new().unwrap();
        told.watch(directory.path());
        told.watch(directory.path());
        for number in 0..3 {
            fs::write(directory.path().join("a.toml"), number.to_string()).unwrap();
            timeout(LONG, told.waits()).await.unwrap().unwrap();
            told.forget();
            assert!(timeout(Duration::ZERO, told.waits()).await.is_err(), "it has been forgotten");
        }
    }

    #[tokio::test]
    async fn a_link_that_leads_elsewhere_is_a_change() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        std::os::unix::fs::symlink("one", path("..data")).unwrap();
        let told = Told::new().unwrap();
        told.watch(directory.path());
        std::os::unix::fs::symlink("two", path("..data_tmp")).unwrap();
        fs::rename(path("..data_tmp"), path("..data")).unwrap();
        timeout(LONG, told.waits()).await.unwrap().unwrap();
    }

    #[test]
    fn a_directory_that_is_not_there_is_passed_over() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _inside = runtime.enter();
        Told::new().unwrap().watch(Path::new("/nonexistent"));
    }
}
