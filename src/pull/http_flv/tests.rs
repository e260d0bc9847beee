use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::media::flv;

use super::*;

const LONG: Duration = Duration::from_secs(20);
const OURS: &str = "Rillcast-Mark: v=1;node=origin-0;version=1;peers=0\r\nRillcast-Session: abc123\r\n";

/// What an upstream does once it has read a request.
enum Step {
    Send(Vec<u8>),
    Pause(Duration),
}

/// An upstream that serves one connection: all steps, then it stays open until `hold` says otherwise.
async fn upstream(steps: Vec<Step>, hold: bool) -> (SocketAddr, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(socket.read_u8().await.unwrap());
        }
        for step in steps {
            match step {
                // A client that has seen enough goes.
                Step::Send(bytes) => drop(socket.write_all(&bytes).await),
                Step::Pause(time) => tokio::time::sleep(time).await,
            }
        }
        if hold {
            while socket.read(&mut [0; 64]).await.is_ok_and(|count| count > 0) {}
        }
        String::from_utf8(request).unwrap()
    });
    (address, task)
}

async fn open(address: SocketAddr, patience: Duration) -> Result<HttpConnection, OpenError> {
    let way = Way { address, tls: None };
    let ask = Ask { way: &way, host: "origin.example:8080", path: "/live/x.flv?a=b", mark: "v=1;node=edge;path=edge" };
    let (driver, answer) = ask.answered(LONG, patience).await?;
    let mut connection = HttpConnection::begin(driver, ask, answer, Counter::default(), patience)?;
    connection.wait_for_media().await?;
    Ok(connection)
}

/// Opens a connection to an upstream that sends `bytes` and then closes.
async fn open_sent(bytes: impl Into<Vec<u8>>) -> Result<HttpConnection, OpenError> {
    let (address, _) = upstream(vec![Step::Send(bytes.into())], false).await;
    open(address, LONG).await
}

#[track_caller]
fn assert_invalid(opened: &Result<HttpConnection, OpenError>) {
    assert!(matches!(opened, Err(OpenError::Invalid { .. })), "{opened:?}");
}

/// How many tags came, and how the connection then was lost.
async fn drain(mut connection: HttpConnection) -> (usize, ReconnectReason) {
    let mut count = connection.take_tags().len();
    loop {
        let read = connection.read().await;
        count += connection.take_tags().len();
        if let Err(lost) = read {
            return (count, lost);
        }
    }
}

/// The file header and two tags of video.
fn body() -> Vec<u8> {
    let mut body = flv::header(true, true).to_vec();
    flv::write_tag(&mut body, Kind::Video, 0, b"one picture");
    flv::write_tag(&mut body, Kind::Video, 40, b"another picture");
    body
}

fn head(headers: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Type: video/x-flv\r\n{headers}\r\n")
}

fn chunk(bytes: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
}

fn chunked(rest: &[u8]) -> Vec<u8> {
    [head("Transfer-Encoding: chunked\r\n").as_bytes(), &chunk(&body()), rest].concat()
}

