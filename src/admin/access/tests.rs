//! Who may look, who may change something, and who is told to wait.

use axum::http::Request;
use axum::response::Response;
use tower::ServiceExt;

use crate::admin::tests::{context_with, router_for};
use crate::config::Config;

use super::*;

const EDIT: &str = "admin:correct horse";
const VIEW: &str = "viewer:battery staple";
const HERE: &str = "127.0.0.1:1";
const ELSEWHERE: &str = "192.0.2.1:1";

fn admin(edit: Option<&str>, view: Option<&str>) -> Arc<AdminContext> {
    context_with(|config: &mut Config| {
        config.admin.edit_auth = edit.map(|text| text.parse().unwrap());
        config.admin.view_auth = view.map(|text| text.parse().unwrap());
    })
}

fn basic(login_and_password: &str) -> (header::HeaderName, String) {
    (header::AUTHORIZATION, format!("Basic {}", Base64::encode_string(login_and_password.as_bytes())))
}

fn bearer(token: &str) -> (header::HeaderName, String) {
    (header::AUTHORIZATION, format!("Bearer {token}"))
}

async fn respond(
    context: &Arc<AdminContext>,
    peer: &str,
    (method, path): (Method, &str),
    headers: &[(header::HeaderName, String)],
) -> Response {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let request = request.body(axum::body::Body::empty()).unwrap();
    router_for(context, peer).oneshot(request).await.unwrap()
}

/// The statuses of a request that looks and of one that changes something.
async fn statuses(context: &Arc<AdminContext>, peer: &str, headers: &[(header::HeaderName, String)]) -> [u16; 2] {
    let look = respond(context, peer, (Method::GET, "/api/v1/drain"), headers).await;
    let change = respond(context, peer, (Method::DELETE, "/api/v1/drain"), headers).await;
    [look.status().as_u16(), change.status().as_u16()]
}

#[tokio::test]
async fn without_credentials_set_everybody_looks_and_only_this_host_changes() {
    let context = admin(None, None);
    assert_eq!(statuses(&context, ELSEWHERE, &[]).await, [200, 403]);
    assert_eq!(statuses(&context, HERE, &[]).await, [200, 200]);
    assert_eq!(statuses(&context, "[::ffff:127.0.0.1]:1", &[]).await, [200, 200]);
}

#[tokio::test]
async fn credentials_allow_what_they_are_for_wherever_one_is() {
    let context = admin(Some(EDIT), Some(VIEW));
    for peer in [HERE, ELSEWHERE] {
        assert_eq!(statuses(&context, peer, &[]).await, [401, 401]);
        for right in [basic(EDIT), bearer("correct horse")] {
            assert_eq!(statuses(&context, peer, &[right]).await, [200, 200]);
        }
        for view in [basic(VIEW), bearer("battery staple")] {
            assert_eq!(statuses(&context, peer, &[view]).await, [200, 403]);
        }
    }
}

#[tokio::test]
async fn one_of_the_two_alone_closes_the_api_too() {
    let context = admin(Some(EDIT), None);
    assert_eq!(statuses(&context, HERE, &[]).await, [401, 401]);
    assert_eq!(statuses(&context, ELSEWHERE, &[basic(EDIT)]).await, [200, 200]);

    let context = admin(None, Some(VIEW));
    assert_eq!(statuses(&context, HERE, &[]).await, [401, 200], "on this host, changing needs none");
    assert_eq!(statuses(&context, ELSEWHERE, &[basic(VIEW)]).await, [200, 403]);
}

#[tokio::test]
async fn health_and_metrics_are_open_whatever_is_set() {
    let context = admin(Some(EDIT), Some(VIEW));
    context.health.ready();
    for path in OPEN {
        let response = respond(&context, ELSEWHERE, (Method::GET, path), &[bearer("wrong")]).await;
        assert_eq!(response.status(), 200, "{path}");
    }
    let closed = ["/", "/api/v1/versions", "/api/v1/config", "/console/", "/livez/x", "/metrics/", "/LIVEZ"];
    for path in closed {
        assert_eq!(respond(&context, ELSEWHERE, (Method::GET, path), &[]).await.status(), 401, "{path}");
    }
}

#[tokio::test]
async fn what_is_no_credentials_is_refused_with_a_challenge() {
    let context = admin(Some(EDIT), None);
    for value in
        ["", "Basic", "Basic ", "Basic !!!", "Basic YWRtaW4=", "Digest x", "Bearer", "basic\tYWRtaW46eA==", "Bearer "]
    {
        let headers = [(header::AUTHORIZATION, value.to_owned())];
        let response = respond(&context, ELSEWHERE, (Method::GET, "/api/v1/drain"), &headers).await;
        assert_eq!(response.status(), 401, "{value:?}");
        assert!(response.headers().contains_key(header::WWW_AUTHENTICATE), "{value:?}");
    }
}

