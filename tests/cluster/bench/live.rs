//! Streams that are published and played, as most scenarios begin: players of every stream at every edge.

use std::time::{Duration, Instant};

use crate::harness::let_pass;

use super::audience::Audience;
use super::book::Target;
use super::cluster::Cluster;
use super::encoders::{Encoders, Habit};
use super::figures::Figures;

/// How long what comes after a fault is watched.
const AFTERMATH: Duration = Duration::from_secs(2);

/// Running encoders and players.
pub struct Live {
    /// The names of the streams.
    pub streams: Vec<String>,
    /// One for each stream.
    pub encoders: Encoders,
    /// So many at each edge.
    pub audience: Audience,
}

impl Live {
    /// Publishes to the target, plays at every edge, and waits until everybody sees pictures. Players do not come back when
    /// they are closed.
    #[track_caller]
    pub fn start(cluster: &Cluster, streams: Vec<String>, target: &Target, players_an_edge: usize) -> Self {
        let encoders = Encoders::start_all(cluster.runtime(), &streams, target, Habit::USUAL);
        let mut audience = Audience::new();
        audience.join_each_edge(cluster, players_an_edge, &streams);
        audience.wait_until_playing();
        Self { streams, encoders, audience }
    }

    /// Begins to measure.
    pub fn mark(&self) {
        self.audience.mark();
        self.encoders.mark();
    }

    /// Waits until everybody sees pictures again, and a while longer.
    #[track_caller]
    pub fn wait_until_all_is_well(&self) {
        self.audience.wait_for_frames_after(Instant::now());
        let_pass(AFTERMATH);
    }

    /// What the players of these streams noticed, and what the players of the others did.
    pub fn figures_of(&self, concerned: &[String]) -> (Figures, Figures) {
        let is_concerned = |stream: &str| concerned.iter().any(|name| name == stream);
        (self.audience.figures_of(is_concerned), self.audience.figures_of(|stream| !is_concerned(stream)))
    }

    /// Fails if an encoder or a player was disconnected, or a player's stream came out of order.
    #[track_caller]
    pub fn assert_nobody_left(&self) {
        assert_eq!(self.encoders.disconnects(), [], "encoders were closed or refused");
        assert_eq!(self.audience.endings(), [], "players were closed or refused");
        self.audience.figures().assert_in_order();
    }
}