#[tokio::test]
async fn the_request_names_the_stream_the_origin_and_who_asks() {
    let (address, served) = upstream(vec![Step::Send(chunked(b""))], true).await;
    open(address, LONG).await.unwrap().close().await;
    let request = served.await.unwrap();
    assert!(request.starts_with("GET /live/x.flv?a=b HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("\r\nhost: origin.example:8080\r\n"), "{request}");
    assert!(request.contains("\r\nrillcast-mark: v=1;node=edge;path=edge\r\n"), "{request}");
}

#[tokio::test]
async fn every_framing_of_a_body_is_read() {
    let length = format!("Content-Length: {}\r\n", body().len());
    let (plain, old) = (head(""), head("").replace("HTTP/1.1", "HTTP/1.0"));
    for (bytes, end) in [
        (chunked(b"0\r\n\r\n"), ReconnectReason::Ended),
        ([head(&length).as_bytes(), &body()].concat(), ReconnectReason::Ended),
        // The end of such a body is that of its connection.
        ([plain.as_bytes(), &body()].concat(), ReconnectReason::Closed),
        ([old.as_bytes(), &body()].concat(), ReconnectReason::Closed),
    ] {
        let connection = open_sent(bytes.clone()).await.unwrap();
        assert_eq!(drain(connection).await, (2, end), "{}", String::from_utf8_lossy(&bytes));
    }
}

#[tokio::test]
async fn an_absent_stream_is_no_failure() {
    let opened = open_sent("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").await;
    assert!(matches!(opened, Err(OpenError::NotFound { .. })), "{opened:?}");
}

#[tokio::test]
async fn any_other_status_is_a_refusal() {
    for status in ["401 Unauthorized", "500 Oh No", "503 Busy", "204 No Content", "302 Found"] {
        let opened = open_sent(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n")).await;
        assert!(matches!(opened, Err(OpenError::Refused { .. })), "{status}: {opened:?}");
    }
}

#[tokio::test]
async fn a_redirect_leads_to_a_whole_url() {
    for (location, expected) in [
        ("http://192.0.2.1:8081/live/x.flv?t=1", "http://192.0.2.1:8081/live/x.flv?t=1"),
        ("/other/x.flv", "http://origin.example:8080/other/x.flv"),
        ("y.flv", "http://origin.example:8080/live/y.flv"),
        ("../z/y.flv", "http://origin.example:8080/z/y.flv"),
        ("//192.0.2.1/live/x.flv", "http://192.0.2.1/live/x.flv"),
    ] {
        for status in ["302 Found", "307 Temporary Redirect"] {
            let answer = format!("HTTP/1.1 {status}\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n");
            match open_sent(answer).await {
                Err(OpenError::Redirected { location }) => assert_eq!(location, expected),
                other => panic!("{location}: {other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn a_page_is_not_a_stream_whatever_it_calls_itself() {
    const PAGE: &str = "<!DOCTYPE html><html><body>Welcome to the service portal</body></html>";
    for content_type in ["Content-Type: text/html\r\n", "Content-Type: video/x-flv\r\n", ""] {
        let answer = format!("HTTP/1.1 200 OK\r\n{content_type}Content-Length: {}\r\n\r\n{PAGE}", PAGE.len());
        assert_invalid(&open_sent(answer).await);
    }
}

#[tokio::test]
async fn flv_is_taken_under_any_of_its_content_types_and_without_one() {
    for content_type in ["Content-Type: Video/X-FLV; charset=x\r\n", "Content-Type: application/octet-stream\r\n", ""] {
        let answer = format!("HTTP/1.1 200 OK\r\n{content_type}\r\n");
        open_sent([answer.as_bytes(), &body()].concat()).await.unwrap();
    }
}

#[tokio::test]
async fn what_is_not_http_is_refused_before_it_takes_memory() {
    assert_invalid(&open_sent("SSH-2.0-OpenSSH_9.2\r\n").await);
    let endless = format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(8 << 20));
    assert_invalid(&open_sent(endless).await);
}

#[tokio::test]
async fn an_upstream_that_closes_before_media_is_told_apart() {
    for bytes in [String::new(), "HTTP/1.1 200".to_owned(), head("Transfer-Encoding: chunked\r\n"), head("")] {
        let opened = open_sent(bytes.clone()).await;
        assert!(matches!(opened, Err(OpenError::Closed)), "{bytes}: {opened:?}");
    }
}

#[tokio::test]
async fn a_connection_that_ends_within_a_chunk_is_closed() {
    assert_eq!(drain(open_sent(chunked(b"")).await.unwrap()).await, (2, ReconnectReason::Closed));
    assert_eq!(drain(open_sent(chunked(b"64\r\n\x09\0")).await.unwrap()).await, (2, ReconnectReason::Closed));
}

#[tokio::test]
async fn broken_framing_and_broken_flv_are_invalid() {
    let unfinished_tag = chunk(&[9, 0, 0, 50, 0, 0, 0, 0, 0, 0, 0, 1]);
    for rest in [b"zz\r\n".to_vec(), chunk(&[77; 40]), [&unfinished_tag[..], b"0\r\n\r\n"].concat()] {
        let connection = open_sent(chunked(&rest)).await.unwrap();
        assert_eq!(drain(connection).await.1, ReconnectReason::Invalid, "{rest:?}");
    }
}

#[tokio::test]
async fn a_foreign_upstream_may_send_no_media_for_the_read_timeout() {
    let patience = Duration::from_millis(300);
    let silent = vec![Step::Send(head("Transfer-Encoding: chunked\r\n").into())];
    let (address, _served) = upstream(silent, true).await;
    let opened = open(address, patience).await;
    assert!(matches!(opened, Err(OpenError::Timeout)), "{opened:?}");

    let (address, _served) = upstream(vec![Step::Send(chunked(b""))], true).await;
    assert_eq!(drain(open(address, patience).await.unwrap()).await, (2, ReconnectReason::Silent));
}

#[tokio::test]
async fn an_upstream_that_never_answers_is_given_up() {
    let (address, _served) = upstream(Vec::new(), true).await;
    let opened = open(address, Duration::from_millis(100)).await;
    assert!(matches!(opened, Err(OpenError::Timeout)), "{opened:?}");
}

#[tokio::test]
async fn one_of_ours_may_have_no_media_as_long_as_it_shows_signs_of_life() {
    let mut steps = vec![Step::Send(head(&format!("Transfer-Encoding: chunked\r\n{OURS}")).into())];
    steps.push(Step::Send(chunk(&flv::header(true, true))));
    for _ in 0..4 {
        steps.push(Step::Pause(Duration::from_secs(1)));
        steps.push(Step::Send(chunk(&flv::sign_of_life(0))));
    }
    steps.push(Step::Send(chunk(&body()[flv::HEADER_BYTES..])));
    let (address, _served) = upstream(steps, true).await;
    let connection = open(address, Duration::from_millis(300)).await.unwrap();
    assert_eq!(connection.session().as_str(), "abc123");
    let began = Instant::now();
    assert_eq!(drain(connection).await, (2, ReconnectReason::Silent));
    assert!(began.elapsed() >= Duration::from_secs(2), "given up after {:?}", began.elapsed());
}

#[tokio::test]
async fn a_session_counts_only_with_an_acknowledgement() {
    let answer = head("Rillcast-Session: abc123\r\n");
    let connection = open_sent([answer.as_bytes(), &body()].concat()).await.unwrap();
    assert_ne!(connection.session().as_str(), "abc123");
}

#[tokio::test]
async fn of_script_data_before_the_first_media_the_latest_is_kept() {
    let mut bytes = head("").into_bytes();
    bytes.extend(flv::header(true, true));
    for name in [b"first ", b"second", b"third "] {
        flv::write_tag(&mut bytes, Kind::Data, 0, name);
    }
    let (address, _served) = upstream(
        vec![
            Step::Send(bytes),
            Step::Pause(Duration::from_millis(200)),
            Step::Send(body()[flv::HEADER_BYTES..].to_vec()),
        ],
        true,
    )
    .await;
    let mut connection = open(address, LONG).await.unwrap();
    let payloads: Vec<Bytes> = connection.take_tags().into_iter().map(|tag| tag.payload).collect();
    assert_eq!(payloads[0], "third ");
}
