//! Disks that are full, read-only or gone cost recordings, and never players.

use super::harness::player::{Player, Protocol};
use super::harness::publisher::{Content, Feed, Publisher};
use super::harness::recordings::{config, files, list};
use super::harness::server::Server;
use super::harness::tmpfs::Tmpfs;
use super::harness::wait_until;

const STREAM: &str = "live/disk";

/// 2.5 MB a second, a keyframe each second.
const CONTENT: Content = Content { audio: true, video: true, gop: 25, frame_size: 100_000, first_timestamp: 0 };

struct Scene {
    origin: Server,
    feed: Feed,
    player: Player,
    /// Unmounted last.
    disk: Tmpfs,
}

impl Scene {
    /// An origin that records onto a small disk, a publisher and a player.
    fn start(mebibytes: u32, lines: &str) -> Self {
        let disk = Tmpfs::mount(mebibytes);
        let origin = Server::origin(&config(&disk.path().join("dvr"), lines));
        let feed = Publisher::start_with(&origin, STREAM, CONTENT).feed();
        let player = Player::join(Protocol::Rtmp, &origin, STREAM);
        Self { disk, origin, feed, player }
    }

    fn errors(&self, reason: &str) -> f64 {
        self.origin.metrics().labelled("rillcast_dvr_errors_total", "reason", reason)
    }

    fn recordings_under_way(&self) -> f64 {
        self.origin.metrics().sum("rillcast_dvr_recordings")
    }

    /// The player has had every frame up to now.
    #[track_caller]
    fn players_notice_nothing(&self) {
        self.player.wait_for_frame(self.feed.session, self.feed.last_number());
        self.player.assert_no_frame_missing();
        assert_eq!(self.player.ending(), None);
    }
}

#[test]
fn a_full_disk_ends_recordings_until_there_is_room_and_players_notice_nothing() {
    let scene = Scene::start(32, "");
    wait_until("the stream is recorded", || list(&scene.origin).iter().any(|one| one.bytes > 0));
    let filling = scene.disk.fill(1 << 20);
    wait_until("the disk is full", || scene.errors("full") > 0.0);
    wait_until("nothing is recorded", || scene.recordings_under_way() == 0.0);
    scene.players_notice_nothing();
    let before = list(&scene.origin);
    assert!(before.iter().any(|one| one.is_complete && one.duration_ms > 0), "what was recorded is kept: {before:?}");

    std::fs::remove_file(filling).unwrap();
    wait_until("recording goes on", || list(&scene.origin).iter().any(|one| !one.is_complete && one.bytes > 0));
    scene.players_notice_nothing();
    assert!(scene.origin.metrics().sum("rillcast_dvr_dropped_bytes_total") > 0.0);
    let complaint = |line: &serde_json::Value| line["fields"]["message"] == "cannot record";
    let is_said = || scene.origin.log().iter().any(|line| complaint(line) && line["fields"]["reason"] == "full");
    wait_until("it is said", is_said);
}

#[test]
fn a_read_only_disk_ends_recordings_until_it_takes_writes_again() {
    // Nothing is recorded while it is remounted: a file that is open for writing forbids that.
    let disk = Tmpfs::mount(32);
    disk.set_read_only(true);
    let origin = Server::origin(&config(&disk.path().join("dvr"), ""));
    let feed = Publisher::start_with(&origin, STREAM, CONTENT).feed();
    let player = Player::join(Protocol::Rtmp, &origin, STREAM);
    let scene = Scene { disk, origin, feed, player };
    wait_until("the disk takes nothing", || scene.errors("read_only") > 0.0);
    scene.players_notice_nothing();
    scene.disk.set_read_only(false);
    wait_until("recording goes on", || list(&scene.origin).iter().any(|one| one.bytes > 0));
    scene.players_notice_nothing();
}

#[test]
fn a_floor_of_free_space_is_kept_by_deleting_the_oldest_recordings() {
    let scene = Scene::start(32, "min_free = \"16MiB\"\nplan = \"segment\"\nduration = \"1s\"");
    let deleted = || scene.origin.metrics().labelled("rillcast_dvr_deleted_files_total", "reason", "space");
    wait_until("some recordings had to go", || deleted() >= 3.0);
    scene.players_notice_nothing();
    let left = list(&scene.origin);
    let bytes: u64 = files(&scene.disk.path().join("dvr"))
        .iter()
        .filter_map(|path| path.metadata().ok())
        .map(|file| file.len())
        .sum();
    assert!(bytes < 17 << 20, "{bytes} bytes, {left:?}");
    assert_eq!(scene.origin.metrics().sum("rillcast_dvr_dropped_bytes_total"), 0.0, "recording went on all the time");
}

#[test]
fn a_floor_that_cannot_be_kept_ends_recording_and_leaves_other_files_alone() {
    let disk = Tmpfs::mount(32);
    let filling = disk.fill(8 << 20);
    let length = filling.metadata().unwrap().len();
    let origin = Server::origin(&config(&disk.path().join("dvr"), "min_free = \"16MiB\""));
    let feed = Publisher::start_with(&origin, STREAM, CONTENT).feed();
    let player = Player::join(Protocol::Rtmp, &origin, STREAM);
    let scene = Scene { disk, origin, feed, player };
    wait_until("nothing is recorded", || scene.errors("full") > 0.0);
    scene.players_notice_nothing();
    assert_eq!(files(scene.disk.path()), std::slice::from_ref(&filling));
    assert_eq!(filling.metadata().unwrap().len(), length);
}

#[test]
fn a_directory_that_disappears_is_made_again() {
    let scene = Scene::start(64, "plan = \"segment\"\nduration = \"1s\"");
    wait_until("the stream is recorded", || list(&scene.origin).len() > 1);
    std::fs::remove_dir_all(scene.disk.path().join("dvr")).unwrap();
    let of_now = |path: &std::path::Path| path.exists();
    wait_until("recording goes on", || {
        list(&scene.origin).iter().any(|one| one.is_complete && one.bytes > 0 && of_now(&one.path))
    });
    scene.players_notice_nothing();
}
