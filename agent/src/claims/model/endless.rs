//! Leases without an end: what ends them, where others than their agent hear of it.

use super::super::{BlockId, FOREVER};
use super::client::Client;
use super::staged::{A, B, C, D, stage};
use super::world::{ADDRESSES, BOUNDS, TERM, World, longest as lengths};

/// C has a lease without an end from A.
fn a_lease_without_an_end() -> World {
    let mut world = stage(None, FOREVER);
    world.clients[D].only = Some(A);
    let reply = world.asks(C, A, false).unwrap();
    world.says(A, reply).unwrap();
    world.pass(3).unwrap();
    let reply = world.asks(C, A, true).unwrap();
    assert_eq!(reply.lease, FOREVER);
    world.says(A, reply).unwrap();
    world
}

#[test]
fn a_lease_without_an_end_that_was_given_up_to_another_agent_is_over() {
    let mut world = a_lease_without_an_end();
    world.pass(2 * (BOUNDS.clocks + BOUNDS.travel)).unwrap();
    let at = world.agents[B].clock(world.now);
    world.clients[C] = Client::default();
    world.take_back(B, C, ADDRESSES[0], false, at);
    // It comes again for a while, which is the last that is heard of it.
    world.configs[0].longest = lengths(80, 80);
    for agent in [A, B] {
        let wants = world.configs[0].clone();
        world.agents[agent].claims.as_mut().unwrap().want(wants);
    }
    world.pass(10).unwrap();
    let (agent, reply) =
        [A, B].into_iter().find_map(|agent| Some((agent, world.asks(C, agent, false)?))).unwrap();
    assert!(reply.lease <= 80, "{}", reply.lease);
    world.says(agent, reply).unwrap();
    world.pass(3).unwrap();
    world.clients[D].only = None;
    world.pass(400).unwrap();
    assert!(world.clients[D].has.is_some(), "it is D's in the end");
}

#[test]
fn what_was_freed_while_an_agent_was_away_is_not_held_by_it() {
    let mut world = a_lease_without_an_end();
    world.agents[A].cut = true;
    world.pass(TERM + 2 * (BOUNDS.clocks + BOUNDS.travel)).unwrap();
    // B frees it, and claims nothing: A is the one to give it away.
    let mut wants = world.configs[0].clone();
    wants.pools[0].ahead = 0;
    world.agents[B].claims.as_mut().unwrap().want(wants);
    let at = world.agents[B].clock(world.now);
    world.clients[C] = Client::default();
    world.take_back(B, C, ADDRESSES[0], false, at);
    world.pass(10).unwrap();
    let block = world.server.block(BlockId::of(ADDRESSES[0]));
    assert_eq!(block.slots.get(&ADDRESSES[0]), None, "it is nobody's");
    world.agents[A].cut = false;
    world.clients[D].only = None;
    world.pass(20).unwrap();
    assert!(world.clients[D].has.is_some(), "it is D's in the end");
}
