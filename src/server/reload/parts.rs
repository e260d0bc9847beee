//! The parts of a server that have to be told of a new configuration. All others ask for it each time that something begins.

use std::sync::Arc;

use crate::config::Config;
use crate::drain::Drain;
use crate::hls::OriginLibrary;
use crate::hub::Hub;
use crate::net::admission::Admission;

use super::super::draining;
use super::super::recording::Recording;
use super::super::settings::player_limits;

/// Sets what is logged from now on, or says why it cannot.
pub type SetLogLevel = crate::logging::SetLevel;

/// What is told.
pub(in crate::server) struct Parts {
    pub(in crate::server) log_level: Option<SetLogLevel>,
    pub(in crate::server) admission: Arc<Admission>,
    pub(in crate::server) hub: Hub,
    pub(in crate::server) drain: Drain,
    pub(in crate::server) hls: Option<OriginLibrary>,
    pub(in crate::server) recording: Recording,
}

impl Parts {
    /// Brings everything to what `config` says, of which the keys `changed` are new.
    pub(super) fn follow(&self, config: &Config, changed: &[String]) {
        let limits = &config.limits;
        self.admission.limit(limits.max_connections, limits.max_connections_per_address);
        self.hub.limit(player_limits(config));
        self.hub.limit_rings(limits.ring_bytes as u64);
        self.drain.set_times(draining::times(&config.drain));
        if let Some(hls) = &self.hls {
            hls.limit_memory(config.hls().memory_bytes as u64);
        }
        if let Err(error) = self.recording.begin_if_wanted(config) {
            tracing::error!(%error, "cannot start the recorder");
        }
        if let Some(set) = self.log_level.as_ref().filter(|_| changed.iter().any(|key| key == "log.level"))
            && let Err(error) = set(&config.log.level)
        {
            tracing::error!(%error, "the level of the log stays as it was");
        }
    }
}
