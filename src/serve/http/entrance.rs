//! Whether who sends a request may play.

use std::sync::Arc;

use http::{Request, Response};

use crate::auth::{Action, Standing};
use crate::hooks::Caller;
use crate::media::stream_key::StreamKey;
use crate::metrics::Reason;
use crate::serve::access::{Admission, Expiry, Refusal};

use super::{Body, Exchange, route};

/// Lets a player in, or says why not. Who leaves while it is asked about lets hyper drop this future.
pub(super) async fn admit<B>(
    exchange: &Exchange,
    key: &StreamKey,
    request: &Request<B>,
    standing: Option<&Standing>,
) -> Result<Admission, Box<Response<Body>>> {
    let context = &exchange.context;
    let visitor = route::visitor(exchange.requester(), request);
    let is_verified = matches!(standing, Some(Standing::Verified(_)));
    let grant = match context.decide(Action::Play, key, &visitor, standing) {
        Ok(grant) => grant,
        Err(denial) => return Err(refuse(exchange, key, &denial.into())),
    };
    let caller = Arc::new(caller(exchange, key, request, visitor.page));
    let reason = exchange.reason.lock().replace(Reason::PeerClosed);
    let attended = context.attend(Action::Play, caller, key.clone(), visitor.query.to_owned(), is_verified).await;
    *exchange.reason.lock() = reason;
    match attended {
        Ok(attendance) => Ok(Admission { expiry: Expiry::of(grant), attendance }),
        Err(refusal) => Err(refuse(exchange, key, &refusal.into())),
    }
}

fn refuse(exchange: &Exchange, key: &StreamKey, refusal: &Refusal) -> Box<Response<Body>> {
    exchange.context.note_refusal(Action::Play, key, refusal);
    *exchange.reason.lock() = Some(Reason::AccessDenied);
    Box::new(route::refused(refusal))
}

fn caller<B>(exchange: &Exchange, key: &StreamKey, request: &Request<B>, page: Option<&str>) -> Caller {
    let url = url_of_app(request, exchange.accepted.is_tls, key.app());
    Caller::new(exchange.id.to_string(), exchange.requester().ip(), key.app().to_owned(), url, page.map(str::to_owned))
}

/// The URL of an app, as a client of RTMP would connect to it.
pub(in crate::serve) fn url_of_app<B>(request: &Request<B>, is_tls: bool, app: &str) -> String {
    format!("{}/{app}", route::server_url(request, is_tls))
}
