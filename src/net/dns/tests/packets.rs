//! The names against a DNS server on a socket.

use std::net::SocketAddr;

use hickory_resolver::proto::rr::Name;
use tokio::time::{pause, resume};

use super::server::{DnsServer, RecordType, Reply};
use super::*;

const HOST: &str = "origin.test.";
const SERVICE: &str = "_rtmp._tcp.origin.test.";
const DAY: u32 = 86_400;
/// Longer than any answer is kept.
const LATER: Duration = Duration::from_secs(11);

struct Net {
    dns: DnsServer,
    names: Names,
}

impl Net {
    fn new() -> Self {
        Self::with(&[], 1)
    }

    /// With a search list, and the number of dots from which on a name is first taken as it is.
    fn with(search: &[&str], ndots: usize) -> Self {
        let dns = DnsServer::start();
        let names = names(&[dns.address()], search, ndots);
        Self { dns, names }
    }

    /// Resolves, and if that gave the last addresses because the machine is slow, waits for the new ones.
    async fn resolve(&self, text: &str) -> Result<Endpoints, ResolveError> {
        let origin = origin(text);
        let resolved = self.names.resolve(&origin).await;
        let question = self.names.shared.known.lock().get(&origin).map(|known| known.question.clone());
        match question {
            Some(mut question) if question.borrow().is_none() => {
                let outcome = question.wait_for(Option::is_some).await.unwrap().clone().unwrap();
                outcome.map_err(|failure| ResolveError::new(&origin, failure))
            }
            _ => resolved,
        }
    }

    async fn addresses(&self, text: &str) -> Vec<String> {
        addresses(&self.resolve(text).await.unwrap())
    }

    fn lookups(&self) -> [u64; 3] {
        [LookupResult::Found, LookupResult::NotFound, LookupResult::Failed]
            .map(|result| self.names.shared.metrics.dns_lookups(result).get())
    }
}

fn names(servers: &[SocketAddr], search: &[&str], ndots: usize) -> Names {
    let search = search.iter().map(|domain| Name::from_ascii(domain).unwrap()).collect();
    let settings = Settings { servers: servers.to_vec(), search, ndots, edns: false };
    let questions = Questions::new(settings, no_local_names()).unwrap();
    Names::with(no_local_names(), Ok(asker(questions)), Arc::new(Metrics::new()))
}

fn addresses(endpoints: &[Endpoint]) -> Vec<String> {
    endpoints.iter().map(|endpoint| endpoint.address.to_string()).collect()
}

fn rank_keys(endpoints: &[Endpoint]) -> Vec<&str> {
    endpoints.iter().map(|endpoint| endpoint.rank_key.as_str()).collect()
}

/// Lets the clock jump, and run on.
async fn jump(time: Duration) {
    pause();
    advance(time).await;
    resume();
}

#[tokio::test]
async fn a_name_has_every_address_sorted_and_each_is_ranked_by_itself() {
    let net = Net::new();
    net.dns.set_addresses(HOST, 5, &["192.0.2.3", "192.0.2.1", "192.0.2.2"]);
    let endpoints = net.resolve("origin.test.:1936").await.unwrap();
    let expected = ["192.0.2.1:1936", "192.0.2.2:1936", "192.0.2.3:1936"];
    assert_eq!(addresses(&endpoints), expected);
    assert_eq!(rank_keys(&endpoints), expected);
    assert!(endpoints.iter().all(|endpoint| endpoint.name == "origin.test:1936"));
    assert_eq!(net.dns.questions_in_all(), 1, "no AAAA is asked for when there is an A");
    assert_eq!(net.lookups(), [1, 0, 0]);
}

#[tokio::test]
async fn an_address_that_is_replaced_is_seen_when_the_time_to_live_is_over() {
    let net = Net::new();
    net.dns.set_addresses(HOST, 8, &["192.0.2.1"]);
    assert_eq!(net.addresses(HOST).await, ["192.0.2.1:1935"]);
    net.dns.set_addresses(HOST, 8, &["192.0.2.2"]);
    assert_eq!(net.addresses(HOST).await, ["192.0.2.1:1935"]);
    assert_eq!(net.dns.questions_in_all(), 1);
    jump(8 * SECOND).await;
    assert_eq!(net.addresses(HOST).await, ["192.0.2.2:1935"]);
    assert_eq!(net.dns.questions_in_all(), 2);
}

