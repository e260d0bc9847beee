//! The demo: an origin, an edge that pulls from it, and a publisher, all in one process.
//!
//! Owns the clip that ships with the program and the publisher that loops it, which also serves `rillcast publish --demo`.
//! The command line calls it; it uses the server as any configuration would.

mod clip;
mod publisher;

use std::io::Write as _;

use anyhow::Context as _;

use crate::config::{Role, Sources};
pub use crate::rtmp::url::RtmpUrl;
use crate::server::{Server, Service};

pub use publisher::{publish, publish_again};

/// The ports of the demo's origin and edge: RTMP, HTTP, admin.
const ORIGIN_PORTS: [u16; 3] = [1935, 8080, 1985];
const EDGE_PORTS: [u16; 3] = [1936, 8081, 1986];
/// The stream that the demo publishes.
const STREAM: &str = "live/demo";

/// Runs the demo until `stop` completes.
pub async fn run(stop: impl Future<Output = ()>) -> anyhow::Result<()> {
    let origin = start(Role::Origin, ORIGIN_PORTS).await.context("the demo's origin")?;
    let edge = match start(Role::Edge, EDGE_PORTS).await {
        Ok(edge) => edge,
        Err(error) => {
            origin.stop().await;
            return Err(error.context("the demo's edge"));
        }
    };
    let url: RtmpUrl = format!("rtmp://127.0.0.1:{}/{STREAM}", ORIGIN_PORTS[0]).parse()?;
    say(&welcome(&edge));
    // The publisher goes last, so that the stop is as quiet as it looks.
    let mut publishing = std::pin::pin!(publish(&url, None, || {}));
    let ended = tokio::select! {
        () = stop => Ok(()),
        // Told to through the API of either.
        () = origin.drained() => Ok(()),
        () = edge.drained() => Ok(()),
        ended = &mut publishing => ended,
    };
    edge.stop().await;
    origin.stop().await;
    ended
}

/// Prints to whoever listens; a reader who has gone is no reason to stop.
pub fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

async fn start(role: Role, [rtmp, http, admin]: [u16; 3]) -> anyhow::Result<Server> {
    let mut environment = vec![
        ("RILLCAST_NODE__NAME".to_owned(), format!("demo-{role}")),
        ("RILLCAST_RTMP__LISTEN".to_owned(), format!("127.0.0.1:{rtmp}")),
        ("RILLCAST_HTTP__LISTEN".to_owned(), format!("127.0.0.1:{http}")),
        ("RILLCAST_ADMIN__LISTEN".to_owned(), format!("127.0.0.1:{admin}")),
    ];
    if role == Role::Edge {
        environment.push(("RILLCAST_UPSTREAM__ORIGINS".to_owned(), format!("127.0.0.1:{}", ORIGIN_PORTS[0])));
    }
    let sources = Sources::new(role, &[], environment);
    let loaded = sources.load(None).result?;
    Ok(Server::start(sources, loaded, None).await?)
}

fn welcome(edge: &Server) -> String {
    let port = |service| edge.address(service).map_or(0, |address| address.port());
    format!(
        "\nRillcast demo: an origin, and an edge that pulls from it. Play the edge:\n\n  \
         ffplay rtmp://127.0.0.1:{rtmp}/{STREAM}\n  \
         ffplay http://127.0.0.1:{http}/{STREAM}.flv\n\n\
         Look inside:\n\n  \
         curl http://127.0.0.1:{admin}/api/v1/streams\n  \
         curl http://127.0.0.1:{admin}/metrics\n\n\
         Publish your own to the origin, and play it from the edge:\n\n  \
         ffmpeg -re -i FILE -c copy -f flv rtmp://127.0.0.1:{origin}/live/x\n\n\
         Ctrl-C stops.\n",
        rtmp = port(Service::Rtmp),
        http = port(Service::Http),
        admin = port(Service::Admin),
        origin = ORIGIN_PORTS[0],
    )
}
