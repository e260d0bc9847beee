use std::net::Ipv4Addr;
use std::time::Duration;

use futures_util::future::BoxFuture;
use http::header::{CACHE_CONTROL, IF_NONE_MATCH, IF_RANGE, RANGE};
use http_body_util::BodyExt;
use tokio_util::sync::CancellationToken;

use crate::auth::{Mark, Verifier};
use crate::cluster::place::TlsPorts;
use crate::config::{Config, Live, Role};
use crate::drain::{Drain, Times};
use crate::hls::{File, Freshness, Library, MediaType};
use crate::hooks::Hooks;
use crate::hub::{Dispatchers, Hub, Limits, StreamSettings};
use crate::media::stream_key::StreamKey;
use crate::metrics::Metrics;
use crate::serve::marks::Marks;
use crate::sessions::Sessions;

use super::*;

const SEGMENT: &[u8] = b"0123456789";
const PLAYLIST: &[u8] = b"#EXTM3U\n";
const TARGET: Duration = Duration::from_secs(4);

/// A playlist and one segment; every other stream is absent for the reason that its name says.
struct Shelf;

impl Library for Shelf {
    fn find<'a>(&'a self, resource: &'a Resource) -> BoxFuture<'a, Result<Object, Absent>> {
        Box::pin(async move {
            match resource.key.stream() {
                "x" => {}
                "not-yet" => return Err(Absent::NotYet),
                "full" => return Err(Absent::Full),
                "odd" => return Err(Absent::Unsupported("MPEG-TS carries no Opus".to_owned())),
                "unreachable" => return Err(Absent::Unreachable),
                "never" => return std::future::pending().await,
                _ => return Err(Absent::NoStream),
            }
            match resource.file {
                File::Playlist => Ok(Object {
                    bytes: Bytes::from_static(PLAYLIST),
                    media_type: MediaType::Playlist,
                    etag: "\"p\"".to_owned(),
                    freshness: Freshness::Changing { max_age: TARGET / 2, target: TARGET },
                }),
                File::TransportStream(1) => Ok(Object {
                    bytes: Bytes::from_static(SEGMENT),
                    media_type: MediaType::TransportStream,
                    etag: "\"s\"".to_owned(),
                    freshness: Freshness::Immutable,
                }),
                _ => Err(Absent::Gone),
            }
        })
    }
}

struct Bench {
    context: ServeContext,
    standing: Option<Standing>,
}

/// What a client sees of an answer.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    status: u16,
    body: Vec<u8>,
    reason: Reason,
    headers: HeaderMap,
}

impl Seen {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

impl Bench {
    fn new() -> Self {
        let metrics = Arc::<Metrics>::default();
        let (dispatchers, _) = Dispatchers::new(1);
        let hub = Hub::new(Box::new(|_| StreamSettings::default()), 1 << 30, Arc::clone(&metrics), dispatchers);
        let zero = Duration::ZERO;
        let times = Times { propagation_delay: zero, soft_timeout: zero, window: zero, hard_timeout: zero };
        let context = ServeContext {
            tls_ports: TlsPorts::default(),
            hub,
            config: Live::new(Config::defaults(Role::Origin)),
            metrics: Arc::clone(&metrics),
            node: "a".to_owned(),
            marks: Marks::new(Verifier::new(None), metrics),
            cluster: None,
            hls: Some(Arc::new(Shelf)),
            sessions: Sessions::new(),
            hooks: Hooks::none(),
            drain: Drain::new(times),
            stop: CancellationToken::new(),
        };
        Self { context, standing: None }
    }

    async fn ask(&self, method: Method, path: &str, headers: &[(http::HeaderName, &str)]) -> Seen {
        let mut request = Request::builder().method(method).uri(format!("/{path}"));
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        let request = request.body(()).unwrap();
        let resource = Resource::parse(path).unwrap().unwrap();
        let client = Client {
            peer: (Ipv4Addr::LOCALHOST, 1).into(),
            is_tls: false,
            progress: Progress::new(),
            standing: self.standing.as_ref(),
        };
        let (response, reason) = answer(&self.context, client, &resource, &request).await;
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes().to_vec();
        Seen { status: head.status.as_u16(), body, reason, headers: head.headers }
    }

    async fn get(&self, path: &str) -> Seen {
        self.ask(Method::GET, path, &[]).await
    }

