//! Random days of a cluster.

use proptest::prelude::*;

use super::world::{SECOND, World};

#[derive(Debug, Clone)]
enum Happening {
    Publish { node: usize, name: usize, takes_over: bool },
    Leave(usize),
    Pass(u64),
    Separate(usize, usize),
    Restart(usize),
    Heal,
}

fn calm() -> impl Strategy<Value = Happening> {
    prop_oneof![
        4 => (0..4_usize, 0..2_usize, prop::bool::weighted(0.2))
            .prop_map(|(node, name, takes_over)| Happening::Publish { node, name, takes_over }),
        3 => (0..100_usize).prop_map(Happening::Leave),
        3 => (0..200_u64).prop_map(Happening::Pass),
        1 => (0..6_000_u64).prop_map(Happening::Pass),
    ]
}

fn stormy() -> impl Strategy<Value = Happening> {
    prop_oneof![
        6 => calm(),
        2 => (0..4_usize, 0..4_usize).prop_map(|(one, other)| Happening::Separate(one, other)),
        1 => (0..4_usize).prop_map(Happening::Restart),
        1 => Just(Happening::Heal),
    ]
}

fn happen(world: &mut World, happening: Happening, replaces: bool) {
    match happening {
        Happening::Publish { takes_over: true, node, name } if world.publishers() > 0 => {
            let from = world.publisher(name * 7 + node);
            world.take_over(node, from);
        }
        Happening::Publish { node, name, .. } => {
            world.publish(node, name, replaces);
        }
        Happening::Leave(number) if world.publishers() > 0 => world.leave(world.publisher(number)),
        Happening::Leave(_) => {}
        Happening::Pass(milliseconds) => world.run(milliseconds),
        Happening::Separate(one, other) if one != other => world.separate(one, other),
        Happening::Separate(..) => {}
        Happening::Restart(node) => world.restart(node),
        Happening::Heal => world.heal(),
    }
}

/// Lets publishers replace each other on nodes whose clocks are behind: who publishes where, and how long until the next one.
fn replace_each_other(seed: u64, clocks: [u64; 4], asks: &[(usize, u64)]) -> Vec<usize> {
    let mut world = World::new(4, seed);
    clocks.iter().enumerate().for_each(|(node, behind)| world.set_clock_behind(node, *behind));
    world.run(20 * SECOND);
    for (node, pause) in asks {
        world.publish(*node, 0, true);
        world.run(*pause);
    }
    world.run(2 * SECOND);
    world.holders(0)
}

#[test]
fn who_replaces_a_publisher_of_its_own_node_is_later_than_that_whatever_the_clock_says() {
    let asks = [(3, 29), (2, 26), (3, 95), (0, 31), (0, 36)];
    for _ in 0..50 {
        assert_eq!(replace_each_other(8_338_977_056_373_150_664, [133, 0, 0, 0], &asks), [0]);
    }
}

#[test]
fn who_comes_in_the_place_of_one_that_has_sent_a_holder_away_is_later_than_that_holder() {
    let asks = [(2, 18), (3, 21), (0, 8), (3, 79), (1, 0)];
    for _ in 0..50 {
        assert_eq!(replace_each_other(10_921_312_732_406_776_108, [26, 104, 0, 0], &asks), [1]);
    }
}

#[test]
fn a_node_that_is_gone_is_granted_nothing() {
    let mut world = World::new(4, 7_153_315_005_298_063_668);
    assert_eq!(world.ranked(1), [1, 2, 3]);
    world.publish(3, 1, false);
    world.separate(1, 0);
    world.run(20);
    // It goes while its home asks the others about its claim.
    world.restart(3);
    let publisher = world.publish(2, 1, false);
    world.separate(1, 2);
    world.run(2 * SECOND);
    world.heal();
    assert!(world.is_held(publisher));
    world.run(15 * SECOND);
    assert!(world.is_held(publisher));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn while_links_are_up_a_name_never_has_two_holders(
        seed in any::<u64>(),
        is_young in any::<bool>(),
        replaces in any::<bool>(),
        day in prop::collection::vec(calm(), 1..60),
    ) {
        let mut world = World::new(4, seed);
        world.run(if is_young { SECOND / 5 } else { 20 * SECOND });
        world.watches_for_two = true;
        for happening in day {
            happen(&mut world, happening, replaces);
        }
        world.run(20 * SECOND);
    }

    #[test]
    fn of_those_that_ask_for_a_free_name_at_about_the_same_time_exactly_one_gets_it(
        seed in any::<u64>(),
        is_young in any::<bool>(),
        replaces in any::<bool>(),
        clocks in prop::array::uniform4(0..200_u64),
        asks in prop::collection::vec((0..4_usize, 0..100_u64), 2..6),
    ) {
        let mut world = World::new(4, seed);
        clocks.iter().enumerate().for_each(|(node, behind)| world.set_clock_behind(node, *behind));
        world.run(if is_young { SECOND / 5 } else { 20 * SECOND });
        world.watches_for_two = true;
        for (node, pause) in asks {
            world.publish(node, 0, replaces);
            world.run(pause);
        }
        world.run(2 * SECOND);
        prop_assert_eq!(world.holders(0).len(), 1);
    }

    #[test]
    fn when_all_is_well_again_every_name_has_one_holder_and_is_found_from_everywhere(
        seed in any::<u64>(),
        replaces in any::<bool>(),
        day in prop::collection::vec(stormy(), 1..60),
    ) {
        let mut world = World::new(4, seed);
        for happening in day {
            happen(&mut world, happening, replaces);
        }
        world.run(2 * SECOND);
        world.heal();
        let held: Vec<bool> = (0..2).map(|name| !world.holders(name).is_empty()).collect();
        world.run(15 * SECOND);
        for (name, was_held) in held.into_iter().enumerate() {
            let holders = world.holders(name);
            prop_assert_eq!(holders.len(), usize::from(was_held), "name {}", name);
            for node in 0..4 {
                let expected = holders.first().copied().filter(|holder| *holder != node);
                prop_assert_eq!(world.locate(node, name), expected, "name {} from {}", name, node);
            }
        }
    }
}
