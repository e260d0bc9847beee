//! Where streams belong, computed from what docs/architecture.md says and not by the code under test.

/// The pod to which rendezvous hashing gives a stream: 64-bit FNV-1a over the stream, a zero byte and the pod, then the
/// finalizer of 64-bit MurmurHash3; the highest score is first.
pub fn home<'a>(stream: &str, pods: &'a [String]) -> Option<&'a String> {
    pods.iter().max_by_key(|pod| score(stream, pod))
}

fn score(stream: &str, pod: &str) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in stream.bytes().chain([0]).chain(pod.bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    for factor in [0xff51_afd7_ed55_8ccd, 0xc4ce_b9fe_1a85_ec53] {
        hash = (hash ^ (hash >> 33)).wrapping_mul(factor);
    }
    hash ^ (hash >> 33)
}
