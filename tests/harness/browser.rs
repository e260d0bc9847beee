//! Chromium without a window, driven over WebDriver (W3C recommendation), and the web page that it plays on.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::process::Process;
use super::server::free_address;
use super::{http, pause, tools, wait_until};

/// Plays the address that its query names with mpegts.js, and remembers what went wrong.
const PAGE: &str = r#"<!doctype html>
<meta charset="utf-8">
<title>Rillcast</title>
<style>body { margin: 0; background: #222 } video { width: 640px; height: 360px }</style>
<video muted playsinline></video>
<script src="/mpegts.js"></script>
<script>
"use strict";
const video = document.querySelector("video");
const url = new URLSearchParams(location.search).get("url");
const player = mpegts.createPlayer({ type: "flv", isLive: true, url }, { liveBufferLatencyChasing: true });
const errors = [];
player.on(mpegts.Events.ERROR, (...what) => errors.push(what.map(String).join(" ")));
player.on(mpegts.Events.LOADING_COMPLETE, () => errors.push("the stream has ended"));
player.attachMediaElement(video);
player.load();
player.play();
</script>
"#;

const OPTIONS: [&str; 9] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
];

/// Plays the address that its query names with hls.js, once its button is pressed, and remembers what went wrong for good.
const HLS_PAGE: &str = r#"<!doctype html>
<meta charset="utf-8">
<title>Rillcast</title>
<style>body { margin: 0; background: #222 } video { width: 640px; height: 360px; display: block }</style>
<video muted playsinline></video>
<button>play</button>
<script src="/hls.js"></script>
<script>
"use strict";
const video = document.querySelector("video");
const url = new URLSearchParams(location.search).get("url");
const lines = [];
const log = (...words) => { lines.push((performance.now() / 1000).toFixed(2) + " " + words.join(" ")); lines.splice(0, lines.length - 150); };
const hls = new Hls({ debug: { trace: log, debug: log, log, info: log, warn: log, error: log } });
const errors = [];
hls.on(Hls.Events.ERROR, (_, what) => { if (what.fatal) errors.push(what.type + " " + what.details); });
hls.attachMedia(video);
document.querySelector("button").addEventListener("click", () => { hls.loadSource(url); video.play(); });
// What docs/hls.md advises: pictures that stand still for long are looked for at the live edge.
let moved = { time: 0, at: performance.now() };
setInterval(() => {
  if (video.currentTime !== moved.time || video.paused) moved = { time: video.currentTime, at: performance.now() };
  const edge = hls.liveSyncPosition;
  if (performance.now() - moved.at < 10000 || !(edge > 0)) return;
  log("standing still: on to the live edge");
  moved.at = performance.now();
  hls.stopLoad();
  video.currentTime = edge;
  hls.startLoad(edge);
}, 1000);
</script>
"#;

/// What a look at the playing page shows.
#[derive(Debug, Clone)]
pub struct Playback {
    /// Where in the stream it plays, in seconds.
    pub time: f64,
    /// Pictures decoded so far.
    pub pictures: u64,
    /// The width of the pictures.
    pub width: u64,
    /// What the player complained about.
    pub errors: Vec<String>,
}

/// A browser with one page; ends when dropped.
pub struct Browser {
    driver: SocketAddr,
    session: String,
    page: SocketAddr,
    stopped: Arc<AtomicBool>,
    _process: Process,
    _profile: TempDir,
}

impl Browser {
    /// Starts a browser.
    #[track_caller]
    pub fn start() -> Self {
        // Left to choose a port, chromedriver gives up when it is taken in one of the two address families.
        let driver = free_address();
        let mut command = Command::new("chromedriver");
        let process = Process::spawn_group("chromedriver", command.arg(format!("--port={}", driver.port())));
        wait_until("chromedriver listens", || TcpStream::connect(driver).is_ok());
        let profile = tempfile::tempdir().expect("a temporary directory");
        let directory = format!("--user-data-dir={}", profile.path().display());
        let arguments: Vec<&str> = OPTIONS.into_iter().chain([directory.as_str()]).collect();
        let options = json!({ "goog:chromeOptions": { "binary": "/usr/bin/chromium", "args": arguments } });
        let answer = call(driver, "POST", "/session", &json!({ "capabilities": { "alwaysMatch": options } }));
        let session = answer["sessionId"].as_str().expect("a session").to_owned();
        let stopped = Arc::<AtomicBool>::default();
        let page = serve_page(stopped.clone());
        Self { driver, session, page, stopped, _process: process, _profile: profile }
    }

    /// Opens the page and plays a URL there.
    #[track_caller]
    pub fn play(&self, url: &str) {
        let page = format!("http://{}/?url={url}", self.page);
        self.command("url", &json!({ "url": page }));
    }

    /// Opens the page for HLS, and presses play there.
    #[track_caller]
    pub fn play_hls(&self, url: &str) {
        let page = format!("http://{}/hls?url={url}", self.page);
        self.command("url", &json!({ "url": page }));
        let found = self.command("element", &json!({ "using": "css selector", "value": "button" }));
        let button = found.as_object().and_then(|found| found.values().next()).and_then(Value::as_str);
        let button = button.expect("the page has a button");
        self.command(&format!("element/{button}/click"), &json!({}));
    }

    /// Looks at what plays.
    #[track_caller]
    pub fn look(&self) -> Playback {
        let script = "const quality = video.getVideoPlaybackQuality();
            return { time: video.currentTime, pictures: quality.totalVideoFrames, width: video.videoWidth, errors };";
        let seen = self.command("execute/sync", &json!({ "script": script, "args": [] }));
        let errors = seen["errors"].as_array().expect("a list").iter();
        Playback {
            time: seen["time"].as_f64().expect("a number"),
            pictures: seen["pictures"].as_u64().expect("a number"),
            width: seen["width"].as_u64().expect("a number"),
            errors: errors.filter_map(|error| error.as_str().map(str::to_owned)).collect(),
        }
    }

    /// How much of the stream, beyond where it plays, the browser has already.
    #[track_caller]
    pub fn seconds_in_store(&self) -> f64 {
        let script = "const ranges = video.buffered;
            return ranges.length ? ranges.end(ranges.length - 1) - video.currentTime : 0;";
        let seen = self.command("execute/sync", &json!({ "script": script, "args": [] }));
        seen.as_f64().expect("a number")
    }

    /// Writes what the page looks like into a PNG file.
    #[track_caller]
    pub fn take_screenshot(&self, file: &Path) {
        let path = format!("/session/{}/screenshot", self.session);
        let answer = call(self.driver, "GET", &path, &Value::Null);
        let image = decode_base64(answer.as_str().expect("an image"));
        fs::create_dir_all(file.parent().expect("a file in a folder")).expect("the folder is made");
        fs::write(file, image).expect("the screenshot is written");
    }

    /// What hls.js did last, and the playlist as it has it: for whoever reads why a test failed.
    fn explain(&self) {
        let script = "if (typeof hls === 'undefined') return ['no HLS'];
            const ranges = [...Array(video.buffered.length).keys()].map(i => [video.buffered.start(i), video.buffered.end(i)]);
            const fragments = hls.levels.flatMap(level => level.details ? level.details.fragments : []);
            const playlist = fragments.map(one => [one.sn, one.cc, one.start, one.duration, one.programDateTime].join(' '));
            const state = { time: video.currentTime, ready: video.readyState, paused: video.paused, ranges };
            return [...lines, ...playlist, JSON.stringify(state)];";
        let path = format!("/session/{}/execute/sync", self.session);
        match request(self.driver, "POST", &path, &json!({ "script": script, "args": [] })) {
            Ok(answer) => {
                let answer = answer.text();
                let lines: Option<Vec<String>> = serde_json::from_str::<Value>(&answer)
                    .ok()
                    .and_then(|mut answer| serde_json::from_value(answer["value"].take()).ok());
                eprintln!("--- the page:\n{}", lines.map_or(answer, |lines| lines.join("\n")));
            }
            Err(error) => eprintln!("--- the page does not tell: {error}"),
        }
    }

    #[track_caller]
    fn command(&self, name: &str, arguments: &Value) -> Value {
        call(self.driver, "POST", &format!("/session/{}/{name}", self.session), arguments)
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if thread::panicking() {
            self.explain();
        }
        self.stopped.store(true, Ordering::Relaxed);
    }
}

/// One command to the driver; gives the value of its answer.
#[track_caller]
fn call(driver: SocketAddr, method: &str, path: &str, arguments: &Value) -> Value {
    let answer = request(driver, method, path, arguments)
        .unwrap_or_else(|error| panic!("chromedriver does not answer {path}: {error}"));
    let mut json = answer.json();
    assert_eq!(answer.head.status, 200, "{path}: {json}");
    json["value"].take()
}

fn request(driver: SocketAddr, method: &str, path: &str, arguments: &Value) -> std::io::Result<http::Response> {
    let body = if method == "GET" { String::new() } else { arguments.to_string() };
    let head = format!("{method} {path} HTTP/1.1\r\nHost: {driver}\r\nContent-Length: {}\r\n\r\n", body.len());
    http::exchange(driver, format!("{head}{body}").as_bytes(), true)
}

/// Serves the pages and their scripts from one port, each request on a connection of its own.
fn serve_page(stopped: Arc<AtomicBool>) -> SocketAddr {
    let [mpegts, hls] = [("mpegts.js", "dist/mpegts.js"), ("hls.js", "dist/hls.min.js")].map(|(package, file)| {
        let script = fs::read_to_string(tools::node_package(package).join(file));
        Arc::<str>::from(script.unwrap_or_else(|error| panic!("{package}: {error}")))
    });
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    listener.set_nonblocking(true).expect("it can be polled");
    thread::spawn(move || {
        while !stopped.load(Ordering::Relaxed) {
            match listener.accept() {
                Ok((client, _)) => {
                    let (mpegts, hls) = (mpegts.clone(), hls.clone());
                    // Browsers open connections that they then do not use.
                    thread::spawn(move || serve(client, &mpegts, &hls).ok());
                }
                Err(_) => pause(),
            }
        }
    });
    address
}

fn serve(mut client: TcpStream, mpegts: &str, hls: &str) -> std::io::Result<()> {
    client.set_nonblocking(false)?;
    client.set_read_timeout(Some(super::PATIENCE))?;
    let mut head = BufReader::new(client.try_clone()?).lines();
    let request = head.next().transpose()?.unwrap_or_default();
    while head.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let (status, kind, body) = match request.split_whitespace().nth(1) {
        Some("/mpegts.js") => ("200 OK", "text/javascript", mpegts),
        Some("/hls.js") => ("200 OK", "text/javascript", hls),
        Some(path) if path.starts_with("/hls?") => ("200 OK", "text/html", HLS_PAGE),
        Some(path) if path.starts_with("/?") => ("200 OK", "text/html", PAGE),
        _ => ("404 Not Found", "text/plain", ""),
    };
    let length = body.len();
    let head =
        format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    client.write_all(head.as_bytes())?;
    client.write_all(body.as_bytes())
}

/// RFC 4648, section 4.
fn decode_base64(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let (mut bits, mut count) = (0_u32, 0);
    for letter in text.bytes().take_while(|letter| *letter != b'=') {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => panic!("not base64: {letter}"),
        };
        (bits, count) = (bits << 6 | u32::from(value), count + 6);
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count & 0xff) as u8);
        }
    }
    bytes
}
