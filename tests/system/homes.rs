//! Origins that share their names: a stream published to any of them is found from each, and a name has one publisher.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use rillcast::auth::{ClusterKey, Mark};
use rillcast::cluster::rank::rank;
use rillcast::config::Secret;
use rillcast::rtmp::{ClientEvent, Goal};
use rustix::process::Signal;

use super::harness::client::Client;
use super::harness::dns::DnsServer;
use super::harness::player::{Player, Protocol};
use super::harness::publisher::{Content, Publisher};
use super::harness::server::{Server, free_address};
use super::harness::{PATIENCE, wait_at_most, wait_for, wait_until};

const KEY: &str = "correct horse battery staple";
const BAD_NAME: &str = "NetStream.Publish.BadName";
const NOT_FOUND: &str = "NetStream.Play.StreamNotFound";

/// Three origins with the same ports on addresses of their own, as pods have them.
struct Cluster {
    origins: Vec<Server>,
    ports: [u16; 3],
}

impl Cluster {
    #[track_caller]
    fn start(config: &str) -> Self {
        let ports = [free_address(), free_address(), free_address()].map(|address| address.port());
        let mut cluster = Self { origins: Vec::new(), ports };
        let peers: Vec<String> = (0..3).map(|number| format!("\"{}\"", cluster.address(number, 0))).collect();
        let config = format!("{config}\n[cluster]\nkey = \"{KEY}\"\npeers = [{}]\n", peers.join(", "));
        for number in 0..3 {
            let listen = [0, 1, 2].map(|port| cluster.address(number, port));
            cluster.origins.push(Server::origin_at(listen, &config));
        }
        cluster.wait_for_links();
        cluster
    }

    fn address(&self, number: u8, port: usize) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 1, number + 1)), self.ports[port])
    }

    #[track_caller]
    fn wait_for_links(&self) {
        for origin in &self.origins {
            wait_until("every origin is linked to the others", || origin.metrics().sum("rillcast_peers") == 2.0);
        }
    }

    /// The numbers of the origins in the order in which the stream ranks them.
    fn ranked(&self, stream: &str) -> [usize; 3] {
        let mut ranked: Vec<(usize, String)> =
            (0..3).map(|number| (usize::from(number), self.address(number, 0).to_string())).collect();
        rank(stream, &mut ranked, |(_, key)| key);
        [ranked[0].0, ranked[1].0, ranked[2].0]
    }

    fn rtmp(&self) -> Vec<SocketAddr> {
        self.origins.iter().map(|origin| origin.rtmp).collect()
    }

    fn sum(&self, metric: &str) -> f64 {
        self.origins.iter().map(|origin| origin.metrics().sum(metric)).sum()
    }

    fn redirects(&self) -> f64 {
        let redirects =
            |origin: &Server| origin.metrics().labelled("rillcast_disconnects_total", "reason", "redirected");
        self.origins.iter().map(redirects).sum()
    }
}

fn edge(origins: &[SocketAddr], config: &str) -> Server {
    Server::edge(origins, &format!("[cluster]\nkey = \"{KEY}\"\n{config}"))
}

/// A mark as an edge with the key makes it, about a publish session if there is one.
fn mark(key: Option<&str>, session: Option<&str>) -> String {
    let key = key.map(|key| ClusterKey::new(&Secret::new(key)));
    let mark = Mark { session: session.map(str::to_owned), ..Mark::of_pull("a-test") };
    mark.to_text(key.as_ref(), SystemTime::now())
}

/// A server that publishes `name` in a session.
fn publish(server: SocketAddr, name: &str, session: &str) -> Client {
    ask(server, &mark(Some(KEY), Some(session)), Goal::Publish { name: name.to_owned() })
}

/// A server that asks for something.
fn ask(server: SocketAddr, mark: &str, goal: Goal) -> Client {
    Client::connected(server, "live", goal, Some(mark))
}

