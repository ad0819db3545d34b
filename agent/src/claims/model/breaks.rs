//! What breaks, and heals.

use std::net::Ipv4Addr;
use std::sync::Arc;

use super::super::rules::Rules;
use super::super::{BlockId, Claims, FOREVER, Slot};
use super::agent::{Disk, key};
use super::client::Client;
use super::world::{ADDRESSES, BOUNDS, TERM, Without, World};

impl World {
    pub(super) fn something_breaks_or_heals(&mut self) {
        let number = self.random.below(self.agents.len());
        if self.away {
            self.away = !self.random.chance(self.haste);
        }
        let mends = if self.doomed && number == 0 { 400 } else { self.mends };
        if self.agents[number].cut {
            self.agents[number].cut = !self.random.chance(mends);
        } else if self.doomed && number == 0 && self.random.chance(20) {
            self.agents[number].cut = true;
        }
        let agent = &self.agents[number];
        if agent.paused {
            let waits = agent.stuck.is_some_and(|reply| self.last_chance(&reply).is_some());
            if waits && !self.random.chance(200) || self.now < agent.wakes {
                return;
            }
            if self.random.chance(6) {
                self.crash(number, true);
            } else {
                self.resume(number);
            }
            return;
        }
        if agent.claims.is_none() {
            if self.random.chance(self.haste) && !agent.gone {
                let kernel_lives = agent.kernel_lives;
                self.start(number, kernel_lives);
            }
            return;
        }
        match self.random.below(12 * self.calm) {
            0..4 => {
                self.say(|| format!("agent {number} is stopped"));
                self.stop(number);
            }
            4 => {
                let power = self.random.chance(3);
                self.crash(number, power);
            }
            5 => self.away = true,
            6 => self.agents[number].cut = true,
            7 if self.random.chance(4) => self.replace(number),
            // A clock is put right: nobody has relied on it.
            8 if self.agents[number].offset < -(BOUNDS.clocks as i64) => {
                self.agents[number].offset = self.offset();
            }
            9 => {
                // Another configuration is seen here.
                let config = self.random.below(self.configs.len());
                let agent = &mut self.agents[number];
                agent.config = config;
                if let Some(claims) = &mut agent.claims {
                    claims.want(self.configs[config].clone());
                }
            }
            10 if self.random.chance(4) => self.now += TERM + self.random.below(400) as u64,
            _ => {}
        }
    }

    /// SIGSTOP.
    pub(super) fn stop(&mut self, number: usize) {
        let most = self.random.one_of(&[2, 10, 200]);
        self.agents[number].wakes = self.now + self.random.below(most) as u64;
        self.agents[number].paused = true;
    }

    /// SIGCONT: it goes on where it was, and sends what it had decided.
    pub(super) fn resume(&mut self, number: usize) {
        self.say(|| format!("agent {number} goes on"));
        self.agents[number].paused = false;
        if let Some(reply) = self.agents[number].stuck.take() {
            self.counts.late += 1;
            self.reply(number, reply);
        }
        self.read_socket(number);
    }

    /// The process ends, or the whole machine: then the kernel has forgotten everything.
    pub(super) fn crash(&mut self, number: usize, power: bool) {
        self.say(|| format!("agent {number} ends, the machine too: {power}"));
        self.counts.crashes += 1;
        let agent = &mut self.agents[number];
        agent.claims = None;
        agent.paused = false;
        agent.stuck = None;
        agent.inbox.clear();
        agent.process += 1;
        agent.kernel_lives = !power;
        if power {
            agent.kernel.clear();
            agent.ring.clear();
        }
    }

    pub(super) fn start(&mut self, number: usize, kernel_lives: bool) {
        self.say(|| format!("agent {number} starts"));
        let agent = &mut self.agents[number];
        let now = agent.clock(self.now);
        let Disk { copies, held } = agent.disk.clone();
        let wants = self.configs[agent.config].clone();
        let mut claims = Claims::new(Arc::clone(&agent.id), BOUNDS, wants, copies, held, now);
        if let Some(Without::Rule(rule)) = self.without {
            claims.rules = Rules { without: Some(rule) };
        }
        for (ip, entry) in &agent.kernel {
            if let Some(last) = entry.last {
                claims.renewed(last, *ip, &key(entry.client), entry.lease);
            }
        }
        agent.claims = Some(claims);
        agent.drain();
        if kernel_lives && let Some(claims) = &mut agent.claims {
            claims.kernel_told();
        }
    }

    /// A machine is lost, and another takes its place; its clock may be anything.
    pub(super) fn replace(&mut self, number: usize) {
        let keeps_name = self.without == Some(Without::NewNames);
        if !keeps_name && self.random.chance(3) {
            // What it leaves in the kernel goes on for as long as it may.
            self.crash(number, false);
            self.agents[number].gone = self.agents.iter().filter(|agent| !agent.gone).count() > 1;
            return;
        }
        self.crash(number, true);
        let offset = if self.random.chance(2) { self.offset() } else { -600 };
        let agent = &mut self.agents[number];
        agent.disk = Disk::default();
        if !keeps_name {
            agent.id = format!("{}'", agent.id).into();
            agent.offset = offset;
        }
        self.say(|| format!("agent {number} is another machine, off by {offset}"));
        self.start(number, false);
    }

    /// Everything heals that can, one configuration is seen by all, and every client has vanished.
    pub fn heal(&mut self) {
        self.away = false;
        self.clients.iter_mut().for_each(|client| *client = Client::default());
        self.frames.clear();
        for pool in &mut self.configs[0].pools {
            pool.ahead = ADDRESSES.len();
        }
        for number in 0..self.agents.len() {
            let agent = &mut self.agents[number];
            (agent.cut, agent.config) = (false, 0);
            agent.inbox.clear();
            agent.stuck = None;
            if agent.offset.unsigned_abs() > BOUNDS.clocks / 2 {
                agent.offset = 0;
            }
            if agent.gone {
                continue;
            }
            agent.paused = false;
            if agent.claims.is_none() {
                let kernel_lives = agent.kernel_lives;
                self.start(number, kernel_lives);
            }
            if let Some(claims) = &mut self.agents[number].claims {
                claims.want(self.configs[0].clone());
            }
        }
    }

    /// What is not as it should be, of the addresses that all agents want.
    pub fn lost(&self) -> Vec<String> {
        let wants = &self.configs[0];
        let is_lost = |ip: &Ipv4Addr| {
            let block = self.server.block(BlockId::of(*ip));
            let is_well = match block.slots.get(ip) {
                None => !wants.is_dynamic(*ip),
                Some(Slot::Claimed { agent, .. }) => {
                    self.agents.iter().any(|present| present.id == *agent && !present.gone)
                }
                // Who is gone may have promised it without an end.
                Some(Slot::Bound(binding)) if binding.longest == FOREVER => true,
                Some(Slot::Bound(binding)) => {
                    binding.mark.is_none() && wants.reserved.get(ip) == Some(&binding.client)
                }
            };
            (!is_well).then(|| format!("{ip}: {:?}", block.slots.get(ip)))
        };
        wants.pools[0].addresses().collect::<Vec<_>>().iter().filter_map(is_lost).collect()
    }
}