#[tokio::test]
async fn one_of_three_and_then_all_are_replaced() {
    let net = Net::new();
    net.dns.set_addresses(HOST, 5, &["192.0.2.1", "192.0.2.2", "192.0.2.3"]);
    net.addresses(HOST).await;
    net.dns.set_addresses(HOST, 5, &["192.0.2.1", "192.0.2.4", "192.0.2.3"]);
    jump(LATER).await;
    assert_eq!(net.addresses(HOST).await, ["192.0.2.1:1935", "192.0.2.3:1935", "192.0.2.4:1935"]);
    net.dns.set_addresses(HOST, 5, &["192.0.2.7", "192.0.2.8"]);
    jump(LATER).await;
    assert_eq!(net.addresses(HOST).await, ["192.0.2.7:1935", "192.0.2.8:1935"]);
}

#[tokio::test]
async fn a_day_to_live_is_ten_seconds_and_a_doubt_asks_the_server_before() {
    let net = Net::new();
    net.dns.set_addresses(HOST, DAY, &["192.0.2.1"]);
    net.addresses(HOST).await;
    jump(9 * SECOND).await;
    net.addresses(HOST).await;
    assert_eq!(net.dns.questions_in_all(), 1);
    net.dns.set_addresses(HOST, DAY, &["192.0.2.2"]);
    net.names.doubt(&origin(HOST));
    assert_eq!(net.addresses(HOST).await, ["192.0.2.2:1935"]);
    assert_eq!(net.dns.questions_in_all(), 2);
    jump(LATER).await;
    net.addresses(HOST).await;
    assert_eq!(net.dns.questions_in_all(), 3);
}

#[tokio::test]
async fn without_a_time_to_live_many_who_ask_are_still_one_question() {
    let net = Net::new();
    net.dns.set_addresses(HOST, 0, &["192.0.2.1"]);
    let mut waiting = JoinSet::new();
    for _ in 0..100 {
        let names = net.names.clone();
        waiting.spawn(async move { names.resolve(&origin(HOST)).await.unwrap().len() });
    }
    assert_eq!(waiting.join_all().await, vec![1; 100]);
    assert_eq!(net.dns.questions_in_all(), 1);
    jump(SECOND / 4).await;
    net.addresses(HOST).await;
    assert_eq!(net.dns.questions_in_all(), 2);
}

#[tokio::test]
async fn without_an_a_the_aaaa_count() {
    let net = Net::new();
    net.dns.set(HOST, RecordType::AAAA, Reply::addresses(5, &["2001:db8::2", "2001:db8::1"]));
    assert_eq!(net.addresses(HOST).await, ["[2001:db8::1]:1935", "[2001:db8::2]:1935"]);
}

#[tokio::test]
async fn whatever_is_wrong_with_the_aaaa_an_a_is_not_spoiled() {
    for broken in [Reply::Failure, Reply::Silence, Reply::NoName, Reply::addresses(5, &["2001:db8::1"])] {
        let net = Net::new();
        net.dns.set_addresses(HOST, 5, &["192.0.2.1"]);
        net.dns.set(HOST, RecordType::AAAA, broken);
        assert_eq!(net.addresses(HOST).await, ["192.0.2.1:1935"]);
        assert_eq!(net.dns.questions(HOST, RecordType::AAAA), 0);
    }
}

#[tokio::test]
async fn a_broken_a_is_a_failure_and_not_a_reason_for_another_family() {
    let net = Net::new();
    net.dns.set(HOST, RecordType::A, Reply::Failure);
    net.dns.set(HOST, RecordType::AAAA, Reply::addresses(5, &["2001:db8::1"]));
    assert!(matches!(net.resolve(HOST).await, Err(ResolveError::Failed { .. })));
    assert_eq!(net.lookups(), [0, 0, 1]);
}