fn has_started(client: &mut Client) -> bool {
    matches!(client.next_event(), Ok(ClientEvent::Started { .. }))
}

#[test]
fn a_stream_published_to_any_origin_is_found_with_one_redirect_at_most() {
    let cluster = Cluster::start("");
    let names = ["live/a", "live/b", "live/c"];
    let feeds: Vec<_> =
        names.iter().zip(&cluster.origins).map(|(name, origin)| Publisher::start(origin, name).feed()).collect();
    let http = format!("[upstream]\nprotocol = \"http-flv\"\nhttp_port = {}\n", cluster.ports[1]);
    let over_http =
        format!("origins = [{}]\n", cluster.rtmp().iter().map(|a| format!("\"{a}\"")).collect::<Vec<_>>().join(", "));
    let mut edges = vec![edge(&cluster.rtmp(), ""), edge(&[], &format!("{http}{over_http}"))];
    // An edge that sees one address only, as behind a virtual IP.
    edges.extend(cluster.rtmp().iter().map(|origin| edge(&[*origin], "")));
    for edge in &edges {
        for (name, feed) in names.iter().zip(&feeds) {
            let player = Player::join(Protocol::Rtmp, edge, name);
            player.wait_for_frame(feed.session, feed.last_number());
        }
        let upstream = |name| edge.stream(name).map(|stream| stream["upstream"]["address"].clone());
        let is_at_home = |(name, origin): (_, &Server)| {
            upstream(name).is_some_and(|at| at == origin.rtmp.to_string() || at == origin.http.to_string())
        };
        assert!(names.into_iter().zip(&cluster.origins).all(is_at_home), "shown is who sends, not who has redirected");
        let connects = edge.metrics().by_label("rillcast_upstream_connects_total", "result");
        assert_eq!(connects["connected"], 3.0, "{connects:?}");
        assert_eq!(connects["not_found"] + connects["failed"] + connects["refused"], 0.0, "{connects:?}");
    }
    assert!(cluster.redirects() <= (edges.len() * names.len()) as f64);
    assert!(cluster.redirects() >= 6.0, "who asks one origin is redirected to the two others");
}

#[test]
fn an_absent_stream_is_asked_for_at_one_origin_only() {
    let cluster = Cluster::start("");
    let edge = edge(&cluster.rtmp(), "[play]\nplay_wait = \"1s\"\n");
    let player = Player::join(Protocol::Rtmp, &edge, "live/nobody");
    assert_eq!(player.answer(), Err(NOT_FOUND.to_owned()));
    let home = cluster.ranked("live/nobody")[0];
    for (number, origin) in cluster.origins.iter().enumerate() {
        let pulls = origin.metrics().labelled("rillcast_marks_total", "result", "verified");
        // Each of the three has looked who is there.
        assert!(if number == home { pulls > 3.0 } else { pulls == 3.0 }, "origin {number}: {pulls}, home is {home}");
    }
}

#[test]
fn a_name_has_one_publisher_in_the_whole_cluster_and_is_free_when_it_leaves() {
    let cluster = Cluster::start("");
    let [_, second, third] = cluster.ranked("live/one");
    let publisher = Publisher::start(&cluster.origins[third], "live/one");
    for origin in &cluster.origins {
        let refused = Publisher::attempt(origin.rtmp, "live/one", Content::default()).err();
        assert_eq!(refused.as_deref(), Some(BAD_NAME));
    }
    assert!(cluster.sum("rillcast_stream_conflicts_total") >= 3.0);
    assert!(cluster.sum("rillcast_leases") >= 1.0);
    publisher.close();
    let _next = Publisher::start_when_free(&cluster.origins[second], "live/one");
}

