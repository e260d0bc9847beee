//! The rules, one by one and in a simulated cluster.

mod simulation;
mod world;

use std::time::Duration;

use crate::cluster::lease::tests::lease;
use crate::cluster::lease::{Claim, Lease};
use crate::hub::Identity;

use super::*;
use world::{SECOND, World};

fn settled(nodes: usize) -> World {
    let mut world = World::new(nodes, 7);
    // Beyond the time in which everybody is asked.
    world.run(20 * SECOND);
    world
}

#[test]
fn the_home_grants_a_free_name_and_refuses_one_that_is_held() {
    let mut world = settled(3);
    let [home, second, third] = world.ranked(0);
    let first = world.publish(third, 0, false);
    world.run(SECOND);
    assert!(world.is_held(first));
    for node in [home, second, third] {
        let late = world.publish(node, 0, false);
        world.run(SECOND);
        // On the holder's own node it is the hub that decides between two of its clients.
        assert_eq!(world.is_held(late), node == third);
    }
    assert!(world.is_held(first));
}

#[test]
fn a_name_that_is_given_back_is_free_at_once() {
    let mut world = settled(3);
    let [home, second, third] = world.ranked(0);
    let mut last = world.publish(third, 0, false);
    for node in [second, home, third] {
        world.run(SECOND);
        assert!(world.is_held(last));
        world.leave(last);
        last = world.publish(node, 0, false);
    }
    world.run(SECOND);
    assert!(world.is_held(last));
}

#[test]
fn every_origin_finds_the_holder_wherever_it_is() {
    let mut world = settled(3);
    for holder in 0..3 {
        world.publish(holder, holder, false);
        world.run(SECOND);
        for asker in (0..3).filter(|asker| *asker != holder) {
            assert_eq!(world.locate(asker, holder), Some(holder));
        }
        assert_eq!(world.locate(holder, holder), None, "it is not elsewhere");
    }
    assert_eq!(world.locate(0, 3), None);
}

#[test]
fn a_home_that_has_just_started_asks_the_others_before_it_grants_or_denies() {
    let mut world = settled(3);
    let [home, second, third] = world.ranked(0);
    let held = world.publish(third, 0, false);
    world.run(SECOND);
    world.restart(home);
    world.run(SECOND / 10);
    assert_eq!(world.locate(home, 0), Some(third));
    let late = world.publish(second, 0, false);
    world.run(2 * SECOND);
    assert!(world.is_held(held) && !world.is_held(late));
}

#[test]
fn while_the_home_is_away_a_name_is_decided_upon_after_a_second() {
    let mut world = settled(3);
    let [home, second, third] = world.ranked(0);
    world.kill(home);
    let publishers = [world.publish(second, 0, false), world.publish(third, 0, false)];
    world.run(3 * SECOND);
    assert_eq!(publishers.iter().filter(|publisher| world.is_held(**publisher)).count(), 1);
}

#[test]
fn of_two_holders_on_two_sides_of_a_split_the_earlier_stays_and_with_replace_the_later() {
    for replaces in [false, true] {
        for order in [[1, 2], [2, 1]] {
            let mut world = settled(3);
            let ranked = world.ranked(0);
            world.isolate(ranked[2]);
            world.run(5 * SECOND);
            let [early, late] = order.map(|rank| {
                let publisher = world.publish(ranked[rank], 0, replaces);
                world.run(3 * SECOND);
                assert!(world.is_held(publisher));
                publisher
            });
            world.heal();
            world.run(15 * SECOND);
            assert_eq!((world.is_held(early), world.is_held(late)), (!replaces, replaces));
        }
    }
}

#[test]
fn a_lease_that_is_not_said_again_expires() {
    let start = Instant::now();
    let mut directory = Directory::new("a".into(), start);
    directory.joined(&"b".into());
    let ticket = Ticket { session: 1, call: 1, index: 0 };
    let at = |seconds| start + Duration::from_secs(seconds);
    directory.asked(&"b".into(), ticket, Item::Lease(lease("b", "s", 1, false)), start);
    assert_eq!(directory.leases(), 1);
    let key = lease("b", "s", 1, false).key;
    directory.tick(at(14));
    assert!(directory.noted(&key, at(14)).is_some());
    directory.tick(at(20));
    assert_eq!(directory.leases(), 0);
}

#[test]
fn what_a_node_has_leased_goes_with_it() {
    let start = Instant::now();
    let mut directory = Directory::new("a".into(), start);
    let (ticket, node): (_, NodeId) = (Ticket { session: 1, call: 1, index: 0 }, "b".into());
    directory.joined(&node);
    directory.joined(&node);
    directory.asked(&node, ticket, Item::Lease(lease("b", "s", 1, false)), start);
    directory.left(&node);
    assert_eq!(directory.leases(), 1);
    directory.left(&node);
    assert_eq!(directory.leases(), 0);
}

#[test]
fn nobody_speaks_for_another() {
    let start = Instant::now();
    let mut directory = Directory::new("a".into(), start);
    let ticket = Ticket { session: 1, call: 1, index: 0 };
    directory.joined(&"b".into());
    let claim = Claim { lease: lease("c", "s", 1, false), takes_over: false, is_held: false };
    directory.asked(&"b".into(), ticket, Item::Lease(lease("c", "s", 1, false)), start);
    directory.asked(&"b".into(), ticket, Item::Grant(claim), start);
    assert_eq!(directory.leases(), 0);
    let refusal = Action::Reply { ticket, answer: Answer::Absent };
    assert_eq!(directory.take_actions(), [refusal.clone(), refusal]);
}

#[test]
fn a_session_takes_its_name_over_from_its_ghost_even_when_the_clock_of_its_new_origin_is_behind() {
    let mut world = settled(3);
    let [_, second, third] = world.ranked(0);
    world.set_clock_behind(second, 3_600_000);
    let ghost = world.publish(third, 0, false);
    world.run(SECOND);
    let moved = world.take_over(second, ghost);
    world.run(SECOND);
    assert_eq!((world.is_held(ghost), world.is_held(moved)), (false, true));
    world.run(20 * SECOND);
    assert!(world.is_held(moved));
    assert_eq!(world.locate(third, 0), Some(second));
}
