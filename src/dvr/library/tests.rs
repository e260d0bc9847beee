use crate::dvr::bench::Bench;
use crate::metrics::RecordingError;

use super::*;

/// A complete recording of 100 bytes that began so many hours ago and lasted no time.
fn add(bench: &Bench, id: &str, stream: &str, hours: u64) -> PathBuf {
    let path = bench.root().join(format!("live/{stream}/{id}.1.flv"));
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, [0; 100]).unwrap();
    let card = Card {
        id: id.to_owned(),
        app: "live".to_owned(),
        stream: stream.to_owned(),
        session: "s".to_owned(),
        begin_ms: now_ms() - hours * 3_600_000,
    };
    bench.library.add(card, DvrFormat::Flv, path.clone(), Size { bytes: 100, duration_ms: 0 }, true);
    path
}

fn ids(page: &Page) -> Vec<&str> {
    page.recordings.iter().map(|recording| recording.id.as_str()).collect()
}

#[test]
fn the_list_has_the_newest_first_page_by_page() {
    let bench = Bench::new("");
    for (id, stream, hours) in [("a", "x", 3), ("b", "y", 2), ("c", "x", 1)] {
        add(&bench, id, stream, hours);
    }
    let all = Filter::default();
    assert_eq!(ids(&bench.library.list(&all, 0, 10)), ["c", "b", "a"]);
    assert_eq!(ids(&bench.library.list(&all, 1, 1)), ["b"]);
    assert_eq!(bench.library.list(&all, 1, 1).total, 3);
    assert_eq!(ids(&bench.library.list(&all, usize::MAX, 10)), Vec::<&str>::new());
    let of_x = Filter { stream: Some("x".to_owned()), ..Filter::default() };
    assert_eq!(ids(&bench.library.list(&of_x, 0, 10)), ["c", "a"]);
    assert_eq!(bench.library.list(&Filter { app: Some("liv".to_owned()), ..of_x }, 0, 10).total, 0);
}

#[test]
fn sweeping_deletes_what_is_too_old_with_its_directories_and_no_more() {
    let bench = Bench::new("retention = \"2h\"");
    let (old, new) = (add(&bench, "a", "x", 3), add(&bench, "b", "y", 1));
    bench.library.sweep();
    assert!(!old.exists() && !old.parent().unwrap().exists() && new.exists());
    assert_eq!(ids(&bench.library.list(&Filter::default(), 0, 10)), ["b"]);
    assert_eq!(bench.metrics.dvr.deleted_files(RecordingDeletion::Age).get(), 1);
}

#[test]
fn sweeping_keeps_all_together_below_their_bound() {
    let bench = Bench::new("max_bytes = 250");
    let paths: Vec<PathBuf> = (0..4).map(|number| add(&bench, &format!("a{number}"), "x", 10 - number)).collect();
    bench.library.sweep();
    assert_eq!(paths.iter().map(|path| path.exists()).collect::<Vec<_>>(), [false, false, true, true]);
    assert_eq!(bench.metrics.dvr.deleted_files(RecordingDeletion::Size).get(), 2);
}

#[test]
fn a_floor_that_cannot_be_kept_takes_every_recording_and_then_says_no() {
    let bench = Bench::new("min_free = \"1000000GiB\"");
    let path = add(&bench, "a", "x", 1);
    assert!(!bench.library.make_room(&bench.root(), 0).unwrap());
    assert!(!path.exists() && bench.root().exists());
    assert_eq!(bench.metrics.dvr.deleted_files(RecordingDeletion::Space).get(), 1);
    assert_eq!(bench.metrics.dvr.errors(RecordingError::Full).get(), 0);
}

#[tokio::test]
async fn what_is_being_written_is_neither_read_nor_deleted() {
    let bench = Bench::new("retention = \"1s\"\nmax_bytes = 1");
    let path = add(&bench, "a", "x", 1);
    let card = Card {
        id: "b".to_owned(),
        app: "live".to_owned(),
        stream: "x".to_owned(),
        session: "s".to_owned(),
        begin_ms: 0,
    };
    bench.library.add(card, DvrFormat::Flv, path.with_extension("part"), Size { bytes: 100, duration_ms: 0 }, false);
    fs::write(path.with_extension("part"), "open").unwrap();
    assert!(matches!(bench.library.open("b").await, Err(LibraryError::Incomplete)));
    assert!(matches!(bench.library.delete("b").await, Err(LibraryError::Incomplete)));
    bench.library.sweep();
    assert!(path.with_extension("part").exists() && !path.exists());
}

#[tokio::test]
async fn a_file_that_somebody_took_away_is_forgotten() {
    let bench = Bench::new("");
    let path = add(&bench, "a", "x", 1);
    fs::remove_file(path).unwrap();
    assert!(matches!(bench.library.open("a").await, Err(LibraryError::NotFound)));
    assert_eq!(bench.library.get("a"), None);
    add(&bench, "b", "x", 1);
    assert!(bench.library.delete("b").await.is_ok());
    assert!(matches!(bench.library.delete("b").await, Err(LibraryError::NotFound)));
    assert_eq!(bench.metrics.dvr.deleted_files(RecordingDeletion::Request).get(), 1);
}

#[tokio::test]
async fn a_recording_is_read_piece_by_piece() {
    let bench = Bench::new("");
    fs::write(add(&bench, "a", "x", 1), b"0123456789").unwrap();
    let reading = bench.library.open("a").await.unwrap();
    assert_eq!(reading.recording.bytes, 10);
    assert_eq!(reading.read(3, 4).await.unwrap(), "3456");
    assert_eq!(reading.read(8, 4).await.unwrap(), "89");
    assert_eq!(reading.read(10, 4).await.unwrap(), "");
}
