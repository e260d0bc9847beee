//! DNS is dead: it fails, then it says nothing at all.

use std::time::{Duration, Instant};

use super::bench::{Audience, Cluster, Encoders, Habit, Tier, row, scale, streams};
use super::harness::dns::Reply;
use super::harness::{let_pass, wait_until};

const ORIGINS: usize = 3;
const EDGES: usize = 2;

/// How long records are good for: what is asked for later needs DNS, or remembers.
const TTL: Duration = Duration::from_secs(6);

#[test]
fn running_streams_go_on_and_new_ones_are_found_while_dns_is_dead() {
    let all = streams(scale::pick(9, 60));
    let players_an_edge = scale::pick(12, 100);
    let third = all.len() / 3;
    let (running, new) = all.split_at(third);
    let mut cluster = Cluster::start();
    cluster.start_pods(Tier::Origins, ORIGINS, "");
    let edge = cluster.edge_by_service();
    cluster.start_pods(Tier::Edges, EDGES, &edge);
    let origins = cluster.service(Tier::Origins);
    let encoders = Encoders::start_all(cluster.runtime(), running, &origins, Habit::USUAL);
    let mut audience = Audience::new();
    audience.join_each_edge(&cluster, players_an_edge, running);
    audience.wait_until_playing();
    audience.mark();

    let begin = Instant::now();
    let mut newcomers = Vec::new();
    for (reply, streams) in [Reply::Failure, Reply::Silence].iter().zip(new.chunks(third)) {
        cluster.dns_outage(Some(reply));
        let_pass(TTL);
        let failures = lookups(&cluster, "failed");
        let encoders = Encoders::start_all(cluster.runtime(), streams, &origins, Habit::USUAL);
        let mut audience = Audience::new();
        let asked = Instant::now();
        audience.join_each_edge(&cluster, players_an_edge, streams);
        audience.wait_until_playing();
        newcomers.push((asked.elapsed(), audience, encoders));
        wait_until("DNS was asked in vain", || lookups(&cluster, "failed") > failures);
        let_pass(scale::pick(Duration::ZERO, Duration::from_secs(30)).saturating_sub(TTL + asked.elapsed()));
    }
    let outage = begin.elapsed();
    cluster.dns_outage(None);

    let figures = audience.figures();
    let slowest = newcomers.iter().map(|(waited, ..)| *waited).max().unwrap_or_default();
    row(
        &format!("DNS dead for {} s", outage.as_secs()),
        format!("running: {figures}; players of new streams all play after {:.2} s", slowest.as_secs_f64()),
    );
    figures.assert_in_order();
    assert_eq!((figures.disconnects, figures.lost), (0, 0), "{:?}", audience.endings());
    assert!(figures.gap(100) < scale::bound(Duration::from_secs(1)), "{figures}");
    assert_eq!(encoders.disconnects(), []);
    for (_, audience, _) in &newcomers {
        assert_eq!(audience.figures().disconnects, 0, "{:?}", audience.endings());
    }
}

fn lookups(cluster: &Cluster, result: &str) -> u64 {
    let count =
        |edge: &super::bench::pod::Pod| edge.metrics().labelled("rillcast_dns_lookups_total", "result", result) as u64;
    cluster.pods(Tier::Edges).map(count).sum()
}
