//! The names with a scripted asker and a paused clock; real packets are in `packets`.

mod packets;
#[path = "../../../tests/harness/dns.rs"]
#[allow(unreachable_pub, dead_code, reason = "shared with the whole-process tests")]
mod server;

use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::task::JoinSet;
use tokio::time::{advance, sleep};

use super::*;

const NAME: &str = "origin.test:1935";
const SECOND: Duration = Duration::from_secs(1);
const LONG_TTL: Duration = Duration::from_secs(60);

/// What the scripted asker is to answer, and when.
struct Line {
    after: Duration,
    answer: Result<Answer, Failure>,
}

/// Names whose questions are answered from a list.
struct Scene {
    names: Names,
    asked: Arc<AtomicUsize>,
    metrics: Arc<Metrics>,
}

impl Scene {
    fn new(script: impl IntoIterator<Item = Line>) -> Self {
        let script = Mutex::new(script.into_iter().collect::<VecDeque<Line>>());
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let asker: Asker = Box::new(move |_| {
            count.fetch_add(1, Ordering::Relaxed);
            let line = script.lock().pop_front().expect("the script has an answer for each question");
            Box::pin(async move {
                sleep(line.after).await;
                line.answer
            })
        });
        let metrics = Arc::new(Metrics::new());
        Self { names: Names::with(no_local_names(), Ok(asker), Arc::clone(&metrics)), asked, metrics }
    }

