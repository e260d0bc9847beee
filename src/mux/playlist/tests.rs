//! Playlists, read back by the `m3u8-rs` crate.

use m3u8_rs::{Playlist, parse_playlist_res};

use super::*;

const SEGMENT: Segment<'_> =
    Segment { uri: "1.ts", duration_ms: 2_002, discontinuity: false, program_date_time: None, initialisation: None };

fn text(segments: &[Segment<'_>], ended: bool) -> String {
    let playlist = MediaPlaylist {
        target_duration: 2,
        media_sequence: 17,
        discontinuity_sequence: 3,
        independent_segments: true,
        segments: segments.iter().copied(),
        ended,
        prefix: "",
    };
    playlist.text()
}

fn parsed(text: &str) -> m3u8_rs::MediaPlaylist {
    match parse_playlist_res(text.as_bytes()).unwrap() {
        Playlist::MediaPlaylist(playlist) => playlist,
        Playlist::MasterPlaylist(_) => panic!("{text}"),
    }
}

#[test]
fn a_live_playlist_reads_as_it_was_meant() {
    let moved = Segment { uri: "2.ts", discontinuity: true, program_date_time: Some(1_795_278_309_042), ..SEGMENT };
    let text = text(&[SEGMENT, moved], false);
    assert_eq!(
        text,
        "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:17\n\
         #EXT-X-DISCONTINUITY-SEQUENCE:3\n#EXT-X-INDEPENDENT-SEGMENTS\n#EXTINF:2.002,\n1.ts\n\
         #EXT-X-DISCONTINUITY\n#EXT-X-PROGRAM-DATE-TIME:2026-11-21T16:25:09.042Z\n#EXTINF:2.002,\n2.ts\n"
    );
    let playlist = parsed(&text);
    assert_eq!((playlist.media_sequence, playlist.discontinuity_sequence, playlist.end_list), (17, 3, false));
    assert_eq!((playlist.segments[1].uri.as_str(), playlist.segments[1].discontinuity), ("2.ts", true));
    assert_eq!(playlist.segments[1].program_date_time.unwrap().timestamp_millis(), 1_795_278_309_042);
}

#[test]
fn an_initialisation_stands_before_the_first_segment_that_needs_it_and_again_when_it_changes() {
    let with = |initialisation| Segment { initialisation: Some(initialisation), ..SEGMENT };
    let text = text(&[with("a.mp4"), with("a.mp4"), with("b.mp4")], true);
    assert_eq!(text.matches("#EXT-X-MAP").count(), 2);
    let playlist = parsed(&text);
    assert_eq!((playlist.version, playlist.end_list), (Some(6), true));
    let maps: Vec<_> = playlist.segments.iter().map(|segment| Some(segment.map.as_ref()?.uri.as_str())).collect();
    assert_eq!((maps[0], maps[2]), (Some("a.mp4"), Some("b.mp4")));
}

#[test]
fn a_prefix_stands_before_every_name() {
    let segment = Segment { initialisation: Some("init.mp4"), ..SEGMENT };
    let playlist = MediaPlaylist {
        target_duration: 2,
        media_sequence: 0,
        discontinuity_sequence: 0,
        independent_segments: false,
        segments: [segment].into_iter(),
        ended: false,
        prefix: "https://cdn.example/live/",
    };
    let playlist = parsed(&playlist.text());
    assert_eq!(playlist.segments[0].uri, "https://cdn.example/live/1.ts");
    assert_eq!(playlist.segments[0].map.as_ref().unwrap().uri, "https://cdn.example/live/init.mp4");
}

#[test]
fn a_name_cannot_break_out_of_its_line_or_its_quotes() {
    let evil = "a\"\n#EXT-X-ENDLIST\r b";
    let text = text(&[Segment { uri: evil, initialisation: Some(evil), ..SEGMENT }], false);
    assert!(!text.lines().any(|line| line.starts_with("#EXT-X-ENDLIST")));
    assert!(text.contains("URI=\"a%22%0A#EXT-X-ENDLIST%0D%20b\"\n"));
}

#[test]
fn the_target_duration_is_rounded_and_never_0() {
    assert_eq!([0, 400, 1_499, 1_500, 10_400, u64::MAX].map(target_duration)[..5], [1, 1, 1, 2, 10]);
}

#[test]
fn a_master_playlist_tells_what_a_player_should_know() {
    let video = Variant {
        uri: "live.m3u8?token=a",
        bandwidth: 2_500_000,
        average_bandwidth: Some(2_000_000),
        codecs: "avc1.64001f,mp4a.40.2".into(),
        resolution: Some((1_280, 720)),
    };
    let sound = Variant { bandwidth: 0, average_bandwidth: None, codecs: "".into(), resolution: Some((0, 0)), ..video };
    let text = master(&[video.clone(), sound]);
    let Ok(Playlist::MasterPlaylist(playlist)) = parse_playlist_res(text.as_bytes()) else { panic!("{text}") };
    let first = &playlist.variants[0];
    assert_eq!(
        (first.uri.as_str(), first.bandwidth, first.average_bandwidth),
        ("live.m3u8?token=a", 2_500_000, Some(2_000_000))
    );
    assert_eq!(first.codecs.as_deref(), Some("avc1.64001f,mp4a.40.2"));
    assert_eq!(first.resolution.map(|size| (size.width, size.height)), Some((1_280, 720)));
    let second = &playlist.variants[1];
    assert_eq!((second.bandwidth, second.codecs.as_deref(), second.resolution), (1, None, None));
}
