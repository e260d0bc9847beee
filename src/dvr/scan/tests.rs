use std::sync::Arc;

use crate::dvr::bench::{Bench, frame, frames_in, key, keyframe, video_header};
use crate::dvr::library::{Filter, Page};
use crate::dvr::writer::{Batch, Writer};
use crate::hub::Identity;

use super::*;

fn record(bench: &Bench, packets: u64) -> Writer {
    let settings = Arc::new(bench.config.current().dvr_for("live"));
    let mut writer = Writer::new(bench.library.clone(), key(), Identity::random(), settings);
    let frames = (0..packets).map(|tick| if tick % 10 == 0 { keyframe(tick * 100) } else { frame(tick * 100) });
    let packets = std::iter::once(video_header()).chain(frames).collect();
    writer.write(Batch { packets, bytes: 0, settled: true, since_ms: 1_577_836_800_000 });
    writer
}

fn all(library: &Library) -> Page {
    library.list(&Filter::default(), 0, 1_000)
}

/// What a server finds that is started on the same directory.
fn restarted(bench: Bench) -> Bench {
    let Bench { directory, library, .. } = bench;
    drop(library);
    let bench = Bench::at(directory, "");
    scan(&bench.library);
    bench
}

#[test]
fn a_server_that_starts_finds_every_recording_as_it_was() {
    for format in ["flv", "fmp4"] {
        let bench = Bench::new(&format!("format = \"{format}\""));
        drop(record(&bench, 20));
        drop(record(&bench, 30));
        let before = all(&bench.library);
        if format == "flv" {
            assert_eq!(before.total, 2);
            assert_eq!(all(&restarted(bench).library), before);
        }
    }
}

#[test]
fn a_recording_that_was_cut_short_is_completed_up_to_its_last_tag() {
    let bench = Bench::new("");
    let writer = record(&bench, 25);
    let [part] = &bench.files()[..] else { panic!("there is one file") };
    let part = bench.root().join(part);
    // As a process leaves it that is killed in the middle of a write.
    let bytes = fs::read(&part).unwrap();
    drop(writer);
    for file in bench.files() {
        fs::remove_file(bench.root().join(file)).unwrap();
    }
    fs::write(&part, &bytes[..bytes.len() - 10]).unwrap();

    let bench = restarted(bench);
    assert_eq!(bench.files(), ["live/x.1577836800000.flv"]);
    let recording = &all(&bench.library).recordings[0];
    assert!(recording.is_complete);
    assert_eq!((recording.duration_ms, recording.app.as_str(), recording.stream.as_str()), (2_300, "live", "x"));
    assert_eq!(frames_in(&recording.path).len(), 24);
    assert_eq!(recording.bytes, fs::metadata(&recording.path).unwrap().len());
    let before = all(&bench.library);
    assert_eq!(all(&restarted(bench).library), before, "the head has been corrected");
}

#[test]
fn a_recording_that_is_being_written_is_left_to_its_writer() {
    let bench = Bench::new("");
    let writer = record(&bench, 25);
    scan(&bench.library);
    // As another process on the same directory does.
    let other = Library::new(
        bench.config.clone(),
        Arc::clone(&bench.metrics),
        crate::dvr::disk::Disk::start("test", 1).unwrap(),
    );
    scan(&other);
    assert_eq!(all(&other).total, 0);
    drop(writer);
    assert_eq!(frames_in(&all(&bench.library).recordings[0].path).len(), 25);
}

#[test]
fn what_is_no_recording_is_neither_listed_nor_touched() {
    let bench = Bench::new("");
    drop(record(&bench, 5));
    let recording = fs::read(&all(&bench.library).recordings[0].path).unwrap();
    let others = [
        // Without a card.
        ("live/y.1577836800000.flv", &b"FLV\x01\x05\0\0\0\x09\0\0\0\0"[..]),
        ("live/y.1577836800001.flv.part", b"somebody's"),
        // Of another name, whatever is in it.
        ("live/copy of x.flv", &recording),
        ("x.1577836800000.flv", &recording),
        ("live/x.1577836800000.flv.bak", &recording),
        ("live/x.1577836800000.mp4", &recording),
    ];
    for (name, content) in others {
        fs::write(bench.root().join(name), content).unwrap();
    }
    let bench = restarted(bench);
    assert_eq!(all(&bench.library).total, 1);
    for (name, content) in others {
        assert_eq!(fs::read(bench.root().join(name)).unwrap(), content, "{name}");
    }
}

#[test]
fn a_copy_with_a_fitting_name_is_not_listed_twice() {
    let bench = Bench::new("");
    drop(record(&bench, 5));
    let path = all(&bench.library).recordings[0].path.clone();
    fs::copy(&path, bench.root().join("live/z.1.flv")).unwrap();
    assert_eq!(all(&restarted(bench).library).total, 1);
}

#[test]
fn an_empty_beginning_of_a_recording_goes() {
    let bench = Bench::new("");
    fs::create_dir_all(bench.root().join("live")).unwrap();
    fs::write(bench.root().join("live/x.1.flv.part"), "").unwrap();
    assert_eq!(restarted(bench).files(), Vec::<String>::new());
}

#[test]
fn links_to_directories_are_not_followed() {
    let bench = Bench::new("");
    drop(record(&bench, 5));
    std::os::unix::fs::symlink(bench.root(), bench.root().join("live/loop")).unwrap();
    assert_eq!(all(&restarted(bench).library).total, 1);
}
