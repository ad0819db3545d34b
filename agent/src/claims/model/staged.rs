//! What chance hardly ever brings about: two agents, one address, and a story each.

use super::super::rules::Rule;
use std::collections::BTreeSet;
use std::sync::Arc;

use super::super::{At, Block, BlockId, Clock, FOREVER, Mark, Request, Slot, Wants};
use super::agent::{Reply, key};
use super::calls::Call;
use super::client::Client;
use super::world::{ADDRESSES, BOUNDS, START, TERM, Twice, Without, World, longest as lengths};

/// The agent that a story is about, and the other.
pub(super) const A: usize = 0;
pub(super) const B: usize = 1;
/// The client that has the address, and the one that wants it.
pub(super) const C: usize = 0;
pub(super) const D: usize = 1;

/// A world in which nothing happens by chance; A has the slower clock.
pub(super) fn stage(without: Option<Without>, longest: u64) -> World {
    let mut world = World::new(1, without, false);
    world.agents.truncate(2);
    world.clients = (0..2).map(|_| Client::default()).collect();
    world.doomed = false;
    let mut wants: Wants = world.configs[0].clone();
    wants.longest = lengths(longest, longest);
    wants.without_end.clear();
    wants.term = TERM;
    wants.reserved.clear();
    wants.pools[0].ranges = vec![ADDRESSES[0]..=ADDRESSES[0]];
    wants.pools[0].ahead = 1;
    world.configs = vec![wants];
    for (number, offset) in [(A, -10), (B, 10)] {
        world.agents[number].offset = offset;
        world.start(number, false);
    }
    // A claims it.
    world.agents[B].paused = true;
    world.pass(2).unwrap();
    world.agents[B].paused = false;
    world.pass(2).unwrap();
    world
}

impl World {
    /// All that run and are not cut off do what they have to, and get their answers at once.
    pub fn settle(&mut self, rounds: usize) {
        for _ in 0..rounds {
            for number in 0..self.agents.len() {
                self.tick(number);
            }
            self.answer_calls();
        }
        for number in 0..self.agents.len() {
            for (id, versions) in &self.server.blocks {
                let agent = &mut self.agents[number];
                if agent.runs() && !agent.cut {
                    let now = agent.clock(self.now);
                    agent.claims.as_mut().unwrap().block_seen(now, *id, versions.last().unwrap().clone());
                }
            }
        }
    }

    /// What was asked by who is not cut off is carried out and answered.
    pub(super) fn answer_calls(&mut self) {
        let calls: Vec<Call> = self.calls.drain(..).collect();
        for mut call in calls {
            let agent = &self.agents[call.agent];
            if agent.cut {
                self.calls.push(call);
                continue;
            }
            let waits = agent.process == call.process && !call.given_up;
            if call.answer.is_none() {
                call.answer = Some((self.server.carry_out(&agent.id.clone(), &call.request), self.now));
            }
            if waits {
                self.answered(call);
            }
        }
    }

    /// Time passes, in which D asks for the address again and again.
    pub(super) fn pass(&mut self, time: u64) -> Result<(), Twice> {
        for _ in 0..time {
            self.settle(8);
            self.now += 1;
            self.clients[D].look(self.now, 0);
            for agent in [B, A] {
                let asks = self.clients[D].only.is_none() && self.clients[D].has.is_none();
                if self.now > START + 10 && asks && self.agents[agent].runs() {
                    self.asks(D, agent, false).map_or(Ok(()), |reply| self.says(agent, reply))?;
                }
            }
        }
        Ok(())
    }

    /// A client asks for the address; what the agent decides.
    pub(super) fn asks(&mut self, client: usize, agent: usize, renews: bool) -> Option<Reply> {
        self.asks_for(client, agent, renews, u64::MAX, false)
    }

    pub(super) fn asks_for(
        &mut self,
        client: usize,
        agent: usize,
        renews: bool,
        lease: u64,
        kernel: bool,
    ) -> Option<Reply> {
        self.ask(client, renews, Some(ADDRESSES[0]));
        let asks = self.clients[client].asks?;
        Some(self.decide(agent, client, asks, lease, kernel)?.0)
    }

    /// What an agent decided goes out.
    pub(super) fn says(&mut self, agent: usize, reply: Reply) -> Result<(), Twice> {
        self.reply(agent, reply);
        self.frames.clear();
        self.client_hears(reply)
    }

    /// The kernel answers a client.
    pub(super) fn kernel_says(&mut self, client: usize, agent: usize, renews: bool) -> Result<(), Twice> {
        self.ask(client, renews, Some(ADDRESSES[0]));
        let answer = self.agents[agent].kernel_answers(client, Some(ADDRESSES[0]), self.now);
        let (ip, lease) = answer.expect("the kernel has an entry");
        let transaction = self.clients[client].asks.unwrap().transaction;
        self.client_hears(Reply { client, transaction, ip, lease })
    }

