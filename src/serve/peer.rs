//! Another origin of the cluster that asks us: its calls, handed on.

use std::convert::Infallible;

use crate::auth::Standing;
use crate::cluster::session::Reply;
use crate::metrics::Reason;
use crate::rtmp::server::{Call, ServerEvent};

use super::heartbeat::{Beat, Heartbeat};
use super::rtmp::Connection;

/// Answers what a peer asks, `first` and whatever follows, until the connection ends.
pub(super) async fn run(connection: &mut Connection<'_>, first: &Call) -> Result<Infallible, Reason> {
    // Calls are taken only from who has proved to be a server, at an origin that has peers.
    let (Some(cluster), Some(Standing::Verified(mark))) = (&connection.context.cluster, connection.standing.as_deref())
    else {
        return Err(Reason::ProtocolViolation);
    };
    let mut session = cluster.join(&mark.node);
    // It stays as long as we do. Were it waited for, every drain would take all its time.
    connection.accepted.guest.leave();
    session.take(first);
    let mut heartbeat = Heartbeat::new(true);
    loop {
        while let Some(event) = connection.link.next_event()? {
            if let ServerEvent::Call(call) = event {
                session.take(&call);
            }
        }
        connection.link.flush().await?;
        let last_heard = connection.link.last_heard;
        tokio::select! {
            biased;
            () = connection.context.stop.cancelled() => return Err(Reason::Shutdown),
            Reply { transaction, argument } = session.next_reply() => {
                connection.link.session.answer_call(transaction, argument);
            }
            read = connection.link.read() => read?,
            beat = heartbeat.due(last_heard) => match beat {
                Beat::Ask => connection.link.session.ping(0),
                Beat::Dead => return Err(Reason::PeerLost),
            },
        }
    }
}
