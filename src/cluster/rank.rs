//! Which upstream a stream is asked for first: the same order on every node that sees the same upstreams.
//!
//! Rendezvous hashing: each upstream gets a score with the stream's name, the highest is asked first. When an upstream
//! comes or goes, only the streams that it ranks first for change places. The hash is part of the protocol between
//! nodes of different versions: it never changes.

/// Sorts `upstreams` by their scores for `stream`, the highest first.
pub fn rank<T>(stream: &str, upstreams: &mut [T], rank_key: impl Fn(&T) -> &str) {
    upstreams.sort_by(|one, other| {
        let (one, other) = (rank_key(one), rank_key(other));
        score(stream, other).cmp(&score(stream, one)).then_with(|| one.cmp(other))
    });
}

/// The score of an upstream for a stream: 64-bit FNV-1a over `stream`, a zero byte and `rank_key`, then the finalizer of
/// 64-bit MurmurHash3, because the last bytes of FNV-1a's input barely reach its upper bits.
fn score(stream: &str, rank_key: &str) -> u64 {
    let bytes = stream.bytes().chain([0]).chain(rank_key.bytes());
    let hash =
        bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn first<'a>(stream: &str, upstreams: &[&'a str]) -> &'a str {
        let mut upstreams = upstreams.to_vec();
        rank(stream, &mut upstreams, |upstream| upstream);
        upstreams[0]
    }

    #[test]
    fn the_order_does_not_depend_on_the_order_of_discovery() {
        for number in 0..100 {
            let stream = format!("live/{number}");
            assert_eq!(first(&stream, &["a", "b", "c"]), first(&stream, &["c", "a", "b"]));
        }
    }

    #[test]
    fn streams_spread_evenly() {
        let pods = ["origin-0:1935", "origin-1:1935", "origin-2:1935"];
        let mut counts: HashMap<&str, usize> = HashMap::new();
        for number in 0..3_000 {
            *counts.entry(first(&format!("live/stream-{number}"), &pods)).or_default() += 1;
        }
        for pod in pods {
            assert!((900..1_100).contains(&counts[pod]), "{counts:?}");
        }
    }

    #[test]
    fn only_the_streams_of_an_upstream_that_goes_change_places() {
        for number in 0..1_000 {
            let stream = format!("live/{number}");
            let before = first(&stream, &["a", "b", "c"]);
            if before != "c" {
                assert_eq!(first(&stream, &["a", "b"]), before);
            }
        }
    }

    #[test]
    fn scores_are_what_they_have_always_been() {
        // Computed by another implementation.
        assert_eq!(score("live/x", "origin-0:1935"), 17_244_026_575_542_438_840);
        assert_eq!(score("live/x", "origin-1:1935"), 1_799_628_257_401_821_986);
    }
}
