//! A cluster of directories on one clock, joined by connections that delay what they carry, keep its order, and can be cut.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use super::*;

/// A second in the world's milliseconds.
pub(super) const SECOND: u64 = 1_000;
/// The longest delay of most messages, in milliseconds.
const MAX_DELAY: u64 = 30;
/// How long a broken connection may go unnoticed.
const MAX_UNNOTICED: u64 = 3_000;
const TICK: u64 = 50;

/// A publisher somewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct PublisherId(usize);

#[derive(Debug)]
struct Publisher {
    node: usize,
    life: u64,
    hold: HoldId,
    name: usize,
    session: Identity,
    replaces: bool,
    is_held: bool,
}

#[derive(Debug)]
enum Event {
    /// A question of `from` for `to`.
    Ask {
        from: usize,
        to: usize,
        ask: AskId,
        item: Item,
    },
    /// The answer to a question of `to`.
    Answer {
        from: usize,
        to: usize,
        ask: AskId,
        answer: Answer,
    },
    /// A connection has been made.
    Connected {
        from: usize,
        to: usize,
    },
    /// One end of a connection notices that it is broken.
    LinkLost {
        node: usize,
        life: u64,
        to: usize,
        id: NodeId,
    },
    SessionLost {
        node: usize,
        life: u64,
        from: NodeId,
    },
}

#[derive(Debug)]
struct Node {
    directory: Directory,
    life: u64,
    is_alive: bool,
    clock_behind: u64,
    found: HashMap<SearchId, Option<Place>>,
}

/// A connection by its two ends, and which one between them it is.
type Carrier = ((usize, usize), u64);

pub(super) struct World {
    start: Instant,
    now: u64,
    nodes: Vec<Node>,
    /// The connections by their two ends, with a number each: what is on its way on one that is cut is lost.
    connections: HashMap<(usize, usize), u64>,
    allowed: HashMap<(usize, usize), bool>,
    last_arrival: HashMap<((usize, usize), usize), u64>,
    /// By when they happen, and in their order.
    events: BTreeMap<(u64, u64), (Option<Carrier>, Event)>,
    publishers: Vec<Publisher>,
    random: u64,
    numbers: u64,
    /// Checked after every event.
    pub(super) watches_for_two: bool,
}

impl World {
    pub(super) fn new(nodes: usize, seed: u64) -> Self {
        let mut world = Self {
            start: Instant::now(),
            now: 0,
            nodes: Vec::new(),
            connections: HashMap::new(),
            allowed: HashMap::new(),
            last_arrival: HashMap::new(),
            events: BTreeMap::new(),
            publishers: Vec::new(),
            random: seed | 1,
            numbers: 0,
            watches_for_two: false,
        };
        for number in 0..nodes {
            let directory = Directory::new(node_id(number, 0), world.start);
            world.nodes.push(Node { directory, life: 0, is_alive: true, clock_behind: 0, found: HashMap::new() });
        }
        (0..nodes).for_each(|node| world.introduce(node));
        world.connect_all();
        world
    }

    fn introduce(&mut self, node: usize) {
        let members =
            (0..self.nodes.len()).map(|other| Member { address: address(other), rank_key: address(other).to_string() });
        let members = members.collect();
        let (now, life) = (self.instant(), self.nodes[node].life);
        let directory = &mut self.nodes[node].directory;
        directory.set_members(members, now);
        directory.link_up(address(node), &node_id(node, life), now);
    }

    fn instant(&self) -> Instant {
        self.start + Duration::from_millis(self.now)
    }

    fn random(&mut self, below: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % below.max(1)
    }

    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    fn is_allowed(&self, from: usize, to: usize) -> bool {
        let is_cut = self.allowed.get(&(from.min(to), from.max(to))) == Some(&false);
        !is_cut && self.nodes[from].is_alive && self.nodes[to].is_alive
    }

    fn connect_all(&mut self) {
        for from in 0..self.nodes.len() {
            for to in 0..self.nodes.len() {
                if from != to && self.is_allowed(from, to) && !self.connections.contains_key(&(from, to)) {
                    let number = self.number();
                    self.connections.insert((from, to), number);
                    let delay = 1 + self.random(MAX_DELAY);
                    self.send_on((from, to), delay, Event::Connected { from, to });
                }
            }
        }
    }

    /// Sends something that is lost with the connection, behind what is on its way in the same direction.
    fn send_on(&mut self, connection: (usize, usize), delay: u64, event: Event) {
        let Some(number) = self.connections.get(&connection).copied() else { return };
        // Each direction of each connection keeps its own order, and none of the others'.
        let from = match &event {
            Event::Answer { from, .. } | Event::Ask { from, .. } | Event::Connected { from, .. } => *from,
            Event::LinkLost { .. } | Event::SessionLost { .. } => connection.0,
        };
        let direction = (connection, from);
        let last = self.last_arrival.entry(direction).or_default();
        let at = (self.now + delay).max(*last + 1);
        *last = at;
        let order = self.number();
        self.events.insert((at, order), (Some((connection, number)), event));
    }

