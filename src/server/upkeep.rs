//! What has to be done again and again while a server runs, whether somebody comes or not.

use std::time::Duration;

use tokio::time::interval;
use tokio_util::sync::CancellationToken;

use crate::hub::Hub;
use crate::pull::HlsRelay;
use crate::sessions::Sessions;

/// How often the egress is measured, of which there may be a limit at any time.
const MEASURE_EVERY: Duration = Duration::from_millis(500);
/// How often it is looked who has been silent, and what has been unused, for too long.
const FORGET_EVERY: Duration = Duration::from_secs(1);

/// How often the totals of sessions are noted, from which their rates are taken.
const SAMPLE_EVERY: Duration = Duration::from_secs(30);

/// Measures what `hub` sends, takes leave of viewers that have gone, samples `sessions`, and gives back the memory of segments
/// that nobody asks for, until `stop`.
pub(super) async fn run(hub: Hub, sessions: Sessions, relay: Option<HlsRelay>, stop: CancellationToken) {
    let (mut measures, mut looks) = (interval(MEASURE_EVERY), interval(FORGET_EVERY));
    let mut samples = interval(SAMPLE_EVERY);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = measures.tick() => hub.measure_egress(),
            _ = samples.tick() => sessions.sample(),
            _ = looks.tick() => {
                hub.forget_silent_viewers();
                if let Some(relay) = &relay {
                    relay.forget_unused();
                }
            }
        }
    }
}
