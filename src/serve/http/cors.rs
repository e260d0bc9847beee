//! Which web pages may play.

use http::header::{AGE, CONTENT_LENGTH, CONTENT_RANGE, DATE, ETAG, ORIGIN};
use http::{HeaderValue, Method, Request, Response};
use hyper::body::Incoming;
use tower::{Layer, Service, ServiceExt};
use tower_http::cors::{AllowHeaders, AllowMethods, AllowOrigin, CorsLayer, ExposeHeaders, Vary};

use crate::serve::ServeContext;

use super::Body;

/// Has `service` answer, and says of the answer which pages may have it, as is configured when they ask.
pub(super) async fn answer<S>(
    context: &ServeContext,
    service: S,
    request: Request<Incoming>,
) -> Result<Response<Body>, S::Error>
where
    S: Service<Request<Incoming>, Response = Response<Body>>,
{
    let layer = layer(&context.config.current().http.cors_origins);
    layer.layer(service).oneshot(request).await
}

/// Lets pages of `origins` play, all if `*` is among them; answers preflight requests by itself.
fn layer(origins: &[String]) -> CorsLayer {
    let (allowed, vary) = if origins.iter().any(|origin| origin == "*") {
        // The same answer for everybody: caches need keep one only.
        (AllowOrigin::any(), Vary::list([]))
    } else {
        let origins = origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok());
        (AllowOrigin::list(origins), Vary::list([ORIGIN]))
    };
    CorsLayer::new()
        .allow_origin(allowed)
        .vary(vary)
        .allow_methods(AllowMethods::list([Method::GET, Method::HEAD, Method::OPTIONS]))
        // `*` would not cover `Authorization`, in which a player may have its token.
        .allow_headers(AllowHeaders::mirror_request())
        // Players reckon with the age of a playlist and the size of a segment.
        .expose_headers(ExposeHeaders::list([AGE, CONTENT_LENGTH, CONTENT_RANGE, DATE, ETAG]))
        // A page on the Internet may play from a server in the house of whoever looks at it.
        .allow_private_network(true)
}
