//! Two publishers want one name, at two edges.

use std::time::{Duration, Instant};

use super::bench::{Cluster, Encoders, Habit, Tier, row, scale};
use super::harness::{let_pass, wait_at_most, wait_until};

/// An encoder that takes a refusal for an answer.
const ONCE: Habit = Habit { reconnect_after: Duration::from_secs(3_600), silence: None };
const BAD_NAME: &str = "NetStream.Publish.BadName";

/// By when one of two is closed, once the views of DNS agree again.
const SETTLED_WITHIN: Duration = Duration::from_secs(15);

#[test]
fn of_two_who_race_for_a_name_one_wins_and_the_other_is_told() {
    let names: Vec<String> = (0..scale::pick(10, 100)).map(|number| format!("live/race-{number}")).collect();
    let mut cluster = Cluster::start();
    cluster.start_pods(Tier::Origins, 3, &Cluster::origin_with_peers());
    let edge = cluster.forwarding_edge();
    cluster.start_pods(Tier::Edges, 2, &edge);
    // In every second race the other edge is asked a moment earlier.
    let edges = ["edge-0", "edge-1"].map(|edge| cluster.target(edge));
    let start =
        |name: &String, edge| Encoders::start(cluster.runtime(), std::slice::from_ref(name), &edges[edge], ONCE);
    let mut both = [Vec::new(), Vec::new()];
    for (number, name) in names.iter().enumerate() {
        for edge in [number % 2, 1 - number % 2] {
            both[edge].push(start(name, edge));
        }
    }
    let publishing = |encoders: &Vec<Encoders>| encoders.iter().map(Encoders::publishing).sum::<usize>();
    let losers = || both.iter().flatten().flat_map(Encoders::disconnects).collect::<Vec<(String, String)>>();
    wait_until("all are answered", || both.iter().map(publishing).sum::<usize>() + losers().len() == 2 * names.len());
    let_pass(Duration::from_secs(2));
    let (winners, losers) = (both.each_ref().map(publishing), losers());
    row(
        "two publishers race for a name on two edges",
        format!("{} names: {} and {} won, {} refused", names.len(), winners[0], winners[1], losers.len()),
    );
    for name in &names {
        let reasons: Vec<&String> = losers.iter().filter(|(stream, _)| stream == name).map(|(_, why)| why).collect();
        assert_eq!(reasons, [BAD_NAME], "{name} has one loser");
    }
}

#[test]
fn after_a_split_of_dns_heals_one_of_two_publishers_is_left() {
    let names: Vec<String> = (0..scale::pick(4, 20)).map(|number| format!("live/split-{number}")).collect();
    let mut cluster = Cluster::with_views(2);
    // Each half sees the other's origin no more than its edge.
    for view in 0..2 {
        cluster.start_pod(&format!("origin-{view}"), Tier::Origins, view, &Cluster::origin_with_peers());
        cluster.hide(&format!("origin-{view}"), 1 - view, true);
    }
    let edge = cluster.forwarding_edge();
    for view in 0..2 {
        cluster.start_pod(&format!("edge-{view}"), Tier::Edges, view, &edge);
    }
    cluster.wait_until_ready();
    let both =
        ["edge-0", "edge-1"].map(|edge| Encoders::start_all(cluster.runtime(), &names, &cluster.target(edge), ONCE));
    let_pass(Duration::from_secs(1));
    assert_eq!(both.each_ref().map(Encoders::publishing), [names.len(); 2], "both halves have every name");

    let begin = Instant::now();
    (0..2).for_each(|view| cluster.hide(&format!("origin-{view}"), 1 - view, false));
    wait_at_most(scale::bound(SETTLED_WITHIN), "one of two is closed", || {
        both.iter().map(Encoders::publishing).sum::<usize>() <= names.len()
    });
    let settled = begin.elapsed();
    let_pass(Duration::from_secs(2));
    row(
        "two publishers of a name after a split of DNS has healed",
        format!("{} names: one of two is left after {:.1} s", names.len(), settled.as_secs_f64()),
    );
    let losers: Vec<(String, String)> = both.iter().flat_map(Encoders::disconnects).collect();
    for name in &names {
        let reasons: Vec<&String> = losers.iter().filter(|(stream, _)| stream == name).map(|(_, why)| why).collect();
        assert_eq!(reasons, [BAD_NAME], "{name} has one loser");
    }
}
