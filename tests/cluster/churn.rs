//! Publishers and players come and go, and ask for what is not there: nothing of it stays behind.

use std::time::{Duration, Instant};

use super::bench::pod::{Pod, Usage};
use super::bench::{Audience, Cluster, Encoders, Habit, Tier, row, scale};
use super::harness::{let_pass, wait_at_most, wait_until};

/// Everything that is kept for somebody's return is kept for a short time.
const ORIGIN: &str = "[publish]\nresume_timeout = \"500ms\"\n";
/// The same. Players of what is never there are told so soon, and players of what is there wait for it.
const EDGE: &str = "linger = \"200ms\"\nresume_timeout = \"500ms\"\n[play]\nplay_wait = \"1m\"\n\
                    [[apps]]\nmatch = \"absent*\"\nplay.play_wait = \"500ms\"\n";

/// Rounds before the first measure: what is made once is made then.
const WARM_UP: usize = 3;
/// What memory may grow by, beyond a quarter: what an allocator keeps for later is no leak.
const MEMORY_SLACK: u64 = 8 << 20;

#[test]
fn churn_with_absent_streams_leaves_nothing_behind() {
    let mut cluster = Cluster::start();
    cluster.start_pods(Tier::Origins, 2, ORIGIN);
    let edge = format!("{}{EDGE}", cluster.edge_by_service());
    cluster.start_pods(Tier::Edges, 2, &edge);
    (0..WARM_UP).for_each(|number| round(&cluster, number));
    let before = usage_at_rest(&cluster, None);

    let begin = Instant::now();
    let duration = scale::time(Duration::from_secs(10));
    let mut rounds = 0;
    while begin.elapsed() < duration {
        round(&cluster, WARM_UP + rounds);
        rounds += 1;
    }
    let after = usage_at_rest(&cluster, Some(&before));

    let memory = |usage: &[Usage]| usage.iter().map(|usage| usage.memory).sum::<u64>() as f64 / f64::from(1 << 20);
    let files = |usage: &[Usage]| usage.iter().map(|usage| usage.files).sum::<usize>();
    let threads = |usage: &[Usage]| usage.iter().map(|usage| usage.threads).sum::<u64>();
    row(
        &format!("publish and play churn with absent streams, {} s", begin.elapsed().as_secs()),
        format!(
            "{rounds} rounds of {} players; memory of {} processes {:.1} -> {:.1} MiB, sockets and files {} -> {}, \
             threads {} -> {}",
            ABSENT + LEAVING + PLAYING,
            before.len(),
            memory(&before),
            memory(&after),
            files(&before),
            files(&after),
            threads(&before),
            threads(&after)
        ),
    );
    for (before, after) in before.iter().zip(&after) {
        assert!(after.memory <= before.memory + before.memory / 4 + MEMORY_SLACK, "{before:?} {after:?}");
        // The look at the configuration's files takes a thread from time to time; one of each round would be a leak.
        assert!(after.threads <= before.threads + 1, "{before:?} {after:?}");
    }
}

const ABSENT: usize = 20;
const LEAVING: usize = 10;
const PLAYING: usize = 8;

/// Players of absent streams are refused, others leave while they wait, and some see a publisher come and go.
fn round(cluster: &Cluster, number: usize) {
    let named = |app: &str, count: usize| (0..count).map(|place| format!("{app}/{number}-{place}")).collect::<Vec<_>>();
    let edges = cluster.service(Tier::Edges);
    let mut absent = Audience::new();
    absent.join(ABSENT, &named("absent", ABSENT / 2), &edges, None);
    let mut leaving = Audience::new();
    leaving.join(LEAVING, &named("absent/left", LEAVING / 2), &edges, None);

    let streams = named("live", 4);
    let encoders = Encoders::start_all(cluster.runtime(), &streams, &cluster.service(Tier::Origins), Habit::USUAL);
    drop(leaving);
    let mut playing = Audience::new();
    playing.join(PLAYING, &streams, &edges, None);
    playing.wait_until_playing();
    drop(encoders);
    for audience in [&absent, &playing] {
        wait_until("every player is told the end", || audience.endings().len() == audience.figures().players);
    }
}

/// What every pod holds once nobody is connected to it any more.
fn usage_at_rest(cluster: &Cluster, before: Option<&[Usage]>) -> Vec<Usage> {
    let pods = || cluster.pods(Tier::Origins).chain(cluster.pods(Tier::Edges));
    let counts = ["rillcast_players", "rillcast_publishers", "rillcast_streams", "rillcast_upstream_pulls"];
    for pod in pods() {
        wait_until(&format!("{} has nothing to do", pod.name), || {
            let metrics = pod.metrics();
            counts.iter().all(|count| metrics.sum(count) == 0.0) && pod.streams().is_empty()
        });
    }
    let Some(before) = before else {
        // Connections that have ended are closed on both sides by now, or soon.
        let_pass(Duration::from_secs(2));
        return pods().map(Pod::usage).collect();
    };
    for (pod, before) in pods().zip(before) {
        wait_at_most(
            Duration::from_secs(60),
            &format!("the sockets of {} return to {}", pod.name, before.files),
            || pod.usage().files <= before.files,
        );
    }
    pods().map(Pod::usage).collect()
}
