//! Which way a stream comes: from the origins, from the backups, or through another edge that shields the origins.
//!
//! Owns the decision, and the search for a better way while one serves. The pull calls it before it relays and while it does.
//! Two rules keep edges that pull through each other from going round in a circle or waiting for each other, whatever each
//! of them sees in DNS: an edge that others pull through asks no other edge, and one that others come to while it pulls
//! through another edge moves to the origins. (The third, who is let in when, is the hub's.)

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::time::{sleep, sleep_until};

use crate::hub::{Demand, Missing, PullState, PullStatus};

use super::PullContext;
use super::connection::Connection;
use super::health::{LONGEST_REST, LONGEST_REST_WHILE_WAITED_FOR, random_fraction};
use super::race::{Outcome, race};
use super::rhythm::Rhythm;
use super::shield::{self, Answer};
use super::target::Target;
use super::upstreams::{Candidate, Tier};

/// About how often a better way is looked for.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How long an edge asks no other one after others came to it while it pulled through that one. Their views of the tier
/// differ then, and without a pause such edges could take turns for ever.
pub(super) const HOLD: Duration = Duration::from_secs(20);

/// An upstream that sends the stream.
pub(super) struct Found {
    pub(super) connection: Connection,
    pub(super) candidate: Candidate,
    pub(super) tier: Tier,
}

/// What a search is for, and what bounds it.
#[derive(Clone, Copy)]
pub(super) struct Search<'a> {
    pub(super) context: &'a PullContext,
    pub(super) demand: &'a Demand,
    pub(super) target: &'a Target,
    /// Attempts since there was media.
    pub(super) retries: u32,
    /// Until when no other edge is asked.
    pub(super) held_until: Option<Instant>,
}

/// Whether a stream may be asked for at another edge.
pub(super) const fn may_ask_shield(others_pull_through_us: bool, held: bool) -> bool {
    !others_pull_through_us && !held
}

/// Whether a stream has to come from the origins, and does not.
pub(super) fn must_move(serving: Tier, others_pull_through_us: bool) -> bool {
    others_pull_through_us && serving == Tier::Shield
}

impl Search<'_> {
    /// Asks the tier, then the primaries, and if none of them answers the backups. `upstream` becomes who is asked.
    pub(super) async fn find(self, upstream: &mut Option<(SocketAddr, Tier)>) -> Result<Found, Missing> {
        if self.may_ask_shield() {
            let asking = |address| self.report(PullState::Connecting, Some((address, Tier::Shield)));
            let answer = tokio::select! {
                answer = shield::ask(self.context, self.demand.key(), self.target, None, asking) => answer,
                () = self.others_come() => Answer::Nobody,
            };
            match answer {
                Answer::Won(connection, candidate) => return Ok(found(*connection, candidate, Tier::Shield)),
                Answer::Absent => return Err(Missing::Absent),
                Answer::Nobody => {}
            }
        }
        self.find_origin(|first, tier| {
            *upstream = first.map(|candidate| (candidate.address, tier)).or(*upstream);
            self.report(PullState::Connecting, *upstream);
        })
        .await
    }

    /// Asks the primaries, and if none of them answers the backups. `asking` is told who is asked first.
    async fn find_origin(self, mut asking: impl FnMut(Option<&Candidate>, Tier)) -> Result<Found, Missing> {
        for tier in [Tier::Primary, Tier::Backup] {
            if tier == Tier::Backup && !self.context.upstreams.has_backups() {
                break;
            }
            let candidates = self.context.upstreams.candidates(self.demand.key(), tier).await;
            asking(candidates.first(), tier);
            match race(self.context, self.target, candidates, LONGEST_REST_WHILE_WAITED_FOR).await {
                Outcome::Won(connection, candidate) => return Ok(found(*connection, candidate, tier)),
                Outcome::NotFound => return Err(Missing::Absent),
                Outcome::Unreachable => {}
            }
        }
        Err(Missing::Unreachable)
    }

    /// While `address` of `serving` serves, completes when the stream is to be had in a better way.
    pub(super) async fn better(self, serving: Tier, address: SocketAddr) -> Found {
        loop {
            let others_come = self.demand.shields();
            tokio::select! {
                found = self.origin_for_others(), if must_move(serving, others_come) => return found,
                found = self.look(serving, address), if !must_move(serving, others_come) => return found,
                () = self.demand.shielding_changed() => {}
            }
        }
    }

    /// Asks the origins in the waiting rhythm: others wait, who are told what the origins say.
    async fn origin_for_others(self) -> Found {
        let mut rhythm = Rhythm::default();
        loop {
            match self.find_origin(|_, _| {}).await {
                Ok(found) => return found,
                Err(missing) => self.demand.missed(missing),
            }
            sleep(rhythm.next_pause()).await;
        }
    }

    /// Looks from time to time for an edge that ranks before who serves, and for primaries while a backup serves.
    async fn look(self, serving: Tier, address: SocketAddr) -> Found {
        if self.context.config().upstream.shield.is_none() && serving != Tier::Backup {
            return std::future::pending().await;
        }
        loop {
            // Not in step with other edges, which would find each other looking again and again.
            sleep(LOOK_EVERY.mul_f64(0.75 + 0.5 * random_fraction())).await;
            if self.may_ask_shield() {
                let asked = shield::ask(self.context, self.demand.key(), self.target, Some(address), |_| {});
                if let Answer::Won(connection, candidate) = asked.await {
                    return found(*connection, candidate, Tier::Shield);
                }
            }
            if serving == Tier::Backup {
                let candidates = self.context.upstreams.candidates(self.demand.key(), Tier::Primary).await;
                let outcome = race(self.context, self.target, candidates, LONGEST_REST).await;
                if let Outcome::Won(connection, candidate) = outcome {
                    return found(*connection, candidate, Tier::Primary);
                }
            }
        }
    }

    fn may_ask_shield(self) -> bool {
        let held = self.held_until.is_some_and(|until| Instant::now() < until);
        self.context.config().upstream.shield.is_some() && may_ask_shield(self.demand.shields(), held)
    }

    /// Completes once others pull the stream through this edge.
    async fn others_come(self) {
        while !self.demand.shields() {
            self.demand.shielding_changed().await;
        }
    }

    /// Tells what the pull is doing.
    pub(super) fn report(self, state: PullState, upstream: Option<(SocketAddr, Tier)>) {
        self.demand.report(PullStatus {
            address: upstream.map(|(address, _)| address.to_string()),
            shielded: upstream.is_some_and(|(_, tier)| tier == Tier::Shield),
            state,
            retries: self.retries,
        });
    }
}

const fn found(connection: Connection, candidate: Candidate, tier: Tier) -> Found {
    Found { connection, candidate, tier }
}

/// Completes at `moment`, or never.
pub(super) async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment.into()).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
