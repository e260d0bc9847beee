//! A tier of edges with a shield: a stream leaves the origin once, also when the shield dies, also when DNS differs.

use std::time::{Duration, Instant};

use super::bench::{Audience, Cluster, Encoders, Habit, Tier, row, scale, streams};
use super::harness::{let_pass, pause, wait_until};

const EDGES: usize = 5;

/// By when there is one pull again.
const ONE_AGAIN_WITHIN: Duration = Duration::from_secs(60);

#[test]
fn a_stream_is_pulled_from_the_origin_once_and_once_again_after_its_shield_was_replaced() {
    let mut cluster = Cluster::start();
    let tier = ShieldedTier::start(&mut cluster, 1);
    wait_until("one edge pulls from the origin", || pulls(&cluster) == 1);
    let_pass(Duration::from_secs(3));
    assert_eq!(pulls(&cluster), 1);
    tier.lose_the_shield(&mut cluster, "5 edges with a shield, which is killed and replaced");
}

#[test]
fn two_views_of_dns_cost_one_more_pull_at_most_and_no_player() {
    let mut cluster = Cluster::with_views(2);
    let tier = ShieldedTier::start(&mut cluster, 2);
    assert!(pulls(&cluster) <= 2, "{} pulls", pulls(&cluster));
    cluster.hide("edge-0", 1, false);
    cluster.hide("edge-4", 0, false);
    wait_for_one(&cluster, Instant::now());
    tier.lose_the_shield(&mut cluster, "the same after two views of DNS have become one");
}

struct ShieldedTier {
    stream: String,
    _encoders: Encoders,
    /// The players of each edge.
    audiences: Vec<(String, Audience)>,
    config: String,
}

impl ShieldedTier {
    /// With two views, each of them misses an edge that the other one has.
    #[track_caller]
    fn start(cluster: &mut Cluster, views: usize) -> Self {
        let streams = streams(1);
        cluster.start_pods(Tier::Origins, 1, "");
        let edges = format!("{}.:{}", Tier::Edges.host(), cluster.pod("origin-0").rtmp().port());
        let config = format!("{}shield = \"{edges}\"\n", cluster.edge_by_service());
        for number in 0..EDGES {
            cluster.start_pod(&format!("edge-{number}"), Tier::Edges, number % views, &config);
        }
        if views == 2 {
            cluster.hide("edge-0", 1, true);
            cluster.hide("edge-4", 0, true);
        }
        cluster.wait_until_ready();
        let origins = cluster.service(Tier::Origins);
        let encoders = Encoders::start_all(cluster.runtime(), &streams, &origins, Habit::USUAL);
        let players = scale::pick(10, 100);
        let audiences: Vec<(String, Audience)> = (0..EDGES)
            .map(|number| {
                let edge = format!("edge-{number}");
                let mut audience = Audience::new();
                audience.join(players, &streams, &cluster.target(&edge), None);
                (edge, audience)
            })
            .collect();
        audiences.iter().for_each(|(_, audience)| audience.wait_until_playing());
        let [stream] = &streams[..] else { unreachable!("one stream was asked for") };
        Self { stream: stream.clone(), _encoders: encoders, audiences, config }
    }

    /// The edge that pulls from the origin dies, and another one comes in its place.
    #[track_caller]
    fn lose_the_shield(mut self, cluster: &mut Cluster, scenario: &str) {
        let origin = cluster.pod("origin-0").rtmp();
        let shield = cluster.pods(Tier::Edges).find(|edge| edge.upstream(&self.stream) == Some(origin));
        let shield = shield.expect("one edge pulls from the origin").name.clone();
        self.audiences.retain(|(edge, _)| *edge != shield);
        self.audiences.iter().for_each(|(_, audience)| audience.mark());
        let begin = Instant::now();
        cluster.kill(&shield);
        // Its address is new, and so is its name: what it serves is asked of whoever is ranked first now.
        cluster.start_pod("edge-5", Tier::Edges, 0, &self.config);
        let mut newcomers = Audience::new();
        newcomers.join(scale::pick(10, 100), std::slice::from_ref(&self.stream), &cluster.target("edge-5"), None);
        let most = wait_for_one(cluster, begin);
        let one_again = begin.elapsed();
        newcomers.wait_until_playing();
        // Who comes in its place may be ranked first, and so become the shield: the stream moves once more.
        let most = most.max(wait_for_one(cluster, begin));
        self.audiences.iter().for_each(|(_, audience)| audience.wait_for_frames_after(Instant::now()));
        let_pass(Duration::from_secs(3));
        assert_eq!(pulls(cluster), 1, "it stays at one");

        let mut longest = Duration::ZERO;
        for (edge, audience) in &self.audiences {
            let figures = audience.figures();
            longest = longest.max(figures.gap(99));
            figures.assert_in_order();
            assert_eq!(audience.endings(), [], "players of {edge} were closed");
        }
        let players: usize = self.audiences.iter().map(|(_, audience)| audience.figures().players).sum();
        row(
            scenario,
            format!(
                "{players} players of other edges, 0 disconnects; at most {most} pulls at the origin, one again after \
                 {:.1} s; gap p99 {:.2} s",
                one_again.as_secs_f64(),
                longest.as_secs_f64()
            ),
        );
    }
}

/// Waits until there is one pull at the origin, and gives the most there were at a time.
#[track_caller]
fn wait_for_one(cluster: &Cluster, begin: Instant) -> u64 {
    let mut most = 0;
    // Right after a death nobody pulls, or still only those who did not ask the dead one.
    let mut since = Instant::now();
    while since.elapsed() < Duration::from_secs(3) {
        let now = pulls(cluster);
        most = most.max(now);
        if now != 1 {
            since = Instant::now();
        }
        assert!(now <= 2, "{now} pulls at the origin");
        assert!(begin.elapsed() < ONE_AGAIN_WITHIN + Duration::from_secs(3), "{now} pulls at the origin");
        pause();
    }
    most
}

/// Players of the origin are edges here.
fn pulls(cluster: &Cluster) -> u64 {
    cluster.pod("origin-0").count("rillcast_players")
}
