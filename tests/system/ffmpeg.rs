//! ffmpeg publishes, ffmpeg and ffprobe play: real encoders and real players see what they should.

use super::harness::ffmpeg::{self, Tracks};
use super::harness::server::Server;
use super::harness::wait_until;

const STREAM: &str = "live/ffmpeg";

#[test]
fn h264_and_aac_play_from_origin_and_edge_over_both_protocols() {
    plays_everywhere(Tracks::Both);
}

#[test]
fn an_audio_only_stream_plays_from_origin_and_edge_over_both_protocols() {
    plays_everywhere(Tracks::Audio);
}

#[test]
fn a_video_only_stream_plays_from_origin_and_edge_over_both_protocols() {
    plays_everywhere(Tracks::Video);
}

#[track_caller]
fn plays_everywhere(tracks: Tracks) {
    let (origin, edge) = Server::origin_and_edge("", "");
    let _publisher = ffmpeg::publish(tracks, &origin.rtmp_url(STREAM));
    wait_until("the stream is live at the origin", || is_live(&origin));
    for server in [&edge, &origin] {
        for url in [server.flv_url(STREAM), server.rtmp_url(STREAM)] {
            assert_eq!(ffmpeg::probe_codecs(&url), tracks.codecs(), "{url}");
        }
    }
}

#[test]
fn an_rtmp_player_of_the_edge_gets_the_very_pictures_and_sound_that_were_published() {
    edge_is_faithful(|edge| edge.rtmp_url(STREAM));
}

#[test]
fn an_http_flv_player_of_the_edge_gets_the_very_pictures_and_sound_that_were_published() {
    edge_is_faithful(|edge| edge.flv_url(STREAM));
}

#[track_caller]
fn edge_is_faithful(url: impl Fn(&Server) -> String) {
    const GOP: usize = 30;
    let directory = tempfile::tempdir().unwrap();
    let [published, played] = ["published.flv", "played.flv"].map(|name| directory.path().join(name));
    ffmpeg::make_file(Tracks::Both, 20, &published);
    let (origin, edge) = Server::origin_and_edge("", "");
    let _publisher = ffmpeg::publish_file(&published, &origin.rtmp_url(STREAM));
    wait_until("the stream is live at the origin", || is_live(&origin));
    ffmpeg::record(&url(&edge), 4, &played);

    assert_eq!(ffmpeg::complaints(&played), Vec::<String>::new());
    let pictures = ffmpeg::picture_hashes(&played);
    assert!(pictures.len() >= 3 * GOP, "only {} pictures", pictures.len());
    let first = ffmpeg::position_of_run(&ffmpeg::picture_hashes(&published), &pictures);
    assert_eq!(first % GOP, 0, "the first picture is a keyframe");
    let sound = ffmpeg::audio_packet_hashes(&played);
    assert!(sound.len() > 100, "only {} audio packets", sound.len());
    ffmpeg::position_of_run(&ffmpeg::audio_packet_hashes(&published), &sound);
}

fn is_live(server: &Server) -> bool {
    server.stream(STREAM).is_some_and(|stream| stream["publish"]["active"] == true)
}
