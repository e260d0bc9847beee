use std::sync::Arc;

use crate::hub::{Dispatchers, Hub, PullState, StreamSettings};
use crate::metrics::{Metrics, Protocol};

use super::*;

#[tokio::test(start_paused = true)]
async fn a_forward_is_counted_and_shown_and_is_no_player() {
    let (dispatchers, _) = Dispatchers::new(1);
    let metrics = Arc::new(Metrics::new());
    let hub = Hub::new(Box::new(|_| StreamSettings::default()), 1 << 30, Arc::clone(&metrics), dispatchers);
    let key = StreamKey::from_path("live/x").unwrap();
    let session = Identity::random();
    let forwarded = hub.forward(&key, &session);
    let _tap = forwarded.tap(ShardId(0), TapStart::Keyframe);
    let address = Some("192.0.2.1:1935".to_owned());
    forwarded.report(PullStatus { address: address.clone(), shielded: false, state: PullState::Live, retries: 0 });
    let view = hub.streams().remove(0);
    assert_eq!(view.players, 0);
    assert_eq!(view.forward.and_then(|status| status.address), address);
    assert_eq!(metrics.forwards.get(), 1);
    assert_eq!(metrics.players(Protocol::Rtmp).get(), 0);

    // The next one has come before this one is gone.
    let next = hub.forward(&key, &Identity::random());
    forwarded.report(PullStatus { address, shielded: false, state: PullState::Live, retries: 0 });
    drop((forwarded, _tap));
    let view = hub.streams().remove(0);
    assert_eq!(view.forward.map(|status| status.address), Some(None));
    drop(next);
    assert_eq!(metrics.forwards.get(), 0);
    assert!(hub.streams().is_empty());
}
