//! The recorder put into a server: told of sessions, running on the shards, ended with the connections.

use std::io;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Config;
use crate::dvr::{Recorder, SpawnOnShard};
use crate::hooks::Hooks;
use crate::metrics::Metrics;

use super::shards::Shards;

/// The recorder, if anything is to be recorded. What it does is waited for with the connections.
pub(super) fn recorder(
    config: &Arc<Config>,
    metrics: &Arc<Metrics>,
    hooks: &Hooks,
    shards: &Arc<Shards>,
    connections: &TaskTracker,
    stop: CancellationToken,
) -> io::Result<Option<Recorder>> {
    if !config.records_anything() {
        return Ok(None);
    }
    let (shards, tasks) = (Arc::downgrade(shards), connections.clone());
    let spawn: SpawnOnShard = Box::new(move |task| {
        if let Some(shards) = shards.upgrade() {
            shards.spawn(|shard| tasks.track_future(task(shard)));
        }
    });
    let recorder = Recorder::new(Arc::clone(config), Arc::clone(metrics), hooks.clone(), spawn, stop)?;
    connections.spawn(recorder.clone().keep());
    Ok(Some(recorder))
}
