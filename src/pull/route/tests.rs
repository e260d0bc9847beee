//! A model of a tier of edges, each with a view of the tier of its own, that decide as `route` and `shield` do.
//!
//! Every edge makes one step at a time, in any order: asks, is answered, moves. Whom others pull through, and who is let in
//! when, is modelled as the hub has it.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::super::shield::{Reply, Step};
use super::*;

const EDGES: usize = 5;
/// Enough for every edge to ask every other one and to move twice.
const FAIR_ROUNDS: usize = 10 * EDGES;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Upstream {
    Origin,
    Edge(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asking {
    /// The edge at this rank of the view.
    Rank(usize),
    Origins,
}

#[derive(Debug, Clone, Default)]
struct Edge {
    is_dead: bool,
    has_players: bool,
    /// The tier as this edge sees it, by rank.
    view: Vec<usize>,
    serving: Option<Upstream>,
    asking: Option<Asking>,
    /// Edges that pull through this one, or ask to.
    others: BTreeSet<usize>,
}

#[derive(Debug, Clone)]
struct Tiermodel {
    edges: Vec<Edge>,
}

impl Tiermodel {
    fn new(views: Vec<Vec<usize>>) -> Self {
        Self { edges: views.into_iter().map(|view| Edge { view, ..Edge::default() }).collect() }
    }

    /// One edge goes one step on.
    fn step(&mut self, me: usize) {
        let edge = &self.edges[me];
        if edge.is_dead {
            return;
        }
        if !edge.has_players && edge.others.is_empty() {
            return self.leave_all(me);
        }
        let others = !edge.others.is_empty();
        let tier = match edge.serving {
            Some(Upstream::Edge(_)) => Some(Tier::Shield),
            Some(Upstream::Origin) => Some(Tier::Primary),
            None => None,
        };
        let wants_origin = tier.is_none_or(|tier| must_move(tier, others));
        match edge.asking {
            Some(Asking::Rank(_)) if others => {
                self.stop_asking(me);
                self.edges[me].asking = wants_origin.then_some(Asking::Origins);
            }
            Some(Asking::Rank(rank)) => self.hear(me, rank),
            Some(Asking::Origins) => self.serve_from(me, Upstream::Origin),
            None if may_ask_shield(others, false) => self.ask(me, 0),
            None => self.edges[me].asking = wants_origin.then_some(Asking::Origins),
        }
    }

    /// Asks whoever is at `rank`, if that is better than what serves, or the origins.
    fn ask(&mut self, me: usize, rank: usize) {
        let edge = &self.edges[me];
        match edge.view.get(rank).copied() {
            Some(other) if edge.serving != Some(Upstream::Edge(other)) => {
                self.edges[me].asking = Some(Asking::Rank(rank));
                if other != me && !self.edges[other].is_dead {
                    self.edges[other].others.insert(me);
                }
            }
            _ => self.edges[me].asking = edge.serving.is_none().then_some(Asking::Origins),
        }
    }

    /// Takes the answer of who was asked, if there is one yet.
    fn hear(&mut self, me: usize, rank: usize) {
        let other = self.edges[me].view[rank];
        let asked = &self.edges[other];
        let reply = match asked.serving {
            _ if other == me => Reply::Itself,
            // Also if it has come back since: the connection is lost.
            _ if !asked.others.contains(&me) => Reply::Dead,
            // It lets nobody in before it has the stream from an origin.
            Some(Upstream::Origin) => Reply::Sends,
            _ => return,
        };
        match reply.then() {
            Step::Take => self.serve_from(me, Upstream::Edge(other)),
            Step::AskNext => self.ask(me, rank + 1),
            Step::AskOrigins | Step::GiveUp => {
                self.stop_asking(me);
                self.edges[me].asking = self.edges[me].serving.is_none().then_some(Asking::Origins);
            }
        }
    }

    fn serve_from(&mut self, me: usize, upstream: Upstream) {
        if let Some(Upstream::Edge(old)) = self.edges[me].serving {
            self.edges[old].others.remove(&me);
        }
        // The hub lets no pull through a shield begin for an edge that others pull through.
        let begins = upstream == Upstream::Origin || self.edges[me].others.is_empty();
        assert!(begins, "the step has looked at this before");
        self.edges[me].serving = Some(upstream);
        self.edges[me].asking = None;
    }

    fn stop_asking(&mut self, me: usize) {
        if let Some(Asking::Rank(rank)) = self.edges[me].asking.take() {
            let other = self.edges[me].view[rank];
            self.edges[other].others.remove(&me);
        }
    }

    fn leave_all(&mut self, me: usize) {
        self.edges[me].serving = None;
        self.edges[me].asking = None;
        for edge in &mut self.edges {
            edge.others.remove(&me);
        }
    }

    fn happen(&mut self, event: &Event) {
        match event {
            Event::Step(edge) => self.step(*edge),
            Event::Players(edge, there) => self.edges[*edge].has_players = *there,
            Event::Die(edge) => {
                self.leave_all(*edge);
                self.edges[*edge].is_dead = true;
                for other in std::mem::take(&mut self.edges[*edge].others) {
                    if self.edges[other].serving == Some(Upstream::Edge(*edge)) {
                        self.leave_all(other);
                    }
                }
            }
            Event::Return(edge) => self.edges[*edge].is_dead = false,
            Event::See(edge, view) => {
                // Who is asked is asked still, though at no rank of the new view: as if it had been asked in vain.
                self.stop_asking(*edge);
                self.edges[*edge].view = view.clone();
            }
        }
        self.nothing_goes_round();
    }

    /// What anybody plays comes from the origin, over one other edge at most.
    fn nothing_goes_round(&self) {
        for edge in &self.edges {
            if let Some(Upstream::Edge(other)) = edge.serving {
                assert_eq!(self.edges[other].serving, Some(Upstream::Origin), "{self:#?}");
            }
        }
    }

    /// Everybody gets on as fast as everybody else.
    fn settle(&mut self) {
        for _ in 0..FAIR_ROUNDS {
            for edge in 0..self.edges.len() {
                self.happen(&Event::Step(edge));
            }
        }
    }

    fn serving(&self) -> Vec<Option<Upstream>> {
        self.edges.iter().map(|edge| edge.serving).collect()
    }

    /// The edges that pull from the origin.
    fn at_the_origin(&self) -> Vec<usize> {
        let at_origin = |edge: &usize| self.edges[*edge].serving == Some(Upstream::Origin);
        (0..self.edges.len()).filter(at_origin).collect()
    }

    /// Nobody waits for ever, and what anybody wants is asked for at the origin.
    fn everybody_is_served(&self) {
        for edge in &self.edges {
            assert!(!edge.has_players || edge.is_dead || edge.serving.is_some(), "{self:#?}");
        }
        let wanted = self.edges.iter().any(|edge| edge.has_players && !edge.is_dead);
        assert!(!wanted || !self.at_the_origin().is_empty(), "{self:#?}");
    }
}

#[derive(Debug, Clone)]
enum Event {
    Step(usize),
    Players(usize, bool),
    Die(usize),
    Return(usize),
    See(usize, Vec<usize>),
}

/// Any part of the tier in any order, with the edge itself or without.
fn any_view() -> impl Strategy<Value = Vec<usize>> {
    (Just((0..EDGES).collect::<Vec<_>>()).prop_shuffle(), 0..=EDGES).prop_map(|(mut view, count)| {
        view.truncate(count);
        view
    })
}

/// Any part of the tier in the order that the hash gives.
fn part_of_the_tier() -> impl Strategy<Value = Vec<usize>> {
    proptest::sample::subsequence((0..EDGES).collect::<Vec<_>>(), 0..=EDGES)
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        12 => (0..EDGES).prop_map(Event::Step),
        3 => (0..EDGES, prop::bool::weighted(0.7)).prop_map(|(edge, there)| Event::Players(edge, there)),
        1 => (0..EDGES).prop_map(Event::Die),
        1 => (0..EDGES).prop_map(Event::Return),
    ]
}

fn event_or_view() -> impl Strategy<Value = Event> {
    prop_oneof![8 => event(), 1 => (0..EDGES, any_view()).prop_map(|(edge, view)| Event::See(edge, view))]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn whatever_each_edge_sees_nothing_goes_round_and_nobody_waits_for_ever(
        views in proptest::collection::vec(any_view(), EDGES),
        events in proptest::collection::vec(event_or_view(), 0..120),
    ) {
        let mut tier = Tiermodel::new(views);
        events.iter().for_each(|event| tier.happen(event));
        tier.settle();
        tier.everybody_is_served();
    }

    #[test]
    fn with_one_view_a_stream_leaves_the_origin_once_for_the_first_edge_that_lives(
        events in proptest::collection::vec(event(), 0..120),
    ) {
        let mut tier = Tiermodel::new(vec![(0..EDGES).collect(); EDGES]);
        events.iter().for_each(|event| tier.happen(event));
        tier.settle();
        tier.everybody_is_served();
        let wanted = tier.edges.iter().any(|edge| edge.has_players && !edge.is_dead);
        let first = (0..EDGES).find(|edge| !tier.edges[*edge].is_dead);
        let expected: Vec<usize> = first.filter(|_| wanted).into_iter().collect();
        prop_assert_eq!(tier.at_the_origin(), expected);
    }

    #[test]
    fn with_two_views_it_leaves_the_origin_twice_at_most_and_nobody_takes_turns(
        views in [part_of_the_tier(), part_of_the_tier()],
        sees_second in proptest::collection::vec(any::<bool>(), EDGES),
        events in proptest::collection::vec(event(), 0..120),
    ) {
        let mut tier = Tiermodel::new(sees_second.iter().map(|second| views[usize::from(*second)].clone()).collect());
        events.iter().for_each(|event| tier.happen(event));
        tier.settle();
        tier.everybody_is_served();
        // Who sees nobody that lives is on its own.
        let alone = |edge: &&usize| tier.edges[**edge].view.iter().all(|other| tier.edges[*other].is_dead);
        let at_origin = tier.at_the_origin();
        prop_assert!(at_origin.iter().filter(|edge| !alone(edge)).count() <= 2, "{:#?}", tier);
        let settled = tier.serving();
        tier.settle();
        prop_assert_eq!(tier.serving(), settled);
    }
}