    /// Somebody marks the binding, until then, or takes the mark off.
    pub(super) fn mark(&mut self, not_before: Option<At>) {
        let id = BlockId::of(ADDRESSES[0]);
        let mut block = Block::clone(&self.server.block(id));
        block.serial += 1;
        let serial = block.serial;
        let Some(Slot::Bound(binding)) = block.slots.get_mut(&ADDRESSES[0]) else { panic!("{block:?}") };
        let mark = |not_before| Mark { serial, given_up: At::NEVER, not_before, confirmed: BTreeSet::new() };
        binding.mark = not_before.map(mark);
        let write = Request::WriteBlock(id, Arc::new(block));
        self.server.carry_out(&"somebody".into(), &write);
    }

    /// How long A decides from now on.
    pub(super) fn left(&self, agent: usize) -> u64 {
        let agent = &self.agents[agent];
        let until = agent.claims.as_ref().unwrap().copies().granted.as_ref().unwrap().until;
        until.since(agent.clock(self.now))
    }
}

/// The story goes well with all rules, D has the address in the end; and not without this one.
pub(super) fn needs(without: Without, story: impl Fn(&mut World) -> Result<(), Twice>, longest: u64) {
    let told = |without| {
        let mut world = stage(without, longest);
        story(&mut world)?;
        world.pass(500)?;
        Ok::<_, Twice>(world.last[&ADDRESSES[0]])
    };
    assert_eq!(told(None).expect("all rules are kept"), D, "it is given away in the end");
    told(Some(without)).expect_err("the rule is not needed");
}

#[test]
fn an_answer_to_a_renewal_can_come_as_late_as_the_lease_ends() {
    let story = |world: &mut World| {
        let reply = world.asks(C, A, false).unwrap();
        world.says(A, reply)?;
        world.pass(1)?;
        world.agents[A].cut = true;
        while world.left(A) > 3 {
            world.pass(1)?;
            if world.left(A) < 110 {
                let reply = world.asks(C, A, true).unwrap();
                world.says(A, reply)?;
            }
        }
        let reply = world.asks(C, A, true).unwrap();
        world.agents[A].paused = true;
        let end = world.clients[C].has.unwrap().1;
        world.pass(end - world.now - 1)?;
        world.says(A, reply)
    };
    needs(Without::Rule(Rule::TwiceTheLease), story, 80);
}

/// A new client's answer is decided at the end of A's term, and sent at the end of the client's patience.
fn late_for_a_new_client(world: &mut World) -> Result<(), Twice> {
    world.clients[D].only = Some(A);
    world.agents[A].cut = true;
    while world.left(A) > 1 {
        world.pass(1)?;
    }
    let reply = world.asks(C, A, false).unwrap();
    world.agents[A].paused = true;
    world.clients[D].only = None;
    world.pass(BOUNDS.patience - 1)?;
    world.says(A, reply)
}

#[test]
fn an_answer_to_a_new_client_can_come_as_late_as_it_has_patience() {
    needs(Without::Rule(Rule::Patience), late_for_a_new_client, 5);
}

#[test]
fn clocks_that_differ_are_left_room_for() {
    needs(Without::Rule(Rule::RoomForClocks), late_for_a_new_client, 5);
}

#[test]
fn an_extension_that_is_acknowledged_after_the_end_does_not_count() {
    let story = |world: &mut World| {
        let reply = world.asks(C, A, false).unwrap();
        world.says(A, reply)?;
        world.pass(2)?;
        // A's extension is on its way until D has the address.
        world.agents[A].cut = true;
        while world.clients[D].has.is_none() {
            world.pass(1)?;
        }
        let is_it = |call: &Call| call.agent == A && matches!(call.request, Request::WriteTerm(_));
        let at = world.calls.iter().position(is_it).expect("A wants to go on");
        let mut call = world.calls.remove(at);
        let id = world.agents[A].id.clone();
        call.answer = Some((world.server.carry_out(&id, &call.request), world.now));
        world.answered(call);
        world.asks(C, A, false).map_or(Ok(()), |reply| world.says(A, reply))
    };
    needs(Without::Rule(Rule::LateExtensionsDoNotCount), story, 5);
}

