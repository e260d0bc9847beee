//! The number of origins changes while streams are live.

use std::time::Duration;

use super::bench::{Cluster, Encoders, Habit, Live, Tier, drain, row, scale, streams};
use super::harness::let_pass;

#[test]
fn more_origins_interrupt_nothing_and_fewer_hardly_anything() {
    let origin = format!("{}{}", Cluster::origin_with_peers(), drain::config());
    let mut cluster = Cluster::start();
    cluster.start_pods(Tier::Origins, 3, &origin);
    let edge = cluster.forwarding_edge();
    cluster.start_pods(Tier::Edges, 3, &edge);
    let edges = cluster.service(Tier::Edges);
    let live = Live::start(&cluster, streams(scale::pick(9, 60)), &edges, scale::pick(18, 130));
    let places = |cluster: &Cluster| -> Vec<Vec<String>> {
        cluster.pods(Tier::Origins).take(3).map(|origin| sorted(origin.published())).collect()
    };
    let before = places(&cluster);

    live.mark();
    cluster.start_pods(Tier::Origins, 2, &origin);
    // DNS has told everybody, and the new ones are homes.
    let_pass(Duration::from_secs(18));
    let up = live.audience.figures();
    assert_eq!(places(&cluster), before, "live streams stay where they are");
    live.assert_nobody_left();
    assert_eq!(up.lost, 0);
    let later: Vec<String> = (0..live.streams.len()).map(|number| format!("live/later-{number}")).collect();
    let newcomers = Encoders::start_all(cluster.runtime(), &later, &edges, Habit::USUAL);
    let at_new_ones: usize = cluster.pods(Tier::Origins).skip(3).map(|origin| origin.published().len()).sum();
    assert!(at_new_ones > 0, "new streams go to the new origins, too");

    live.mark();
    newcomers.mark();
    let times: Vec<Duration> = (2..5).rev().map(|number| cluster.delete(&format!("origin-{number}"))).collect();
    live.wait_until_all_is_well();
    let down = live.audience.figures();
    let slowest = times.into_iter().max().unwrap_or_default();
    row(
        &format!("origins 3 -> 5 -> 2, {} streams forwarded", live.streams.len()),
        format!("up: {up}; down, each within {:.0} s: {down}", slowest.as_secs_f64()),
    );
    live.assert_nobody_left();
    assert_eq!(newcomers.disconnects(), []);
    assert!(up.gap(100) < scale::bound(Duration::from_millis(500)), "{up}");
    assert!(down.gap(99) < scale::bound(Duration::from_millis(500)), "{down}");
}

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort();
    names
}