    fn cut(&mut self, from: usize, to: usize) {
        if self.connections.remove(&(from, to)).is_none() {
            return;
        }
        let [link, session] = [0, 1].map(|_| self.now + 1 + self.random(MAX_UNNOTICED));
        let (lives, ids) = ([from, to].map(|node| self.nodes[node].life), [from, to].map(|node| self.id(node)));
        let [from_id, to_id] = ids;
        let order = self.number();
        self.events.insert((link, order), (None, Event::LinkLost { node: from, life: lives[0], to, id: to_id }));
        let order = self.number();
        self.events.insert((session, order), (None, Event::SessionLost { node: to, life: lives[1], from: from_id }));
    }

    fn id(&self, node: usize) -> NodeId {
        node_id(node, self.nodes[node].life)
    }

    /// Cuts a node off from all others.
    pub(super) fn isolate(&mut self, node: usize) {
        (0..self.nodes.len()).filter(|other| *other != node).for_each(|other| self.separate(node, other));
    }

    pub(super) fn separate(&mut self, one: usize, other: usize) {
        self.allowed.insert((one.min(other), one.max(other)), false);
        self.cut(one, other);
        self.cut(other, one);
    }

    /// Makes every connection that there can be.
    pub(super) fn heal(&mut self) {
        self.allowed.clear();
        for number in 0..self.nodes.len() {
            if !self.nodes[number].is_alive {
                self.start_again(number);
            }
        }
        // Nobody connects again before the last connection is known to be broken.
        self.run(MAX_UNNOTICED + 1);
        self.connect_all();
    }

    pub(super) fn kill(&mut self, node: usize) {
        for other in (0..self.nodes.len()).filter(|other| *other != node) {
            self.cut(node, other);
            self.cut(other, node);
        }
        self.nodes[node].is_alive = false;
        let life = self.nodes[node].life;
        self.publishers
            .iter_mut()
            .filter(|one| one.node == node && one.life == life)
            .for_each(|one| one.is_held = false);
    }

    fn start_again(&mut self, node: usize) {
        let life = self.nodes[node].life + 1;
        let directory = Directory::new(node_id(node, life), self.instant());
        let clock_behind = self.nodes[node].clock_behind;
        self.nodes[node] = Node { directory, life, is_alive: true, clock_behind, found: HashMap::new() };
        self.introduce(node);
    }

    /// Kills a node and starts it again, once the others have noticed.
    pub(super) fn restart(&mut self, node: usize) {
        self.kill(node);
        self.run(MAX_UNNOTICED + 1);
        self.start_again(node);
        self.connect_all();
    }

    pub(super) fn set_clock_behind(&mut self, node: usize, milliseconds: u64) {
        self.nodes[node].clock_behind = milliseconds;
    }

    pub(super) fn publish(&mut self, node: usize, name: usize, replaces: bool) -> PublisherId {
        let session = Identity::from_peer(&format!("session-{}", self.publishers.len())).unwrap();
        self.ask_for(node, name, session, replaces, false)
    }

    /// The session of a publisher comes to another node.
    pub(super) fn take_over(&mut self, node: usize, from: PublisherId) -> PublisherId {
        let Publisher { name, session, replaces, .. } = &self.publishers[from.0];
        let (name, session, replaces) = (*name, session.clone(), *replaces);
        self.ask_for(node, name, session, replaces, true)
    }

    fn ask_for(
        &mut self,
        node: usize,
        name: usize,
        session: Identity,
        replaces: bool,
        takes_over: bool,
    ) -> PublisherId {
        let accepted = 10_000_000 + self.now - self.nodes[node].clock_behind;
        let place = Place { rtmp: address(node).to_string(), http: None };
        let lease = Lease { key: key(name), node: self.id(node), place, session: session.clone(), accepted, replaces };
        let now = self.instant();
        let hold = self.nodes[node].directory.hold(Claim { lease, takes_over, is_held: false }, now);
        let life = self.nodes[node].life;
        self.publishers.push(Publisher { node, life, hold, name, session, replaces, is_held: false });
        self.act(node);
        PublisherId(self.publishers.len() - 1)
    }

    pub(super) fn leave(&mut self, publisher: PublisherId) {
        let now = self.instant();
        let Publisher { node, life, hold, is_held, .. } = &mut self.publishers[publisher.0];
        *is_held = false;
        let (node, life, hold) = (*node, *life, *hold);
        if self.nodes[node].is_alive && self.nodes[node].life == life {
            self.nodes[node].directory.release(hold, now);
            self.act(node);
        }
    }

    pub(super) fn is_held(&self, publisher: PublisherId) -> bool {
        self.publishers[publisher.0].is_held
    }

    /// The nodes that hold a name.
    pub(super) fn holders(&self, name: usize) -> Vec<usize> {
        let mut nodes: Vec<usize> =
            self.publishers.iter().filter(|one| one.is_held && one.name == name).map(|one| one.node).collect();
        nodes.dedup();
        nodes.sort_unstable();
        nodes.dedup();
        nodes
    }

    pub(super) fn publishers(&self) -> usize {
        self.publishers.len()
    }

    pub(super) fn publisher(&self, number: usize) -> PublisherId {
        PublisherId(number % self.publishers.len())
    }