#[test]
fn a_read_after_one_mark_says_nothing_of_the_next() {
    let story = |world: &mut World| {
        world.clients[D].only = Some(A);
        let reply = world.asks(C, A, false).unwrap();
        world.says(A, reply)?;
        world.pass(2)?;
        // A is away until its term is over. B sees a mark that keeps the address out of use, and reads that.
        world.crash(A, false);
        world.agents[B].paused = true;
        world.pass(400)?;
        world.mark(Some(At(u64::MAX)));
        world.agents[B].paused = false;
        world.pass(3)?;
        let now = world.agents[B].clock(world.now);
        let claims = world.agents[B].claims.as_mut().unwrap();
        claims.turn += 1;
        claims.asking.terms = Some((now, claims.turn));
        claims.terms_read(now, Some(world.server.terms.clone()));
        world.agents[B].paused = true;
        // Behind its back the mark is taken off, A comes back and answers C; and there is another mark.
        world.mark(None);
        let wants = world.configs[0].clone();
        let mut kept = wants.clone();
        kept.reserved.insert(ADDRESSES[0], key(C));
        world.configs.push(kept);
        world.agents[A].config = 1;
        world.start(A, false);
        world.pass(3)?;
        let reply = world.asks(C, A, false).unwrap();
        world.says(A, reply)?;
        world.agents[A].config = 0;
        world.agents[A].claims.as_mut().unwrap().want(wants);
        world.agents[A].paused = true;
        world.mark(Some(At::NEVER));
        (world.agents[B].paused, world.clients[D].only) = (false, None);
        world.pass(3)?;
        world.agents[A].paused = false;
        Ok(())
    };
    needs(Without::Rule(Rule::MarksHaveNames), story, 80);
}

#[test]
fn others_wait_for_no_longer_leases_than_are_published() {
    let story = |world: &mut World| {
        let reply = world.asks(C, A, false).unwrap();
        world.says(A, reply)?;
        world.pass(1)?;
        world.agents[A].cut = true;
        world.configs[0].longest = lengths(80, 80);
        while world.left(A) > 2 {
            world.pass(1)?;
            if world.clients[C].has.is_some_and(|(_, end)| end == world.now + 1) {
                let reply = world.asks(C, A, true).unwrap();
                world.says(A, reply)?;
            }
        }
        let reply = world.asks(C, A, false).unwrap();
        world.says(A, reply)
    };
    needs(Without::Rule(Rule::NoLongerThanPublished), story, 5);
}

#[test]
fn what_was_promised_from_a_claim_is_among_what_is_published() {
    let story = |world: &mut World| {
        let reply = world.asks(C, A, false).unwrap();
        world.says(A, reply)?;
        // The disk does not know that it was sent.
        world.crash(A, false);
        world.configs[0].longest = lengths(5, 5);
        world.start(A, true);
        let wants = world.configs[0].clone();
        world.agents[B].claims.as_mut().unwrap().want(wants);
        Ok(())
    };
    needs(Without::Rule(Rule::PublishTheLongest), story, 80);
}

#[test]
fn a_kernel_whose_word_is_lost_may_have_renewed_up_to_its_horizon() {
    let story = |world: &mut World| {
        let reply = world.asks_for(C, A, false, u64::MAX, true).unwrap();
        world.says(A, reply)?;
        world.pass(1)?;
        world.agents[A].paused = true;
        for _ in 0..6 {
            world.pass(15)?;
            world.kernel_says(C, A, true)?;
        }
        world.crash(A, true);
        world.start(A, false);
        Ok(())
    };
    needs(Without::Rule(Rule::HorizonAfterACrash), story, 20);
}

#[test]
fn an_address_that_was_answered_since_is_not_given_up() {
    let story = |world: &mut World| {
        let reply = world.asks_for(C, A, false, u64::MAX, true).unwrap();
        world.says(A, reply)?;
        world.pass(1)?;
        // Two questions wait in the socket of A, and a RELEASE behind them.
        world.agents[A].paused = true;
        world.ask(C, true, Some(ADDRESSES[0]));
        let asks = world.clients[C].asks.unwrap();
        world.pass(2)?;
        let released = world.agents[A].clock(world.now);
        world.agents[A].kernel_hears_of_the_end(C, ADDRESSES[0]);
        world.clients[C] = Client::default();
        world.pass(2)?;
        // It reads one, and is stopped again: its kernel answers once more.
        world.decide(A, C, asks, u64::MAX, true).unwrap();
        world.pass(2)?;
        world.kernel_says(C, A, false)?;
        world.agents[A].paused = false;
        world.take_back(A, C, ADDRESSES[0], false, released);
        Ok(())
    };
    needs(Without::Rule(Rule::BackSince), story, 80);
}

#[test]
fn a_release_counts_from_when_it_came() {
    let story = |world: &mut World| {
        let reply = world.asks(C, A, false).unwrap();
        world.says(A, reply)?;
        world.pass(2)?;
        world.agents[A].paused = true;
        let released = world.agents[A].clock(world.now);
        world.clients[C] = Client::default();
        // B claims nothing: A is the one to give it away.
        let mut wants = world.configs[0].clone();
        wants.pools[0].ahead = 0;
        world.agents[B].claims.as_mut().unwrap().want(wants);
        world.pass(1)?;
        let reply = world.asks(C, B, false).unwrap();
        world.says(B, reply)?;
        world.pass(60)?;
        world.agents[A].paused = false;
        world.take_back(A, C, ADDRESSES[0], false, released);
        Ok(())
    };
    needs(Without::ArrivalTimes, story, 80);
}

