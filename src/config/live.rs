//! The configuration in force, shared by all who ask for it each time that something begins.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::Config;

/// The configuration in force. Clones share it: what one replaces all see from then on.
#[derive(Debug, Clone)]
pub struct Live {
    current: Arc<ArcSwap<Config>>,
}

impl Live {
    /// Puts the first one into force.
    pub fn new(config: Config) -> Self {
        Self { current: Arc::new(ArcSwap::from_pointee(config)) }
    }

    /// What is in force now. Whoever keeps it keeps what was in force then.
    pub fn current(&self) -> Arc<Config> {
        self.current.load_full()
    }

    /// Puts another one into force, for all that begins from now on.
    pub fn replace(&self, config: Config) {
        self.current.store(Arc::new(config));
    }
}
