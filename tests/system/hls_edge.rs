//! HLS from an origin and through an edge of ours: the same files, each fetched once, as players and caches want them.

use std::collections::HashSet;
use std::process::Command;
use std::thread;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::harness::ffmpeg::{self, Tracks};
use super::harness::http::{self, Response};
use super::harness::origins::Origins;
use super::harness::process::Process;
use super::harness::server::Server;
use super::harness::{PATIENCE, wait_at_most, wait_for, wait_until};

const STREAM: &str = "live/hls";
const PLAYLIST: &str = "/live/hls.m3u8";
const SHORT: &str = "[hls]\nfragment = \"1s\"\nwindow = \"10s\"\n";

struct Bench {
    origin: Server,
    edge: Server,
    _publisher: Process,
}

impl Bench {
    #[track_caller]
    fn start(edge: &str) -> Self {
        let origin = Server::origin(SHORT);
        let publisher = ffmpeg::publish(Tracks::Both, &origin.rtmp_url(STREAM));
        let upstream = format!("[upstream]\nhttp_port = {}\n{edge}", origin.http.port());
        let edge = Server::edge(&[origin.rtmp], &upstream);
        Self { origin, edge, _publisher: publisher }
    }

    /// Segments that the edge has a playlist of.
    #[track_caller]
    fn segments(&self, at_least: usize) -> Vec<String> {
        segments_of(&playlist(&self.edge, at_least))
    }
}

#[track_caller]
fn playlist(server: &Server, at_least: usize) -> Response {
    wait_for("there is a playlist", || {
        let response = server.hls(STREAM);
        (response.head.status == 200 && segments_of(&response).len() >= at_least).then_some(response)
    })
}

fn segments_of(playlist: &Response) -> Vec<String> {
    let text = playlist.text();
    text.lines().filter(|line| line.ends_with(".ts")).map(|line| format!("/live/{line}")).collect()
}

