//! What each step of the media path costs: reading chunks, building a block's bytes, handing blocks to readers.
//!
//! `make bench`, or `cargo bench --bench media -- NAME` for one of them.
#![allow(clippy::unwrap_used, reason = "a bench that cannot set up what it needs stops")]
#![allow(missing_docs, reason = "criterion's macros make functions without any")]

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use rillcast::hub::{
    Dispatchers, Hub, Identity, PlayRequest, PublishRequest, Publisher, Reader, ShardId, Source, StreamSettings,
    WireForm,
};
use rillcast::media::stream_key::StreamKey;
use rillcast::media::{Kind, Tag};
use rillcast::metrics::{Metrics, Protocol};
use rillcast::rtmp::chunk_reader::ChunkReader;
use rillcast::rtmp::chunk_writer::write_media;
use tokio::runtime::{Builder, Runtime};

/// What a socket gives at once.
const READ_BYTES: usize = 16 << 10;
const FORMS: [(&str, WireForm, Protocol); 2] =
    [("rtmp", WireForm::Rtmp { chunk_size: 60_000 }, Protocol::Rtmp), ("flv", WireForm::Flv, Protocol::HttpFlv)];

/// Messages of a 2 Mbit/s stream: 30 pictures and 43 pieces of sound a second.
fn tags(count: u32) -> Vec<Tag> {
    let tag = |number: u32| {
        let is_video = number.is_multiple_of(2);
        let (kind, first, size) = if is_video { (Kind::Video, 0x27, 7_700) } else { (Kind::Audio, 0xAF, 371) };
        let mut payload = vec![1; size];
        payload[0] = first;
        Tag { kind, timestamp: number * 14, payload: Bytes::from(payload) }
    };
    (0..count).map(tag).collect()
}

fn read_chunks(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("chunk_reader");
    for chunk_size in [128, 4_096, 60_000] {
        let mut wire = vec![2, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0];
        wire.extend(u32::try_from(chunk_size).unwrap().to_be_bytes());
        for tag in tags(73) {
            write_media(&mut wire, tag.kind, tag.timestamp, 1, &tag.payload, chunk_size);
        }
        group.throughput(Throughput::Bytes(wire.len() as u64));
        group.bench_function(format!("one_second_in_chunks_of_{chunk_size}"), |bencher| {
            bencher.iter(|| {
                let mut reader = ChunkReader::new();
                let mut messages = 0;
                for mut input in wire.chunks(READ_BYTES) {
                    while let Some(message) = reader.read(&mut input).unwrap() {
                        messages += black_box(message.payload.len());
                    }
                }
                messages
            });
        });
    }
}

/// A stream with a publisher, whose every push is a block.
struct Stream {
    hub: Hub,
    key: StreamKey,
    publisher: Publisher,
    runtime: Runtime,
}

impl Stream {
    fn new() -> Self {
        let (dispatchers, _) = Dispatchers::new(1);
        let settings = StreamSettings { merge_window: Some(Duration::ZERO), ..StreamSettings::default() };
        let hub = Hub::new(Box::new(move |_| settings.clone()), 1 << 30, Arc::new(Metrics::new()), dispatchers);
        let key = StreamKey::from_path("live/x").unwrap();
        let source = Source::Client { address: IpAddr::V4(Ipv4Addr::LOCALHOST), query: String::new() };
        let session = Identity::random();
        let request = PublishRequest { source, session, takes_over: false, resume_timeout: Duration::ZERO };
        let mut publisher = hub.publish(&key, request).unwrap();
        let keyframe = Bytes::from_static(&[0x17, 1, 0, 0, 0]);
        publisher.push([Tag { kind: Kind::Video, timestamp: 0, payload: keyframe }]).unwrap();
        Self { hub, key, publisher, runtime: Builder::new_current_thread().enable_time().build().unwrap() }
    }

    fn play(&self, form: WireForm, protocol: Protocol) -> Reader {
        self.hub.subscribe(&self.key, PlayRequest { protocol, form, shard: ShardId(0), is_pull: false }).unwrap()
    }
}

/// Takes all that is there.
fn read(reader: &mut Reader) -> usize {
    let mut context = Context::from_waker(Waker::noop());
    let mut bytes = 0;
    while let Poll::Ready(Ok(wire)) = reader.poll_wire(&mut context) {
        bytes += black_box(wire).len();
    }
    bytes
}

fn build_blocks(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("block");
    for (name, form, protocol) in FORMS {
        let mut stream = Stream::new();
        let runtime = stream.runtime.handle().clone();
        let _entered = runtime.enter();
        let mut reader = stream.play(form, protocol);
        let block = tags(8);
        group.throughput(Throughput::Bytes(block.iter().map(|tag| tag.payload.len() as u64).sum()));
        group.bench_function(format!("sealed_and_built_for_{name}"), |bencher| {
            bencher.iter_batched(
                || block.clone(),
                |block| {
                    stream.publisher.push(block).unwrap();
                    read(&mut reader)
                },
                BatchSize::SmallInput,
            );
        });
    }
}

fn read_ring(criterion: &mut Criterion) {
    const READERS: usize = 1_000;
    let mut group = criterion.benchmark_group("ring");
    group.throughput(Throughput::Elements(READERS as u64));
    let (_, form, protocol) = FORMS[0];
    let mut stream = Stream::new();
    let runtime = stream.runtime.handle().clone();
    let _entered = runtime.enter();
    let mut readers: Vec<Reader> = (0..READERS).map(|_| stream.play(form, protocol)).collect();
    readers.iter_mut().for_each(|reader| {
        read(reader);
    });
    let block = tags(8);
    group.bench_function("one_block_to_1000_readers", |bencher| {
        bencher.iter(|| {
            stream.publisher.push(block.iter().cloned()).unwrap();
            readers.iter_mut().map(read).sum::<usize>()
        });
    });
}

criterion_group!(media, read_chunks, build_blocks, read_ring);
criterion_main!(media);