#[tokio::test]
async fn who_guesses_has_to_wait_and_nobody_else_does() {
    let context = admin(Some(EDIT), None);
    let mut refused = None;
    for guess in 0..100 {
        let guess = [basic(&format!("admin:guess {guess}"))];
        let response = respond(&context, ELSEWHERE, (Method::GET, "/api/v1/drain"), &guess).await;
        if response.status() != 401 {
            refused = Some(response);
            break;
        }
    }
    let refused = refused.expect("there is an end to guessing");
    assert_eq!(refused.status(), 429);
    let wait: u64 = refused.headers()[header::RETRY_AFTER].to_str().unwrap().parse().unwrap();
    assert!(wait > 0);
    assert_eq!(
        statuses(&context, ELSEWHERE, &[basic(EDIT)]).await,
        [429, 429],
        "nor is it told whether a guess is right"
    );
    assert_eq!(statuses(&context, "192.0.2.2:1", &[basic(EDIT)]).await, [200, 200]);
    assert_eq!(statuses(&context, HERE, &[bearer("correct horse")]).await, [200, 200]);
}

#[tokio::test]
async fn many_requests_at_once_with_the_right_password_are_no_guesses() {
    let hash = bcrypt::hash("correct horse", 4).unwrap();
    let context = admin(Some(&format!("admin:{hash}")), None);
    let asks = (0..50).map(|_| {
        let context = Arc::clone(&context);
        tokio::spawn(async move { statuses(&context, ELSEWHERE, &[basic(EDIT)]).await })
    });
    for ask in asks.collect::<Vec<_>>() {
        assert_eq!(ask.await.unwrap(), [200, 200]);
    }
}

#[tokio::test]
async fn who_looks_often_is_known_though_both_passwords_are_hashed() {
    let hash = |password: &str| bcrypt::hash(password, 4).unwrap();
    let context =
        admin(Some(&format!("admin:{}", hash("correct horse"))), Some(&format!("viewer:{}", hash("battery staple"))));
    assert_eq!(statuses(&context, ELSEWHERE, &[basic(VIEW)]).await, [200, 403]);
    // With no turn left, only what is known passes.
    let _turns = context.access.hashes.acquire_many(HASHES_AT_A_TIME as u32).await.unwrap();
    let look = respond(&context, ELSEWHERE, (Method::GET, "/api/v1/drain"), &[basic(VIEW)]).await;
    assert_eq!(look.status(), 200);
}

#[tokio::test]
async fn one_password_for_both_allows_everything() {
    let hash = || bcrypt::hash("same", 4).unwrap();
    let context = admin(Some(&format!("admin:{}", hash())), Some(&format!("admin:{}", hash())));
    for _ in 0..2 {
        assert_eq!(statuses(&context, ELSEWHERE, &[bearer("same")]).await, [200, 200]);
    }
}

#[tokio::test]
async fn a_page_of_another_site_changes_nothing() {
    let page = |origin: &str, host: &str| [(header::ORIGIN, origin.to_owned()), (header::HOST, host.to_owned())];
    let context = admin(None, None);
    assert_eq!(statuses(&context, HERE, &page("https://evil.example", "127.0.0.1:1985")).await, [200, 403]);
    assert_eq!(statuses(&context, HERE, &page("http://evil.example:1985", "evil.example:1985")).await, [200, 403]);
    assert_eq!(statuses(&context, HERE, &page("null", "127.0.0.1:1985")).await, [200, 403]);
    for host in ["127.0.0.1:1985", "localhost:1985", "[::1]:1985"] {
        assert_eq!(statuses(&context, HERE, &page(&format!("http://{host}"), host)).await, [200, 200], "{host}");
    }
    let context = admin(Some(EDIT), None);
    let with = |origin: &str| [page(origin, "admin.example:1985").to_vec(), vec![basic(EDIT)]].concat();
    assert_eq!(statuses(&context, ELSEWHERE, &with("http://evil.example")).await, [200, 403]);
    assert_eq!(statuses(&context, ELSEWHERE, &with("http://admin.example:1985")).await, [200, 200]);
}

#[tokio::test]
async fn new_credentials_hold_from_the_next_request_on() {
    let context = admin(Some(EDIT), None);
    assert_eq!(statuses(&context, ELSEWHERE, &[basic(EDIT)]).await, [200, 200]);
    let mut config = Config::clone(&context.config.current());
    config.admin.edit_auth = "admin:another".parse().ok();
    context.config.replace(config);
    assert_eq!(statuses(&context, ELSEWHERE, &[basic(EDIT)]).await, [401, 401]);
    assert_eq!(statuses(&context, ELSEWHERE, &[basic("admin:another")]).await, [200, 200]);
}