#[tokio::test]
async fn a_name_that_does_not_exist_takes_one_question_and_an_empty_one_two() {
    let net = Net::new();
    let not_found = |name: &str| Err(ResolveError::NotFound { name: name.to_owned() });
    assert_eq!(net.resolve("absent.test.").await, not_found("absent.test.:1935"));
    assert_eq!(net.dns.questions_in_all(), 1);
    net.dns.set(HOST, RecordType::TXT, Reply::Empty);
    assert_eq!(net.resolve(HOST).await, not_found("origin.test.:1935"));
    assert_eq!(net.dns.questions_in_all(), 3);
    assert_eq!(net.lookups(), [0, 2, 0]);
}

#[tokio::test]
async fn addresses_outlive_servfail_and_after_a_grace_they_do_not_outlive_nxdomain_or_nodata() {
    for gone in [Reply::NoName, Reply::Empty] {
        let net = Net::new();
        net.dns.set_addresses(HOST, 5, &["192.0.2.1"]);
        net.addresses(HOST).await;
        net.dns.set(HOST, RecordType::A, Reply::Failure);
        for _ in 0..3 {
            jump(LATER).await;
            assert_eq!(net.addresses(HOST).await, ["192.0.2.1:1935"]);
        }
        assert_eq!(net.dns.questions(HOST, RecordType::A), 4, "an error is not asked for twice");
        net.dns.set(HOST, RecordType::A, gone);
        jump(SECOND).await;
        assert_eq!(net.addresses(HOST).await, ["192.0.2.1:1935"]);
        jump(5 * SECOND).await;
        assert!(matches!(net.resolve(HOST).await, Err(ResolveError::NotFound { .. })));
        assert_eq!(net.lookups(), [1, 2, 3]);
    }
}

#[tokio::test]
async fn a_server_that_says_nothing_is_a_failure_in_a_few_seconds() {
    let net = Net::new();
    net.dns.set(HOST, RecordType::A, Reply::Silence);
    let asked = Instant::now();
    assert!(matches!(net.resolve(HOST).await, Err(ResolveError::Failed { .. })));
    assert!(asked.elapsed() >= 2 * SECOND, "it was tried twice for a second");
    assert_eq!(net.dns.questions_in_all(), 2);
    assert_eq!(net.lookups(), [0, 0, 1]);
}

#[tokio::test]
async fn the_last_addresses_are_given_at_once_while_a_server_says_nothing() {
    let net = Net::new();
    net.dns.set_addresses(HOST, 5, &["192.0.2.1"]);
    net.addresses(HOST).await;
    net.dns.set(HOST, RecordType::A, Reply::Silence);
    jump(LATER).await;
    let endpoints = net.names.resolve(&origin(HOST)).await.unwrap();
    assert_eq!(addresses(&endpoints), ["192.0.2.1:1935"]);
    assert_eq!(net.lookups(), [1, 0, 0], "the question is still open");
    assert_eq!(net.addresses(HOST).await, ["192.0.2.1:1935"]);
    assert_eq!(net.lookups(), [1, 0, 1]);
}