    async fn resolve(&self) -> Result<String, ResolveError> {
        self.names.resolve(&origin(NAME)).await.map(|endpoints| endpoints[0].address.to_string())
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    fn lookups(&self) -> [u64; 3] {
        [LookupResult::Found, LookupResult::NotFound, LookupResult::Failed]
            .map(|result| self.metrics.dns_lookups(result).get())
    }
}

fn origin(text: &str) -> OriginAddress {
    text.parse().unwrap()
}

fn no_local_names() -> Arc<Local> {
    Arc::new(Local::new(hickory_resolver::Hosts::default(), Ipv4Addr::LOCALHOST.into()))
}

fn found(address: &str) -> Line {
    found_after(Duration::ZERO, address, LONG_TTL)
}

fn found_after(after: Duration, address: &str, ttl: Duration) -> Line {
    Line { after, answer: Ok((vec![Endpoint::of_address(address.parse().unwrap())], ttl)) }
}

fn denied() -> Line {
    Line { after: Duration::ZERO, answer: Err(Failure::NotFound) }
}

fn failed() -> Line {
    Line { after: Duration::ZERO, answer: Err(Failure::Failed("SERVFAIL".into())) }
}

fn not_found() -> ResolveError {
    ResolveError::NotFound { name: NAME.to_owned() }
}

fn failure() -> ResolveError {
    ResolveError::Failed { name: NAME.to_owned(), reason: "SERVFAIL".into() }
}

const ONE: &str = "192.0.2.1:1935";
const OTHER: &str = "192.0.2.2:1935";

#[tokio::test(start_paused = true)]
async fn a_hundred_who_ask_at_once_share_one_question() {
    let scene = Scene::new([found_after(SECOND, ONE, LONG_TTL)]);
    let mut waiting = JoinSet::new();
    for _ in 0..100 {
        let names = scene.names.clone();
        waiting.spawn(async move { names.resolve(&origin(NAME)).await.unwrap()[0].address.to_string() });
    }
    assert_eq!(waiting.join_all().await, vec![ONE; 100]);
    assert_eq!(scene.asked(), 1);
    assert_eq!(scene.lookups(), [1, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_question_goes_on_when_who_asked_it_leaves() {
    let scene = Scene::new([found_after(SECOND, ONE, LONG_TTL)]);
    let impatient = tokio::time::timeout(SECOND / 2, scene.resolve()).await;
    assert!(impatient.is_err());
    assert_eq!(scene.resolve().await.as_deref(), Ok(ONE));
    assert_eq!(scene.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_given_again_until_its_time_is_over() {
    let scene = Scene::new([found_after(Duration::ZERO, ONE, 5 * SECOND), found(OTHER)]);
    assert_eq!(scene.resolve().await.as_deref(), Ok(ONE));
    advance(4 * SECOND).await;
    assert_eq!(scene.resolve().await.as_deref(), Ok(ONE));
    assert_eq!(scene.asked(), 1);
    advance(SECOND).await;
    assert_eq!(scene.resolve().await.as_deref(), Ok(OTHER));
    assert_eq!(scene.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn after_a_doubt_the_next_one_asks() {
    let scene = Scene::new([found(ONE), found(OTHER)]);
    assert_eq!(scene.resolve().await.as_deref(), Ok(ONE));
    advance(SECOND).await;
    scene.names.doubt(&origin(NAME));
    assert_eq!(scene.resolve().await.as_deref(), Ok(OTHER));
    assert_eq!(scene.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_hundred_streams_that_doubt_all_the_time_ask_four_times_a_second() {
    let scene = Scene::new((0..100).map(|_| found(ONE)));
    // Ten seconds, in which each hundredth somebody's connect fails.
    for _ in 0..1_000 {
        scene.names.doubt(&origin(NAME));
        scene.resolve().await.unwrap();
        advance(SECOND / 100).await;
    }
    assert!((38..=40).contains(&scene.asked()), "asked {} times in ten seconds", scene.asked());
}

#[tokio::test(start_paused = true)]
async fn the_last_addresses_bridge_servers_that_fail_and_every_failure_is_counted() {
    let scene = Scene::new([found(ONE), failed(), failed(), found(OTHER)]);
    scene.resolve().await.unwrap();
    advance(10 * SECOND).await;
    assert_eq!(scene.resolve().await.as_deref(), Ok(ONE));
    advance(SECOND).await;
    assert_eq!(scene.resolve().await.as_deref(), Ok(ONE));
    advance(SECOND).await;
    assert_eq!(scene.resolve().await.as_deref(), Ok(OTHER));
    assert_eq!(scene.lookups(), [2, 0, 2]);
}

#[tokio::test(start_paused = true)]
async fn after_five_minutes_without_an_answer_there_is_no_address() {
    let scene = Scene::new([found(ONE), failed()]);
    scene.resolve().await.unwrap();
    advance(300 * SECOND).await;
    assert_eq!(scene.resolve().await, Err(failure()));
}

#[tokio::test(start_paused = true)]
async fn a_name_that_is_gone_is_gone_after_the_grace() {
    let scene = Scene::new([found(ONE), denied(), denied()]);
    scene.resolve().await.unwrap();
    advance(10 * SECOND).await;
    assert_eq!(scene.resolve().await.as_deref(), Ok(ONE));
    advance(5 * SECOND).await;
    assert_eq!(scene.resolve().await, Err(not_found()));
    assert_eq!(scene.lookups(), [1, 2, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_failure_without_a_past_is_told_and_kept_for_a_second() {
    let scene = Scene::new([failed(), denied()]);
    assert_eq!(scene.resolve().await, Err(failure()));
    advance(SECOND / 2).await;
    assert_eq!(scene.resolve().await, Err(failure()));
    assert_eq!(scene.asked(), 1);
    advance(SECOND / 2).await;
    assert_eq!(scene.resolve().await, Err(not_found()));
}

#[tokio::test(start_paused = true)]
async fn while_a_question_takes_long_the_last_addresses_are_given() {
    let scene = Scene::new([found(ONE), found_after(4 * SECOND, OTHER, LONG_TTL)]);
    scene.resolve().await.unwrap();
    advance(10 * SECOND).await;
    let asked = Instant::now();
    assert_eq!(scene.resolve().await.as_deref(), Ok(ONE));
    assert_eq!(asked.elapsed(), STALE_AFTER);
    assert_eq!(scene.resolve().await.as_deref(), Ok(ONE));
    assert_eq!(asked.elapsed(), STALE_AFTER, "the question is late already");
    sleep(4 * SECOND).await;
    assert_eq!(scene.resolve().await.as_deref(), Ok(OTHER));
    assert_eq!(scene.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_question_that_dies_is_a_failure() {
    let asker: Asker = Box::new(|_| Box::pin(async { panic!("a broken asker") }));
    let names = Names::with(no_local_names(), Ok(asker), Arc::new(Metrics::new()));
    for _ in 0..2 {
        assert!(matches!(names.resolve(&origin(NAME)).await, Err(ResolveError::Failed { .. })));
        advance(SECOND).await;
    }
}

#[tokio::test(start_paused = true)]
async fn addresses_and_localhost_need_no_server_and_are_no_lookups() {
    let reason = "no DNS server is known";
    let names = Names::with(no_local_names(), Err(reason.into()), Arc::new(Metrics::new()));
    for (text, address, rank_key) in [
        ("192.0.2.1:1936", "192.0.2.1:1936", "192.0.2.1:1936"),
        ("[::1]", "[::1]:1935", "[::1]:1935"),
        ("localhost:1936", "127.0.0.1:1936", "localhost:1936"),
    ] {
        let endpoints = names.resolve(&origin(text)).await.unwrap();
        let expected =
            Endpoint { address: address.parse().unwrap(), name: rank_key.to_owned(), rank_key: rank_key.to_owned() };
        assert_eq!(endpoints[..], [expected], "{text}");
    }
    let error = names.resolve(&origin(NAME)).await.unwrap_err();
    assert_eq!(error.to_string(), format!("cannot resolve {NAME}: {reason}"));
    assert_eq!(names.shared.metrics.dns_lookups(LookupResult::Failed).get(), 0);
}

#[tokio::test(start_paused = true)]
async fn names_that_upstreams_invent_take_a_bounded_place() {
    let scene = Scene::new((0..=MAX_NAMES + 10).map(|_| found(ONE)));
    for number in 0..MAX_NAMES + 10 {
        scene.names.resolve(&origin(&format!("pod-{number}.test"))).await.unwrap();
        // The configured one is in use all the time.
        scene.resolve().await.unwrap();
        advance(Duration::from_millis(1)).await;
    }
    assert_eq!(scene.names.shared.known.lock().len(), MAX_NAMES);
    assert!(scene.names.shared.known.lock().contains_key(&origin(NAME)));
}
