use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, Live, Role, Upstream};
use crate::net::dns::Names;

use super::*;

const OURS: &str = "Rillcast-Mark: v=1;node=origin-0;version=1;peers=0\r\n";
const OURS_WITH_PEERS: &str = "Rillcast-Mark: v=1;node=origin-0;version=1;peers=1\r\n";

/// What an origin answers to a path: the status line's code, header lines, and the body.
type Answers = Box<dyn Fn(&str) -> (u16, String, Vec<u8>) + Send + Sync>;

/// An origin on a loopback address of its own.
struct Origin {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    answers: Arc<Mutex<Answers>>,
    is_mute: Arc<AtomicBool>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Origin {
    /// The first origin of a test chooses the port, which all share: an edge knows one for all.
    async fn start(number: u8, port: u16, answers: Answers) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::new(127, 0, 0, number), port)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let answers = Arc::new(Mutex::new(answers));
        let is_mute = Arc::<AtomicBool>::default();
        let (asked_there, answers_there, mute_there) = (asked.clone(), answers.clone(), is_mute.clone());
        let accepting = tokio::spawn(async move {
            let mut clients = tokio::task::JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                clients.spawn(serve(client, asked_there.clone(), answers_there.clone(), mute_there.clone()));
            }
        });
        Self { address, asked, answers, is_mute, accepting }
    }

    fn answer(&self, answers: impl Fn(&str) -> (u16, String, Vec<u8>) + Send + Sync + 'static) {
        *self.answers.lock() = Box::new(answers);
    }

    fn asked_for(&self, end: &str) -> usize {
        self.asked.lock().iter().filter(|path| path.ends_with(end)).count()
    }

    async fn kill(self) {
        self.accepting.abort();
        let _ = self.accepting.await;
    }
}

async fn serve(
    mut client: TcpStream,
    asked: Arc<Mutex<Vec<String>>>,
    answers: Arc<Mutex<Answers>>,
    is_mute: Arc<AtomicBool>,
) {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let Ok(byte) = client.read_u8().await else { return };
            head.push(byte);
        }
        let head = String::from_utf8(head).unwrap();
        let path = head.split_whitespace().nth(1).unwrap().to_owned();
        assert!(head.to_ascii_lowercase().contains("rillcast-mark: v=1;node=edge"), "{head}");
        asked.lock().push(path.clone());
        while is_mute.load(Ordering::SeqCst) {
            sleep(Duration::from_millis(10)).await;
        }
        let (status, headers, body) = answers.lock()(&path);
        let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n{headers}\r\n", body.len());
        if client.write_all(&[head.as_bytes(), &body].concat()).await.is_err() {
            return;
        }
    }
}

/// A playlist of ours of one segment each second, up to the given one.
fn playlist(last: u64) -> Vec<u8> {
    format!(
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:{}\n#EXTINF:1,\nx/{}.ts\n#EXTINF:1,\nx/{last}.ts\n",
        last - 1,
        last - 1
    )
    .into_bytes()
}

/// An origin of ours that has `live/x` up to a segment.
fn ours(last: u64) -> Answers {
    Box::new(move |path| match path {
        "/live/x.m3u8" => (200, OURS.to_owned(), playlist(last)),
        _ if path.ends_with(".ts") => (200, format!("{OURS}ETag: \"{path}\"\r\n"), path.as_bytes().to_vec()),
        _ => absent(OURS),
    })
}

fn absent(ours: &str) -> (u16, String, Vec<u8>) {
    (404, ours.to_owned(), format!("{}\n", Absent::NoStream).into_bytes())
}

fn nothing() -> Answers {
    Box::new(|_| absent(OURS))
}

struct Edge {
    relay: HlsRelay,
    metrics: Arc<Metrics>,
}

impl Edge {
    fn new(origins: &[&Origin], resume_timeout: Duration) -> Self {
        let metrics = Arc::<Metrics>::default();
        let settings = Upstream {
            origins: origins.iter().map(|origin| origin.address.to_string().parse().unwrap()).collect(),
            http_port: origins[0].address.port(),
            resume_timeout,
            ..Upstream::default()
        };
        let names = Names::new(&[], Arc::clone(&metrics)).unwrap();
        let stop = CancellationToken::new();
        let mut config = Config::defaults(Role::Edge);
        config.upstream = settings;
        let config = Live::new(config);
        let context = PullContext::new(config, names, Arc::clone(&metrics), "edge".to_owned(), None, stop);
        Self { relay: HlsRelay::new(Arc::new(context), 1 << 20), metrics }
    }