#[test]
fn of_two_publishers_that_race_on_two_origins_exactly_one_wins() {
    let cluster = Cluster::start("");
    let origins = cluster.rtmp();
    thread::scope(|scope| {
        let race = |number: usize| {
            let name = format!("live/race-{number}");
            let attempts: Vec<_> = (0..2)
                .map(|side| {
                    let (origin, name) = (origins[(number + side) % 3], name.clone());
                    scope.spawn(move || Publisher::attempt(origin, &name, Content::default()))
                })
                .collect();
            attempts
        };
        for attempts in (0..12).map(race).collect::<Vec<_>>() {
            let results: Vec<_> = attempts.into_iter().map(|attempt| attempt.join().unwrap()).collect();
            let refusals: Vec<_> = results.iter().filter_map(|result| result.as_ref().err()).collect();
            assert_eq!(refusals, [BAD_NAME]);
        }
    });
    assert_eq!(cluster.sum("rillcast_stream_conflicts_total"), 12.0);
}

#[test]
fn where_publishers_replace_each_other_the_later_one_wins_on_another_origin_too() {
    let cluster = Cluster::start("[publish]\non_conflict = \"replace\"\n");
    let [home, second, third] = cluster.ranked("live/replaced");
    let mut last: Option<Publisher> = None;
    for number in [third, second, home, third] {
        let next = Publisher::start(&cluster.origins[number], "live/replaced");
        if let Some(last) = last.replace(next) {
            last.wait_for_close();
            assert!(last.statuses().iter().any(|status| status == BAD_NAME), "{:?}", last.statuses());
        }
    }
    assert!(!last.unwrap().is_closed());
}

#[test]
fn a_session_that_comes_another_way_takes_its_name_over() {
    let cluster = Cluster::start("");
    let [_, second, third] = cluster.ranked("live/moved");
    let mut ghost = publish(cluster.origins[third].rtmp, "moved", "one-session");
    assert!(has_started(&mut ghost));
    let mut moved = publish(cluster.origins[second].rtmp, "moved", "one-session");
    assert!(has_started(&mut moved));
    assert!(matches!(ghost.next_event(), Ok(ClientEvent::Ended { code }) if code == BAD_NAME));
    let mut other = publish(cluster.origins[third].rtmp, "moved", "another-session");
    assert!(matches!(other.next_event(), Ok(ClientEvent::Refused { code, .. }) if code == BAD_NAME));
}

#[test]
fn when_the_home_dies_streams_go_on_and_are_found_and_names_still_have_one_publisher() {
    let mut cluster = Cluster::start("");
    let [home, second, third] = cluster.ranked("live/orphan");
    let feed = Publisher::start(&cluster.origins[third], "live/orphan").feed();
    let early = edge(&cluster.rtmp(), "");
    let player = Player::join(Protocol::Rtmp, &early, "live/orphan");
    player.wait_for_frame(feed.session, feed.last_number());

    cluster.origins[home].kill();
    let begin = Instant::now();
    let late = edge(&cluster.rtmp(), "");
    let newcomer = Player::join(Protocol::Rtmp, &late, "live/orphan");
    newcomer.wait_for_frame(feed.session, feed.last_number());
    println!("found {:?} after its home was killed", begin.elapsed());
    let refused = Publisher::attempt(cluster.origins[second].rtmp, "live/orphan", Content::default()).err();
    assert_eq!(refused.as_deref(), Some(BAD_NAME));
    player.wait_for_frame(feed.session, feed.last_number());
    player.assert_no_frame_missing();

    cluster.origins[home].restart();
    cluster.wait_for_links();
    let refused = Publisher::attempt(cluster.origins[home].rtmp, "live/orphan", Content::default()).err();
    assert_eq!(refused.as_deref(), Some(BAD_NAME));
    let latest = edge(&[cluster.origins[home].rtmp], "");
    Player::join(Protocol::Rtmp, &latest, "live/orphan").wait_for_frame(feed.session, feed.last_number());
    player.assert_no_frame_missing();
}

