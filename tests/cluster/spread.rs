//! Many streams over several origins and edges: where they are, and how often they are pulled.

use std::time::Duration;

use super::bench::{Audience, Cluster, Encoders, Habit, Tier, row, scale, streams};
use super::harness::{let_pass, wait_until};

const ORIGINS: usize = 3;
const EDGES: usize = 4;

#[test]
fn each_edge_pulls_each_stream_once_from_the_origin_that_has_it() {
    let streams = streams(scale::pick(12, 60));
    let players_an_edge = scale::pick(24, 100);
    let mut cluster = Cluster::start();
    cluster.start_pods(Tier::Origins, ORIGINS, "");
    let edge = cluster.edge_by_service();
    cluster.start_pods(Tier::Edges, EDGES, &edge);
    let encoders = Encoders::start_all(cluster.runtime(), &streams, &cluster.service(Tier::Origins), Habit::USUAL);
    let mut audience = Audience::new();
    audience.join_each_edge(&cluster, players_an_edge, &streams);
    audience.wait_until_playing();

    let pulls = EDGES * streams.len();
    wait_until("every edge pulls every stream once", || players_at_origins(&cluster) == pulls);
    audience.mark();
    encoders.mark();
    let_pass(scale::time(Duration::from_secs(3)));
    assert_eq!(players_at_origins(&cluster), pulls, "a stream is pulled once by each edge");
    for edge in cluster.pods(Tier::Edges) {
        assert_eq!(edge.count("rillcast_upstream_pulls"), streams.len() as u64, "{}", edge.name);
    }
    for stream in cluster.pods(Tier::Origins).flat_map(|origin| origin.streams()) {
        assert_eq!(stream["clients"], EDGES as u64 + 1, "its publisher and the edges: {stream}");
    }
    assert_eq!(encoders.disconnects(), []);

    let figures = audience.figures();
    let published: Vec<usize> = cluster.pods(Tier::Origins).map(|origin| origin.published().len()).collect();
    row(
        &format!("{ORIGINS} origins, {} streams, {EDGES} edges", streams.len()),
        format!("{pulls} pulls, streams at the origins {published:?}; {figures}"),
    );
    figures.assert_in_order();
    assert_eq!((figures.disconnects, figures.lost), (0, 0), "{:?}", audience.endings());
}

/// Players of origins are edges here: one for each stream that an edge pulls.
fn players_at_origins(cluster: &Cluster) -> usize {
    cluster.pods(Tier::Origins).map(|origin| origin.count("rillcast_players") as usize).sum()
}