/// What curl prints.
#[track_caller]
fn curl(arguments: &[&str]) -> String {
    let output = Command::new("curl").args(["--silent", "--show-error", "--max-time", "20"]).args(arguments).output();
    let output = output.expect("curl starts");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn an_origin_s_playlist_plays_there_and_at_an_edge_that_opens_no_pull() {
    let bench = Bench::start("");
    for server in [&bench.origin, &bench.edge] {
        playlist(server, 3);
        let url = format!("http://{}{PLAYLIST}", server.http);
        assert_eq!(ffmpeg::probe_codecs(&url), Tracks::Both.codecs());
    }
    assert_eq!(bench.edge.metrics().sum("rillcast_upstream_pulls"), 0.0);
}

#[test]
fn a_segment_is_the_same_at_origin_and_edge() {
    let bench = Bench::start("");
    for path in bench.segments(2) {
        let [here, there] = [&bench.edge, &bench.origin].map(|server| http::get(server.http, &path));
        assert_eq!((here.head.status, there.head.status), (200, 200), "{path}");
        assert!(here.body == there.body, "{path}");
        assert_eq!(here.head.header("etag"), there.head.header("etag"));
    }
}

#[test]
fn a_hundred_viewers_of_an_edge_make_one_request_a_segment_of_its_origin() {
    let bench = Bench::start("");
    let wanted = bench.segments(4);
    thread::scope(|scope| {
        for _ in 0..100 {
            scope.spawn(|| {
                for segment in &wanted {
                    assert_eq!(http::get(bench.edge.http, segment).head.status, 200, "{segment}");
                }
            });
        }
    });
    let sent = sent_segments(&bench.origin);
    assert_eq!(sent, wanted.len() as f64, "of {} segments", wanted.len());
    assert_eq!(sent_segments(&bench.edge), 100.0 * wanted.len() as f64);
}

fn sent_segments(server: &Server) -> f64 {
    let text = server.admin("/metrics").text();
    let name = "rillcast_hls_requests_total{file=\"segment\",result=\"sent\"} ";
    text.lines().find_map(|line| line.strip_prefix(name)?.parse().ok()).expect("it is counted from the start")
}

#[test]
fn files_may_be_kept_and_asked_for_again_and_in_part() {
    let bench = Bench::start("");
    let segment = bench.segments(2).remove(0);
    for server in [&bench.origin, &bench.edge] {
        let whole = http::get(server.http, &segment);
        let etag = whole.head.header("etag").expect("it has a tag").to_owned();
        assert_eq!(whole.head.header("cache-control"), Some("public, max-age=31536000, immutable"));
        assert_eq!(whole.head.header("content-type"), Some("video/mp2t"));
        assert_eq!(whole.head.header("access-control-allow-origin"), Some("*"));
        assert_eq!(whole.head.header("vary"), None, "all clients get the same");
        let ask = |method: &str, path: &str, header: &str| {
            let head = format!("{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{header}\r\n");
            http::exchange(server.http, head.as_bytes(), method != "HEAD").unwrap()
        };
        let known = ask("GET", &segment, &format!("If-None-Match: {etag}\r\n"));
        assert_eq!((known.head.status, known.body.len()), (304, 0));
        let part = ask("GET", &segment, "Range: bytes=188-375\r\n");
        assert_eq!((part.head.status, &*part.body), (206, &whole.body[188..376]));
        let beyond = ask("GET", &segment, "Range: bytes=999999999-\r\n");
        assert_eq!(beyond.head.status, 416);
        let head = ask("HEAD", &segment, "");
        let length = head.head.header("content-length").map(str::to_owned);
        assert_eq!((head.head.status, length), (200, Some(whole.body.len().to_string())));
        let playlist = ask("GET", PLAYLIST, "");
        assert!(playlist.head.header("cache-control").is_some_and(|value| value.starts_with("public, max-age=")));
        assert_eq!(playlist.head.header("content-type"), Some("application/vnd.apple.mpegurl"));
        assert_eq!(ask("POST", PLAYLIST, "").head.status, 405);
    }
}

#[test]
fn http_2_with_prior_knowledge_serves_files_and_refuses_streams_without_end() {
    let bench = Bench::start("");
    let segment = bench.segments(2).remove(0);
    let url = |path: &str| format!("http://{}{path}", bench.edge.http);
    let told = "%{http_version} %{http_code} %{size_download}";
    let size = http::get(bench.edge.http, &segment).body.len();
    let ask = |more: &[&str]| {
        curl(&[&["--http2-prior-knowledge", "--output", "/dev/null", "--write-out", told], more].concat())
    };
    assert_eq!(ask(&[&url(&segment)]), format!("2 200 {size}"));
    assert_eq!(ask(&["--range", "0-187", &url(&segment)]), "2 206 188");
    assert_eq!(ask(&["--head", &url(&segment)]), "2 200 0");
    assert!(ask(&[&url("/live/hls.flv")]).starts_with("2 505 "));
    assert!(ask(&[&url("/")]).starts_with("2 404 "));
}

#[test]
fn one_http_2_connection_serves_many_requests_at_a_time() {
    let bench = Bench::start("");
    let segment = bench.segments(2).remove(0);
    let size = http::get(bench.edge.http, &segment).body.len();
    let url = format!("http://{}{segment}", bench.edge.http);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(bench.edge.http).await.unwrap();
        let (sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let mut asked = tokio::task::JoinSet::new();
        for _ in 0..200 {
            let mut sender = sender.clone();
            let request = hyper::Request::get(&url).body(Empty::<Bytes>::new()).unwrap();
            asked.spawn(async move {
                sender.ready().await.unwrap();
                let response = sender.send_request(request).await.unwrap();
                response.into_body().collect().await.unwrap().to_bytes().len()
            });
        }
        while let Some(length) = asked.join_next().await {
            assert_eq!(length.unwrap(), size);
        }
    });
}

#[test]
fn an_http_2_peer_that_asks_for_too_much_is_bounded() {
    let bench = Bench::start("");
    let url = format!("http://{}{PLAYLIST}", bench.edge.http);
    let long = format!("X-Long: {}", "a".repeat(60_000));
    let output = Command::new("curl")
        .args([
            "--silent",
            "--http2-prior-knowledge",
            "--max-time",
            "10",
            "--output",
            "/dev/null",
            "--write-out",
            "%{http_code}",
        ])
        .args(["--header", &long, &url])
        .output()
        .unwrap();
    assert_ne!(String::from_utf8_lossy(&output.stdout), "200");
    playlist(&bench.edge, 1);
}

#[test]
fn viewers_count_as_players_until_they_are_silent() {
    let bench = Bench::start("");
    playlist(&bench.edge, 2);
    let players = || bench.edge.metrics().labelled("rillcast_players", "protocol", "hls");
    assert_eq!(players(), 1.0);
    let stream = bench.edge.stream(STREAM).expect("the API shows what is watched");
    assert_eq!(stream["clients"], 1);
    assert_eq!(bench.origin.metrics().labelled("rillcast_players", "protocol", "hls"), 0.0, "an edge is no viewer");
    wait_until("the viewer is gone", || players() == 0.0);
    assert!(bench.edge.metrics().labelled("rillcast_egress_bytes_total", "protocol", "hls") > 0.0);
}