#[test]
fn a_known_client_gets_its_address_from_any_agent_that_has_seen_it_published() {
    let mut world = stage(None, 80);
    world.clients[D].only = Some(A);
    let reply = world.asks(C, A, false).unwrap();
    world.says(A, reply).unwrap();
    world.pass(3).unwrap();
    // The one that answered is gone, and so is the API server.
    world.crash(A, true);
    world.agents[B].cut = true;
    for renews in [true, false, true] {
        let reply = world.asks(C, B, renews).expect("B knows it");
        world.says(B, reply).unwrap();
        world.pass(20).unwrap();
    }
    assert_eq!(world.asks(D, B, false).map(|reply| reply.ip), None, "it is not D's");
    while world.left(B) > 0 {
        world.pass(1).unwrap();
    }
    assert!(world.asks(C, B, true).is_none(), "not past the horizon");
}

#[test]
fn an_agent_that_never_returns_costs_its_claims_until_its_term_is_over_and_no_longer() {
    let mut world = stage(None, 80);
    world.crash(A, true);
    let over = TERM + BOUNDS.over(At(0), 80).0 + BOUNDS.clocks;
    world.pass(over - 40).unwrap();
    assert!(world.clients[D].has.is_none(), "A may have promised it");
    world.pass(40).unwrap();
    assert!(world.clients[D].has.is_some(), "it is D's, {over} after A's last word");
}

/// Another network's leases have no end. A is lost with a client, or with its claim alone; when D has the address.
fn comes_back(without: Option<Rule>, with_client: bool) -> Option<u64> {
    let mut world = stage(without.map(Without::Rule), 80);
    world.configs[0].longest = lengths(80, FOREVER);
    world.configs[0].without_end.insert(ADDRESSES[4]);
    for agent in [A, B] {
        let wants = world.configs[0].clone();
        world.agents[agent].claims.as_mut().unwrap().want(wants);
    }
    world.clients[D].only = Some(A);
    world.pass(3).unwrap();
    if with_client {
        let reply = world.asks(C, A, false).unwrap();
        world.says(A, reply).unwrap();
        world.pass(3).unwrap();
    }
    world.crash(A, true);
    world.clients[D].only = None;
    let since = world.now;
    while world.clients[D].has.is_none() && world.now < since + 4 * TERM {
        world.pass(1).unwrap();
    }
    world.clients[D].has.map(|_| world.now - since)
}

#[test]
fn where_the_leases_of_one_network_have_no_end_those_of_another_come_back() {
    let over = TERM + BOUNDS.over(At(0), 80).0 + BOUNDS.clocks;
    for with_client in [false, true] {
        let after = comes_back(None, with_client).expect("it is D's in the end");
        assert!(over - 40 < after && after < over + 10, "{after}, not {over} after A's last word");
    }
    assert_eq!(comes_back(Some(Rule::ShortBeforeItIsPublished), false), None);
    assert_eq!(comes_back(Some(Rule::LeasesOfItsNetwork), true), None);
}

#[test]
fn an_agent_that_is_refused_by_the_clock_claims_nothing_and_promises_nothing() {
    let mut world = stage(None, 80);
    let reply = world.asks(C, A, false).unwrap();
    world.says(A, reply).unwrap();
    world.pass(2).unwrap();
    world.agents[B].claims.as_mut().unwrap().judge_clock(Clock::Off);
    assert!(world.asks(C, B, true).is_none());
    let now = world.agents[B].clock(world.now);
    let requests = world.agents[B].claims.as_mut().unwrap().ask(now);
    assert!(requests.iter().all(|request| *request == Request::ReadTerms), "{requests:?}");
}

#[test]
fn an_agent_does_not_refuse_what_another_may_have_given() {
    let mut world = stage(None, 80);
    let may_refuse = |world: &World, client| {
        let now = world.agents[B].clock(world.now);
        world.agents[B].claims.as_ref().unwrap().may_refuse(now, ADDRESSES[0], &key(client))
    };
    let reply = world.asks(C, A, false).unwrap();
    world.says(A, reply).unwrap();
    assert!(!may_refuse(&world, C) && !may_refuse(&world, D), "A may have given it to either");
    world.pass(2).unwrap();
    assert!(!may_refuse(&world, C), "it is C's");
    assert!(may_refuse(&world, D), "it is C's");
}
