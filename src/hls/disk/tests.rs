use std::fs;
use std::path::Path;
use std::sync::mpsc::Receiver;

use bytes::Bytes;
use tempfile::TempDir;

use super::*;
use crate::hls::memory::Memory;
use crate::hls::segment::{Body, Entry, Initialisation};
use crate::hooks::Hooks;

const FIRST: u64 = 869_765_236;
const KEEP: Keep = Keep { length: Duration::from_secs(6), cleanup: true };

fn key(path: &str) -> StreamKey {
    StreamKey::from_path(path).unwrap()
}

fn body(metrics: &Metrics, bytes: &[u8]) -> Body {
    let memory = Memory::new(1 << 30, metrics.hls.memory_bytes.clone());
    Body::new(Bytes::copy_from_slice(bytes), memory.charge(bytes.len()))
}

/// The `nth` segment, of two seconds.
fn packed(metrics: &Metrics, nth: u64, initialisation: Option<u64>) -> Packed {
    let bytes = format!("segment {nth}");
    let entry = Entry {
        number: FIRST + nth,
        duration_ms: 2_000,
        date_ms: 1_795_278_309_042 + nth * 2_000,
        is_discontinuous: false,
        discontinuities: FIRST,
        is_independent: true,
        initialisation: initialisation.map(|nth| FIRST + nth),
        bytes: bytes.len(),
    };
    let initialisation =
        entry.initialisation.map(|number| Arc::new(Initialisation { number, body: body(metrics, b"initialisation") }));
    let segment = Arc::new(Segment { entry, body: body(metrics, bytes.as_bytes()), initialisation });
    Packed { segment, is_first: nth == 0, target_s: 2 }
}

/// A directory, and the disk that writes to it.
struct Bench {
    directory: TempDir,
    disk: Disk,
    metrics: Arc<Metrics>,
}

impl Bench {
    fn start() -> Self {
        Self::start_with(tempfile::tempdir().unwrap(), Hls::default())
    }

    fn start_with(directory: TempDir, hls: Hls) -> Self {
        let metrics = Arc::new(Metrics::new());
        let hls = Hls { path: Some(directory.path().join("hls")), ..hls };
        let disk = Disk::start(&hls, Arc::clone(&metrics), Hooks::none()).unwrap().unwrap();
        Self { directory, disk, metrics }
    }

    fn put(&self, key: &StreamKey, numbers: impl IntoIterator<Item = u64>) {
        let volume = self.disk.volume(key.clone(), KEEP);
        numbers.into_iter().for_each(|nth| volume.put(&packed(&self.metrics, nth, None)));
    }

    /// Waits until all is done that was asked for.
    async fn finish(&self) {
        self.disk.stop(Duration::from_secs(60)).await;
    }

    fn read(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.directory.path().join("hls").join(path)).ok()
    }

    fn errors(&self, reason: HlsDiskError) -> u64 {
        self.metrics.hls.disk_errors(reason).get()
    }
}