#[tokio::test]
async fn a_truncated_answer_is_asked_for_over_tcp() {
    let net = Net::new();
    let many: Vec<String> = (1..=60).map(|last| format!("192.0.2.{last}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    net.dns.set(HOST, RecordType::A, Reply::Truncated(Box::new(Reply::addresses(5, &many))));
    assert_eq!(net.resolve(HOST).await.unwrap().len(), 60);
    assert_eq!(net.dns.questions_over_tcp(), 1);
    assert_eq!(net.dns.questions_in_all(), 2);
}

#[tokio::test]
async fn the_next_server_is_asked_when_one_fails_or_says_nothing() {
    for broken in [Reply::Failure, Reply::Silence] {
        let (first, second) = (DnsServer::start(), DnsServer::start());
        first.set(HOST, RecordType::A, broken);
        second.set_addresses(HOST, 5, &["192.0.2.1"]);
        let names = names(&[first.address(), second.address()], &[], 1);
        assert_eq!(addresses(&names.resolve(&origin(HOST)).await.unwrap()), ["192.0.2.1:1935"]);
        let questions = first.questions_in_all();
        jump(LATER).await;
        names.resolve(&origin(HOST)).await.unwrap();
        assert_eq!(first.questions_in_all(), questions, "who answered last is asked first");
        assert_eq!(second.questions_in_all(), 2);
    }
}

#[tokio::test]
async fn a_server_that_denies_is_believed() {
    let (first, second) = (DnsServer::start(), DnsServer::start());
    second.set_addresses(HOST, 5, &["192.0.2.1"]);
    let names = names(&[first.address(), second.address()], &[], 1);
    assert!(matches!(names.resolve(&origin(HOST)).await, Err(ResolveError::NotFound { .. })));
    assert_eq!(second.questions_in_all(), 0);
}

#[tokio::test]
async fn srv_records_bring_names_and_ports() {
    let net = Net::new();
    net.dns.set_services(SERVICE, 5, &[("pod-1.test", 1936), ("Pod-0.Test", 1935)]);
    net.dns.set_addresses("pod-0.test", 5, &["192.0.2.2"]);
    net.dns.set_addresses("pod-1.test", 5, &["192.0.2.1"]);
    let endpoints = net.resolve(SERVICE).await.unwrap();
    assert_eq!(addresses(&endpoints), ["192.0.2.1:1936", "192.0.2.2:1935"]);
    assert_eq!(rank_keys(&endpoints), ["pod-1.test:1936", "pod-0.test:1935"]);
    assert_eq!(endpoints[1].name, "pod-0.test:1935");
    assert_eq!(net.dns.questions_in_all(), 3);
    assert_eq!(net.lookups(), [1, 0, 0], "an origin is one lookup, however many questions it takes");
}

#[tokio::test]
async fn addresses_that_come_along_with_srv_records_are_not_asked_for() {
    let net = Net::new();
    let reply = Reply::services(5, &[("pod-0.test", 1935), ("pod-1.test", 1935), ("pod-2.test", 1935)]);
    let reply = reply.with_additional(&[
        ("pod-0.test", "2001:db8::9"),
        ("pod-0.test", "192.0.2.1"),
        ("pod-1.test", "2001:db8::1"),
    ]);
    net.dns.set(SERVICE, RecordType::SRV, reply);
    net.dns.set_addresses("pod-2.test", 5, &["192.0.2.3"]);
    let endpoints = net.resolve(SERVICE).await.unwrap();
    assert_eq!(addresses(&endpoints), ["192.0.2.1:1935", "192.0.2.3:1935", "[2001:db8::1]:1935"]);
    assert_eq!(net.dns.questions_in_all(), 2);
}

#[tokio::test]
async fn a_target_without_an_address_does_not_spoil_the_others_and_is_soon_asked_for_again() {
    for broken in [Reply::Failure, Reply::Silence, Reply::NoName, Reply::Empty] {
        let net = Net::new();
        net.dns.set_services(SERVICE, 5, &[("pod-0.test", 1935), ("pod-1.test", 1935)]);
        net.dns.set_addresses("pod-0.test", 5, &["192.0.2.1"]);
        net.dns.set("pod-1.test", RecordType::A, broken);
        assert_eq!(net.addresses(SERVICE).await, ["192.0.2.1:1935"]);
        net.dns.set_addresses("pod-1.test", 5, &["192.0.2.2"]);
        jump(SECOND).await;
        assert_eq!(net.addresses(SERVICE).await, ["192.0.2.1:1935", "192.0.2.2:1935"]);
    }
}

#[tokio::test]
async fn if_no_target_can_be_resolved_the_reason_counts() {
    let net = Net::new();
    net.dns.set_services(SERVICE, 5, &[("pod-0.test", 1935), ("pod-1.test", 1935)]);
    assert!(matches!(net.resolve(SERVICE).await, Err(ResolveError::NotFound { .. })));
    net.dns.set("pod-1.test", RecordType::A, Reply::Failure);
    jump(SECOND).await;
    assert!(matches!(net.resolve(SERVICE).await, Err(ResolveError::Failed { .. })));
}

#[tokio::test]
async fn the_root_as_target_means_that_there_is_none() {
    let net = Net::new();
    net.dns.set_services(SERVICE, 5, &[(".", 1935)]);
    assert!(matches!(net.resolve(SERVICE).await, Err(ResolveError::NotFound { .. })));
    assert_eq!(net.dns.questions_in_all(), 1);
}

#[tokio::test]
async fn a_target_that_moves_keeps_its_rank() {
    let net = Net::new();
    net.dns.set_services(SERVICE, 5, &[("pod-0.test", 1935)]);
    net.dns.set_addresses("pod-0.test", 5, &["192.0.2.1"]);
    let before = net.resolve(SERVICE).await.unwrap();
    net.dns.set_addresses("pod-0.test", 5, &["192.0.2.9"]);
    jump(LATER).await;
    let after = net.resolve(SERVICE).await.unwrap();
    assert_ne!(addresses(&before), addresses(&after));
    assert_eq!(rank_keys(&before), rank_keys(&after));
}

#[tokio::test]
async fn aliases_are_followed_and_a_loop_of_them_ends() {
    let net = Net::new();
    net.dns.set(HOST, RecordType::A, Reply::alias(5, "alias.test."));
    net.dns.set("alias.test.", RecordType::A, Reply::addresses(DAY, &["192.0.2.1"]));
    let endpoints = net.resolve(HOST).await.unwrap();
    assert_eq!(rank_keys(&endpoints), ["origin.test:1935"]);
    net.dns.set("loop.test.", RecordType::A, Reply::alias(5, "pool.test."));
    net.dns.set("pool.test.", RecordType::A, Reply::alias(5, "loop.test."));
    assert!(net.resolve("loop.test.").await.is_err());
}

#[tokio::test]
async fn a_short_name_is_found_in_the_search_list() {
    let net = Net::with(&["media.svc.test.", "svc.test."], 5);
    net.dns.set_addresses("origin.media.svc.test", 5, &["192.0.2.1"]);
    assert_eq!(net.addresses("origin").await, ["192.0.2.1:1935"]);
    assert_eq!(net.dns.questions_in_all(), 1);
    net.dns.set_addresses("origin.other.svc.test", 5, &["192.0.2.2"]);
    assert_eq!(net.addresses("origin.other").await, ["192.0.2.2:1935"]);
    net.dns.set_services("_rtmp._tcp.origin.svc.test", 5, &[("origin.media.svc.test", 1936)]);
    assert_eq!(net.addresses("_rtmp._tcp.origin").await, ["192.0.2.1:1936"]);
}

#[tokio::test]
async fn many_dots_wanted_cost_neither_literals_nor_absolute_names_a_question() {
    let net = Net::with(&["media.svc.test.", "svc.test."], 5);
    net.dns.set_addresses(HOST, 5, &["192.0.2.1"]);
    net.addresses("192.0.2.1:1935").await;
    net.addresses("[2001:db8::1]").await;
    net.addresses("localhost").await;
    assert_eq!(net.dns.questions_in_all(), 0);
    assert_eq!(net.lookups(), [0, 0, 0]);
    net.addresses(HOST).await;
    assert_eq!(net.dns.questions_in_all(), 1);
}

#[tokio::test]
async fn a_domain_that_only_yields_errors_does_not_hide_the_others_nor_deny_the_name() {
    let net = Net::with(&["broken.test.", "svc.test."], 5);
    net.dns.set("origin.broken.test.", RecordType::A, Reply::Failure);
    assert!(matches!(net.resolve("origin").await, Err(ResolveError::Failed { .. })), "NXDOMAIN elsewhere is no denial");
    net.dns.set_addresses("origin.svc.test.", 5, &["192.0.2.1"]);
    jump(SECOND).await;
    assert_eq!(net.addresses("origin").await, ["192.0.2.1:1935"]);
}