    async fn get(&self, path: &str) -> Result<Object, Absent> {
        let resource = Resource::parse(path).unwrap().unwrap();
        self.relay.find(&resource).await
    }

    fn relayed(&self, file: FileKind, result: RelayResult) -> u64 {
        self.metrics.hls_files.relayed(file, result).get()
    }
}

const RESUME: Duration = Duration::from_secs(60);

/// Asks until the playlist tells of a segment.
async fn wait_for_segment(edge: &Edge, number: u64) {
    loop {
        let text = edge.get("live/x.m3u8").await.expect("players see no error").bytes;
        if String::from_utf8(text.to_vec()).unwrap().contains(&format!("x/{number}.ts")) {
            return;
        }
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_crowd_that_asks_for_a_segment_makes_one_request_of_it() {
    let origin = Origin::start(1, 0, ours(8)).await;
    let edge = Edge::new(&[&origin], RESUME);
    origin.is_mute.store(true, Ordering::SeqCst);
    let resource = Resource::parse("live/x/7.ts").unwrap().unwrap();
    let crowd: Vec<_> = (0..100)
        .map(|_| {
            let (relay, resource) = (edge.relay.clone(), resource.clone());
            tokio::spawn(async move { relay.find(&resource).await })
        })
        .collect();
    // Whoever asked first leaves while it waits.
    while origin.asked.lock().is_empty() {
        sleep(Duration::from_millis(5)).await;
    }
    crowd[0].abort();
    origin.is_mute.store(false, Ordering::SeqCst);
    for viewer in crowd.into_iter().skip(1) {
        assert_eq!(&*viewer.await.unwrap().unwrap().bytes, b"/live/x/7.ts");
    }
    assert_eq!((origin.asked_for("/7.ts"), origin.asked_for(".m3u8")), (1, 1));
    edge.get("live/x/7.ts").await.unwrap();
    assert_eq!(origin.asked_for("/7.ts"), 1);
    assert_eq!(edge.relayed(FileKind::Segment, RelayResult::Fetched), 1);
    assert_eq!(edge.relayed(FileKind::Segment, RelayResult::Merged), 99);
}

#[tokio::test]
async fn a_playlist_is_asked_for_again_after_half_a_segment_and_a_segment_never() {
    let origin = Origin::start(1, 0, ours(8)).await;
    let edge = Edge::new(&[&origin], RESUME);
    for _ in 0..20 {
        edge.get("live/x.m3u8").await.unwrap();
    }
    assert_eq!(origin.asked_for(".m3u8"), 1);
    origin.answer(ours(9));
    wait_for_segment(&edge, 9).await;
    let object = edge.get("live/x/9.ts").await.unwrap();
    assert_eq!((object.etag.as_str(), object.freshness), ("\"/live/x/9.ts\"", Freshness::Immutable));
}

#[tokio::test]
async fn what_is_nowhere_is_not_asked_for_by_each_of_a_crowd() {
    let origin = Origin::start(1, 0, nothing()).await;
    let edge = Edge::new(&[&origin], RESUME);
    for _ in 0..50 {
        assert_eq!(edge.get("live/x.m3u8").await, Err(Absent::NoStream));
    }
    let asked = origin.asked_for(".m3u8");
    assert!(asked <= 3, "{asked} requests");
    sleep(MISSED_FOR * 2).await;
    origin.answer(ours(8));
    edge.get("live/x.m3u8").await.unwrap();
}

#[tokio::test]
async fn players_see_no_error_while_the_stream_moves_to_another_origin() {
    let first = Origin::start(1, 0, ours(8)).await;
    let other = Origin::start(2, first.address.port(), nothing()).await;
    let edge = Edge::new(&[&first, &other], RESUME);
    wait_for_segment(&edge, 8).await;
    first.kill().await;
    for _ in 0..5 {
        edge.get("live/x.m3u8").await.expect("the latest one is served on");
        sleep(Duration::from_millis(200)).await;
    }
    assert!(edge.relayed(FileKind::Playlist, RelayResult::Stale) > 0);
    other.answer(ours(20));
    wait_for_segment(&edge, 20).await;
    edge.get("live/x/20.ts").await.unwrap();
}

#[tokio::test]
async fn players_are_moved_to_a_new_playlist_once_it_lasts_a_target_duration() {
    let origin = Origin::start(1, 0, ours(8)).await;
    let edge = Edge::new(&[&origin], RESUME);
    wait_for_segment(&edge, 8).await;
    let before = edge.get("live/x.m3u8").await.unwrap();
    let fetched = || edge.relayed(FileKind::Playlist, RelayResult::Fetched);
    let short = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:50\n#EXTINF:1,\nx/50.ts\n";
    origin.answer(move |_| (200, OURS.to_owned(), short.as_bytes().to_vec()));
    let asked = fetched();
    while fetched() < asked + 2 {
        assert_eq!(edge.get("live/x.m3u8").await.unwrap().bytes, before.bytes);
        sleep(Duration::from_millis(50)).await;
    }
    origin.answer(ours(51));
    wait_for_segment(&edge, 51).await;
}

#[tokio::test]
async fn a_stream_that_does_not_come_back_is_absent_in_the_end() {
    let origin = Origin::start(1, 0, ours(8)).await;
    let edge = Edge::new(&[&origin], Duration::from_secs(2));
    wait_for_segment(&edge, 8).await;
    origin.answer(|_| absent(OURS));
    while edge.get("live/x.m3u8").await.is_ok() {
        sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(edge.get("live/x.m3u8").await, Err(Absent::NoStream));
}

#[tokio::test]
async fn an_origin_that_keeps_an_old_playlist_does_not_hide_the_one_where_the_stream_goes_on() {
    let old = Origin::start(1, 0, ours(8)).await;
    let new = Origin::start(2, old.address.port(), nothing()).await;
    let edge = Edge::new(&[&old, &new], RESUME);
    wait_for_segment(&edge, 8).await;
    new.answer(ours(50));
    wait_for_segment(&edge, 50).await;
}

#[tokio::test]
async fn a_playlist_of_playlists_that_stays_the_same_makes_nobody_else_be_asked() {
    let origin = Origin::start(
        1,
        0,
        Box::new(|_| {
            let text = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nx.m3u8\n";
            (200, format!("{OURS}Cache-Control: public, max-age=1\r\n"), text.as_bytes().to_vec())
        }),
    )
    .await;
    let other = Origin::start(2, origin.address.port(), nothing()).await;
    let edge = Edge::new(&[&origin, &other], RESUME);
    while origin.asked.lock().len() < 6 {
        edge.get("live/x.m3u").await.unwrap();
        sleep(Duration::from_millis(50)).await;
    }
    assert!(other.asked.lock().len() <= 1, "{:?}", other.asked.lock());
}

#[tokio::test]
async fn who_has_the_stream_is_remembered_once_an_origin_has_told_it() {
    let holder = Origin::start(2, 0, ours(8)).await;
    let address = holder.address;
    let home = Origin::start(
        1,
        address.port(),
        Box::new(move |path| (302, format!("{OURS_WITH_PEERS}Location: http://{address}{path}\r\n"), Vec::new())),
    )
    .await;
    let edge = Edge::new(&[&home], RESUME);
    wait_for_segment(&edge, 8).await;
    edge.get("live/x/8.ts").await.unwrap();
    edge.get("live/x/7.ts").await.unwrap();
    assert_eq!((home.asked.lock().len(), holder.asked_for(".ts")), (1, 2));
}

#[tokio::test]
async fn a_redirect_to_another_file_is_not_followed() {
    let victim = Origin::start(2, 0, ours(8)).await;
    let address = victim.address;
    let origin = Origin::start(
        1,
        address.port(),
        Box::new(move |_| (302, format!("Location: http://{address}/secret\r\n"), Vec::new())),
    )
    .await;
    let edge = Edge::new(&[&origin], RESUME);
    assert_eq!(edge.get("live/x.m3u8").await, Err(Absent::Unreachable));
    assert!(victim.asked.lock().is_empty());
}

#[tokio::test]
async fn an_origin_that_speaks_for_its_peers_is_believed() {
    let home = Origin::start(1, 0, Box::new(|_| absent(OURS_WITH_PEERS))).await;
    let edge = Edge::new(&[&home], RESUME);
    assert_eq!(edge.get("live/x.m3u8").await, Err(Absent::NoStream));
}

#[tokio::test]
async fn why_there_is_no_playlist_is_passed_on() {
    let origin = Origin::start(1, 0, Box::new(|_| (404, OURS.to_owned(), b"MPEG-TS carries no Opus\n".to_vec()))).await;
    let edge = Edge::new(&[&origin], RESUME);
    let told = edge.get("live/x.m3u8").await;
    assert_eq!(told, Err(Absent::Unsupported("MPEG-TS carries no Opus".to_owned())));
    origin.answer(|_| (503, OURS.to_owned(), format!("{}\n", Absent::NotYet).into_bytes()));
    sleep(MISSED_FOR * 2).await;
    assert_eq!(edge.get("live/x.m3u8").await, Err(Absent::NotYet));
}

#[tokio::test]
async fn a_dead_origin_costs_no_more_than_another_one_to_ask() {
    let dead = Origin::start(1, 0, nothing()).await;
    dead.is_mute.store(true, Ordering::SeqCst);
    let port = dead.address.port();
    let live = Origin::start(2, port, ours(8)).await;
    let edge = Edge::new(&[&dead, &live], RESUME);
    edge.get("live/x.m3u8").await.unwrap();
    edge.get("live/x/8.ts").await.unwrap();
}

#[tokio::test]
async fn segments_of_a_foreign_origin_are_those_that_its_playlist_names() {
    let text = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:1,\nx-0.ts?hls_ctx=1\n";
    let origin = Origin::start(
        1,
        0,
        Box::new(move |path| match path {
            "/live/x.m3u8" => (200, String::new(), text.as_bytes().to_vec()),
            "/live/x-0.ts?hls_ctx=1" => (200, String::new(), b"media".to_vec()),
            _ => (404, String::new(), Vec::new()),
        }),
    )
    .await;
    let edge = Edge::new(&[&origin], RESUME);
    let playlist = edge.get("live/x.m3u8").await.unwrap();
    let playlist = std::str::from_utf8(&playlist.bytes).unwrap();
    let segment = playlist.lines().find(|line| line.ends_with(".ts")).unwrap();
    let object = edge.get(&format!("live/{segment}")).await.unwrap();
    assert_eq!(&*object.bytes, b"media");
    assert_ne!(object.freshness, Freshness::Immutable);
    assert_eq!(edge.get("live/x/0.ts").await, Err(Absent::Gone));
    // An edge that knows nothing yet finds the same segment by the playlist.
    let other = Edge::new(&[&origin], RESUME);
    assert_eq!(&*other.get(&format!("live/{segment}")).await.unwrap().bytes, b"media");
    assert!(origin.asked.lock().iter().all(|path| path.starts_with("/live/x")));
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_not_taken() {
    let origin = Origin::start(1, 0, Box::new(|_| (200, OURS.to_owned(), vec![b'#'; (1 << 20) + 1]))).await;
    let edge = Edge::new(&[&origin], RESUME);
    assert_eq!(edge.get("live/x.m3u8").await, Err(Absent::Unreachable));
}

#[tokio::test]
async fn segments_are_kept_up_to_a_number_of_bytes() {
    let segment = |path: &str| (200, OURS.to_owned(), [path.as_bytes(), &[0; 100 << 10]].concat());
    let origin = Origin::start(
        1,
        0,
        Box::new(move |path| if path.ends_with(".ts") { segment(path) } else { (200, OURS.to_owned(), playlist(8)) }),
    )
    .await;
    let edge = Edge::new(&[&origin], RESUME);
    for number in 0..50 {
        edge.get(&format!("live/x/{number}.ts")).await.unwrap();
    }
    edge.relay.forget_unused();
    let kept = edge.metrics.hls_files.cache_bytes.get();
    assert!((500 << 10..=1 << 20).contains(&kept), "{kept}");
}