/// All files below a directory, in order.
fn files(directory: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut directories = vec![directory.to_owned()];
    while let Some(at) = directories.pop() {
        for entry in fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else {
                found.push(path.strip_prefix(directory).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

/// The numbers that a playlist names, and the one it begins with.
fn listed(text: &str) -> (u64, Vec<u64>) {
    let playlist = m3u8_rs::parse_media_playlist_res(text.as_bytes()).unwrap();
    let number = |uri: &str| uri.rsplit('/').next()?.split('.').next()?.parse::<u64>().ok();
    let numbers = playlist.segments.iter().map(|segment| number(&segment.uri).unwrap() - FIRST);
    (playlist.media_sequence - FIRST, numbers.collect())
}

#[tokio::test]
async fn a_playlist_names_segments_that_are_there() {
    let bench = Bench::start();
    bench.put(&key("live/a b"), 0..5);
    bench.finish().await;
    let text = bench.read("live/a b.m3u8").unwrap();
    assert_eq!(listed(&text), (2, vec![2, 3, 4]));
    assert!(text.contains(&format!("\na%20b/{}.ts\n", FIRST + 2)), "{text}");
    assert_eq!(bench.read(&format!("live/a b/{}.ts", FIRST + 2)).as_deref(), Some("segment 2"));
    assert_eq!(bench.metrics.hls.disk_segments.get(), 5);
}

#[tokio::test]
async fn fragments_have_their_initialisation() {
    let bench = Bench::start();
    let volume = bench.disk.volume(key("live/x"), KEEP);
    volume.put(&packed(&bench.metrics, 0, Some(0)));
    volume.put(&packed(&bench.metrics, 1, Some(0)));
    bench.finish().await;
    let text = bench.read("live/x.m3u8").unwrap();
    assert!(text.contains(&format!("#EXT-X-MAP:URI=\"x/{FIRST}.mp4\"")), "{text}");
    assert_eq!(bench.read(&format!("live/x/{FIRST}.mp4")).as_deref(), Some("initialisation"));
    assert!(bench.read(&format!("live/x/{}.m4s", FIRST + 1)).is_some());
}

#[tokio::test]
async fn an_ended_playlist_says_so() {
    let bench = Bench::start();
    bench.put(&key("live/x"), 0..2);
    bench.disk.volume(key("live/x"), KEEP).end();
    bench.finish().await;
    assert!(bench.read("live/x.m3u8").unwrap().ends_with("#EXT-X-ENDLIST\n"));
}

#[tokio::test]
async fn a_disposed_stream_leaves_nothing_and_others_everything() {
    let bench = Bench::start();
    bench.put(&key("live/x"), 0..3);
    bench.put(&key("live/x/y"), 0..1);
    bench.disk.volume(key("live/x"), KEEP).dispose();
    bench.finish().await;
    let left = files(&bench.directory.path().join("hls"));
    assert_eq!(left, ["live/x/y.m3u8".to_owned(), format!("live/x/y/{FIRST}.ts")]);
}

#[tokio::test]
async fn what_a_segment_is_missing_before_is_not_in_the_playlist() {
    let bench = Bench::start();
    bench.put(&key("live/x"), [0, 1, 3, 4]);
    bench.finish().await;
    assert_eq!(listed(&bench.read("live/x.m3u8").unwrap()), (3, vec![3, 4]));
}

#[tokio::test]
async fn a_directory_that_cannot_be_written_to_is_counted_and_tried_again() {
    let directory = tempfile::tempdir().unwrap();
    let in_the_way = directory.path().join("hls");
    fs::write(&in_the_way, "a file").unwrap();
    let bench = Bench::start_with(directory, Hls::default());
    bench.put(&key("live/x"), 0..2);
    // Whatever is sent later is done later.
    while bench.errors(HlsDiskError::Failed) < 2 {
        tokio::task::yield_now().await;
    }
    fs::remove_file(&in_the_way).unwrap();
    bench.put(&key("live/x"), 2..4);
    bench.finish().await;
    assert_eq!(listed(&bench.read("live/x.m3u8").unwrap()), (2, vec![2, 3]));
}

#[tokio::test]
async fn a_second_stream_with_the_same_names_of_files_is_not_written() {
    let hls = Hls { m3u8_file: "[stream].m3u8".parse().unwrap(), ..Hls::default() };
    let bench = Bench::start_with(tempfile::tempdir().unwrap(), hls);
    bench.put(&key("one/x"), 0..1);
    bench.put(&key("two/x"), 0..1);
    bench.finish().await;
    assert_eq!(bench.errors(HlsDiskError::Name), 1);
    assert!(bench.read("x.m3u8").unwrap().contains("one/x/"));
}

#[tokio::test]
async fn a_name_that_no_file_can_have_is_counted() {
    let bench = Bench::start();
    bench.put(&key(&format!("live/{}", "x".repeat(300))), 0..1);
    bench.put(&key("live/x"), 0..1);
    bench.finish().await;
    assert_eq!(bench.errors(HlsDiskError::Name), 1);
    assert!(bench.read("live/x.m3u8").is_some());
}

/// A disk whose thread does nothing, as one does that is stuck in a system call.
fn stuck() -> (Disk, Arc<Metrics>, Receiver<Job>) {
    let metrics = Arc::new(Metrics::new());
    let (jobs, queue) = mpsc::channel();
    let waiting = Waiting::default();
    let shared = Shared { jobs, waiting, metrics: Arc::clone(&metrics), logged_at: Mutex::new(None) };
    (Disk { shared: Arc::new(shared) }, metrics, queue)
}

#[tokio::test]
async fn a_disk_that_is_stuck_takes_a_bounded_number_of_segments_and_holds_nobody_up() {
    let (disk, metrics, queue) = stuck();
    let volume = disk.volume(key("live/x"), KEEP);
    for nth in 0..QUEUE_SEGMENTS as u64 + 10 {
        volume.put(&packed(&metrics, nth, None));
    }
    assert_eq!(metrics.hls.disk_errors(HlsDiskError::Slow).get(), 10);
    assert_eq!(queue.try_iter().count(), QUEUE_SEGMENTS);
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_is_stuck_is_not_waited_for_at_the_end() {
    let (disk, _metrics, _queue) = stuck();
    disk.stop(Duration::from_secs(1)).await;
}

#[tokio::test]
async fn what_an_earlier_process_has_left_goes_and_what_is_not_ours_stays() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("hls");
    let ours = [
        format!("live/x/{FIRST}.ts"),
        format!("live/x/{FIRST}.mp4"),
        "live/x.m3u8".to_owned(),
        "live/x/.rillcast-0a1b2c3d-7.tmp".to_owned(),
    ];
    let others = ["live/x/1.ts", "live/film.m3u8", "live/x/notes.txt", "index.html"];
    fs::create_dir_all(root.join("live/x")).unwrap();
    for path in ours.iter().map(String::as_str).chain(others) {
        fs::write(root.join(path), "#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:0\n").unwrap();
    }
    fs::write(root.join("live/x.m3u8"), format!("#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:{FIRST}\n")).unwrap();
    let hls = Hls { dispose: Duration::ZERO, window: Duration::ZERO, ..Hls::default() };
    let bench = Bench::start_with(directory, hls);
    bench.finish().await;
    let mut expected = others.map(str::to_owned);
    expected.sort();
    assert_eq!(files(&root), expected);
}

#[tokio::test]
async fn what_players_may_still_read_of_an_earlier_process_stays() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(format!("hls/live/x/{FIRST}.ts"));
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, "segment").unwrap();
    let bench = Bench::start_with(directory, Hls::default());
    bench.finish().await;
    assert!(path.exists());
}

#[tokio::test]
async fn nothing_is_removed_without_cleanup() {
    let hls = Hls { dispose: Duration::ZERO, window: Duration::ZERO, cleanup: false, ..Hls::default() };
    let directory = tempfile::tempdir().unwrap();
    let left = directory.path().join(format!("hls/live/y/{FIRST}.ts"));
    fs::create_dir_all(left.parent().unwrap()).unwrap();
    fs::write(&left, "segment").unwrap();
    let bench = Bench::start_with(directory, hls);
    let volume = bench.disk.volume(key("live/x"), Keep { cleanup: false, ..KEEP });
    (0..9).for_each(|nth| volume.put(&packed(&bench.metrics, nth, None)));
    volume.dispose();
    bench.finish().await;
    assert!(left.exists());
    assert!((0..9).all(|nth| bench.read(&format!("live/x/{}.ts", FIRST + nth)).is_some()));
}