#[test]
fn beyond_max_players_new_viewers_are_refused_and_others_go_on() {
    let bench = Bench::start("[limits]\nmax_players = 1\n");
    playlist(&bench.edge, 1);
    let ask = |player: &str| {
        let head = format!("GET {PLAYLIST} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nUser-Agent: {player}\r\n\r\n");
        http::exchange(bench.edge.http, head.as_bytes(), true).unwrap().head
    };
    // The one who has waited for the playlist is forgotten in a while.
    wait_until("there is room", || ask("one").status == 200);
    let refused = ask("other");
    assert_eq!((refused.status, refused.header("retry-after").is_some()), (503, true));
    assert_eq!(ask("one").status, 200);
}

#[test]
fn names_that_no_file_may_have_are_refused() {
    let bench = Bench::start("");
    playlist(&bench.edge, 1);
    for server in [&bench.origin, &bench.edge] {
        for path in [
            "/live/../hls.m3u8",
            "/live/%2e%2e/hls.m3u8",
            "/hls.m3u8",
            "/live/hls/../../etc/passwd.ts",
            "/live/hls/-1.ts",
            "/live/hls/01.ts",
            "/live/hls/1.ts.ts",
            "/live/hls/18446744073709551616.ts",
            "/live/a%00b.m3u8",
            "/live/%ff.m3u8",
            "/live/hls.m3u8/",
        ] {
            let status = http::get(server.http, path).head.status;
            assert!((400..=404).contains(&status), "{path}: {status}");
        }
    }
}

#[test]
fn players_of_an_edge_see_no_error_when_their_stream_goes_on_at_another_origin() {
    let mut origins = Origins::start(SHORT);
    let edge = origins.edge("");
    let publisher = ffmpeg::publish(Tracks::Both, &origins.each[0].rtmp_url(STREAM));
    let before: HashSet<String> = segments_of(&playlist(&edge, 2)).into_iter().collect();
    origins.each[0].kill();
    drop(publisher);
    let _publisher = ffmpeg::publish(Tracks::Both, &origins.each[1].rtmp_url(STREAM));
    let mut sequence = 0;
    wait_at_most(2 * PATIENCE, "new segments come from the other origin", || {
        let response = edge.hls(STREAM);
        assert_eq!(response.head.status, 200, "{}", response.text());
        let now = media_sequence(&response);
        assert!(now >= sequence, "numbers never fall: {now} after {sequence}");
        sequence = now;
        let fresh: Vec<String> = segments_of(&response).into_iter().filter(|name| !before.contains(name)).collect();
        fresh.len() >= 3 && fresh.iter().all(|path| http::get(edge.http, path).head.status == 200)
    });
}

fn media_sequence(playlist: &Response) -> u64 {
    let text = playlist.text();
    let number = text.lines().find_map(|line| line.strip_prefix("#EXT-X-MEDIA-SEQUENCE:")?.parse().ok());
    number.expect("a playlist counts its segments")
}

#[test]
fn a_stream_is_found_at_whichever_origin_has_it() {
    let origins = Origins::start(SHORT);
    let edge = origins.edge("");
    let _publishers: Vec<Process> = ["live/a", "live/b", "live/c"]
        .into_iter()
        .enumerate()
        .map(|(index, name)| ffmpeg::publish(Tracks::Video, &origins.each[index % 2].rtmp_url(name)))
        .collect();
    for name in ["live/a", "live/b", "live/c"] {
        wait_until(&format!("{name} is found"), || edge.hls(name).head.status == 200);
    }
}

#[test]
fn an_edge_that_drains_answers_on_connections_that_are_open_and_then_ends() {
    const SLOW: &str =
        "[drain]\npropagation_delay = \"5s\"\nsoft_timeout = \"5s\"\nwindow = 0\nhard_timeout = \"20s\"\n";
    let mut bench = Bench::start(SLOW);
    let segment = bench.segments(2).remove(0);
    bench.edge.signal(rustix::process::Signal::TERM);
    wait_until("the edge drains", || bench.edge.admin("/readyz").head.status == 503);
    assert_eq!(http::get(bench.edge.http, &segment).head.status, 200, "until nobody sends any here");
    assert_eq!(bench.edge.wait_for_exit(), Some(0));
}
