//! Players by the hundred, all on one thread.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::time::sleep;

use crate::harness::player::Protocol;
use crate::harness::wait_at_most;

use super::book::{Target, Tier};
use super::cluster::{Cluster, one_thread};
use super::figures::Figures;
use super::player::{Notes, Player};

/// How far apart players come.
const ARRIVE_EVERY: Duration = Duration::from_millis(4);
/// How long all of them may take to see a picture, on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(60);

/// Players of any number of streams; all leave when it is dropped.
pub struct Audience {
    players: Vec<Arc<Player>>,
    runtime: Runtime,
}

impl Audience {
    /// Nobody yet.
    pub fn new() -> Self {
        Self { players: Vec::new(), runtime: one_thread("players") }
    }

    /// So many players come, spread evenly over the streams, half of them over RTMP and half over HTTP-FLV. Those that are
    /// closed come back after a while, if one is given.
    pub fn join(&mut self, count: usize, streams: &[String], target: &Target, reconnect_after: Option<Duration>) {
        for number in 0..count {
            // The protocol changes with every round over the streams, so that each stream has both.
            let protocol = Protocol::ALL[(number / streams.len()) % Protocol::ALL.len()];
            let stream = streams[number % streams.len()].clone();
            let notes = std::sync::Mutex::new(Notes::default());
            let player = Arc::new(Player { stream, protocol, target: target.clone(), reconnect_after, notes });
            self.players.push(Arc::clone(&player));
            self.runtime.spawn(async move {
                sleep(ARRIVE_EVERY * u32::try_from(number).unwrap_or(u32::MAX)).await;
                player.run().await;
            });
        }
    }

    /// So many players come to each edge, and do not come back when they are closed: every edge has players of every
    /// stream, if there are as many.
    pub fn join_each_edge(&mut self, cluster: &Cluster, count: usize, streams: &[String]) {
        let edges: Vec<String> = cluster.pods(Tier::Edges).map(|edge| edge.name.clone()).collect();
        for edge in edges {
            self.join(count, streams, &cluster.target(&edge), None);
        }
    }

    /// Waits until every player has got frames.
    #[track_caller]
    pub fn wait_until_playing(&self) {
        self.wait_for_frames_after(Instant::now() - PATIENCE);
    }

    /// Waits until every player has got a frame after `since`.
    #[track_caller]
    pub fn wait_for_frames_after(&self, since: Instant) {
        wait_at_most(PATIENCE, "every player gets frames", || {
            self.players.iter().all(|player| {
                let notes = player.notes.lock().unwrap();
                let stays = notes.endings.is_empty() || player.reconnect_after.is_some();
                assert!(stays, "a player of {} was closed: {:?}", player.stream, notes.endings);
                notes.last_arrival.is_some_and(|arrival| arrival > since)
            })
        });
    }

    /// Begins to measure anew.
    pub fn mark(&self) {
        self.players.iter().for_each(|player| player.notes.lock().unwrap().mark());
    }

    /// What all players noticed since the mark.
    pub fn figures(&self) -> Figures {
        self.figures_of(|_| true)
    }

    /// What the players of some streams noticed since the mark.
    pub fn figures_of(&self, concerned: impl Fn(&str) -> bool) -> Figures {
        let now = Instant::now();
        let mut figures = Figures::default();
        for player in self.players.iter().filter(|player| concerned(&player.stream)) {
            let notes = player.notes.lock().unwrap();
            let silence = notes.last_arrival.map_or(PATIENCE, |arrival| now.saturating_duration_since(arrival));
            figures.players += 1;
            figures.disconnects += notes.endings.len();
            figures.refused += notes.refused;
            figures.gaps.push(notes.longest_gap.max(silence));
            figures.lost += notes.lost;
            figures.repeated += notes.repeated;
            figures.backwards += notes.backwards;
        }
        figures.gaps.sort_unstable();
        figures
    }

    /// When connections ended and why, since the mark, in the order of time.
    pub fn endings(&self) -> Vec<(Instant, String)> {
        let mut endings: Vec<(Instant, String)> =
            self.players.iter().flat_map(|player| player.notes.lock().unwrap().endings.clone()).collect();
        endings.sort();
        endings
    }
}