    fn players(&self) -> i64 {
        self.context.metrics.players(Protocol::Hls).get()
    }
}

#[tokio::test]
async fn a_playlist_may_be_kept_for_half_a_segment() {
    let seen = Bench::new().get("live/x.m3u8").await;
    assert_eq!((seen.status, &*seen.body, seen.reason), (200, PLAYLIST, Reason::Done));
    assert_eq!(seen.header("content-type"), Some("application/vnd.apple.mpegurl"));
    assert_eq!(seen.header("cache-control"), Some("public, max-age=2"));
    assert_eq!(seen.header("etag"), Some("\"p\""));
    assert_eq!(seen.header("accept-ranges"), None);
}

#[tokio::test]
async fn a_segment_may_be_kept_for_ever() {
    let seen = Bench::new().get("live/x/1.ts").await;
    assert_eq!((seen.status, &*seen.body), (200, SEGMENT));
    assert_eq!(seen.header("content-type"), Some("video/mp2t"));
    assert_eq!(seen.header("cache-control"), Some("public, max-age=31536000, immutable"));
    assert_eq!(seen.header("accept-ranges"), Some("bytes"));
    assert_eq!(seen.header("content-length"), Some("10"));
}

#[tokio::test]
async fn a_head_tells_the_length_and_sends_nothing() {
    let seen = Bench::new().ask(Method::HEAD, "live/x/1.ts", &[(RANGE, "bytes=0-1")]).await;
    assert_eq!((seen.status, seen.body.len(), seen.header("content-length")), (200, 0, Some("10")));
}

#[tokio::test]
async fn what_the_client_has_is_not_sent_again() {
    let bench = Bench::new();
    for (path, etag) in [("live/x.m3u8", "\"p\""), ("live/x/1.ts", "W/\"s\"")] {
        let seen = bench.ask(Method::GET, path, &[(IF_NONE_MATCH, etag)]).await;
        assert_eq!((seen.status, seen.body.len()), (304, 0));
        assert!(seen.header("etag").is_some() && seen.header("cache-control").is_some());
    }
    assert_eq!(bench.ask(Method::GET, "live/x/1.ts", &[(IF_NONE_MATCH, "\"o\"")]).await.status, 200);
}

#[tokio::test]
async fn a_part_of_a_segment_is_sent_alone() {
    let bench = Bench::new();
    let seen = bench.ask(Method::GET, "live/x/1.ts", &[(RANGE, "bytes=2-4")]).await;
    assert_eq!((seen.status, &*seen.body, seen.header("content-range")), (206, &b"234"[..], Some("bytes 2-4/10")));
    let seen = bench.ask(Method::GET, "live/x/1.ts", &[(RANGE, "bytes=10-")]).await;
    assert_eq!((seen.status, seen.header("content-range")), (416, Some("bytes */10")));
    let seen = bench.ask(Method::GET, "live/x.m3u8", &[(RANGE, "bytes=2-4")]).await;
    assert_eq!((seen.status, &*seen.body), (200, PLAYLIST));
}

#[tokio::test]
async fn a_part_of_another_version_is_not_sent() {
    let bench = Bench::new();
    for (tag, status) in [("\"s\"", 206), ("\"o\"", 200), ("W/\"s\"", 200), ("Sat, 21 Nov 2026 16:00:00 GMT", 200)] {
        let seen = bench.ask(Method::GET, "live/x/1.ts", &[(RANGE, "bytes=2-4"), (IF_RANGE, tag)]).await;
        assert_eq!(seen.status, status, "{tag}");
    }
}

#[tokio::test]
async fn what_is_not_there_is_told_with_its_reason_and_kept_only_briefly() {
    let bench = Bench::new();
    for (path, status, line) in [
        ("live/nobody.m3u8", 404, "nobody publishes the stream\n"),
        ("live/odd.m3u8", 404, "MPEG-TS carries no Opus\n"),
        ("live/x/2.ts", 404, "there is no such segment any more\n"),
        ("live/not-yet.m3u8", 503, "the stream has only just begun\n"),
        ("live/full.m3u8", 503, "the server has no memory left for the segments of another stream\n"),
        ("live/unreachable.m3u8", 503, "no origin can be reached\n"),
    ] {
        let seen = bench.get(path).await;
        assert_eq!((seen.status, std::str::from_utf8(&seen.body).unwrap()), (status, line), "{path}");
        assert_eq!(seen.header("cache-control"), Some("public, max-age=1"), "{path}");
        assert_eq!(seen.header("retry-after"), (status == 503).then_some("1"), "{path}");
    }
    assert_eq!(bench.players(), 0);
}

#[tokio::test]
async fn a_viewer_is_a_player_and_a_server_that_fetches_is_none() {
    let mut bench = Bench::new();
    bench.standing = Some(Standing::Unsigned(Mark::of_pull("edge")));
    bench.get("live/x.m3u8").await;
    assert_eq!(bench.players(), 0);
    bench.standing = None;
    for _ in 0..3 {
        bench.get("live/x.m3u8").await;
        bench.get("live/x/1.ts").await;
    }
    assert_eq!(bench.players(), 1);
    let [stream] = bench.context.hub.streams().try_into().unwrap();
    assert_eq!(stream.sent_bytes, 3 * (PLAYLIST.len() + SEGMENT.len()) as u64);
    assert_eq!(stream.key, StreamKey::from_path("live/x").unwrap());
}

#[tokio::test]
async fn a_viewer_for_whom_there_is_no_room_is_told_when_to_come_back() {
    let bench = Bench::new();
    bench.context.hub.limit(Limits { players: Some(1), egress: None });
    let player = |name| [(http::header::USER_AGENT, name)];
    assert_eq!(bench.ask(Method::GET, "live/x.m3u8", &player("one")).await.status, 200);
    let seen = bench.ask(Method::GET, "live/x.m3u8", &player("other")).await;
    assert_eq!((seen.status, seen.reason), (503, Reason::TooManyPlayers));
    assert!(seen.header("retry-after").is_some());
    assert_eq!(bench.ask(Method::GET, "live/x.m3u8", &player("one")).await.status, 200);
}

#[tokio::test]
async fn egress_is_counted_as_it_leaves() {
    let bench = Bench::new();
    bench.ask(Method::GET, "live/x/1.ts", &[(RANGE, "bytes=0-3")]).await;
    bench.ask(Method::HEAD, "live/x/1.ts", &[]).await;
    assert_eq!(bench.context.metrics.egress_bytes(Protocol::Hls).get(), 4);
    let requests = |result| bench.context.metrics.hls_files.requests(FileKind::Segment, result).get();
    assert_eq!((requests(FileResult::Sent), requests(FileResult::Absent)), (2, 0));
}

#[tokio::test]
async fn who_waits_for_a_playlist_when_the_server_stops_is_told_so() {
    let bench = Bench::new();
    bench.context.stop.cancel();
    let seen = bench.get("live/never.m3u8").await;
    assert_eq!((seen.status, seen.reason), (503, Reason::Shutdown));
    assert_eq!(seen.headers.get(CACHE_CONTROL), None, "it is kept by nobody");
}
