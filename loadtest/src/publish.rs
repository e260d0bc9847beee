//! Publishers: many streams from one thread, each message at its moment.

mod publisher;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use hdrhistogram::Histogram;
use serde::Serialize;

use crate::clock::{unix_nanoseconds, wait_until};
use crate::media::script::Script;
use crate::progress::Progress;
use crate::report::Distribution;
use crate::target::Target;

use publisher::Publisher;

/// What to publish.
#[derive(Debug)]
pub(crate) struct Publish {
    /// The stream, or the first part of all streams' names.
    pub(crate) target: Target,
    /// Where to connect.
    pub(crate) address: SocketAddr,
    /// How many streams.
    pub(crate) streams: usize,
    /// What each of them sends.
    pub(crate) script: Script,
    /// When to stop.
    pub(crate) duration: Duration,
}

/// What was published.
#[derive(Debug, Serialize)]
pub(crate) struct Published {
    /// Streams that were published to the end.
    pub(crate) streams: usize,
    /// Streams that the server ended.
    pub(crate) lost: usize,
    /// Messages sent.
    pub(crate) messages: u64,
    /// Message bodies sent, in gigabits.
    pub(crate) gigabits: f64,
    /// How late messages were sent, in milliseconds.
    pub(crate) lateness: Distribution,
}

/// The publishers' share of a period by which each is behind the one before, so that they do not all send at once.
const PERIOD: Duration = Duration::from_millis(33);

/// Publishes until the time is over or all streams are lost.
pub(crate) fn run(publish: &Publish, progress: &Progress) -> anyhow::Result<Published> {
    crate::limits::check(publish.streams)?;
    let mut publishers = Vec::with_capacity(publish.streams);
    progress.begin("connecting", publish.streams as u64);
    for index in 0..publish.streams {
        let connected = Publisher::connect(publish, index);
        publishers
            .push(connected.with_context(|| format!("stream {}", publish.target.stream(index, publish.streams)))?);
        progress.set(index as u64 + 1);
    }

    let began = Instant::now();
    let end = began + publish.duration;
    let phase = |index: usize| PERIOD * u32::try_from(index).unwrap_or(0) / u32::try_from(publish.streams).unwrap_or(1);
    let mut queue: BinaryHeap<_> = (0..publish.streams).map(|index| Reverse((began + phase(index), index))).collect();
    let mut lateness = Histogram::<u64>::new(3).context("histogram")?;
    let (mut messages, mut bytes, mut lost) = (0_u64, 0_u64, Vec::new());
    progress.begin("publishing", publish.duration.as_secs());
    while let Some(Reverse((due, index))) = queue.pop() {
        if due >= end {
            break;
        }
        wait_until(due);
        let Some(publisher) = publishers.get_mut(index) else { continue };
        lateness.saturating_record(due.elapsed().as_nanos() as u64);
        match publisher.send_next(&publish.script, unix_nanoseconds()) {
            Ok(sent) => {
                messages += 1;
                bytes += sent as u64;
                queue.push(Reverse((began + phase(index) + publisher.next_due(&publish.script), index)));
            }
            Err(error) => lost.push(error),
        }
        progress.set(began.elapsed().as_secs());
    }
    progress.finish();
    for publisher in publishers {
        publisher.close();
    }
    if let Some(error) = lost.pop()
        && lost.len() + 1 == publish.streams
    {
        bail!("the server ended every stream; the last one: {error:#}");
    } else {
        let lateness = Distribution::of(&lateness, 1e-6);
        let lost = lost.len();
        let gigabits = bytes as f64 * 8e-9;
        Ok(Published { streams: publish.streams - lost, lost, messages, gigabits, lateness })
    }
}
