//! Who may change something over the admin port.

use axum::body::Body;
use axum::http::{Method, Request};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use tower::ServiceExt;

use crate::config::{Config, ConfigError, OverlayFormat, Role};
use crate::drain::Times;
use crate::hub::{Dispatchers, StreamSettings};

use super::*;

/// Nobody's configuration: shown as it is, and never changed.
#[derive(Debug)]
struct Fixed;

impl Configuration for Fixed {
    fn show(&self) -> BoxFuture<'_, InForce> {
        unimplemented!("not asked for here")
    }

    fn reload(&self) -> BoxFuture<'_, Result<Reloaded, ConfigError>> {
        unimplemented!("not asked for here")
    }

    fn lay_over(&self, _: Bytes, _: OverlayFormat) -> BoxFuture<'_, Result<Reloaded, ConfigError>> {
        unimplemented!("not asked for here")
    }

    fn take_away(&self) -> BoxFuture<'_, Result<Reloaded, ConfigError>> {
        unimplemented!("not asked for here")
    }
}

fn context() -> Arc<AdminContext> {
    context_with(|_| {})
}

/// The same with another configuration.
pub(super) fn context_with(change: impl FnOnce(&mut Config)) -> Arc<AdminContext> {
    let mut config = Config::defaults(Role::Origin);
    change(&mut config);
    let metrics = Arc::new(Metrics::new());
    let (dispatchers, _) = Dispatchers::new(1);
    let hour = Duration::from_secs(3_600);
    Arc::new(AdminContext {
        hub: Hub::new(Box::new(|_| StreamSettings::default()), 1 << 20, Arc::clone(&metrics), dispatchers),
        metrics,
        health: Arc::default(),
        drain: Drain::new(Times { propagation_delay: hour, soft_timeout: hour, window: hour, hard_timeout: hour * 2 }),
        sessions: Sessions::new(),
        admission: Arc::new(Admission::new(10, 0)),
        config: Live::new(config),
        configuration: Arc::new(Fixed),
        access: Access::new().unwrap(),
        recordings: Arc::default(),
        node: "a-test".to_owned(),
        started: Instant::now(),
        usage: Mutex::default(),
    })
}

/// What a client at `peer` talks to.
pub(super) fn router_for(context: &Arc<AdminContext>, peer: &str) -> Router {
    router(Arc::clone(context)).layer(Extension(Peer(peer.parse().unwrap())))
}

/// The status of the answer to a client at `peer`.
async fn ask(context: &Arc<AdminContext>, peer: &str, method: Method, path: &str) -> u16 {
    let router = router_for(context, peer);
    let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
    router.oneshot(request).await.unwrap().status().as_u16()
}

#[tokio::test]
async fn only_a_client_on_the_same_host_orders_a_drain_and_takes_it_back() {
    let context = context();
    for (peer, status) in [("192.0.2.1:1", 403), ("[2001:db8::1]:1", 403), ("[::ffff:192.0.2.1]:1", 403)] {
        assert_eq!(ask(&context, peer, Method::POST, "/api/v1/drain").await, status, "{peer}");
        assert!(!context.drain.is_ordered());
    }
    for peer in ["127.0.0.1:1", "127.1.2.3:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
        assert_eq!(ask(&context, peer, Method::POST, "/api/v1/drain").await, 200, "{peer}");
        assert!(context.drain.is_ordered());
        assert_eq!(ask(&context, "192.0.2.1:1", Method::DELETE, "/api/v1/drain").await, 403);
        assert_eq!(ask(&context, "192.0.2.1:1", Method::GET, "/api/v1/drain").await, 200, "anybody may look");
        assert_eq!(ask(&context, peer, Method::DELETE, "/api/v1/drain").await, 200, "{peer}");
        assert!(!context.drain.is_ordered());
    }
}

#[tokio::test]
async fn readiness_ends_with_the_order_itself() {
    let context = context();
    assert_eq!(ask(&context, "192.0.2.1:1", Method::GET, "/readyz").await, 503, "it has not started");
    context.health.ready();
    assert_eq!(ask(&context, "192.0.2.1:1", Method::GET, "/readyz").await, 200);
    context.drain.begin(crate::drain::Purpose::Stay);
    assert_eq!(ask(&context, "192.0.2.1:1", Method::GET, "/readyz").await, 503);
    assert_eq!(ask(&context, "192.0.2.1:1", Method::GET, "/startupz").await, 200);
}

#[tokio::test]
async fn only_a_client_on_the_same_host_deletes_recordings() {
    let context = context();
    let path = "/api/v1/recordings/0123";
    assert_eq!(ask(&context, "192.0.2.1:1", Method::DELETE, path).await, 403);
    assert_eq!(ask(&context, "127.0.0.1:1", Method::DELETE, path).await, 404, "there is none");
    assert_eq!(ask(&context, "192.0.2.1:1", Method::GET, path).await, 404, "anybody may look");
    assert_eq!(ask(&context, "192.0.2.1:1", Method::GET, "/api/v1/recordings").await, 200);
    assert_eq!(ask(&context, "127.0.0.1:1", Method::POST, path).await, 405);
}
