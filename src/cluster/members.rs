//! The set of origins: resolved again and again, with a link to each.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;

use crate::config::OriginAddress;
use crate::net::dns::{Endpoint, Names, ResolveError};

use super::Shared;
use super::directory::Member;
use super::link;

/// How often the set is resolved.
const RESOLVE_EVERY: Duration = Duration::from_secs(5);

/// A link's task, and how it is told whether its address is in the set.
struct Linked {
    is_listed: watch::Sender<bool>,
    task: AbortHandle,
}

/// Resolves the set, and keeps a link to each address in it. Never ends.
pub(super) async fn keep(shared: Arc<Shared>, names: Names) {
    let mut last: HashMap<OriginAddress, Vec<Endpoint>> = HashMap::new();
    let mut links: HashMap<SocketAddr, Linked> = HashMap::new();
    let mut tasks = JoinSet::new();
    loop {
        let endpoints = resolve(&shared, &names, &mut last).await;
        let members = endpoints.iter().map(|endpoint| {
            let (address, rank_key) = (endpoint.address, endpoint.rank_key.clone());
            Member { address, rank_key }
        });
        let members: Vec<Member> = members.collect();
        shared.with(|state, now| state.directory.set_members(members, now));
        for (address, linked) in &links {
            let is_listed = endpoints.iter().any(|endpoint| endpoint.address == *address);
            linked.is_listed.send_replace(is_listed);
        }
        links.retain(|_, linked| !linked.task.is_finished());
        for endpoint in endpoints {
            links.entry(endpoint.address).or_insert_with(|| {
                let (is_listed, listed) = watch::channel(true);
                let task = tasks.spawn(link::keep(Arc::clone(&shared), endpoint, listed));
                Linked { is_listed, task }
            });
        }
        while tasks.try_join_next().is_some() {}
        // A link that was lost is a reason to look who is there.
        if timeout(RESOLVE_EVERY, shared.doubt.notified()).await.is_ok() {
            shared.settings.config.current().cluster.peers.iter().for_each(|origin| names.doubt(origin));
        }
    }
}

/// Every address of every peer, each once. Peers whose names cannot be resolved at the moment stay where they were.
async fn resolve(shared: &Shared, names: &Names, last: &mut HashMap<OriginAddress, Vec<Endpoint>>) -> Vec<Endpoint> {
    // Asked for each time: a reload may have changed them.
    let config = shared.settings.config.current();
    let peers = &config.cluster.peers;
    let found = join_all(peers.iter().map(|origin| names.resolve(origin))).await;
    let mut endpoints: Vec<Endpoint> = Vec::new();
    for (origin, found) in peers.iter().zip(found) {
        match found {
            Ok(found) => {
                last.insert(origin.clone(), found.to_vec());
            }
            Err(error @ ResolveError::NotFound { .. }) => {
                tracing::debug!(%error, "no peers");
                last.remove(origin);
            }
            Err(error) => tracing::debug!(%error, "peers cannot be resolved"),
        }
        for endpoint in last.get(origin).into_iter().flatten() {
            if endpoints.iter().all(|known| known.address != endpoint.address) {
                endpoints.push(endpoint.clone());
            }
        }
    }
    endpoints
}