#[test]
fn when_the_holder_dies_its_name_is_free_at_once_and_players_find_the_new_one() {
    let mut cluster = Cluster::start("");
    let [_, second, third] = cluster.ranked("live/again");
    let feed = Publisher::start(&cluster.origins[third], "live/again").feed();
    let edge = edge(&cluster.rtmp(), "");
    let player = Player::join(Protocol::Rtmp, &edge, "live/again");
    player.wait_for_frame(feed.session, feed.last_number());
    cluster.origins[third].kill();
    let next = Publisher::start_when_free(&cluster.origins[second], "live/again").feed();
    player.wait_for_frame(next.session, next.last_number());
    player.assert_monotonic();
}

#[test]
fn two_holders_that_did_not_see_each_other_are_one_soon_after_they_do() {
    let views = [DnsServer::start(), DnsServer::start()];
    let ports = [free_address(), free_address(), free_address()].map(|address| address.port());
    let address = |number: u8, port: usize| SocketAddr::from(([127, 0, 1, number + 1], ports[port]));
    let origins: Vec<Server> = (0..2)
        .map(|number| {
            let ip = address(number, 0).ip().to_string();
            views[usize::from(number)].set_addresses("origins.test.", 1, &[&ip]);
            let dns = views[usize::from(number)].address();
            let config = format!(
                "[cluster]\nkey = \"{KEY}\"\npeers = [\"origins.test.:{}\"]\n[dns]\nnameservers = [\"{dns}\"]\n",
                ports[0]
            );
            Server::origin_at([0, 1, 2].map(|port| address(number, port)), &config)
        })
        .collect();
    let publishers = [0, 1].map(|number| Publisher::start(&origins[number], "live/split"));

    let both = [0, 1].map(|number| address(number, 0).ip().to_string());
    for view in &views {
        view.set_addresses("origins.test.", 1, &[&both[0], &both[1]]);
    }
    let healed = Instant::now();
    wait_at_most(PATIENCE, "one of the two has to go", || publishers.iter().any(Publisher::is_closed));
    println!("settled {:?} after both could see each other", healed.elapsed());
    // The later one, whoever was asked first.
    assert!(publishers[1].statuses().iter().any(|status| status == BAD_NAME));
    assert!(!publishers[0].is_closed());
    let found = edge(&[origins[1].rtmp], "");
    let mut winner = publishers.into_iter().next().unwrap();
    winner.push(25);
    let player = Player::join(Protocol::Rtmp, &found, "live/split");
    player.expect_media();
}

#[test]
fn an_origin_with_another_key_is_no_peer() {
    let ports = [free_address(), free_address(), free_address()].map(|address| address.port());
    let address = |number: u8, port: usize| SocketAddr::from(([127, 0, 1, number + 1], ports[port]));
    let keys = [KEY, "quite another horse's battery"];
    let origins: Vec<Server> = (0..2)
        .map(|number| {
            let config = format!(
                "[cluster]\nkey = \"{}\"\npeers = [\"{}\", \"{}\"]\n",
                keys[usize::from(number)],
                address(0, 0),
                address(1, 0)
            );
            Server::origin_at([0, 1, 2].map(|port| address(number, port)), &config)
        })
        .collect();
    for origin in &origins {
        wait_for("the stranger is noticed", || {
            origin.log().into_iter().find(|line| line["fields"]["message"] == "cannot link to a peer")
        });
        assert_eq!(origin.metrics().sum("rillcast_peers"), 0.0);
    }
    // Each is on its own.
    let _publishers = [0, 1].map(|number| Publisher::start(&origins[number], "live/own"));
}