    /// Where a node says that a name is, once it says so.
    pub(super) fn locate(&mut self, node: usize, name: usize) -> Option<usize> {
        let now = self.instant();
        let search = self.nodes[node].directory.locate(&key(name), now);
        self.act(node);
        self.run(2 * SECOND);
        let place = self.nodes[node].found.remove(&search).expect("a search comes to an end")?;
        (0..self.nodes.len()).find(|other| address(*other).to_string() == place.rtmp)
    }

    /// The nodes in the order in which a name ranks them.
    pub(super) fn ranked(&self, name: usize) -> [usize; 3] {
        let mut ranked: Vec<(usize, String)> =
            (0..self.nodes.len()).map(|node| (node, address(node).to_string())).collect();
        crate::cluster::rank::rank(key(name).as_str(), &mut ranked, |(_, key)| key);
        [ranked[0].0, ranked[1].0, ranked[2].0]
    }

    /// Lets time pass.
    pub(super) fn run(&mut self, milliseconds: u64) {
        let end = self.now + milliseconds;
        loop {
            let next_tick = self.now / TICK * TICK + TICK;
            let next_event = self.events.first_key_value().map(|((at, _), _)| *at);
            match next_event.filter(|at| *at < next_tick && *at <= end) {
                Some(at) => {
                    self.now = self.now.max(at);
                    if let Some((_, (connection, event))) = self.events.pop_first() {
                        let is_lost = connection
                            .is_some_and(|(ends, number)| self.connections.get(&ends).copied() != Some(number));
                        if !is_lost {
                            self.happen(event);
                        }
                    }
                }
                None if next_tick > end => break,
                None => {
                    self.now = next_tick;
                    for node in 0..self.nodes.len() {
                        let now = self.instant();
                        if self.nodes[node].is_alive {
                            self.nodes[node].directory.tick(now);
                            self.act(node);
                        }
                    }
                }
            }
            if self.watches_for_two {
                for name in 0..4 {
                    assert!(self.holders(name).len() <= 1, "at {} ms: {:?} hold {name}", self.now, self.holders(name));
                }
            }
        }
        self.now = end;
    }

    fn happen(&mut self, event: Event) {
        let now = self.instant();
        let node = match event {
            Event::Ask { from, to, ask, item } => {
                let ticket = Ticket { session: from as u64, call: ask.0, index: 0 };
                let id = self.id(from);
                self.nodes[to].directory.asked(&id, ticket, item, now);
                to
            }
            Event::Answer { to, ask, answer, .. } => {
                self.nodes[to].directory.answered(ask, Some(answer), now);
                to
            }
            Event::Connected { from, to } => {
                let (from_id, to_id) = (self.id(from), self.id(to));
                self.nodes[to].directory.joined(&from_id);
                self.act(to);
                self.nodes[from].directory.link_up(address(to), &to_id, now);
                from
            }
            Event::LinkLost { node, life, to, id } => {
                if self.nodes[node].life == life {
                    self.nodes[node].directory.link_down(address(to), &id, now);
                }
                node
            }
            Event::SessionLost { node, life, from } => {
                if self.nodes[node].life == life {
                    self.nodes[node].directory.left(&from);
                }
                node
            }
        };
        self.act(node);
    }

    fn act(&mut self, node: usize) {
        if !self.nodes[node].is_alive {
            return;
        }
        for action in self.nodes[node].directory.take_actions() {
            // Now and then one takes long, but not so long that nobody waits for it.
            let slowness = if self.random(8) == 0 { 4 } else { 1 };
            let delay = 1 + self.random(MAX_DELAY) * slowness;
            match action {
                Action::Send { to, ask, item } => {
                    let Some(to) = (0..self.nodes.len()).find(|other| self.id(*other) == to) else { continue };
                    self.send_on((node, to), delay, Event::Ask { from: node, to, ask, item });
                }
                Action::Reply { ticket, answer } => {
                    let to = usize::try_from(ticket.session).unwrap();
                    self.send_on((to, node), delay, Event::Answer { from: node, to, ask: AskId(ticket.call), answer });
                }
                Action::Granted(hold) => self.set_held(node, hold, true),
                Action::Denied(hold) | Action::Revoked(hold) => self.set_held(node, hold, false),
                Action::Located { search, place } => {
                    self.nodes[node].found.insert(search, place);
                }
            }
        }
    }

    fn set_held(&mut self, node: usize, hold: HoldId, is_held: bool) {
        let life = self.nodes[node].life;
        // One that is granted while it asks is not there yet; its own call tells.
        let mut known = self.publishers.iter_mut();
        if let Some(publisher) = known.find(|one| (one.node, one.life, one.hold) == (node, life, hold)) {
            publisher.is_held = is_held;
        }
    }
}

fn address(node: usize) -> std::net::SocketAddr {
    ([10, 0, 0, u8::try_from(node).unwrap()], 1935).into()
}

fn node_id(node: usize, life: u64) -> NodeId {
    format!("node-{node}-{life}").into()
}

fn key(name: usize) -> StreamKey {
    StreamKey::from_path(&format!("live/{name}")).unwrap()
}
