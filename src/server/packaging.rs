//! HLS put into an origin: told of sessions, packaging on the shards, ended with the connections.

use std::io;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{Live, Role};
use crate::hls::{OriginLibrary, SpawnOnShard};
use crate::hooks::Hooks;
use crate::hub::WeakHub;
use crate::metrics::Metrics;

use super::shards::Shards;

/// What an origin has of HLS, be it turned off for now; an edge has none. The packagers are waited for with the connections.
pub(super) fn library(
    config: &Live,
    hub: WeakHub,
    metrics: &Arc<Metrics>,
    hooks: &Hooks,
    shards: &Arc<Shards>,
    connections: &TaskTracker,
    stop: CancellationToken,
) -> io::Result<Option<OriginLibrary>> {
    if config.current().role != Role::Origin {
        return Ok(None);
    }
    let (shards, tasks) = (Arc::downgrade(shards), connections.clone());
    let spawn: SpawnOnShard = Box::new(move |packager| {
        if let Some(shards) = shards.upgrade() {
            shards.spawn(|shard| tasks.track_future(packager(shard)));
        }
    });
    OriginLibrary::new(config.clone(), hub, Arc::clone(metrics), hooks.clone(), spawn, stop).map(Some)
}