#[test]
fn nobody_is_told_where_a_stream_is_who_has_not_proved_to_be_a_server() {
    let cluster = Cluster::start("[play]\nplay_wait = \"1s\"\n");
    let [home, _, third] = cluster.ranked("live/secret");
    let _feed = Publisher::start(&cluster.origins[third], "live/secret").feed();
    let goal = || Goal::Play { name: "secret".to_owned() };

    let mut verified = ask(cluster.origins[home].rtmp, &mark(Some(KEY), None), goal());
    assert!(verified.acknowledgement.take().is_some_and(|acknowledgement| acknowledgement.has_peers));
    match verified.next_event() {
        Ok(ClientEvent::Refused { redirect: Some(url), .. }) => {
            assert_eq!(url, format!("rtmp://{}/live/secret", cluster.origins[third].rtmp));
        }
        other => panic!("play was answered by {other:?}"),
    }

    let mut unsigned = ask(cluster.origins[home].rtmp, &mark(None, None), goal());
    assert_eq!(unsigned.acknowledgement, None, "who proves nothing is a client");
    match unsigned.next_event() {
        Ok(ClientEvent::Refused { redirect, code, .. }) => assert_eq!((redirect, code.as_str()), (None, NOT_FOUND)),
        other => panic!("play was answered by {other:?}"),
    }
    let player = Player::join(Protocol::Rtmp, &cluster.origins[home], "live/secret");
    assert_eq!(player.answer(), Err(NOT_FOUND.to_owned()));
    drop((verified, unsigned));
    wait_until("the one redirect is counted", || cluster.redirects() == 1.0);
    let keyless = Server::edge(&cluster.rtmp(), "");
    Player::join(Protocol::Rtmp, &keyless, "live/secret").expect_media();
}

#[test]
fn an_origin_that_stands_still_delays_publishers_only_shortly() {
    let cluster = Cluster::start("");
    let name = (0..).map(|number| format!("live/still-{number}")).find(|name| cluster.ranked(name)[0] == 0).unwrap();
    cluster.origins[0].signal(Signal::STOP);
    let begin = Instant::now();
    let _publisher = Publisher::start(&cluster.origins[1], &name);
    println!("a name whose home stands still is granted after {:?}", begin.elapsed());
    assert!(begin.elapsed() < Duration::from_secs(10));
    let refused = Publisher::attempt(cluster.origins[2].rtmp, &name, Content::default()).err();
    assert_eq!(refused.as_deref(), Some(BAD_NAME));
    cluster.origins[0].signal(Signal::CONT);
}

#[test]
fn a_draining_origin_waits_for_no_peer_and_not_for_itself() {
    let drain = "[drain]\npropagation_delay = \"0s\"\nsoft_timeout = \"0s\"\nwindow = \"0s\"\nhard_timeout = \"1h\"\n";
    let mut cluster = Cluster::start(drain);
    for origin in &mut cluster.origins {
        origin.signal(Signal::TERM);
        assert_eq!(origin.wait_for_exit(), Some(0));
    }
}

#[test]
fn a_pull_waits_for_a_publisher_that_is_on_its_way() {
    let cluster = Cluster::start("");
    let name = (0..).map(|number| format!("on-its-way-{number}")).find(|name| {
        let ranked = cluster.ranked(&format!("live/{name}"));
        ranked[0] == 0
    });
    let name = name.unwrap();
    // The home says nothing, so that it takes its time until the name is granted.
    cluster.origins[0].signal(Signal::STOP);
    let address = cluster.origins[1].rtmp;
    let publisher = {
        let name = name.clone();
        thread::spawn(move || {
            let mut publisher = publish(address, &name, "one");
            let has_started = has_started(&mut publisher);
            (publisher, has_started)
        })
    };
    wait_until("the origin is asked for the name", || {
        cluster.origins[1].log().iter().any(|line| line["fields"]["message"] == "a publisher asks for the name")
    });
    let mark = mark(Some(KEY), None);
    let mut pull = ask(address, &mark, Goal::Play { name });
    assert!(has_started(&mut pull), "the pull is not refused");
    assert!(publisher.join().unwrap().1);
    cluster.origins[0].signal(Signal::CONT);
}
