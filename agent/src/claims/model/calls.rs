//! What agents ask of the API server: late, lost, or carried out without anybody's knowing.

use std::sync::Arc;

use super::super::rules::Rule;
use super::super::{At, Clock, Request, judge};
use super::server::Answer;
use super::world::{BOUNDS, Without, World};

pub(super) struct Call {
    pub(super) agent: usize,
    pub(super) process: u64,
    pub(super) asked: At,
    pub(super) request: Request,
    /// It is slow on its way to the server.
    pub(super) not_before: u64,
    /// The answer and the server's date.
    pub(super) answer: Option<(Answer, u64)>,
    /// The agent does not wait for it any more.
    pub(super) given_up: bool,
}

impl World {
    /// An agent does what it does from time to time.
    pub(super) fn tick(&mut self, number: usize) {
        let agent = &mut self.agents[number];
        if !agent.runs() {
            return;
        }
        let now = agent.clock(self.now);
        agent.drain();
        let Some(claims) = &mut agent.claims else { return };
        for ip in claims.to_silence(now) {
            if matches!(self.without, Some(Without::Rule(Rule::KernelConfirms | Rule::TakeBackFirst))) {
                break;
            }
            agent.kernel.remove(&ip);
            claims.silenced(ip);
        }
        let requests = claims.ask(now);
        // What the kernel did stands in its entries until it is on disk.
        agent.disk.held.clone_from(claims.held());
        if self.without != Some(Without::SavedCopies) || self.random.chance(4) {
            agent.disk.copies = claims.copies().clone();
        }
        let process = agent.process;
        for request in requests {
            self.say(|| format!("agent {number} asks {}", shown(&request)));
            let not_before = if self.random.chance(25) { self.now + self.random.below(80) as u64 } else { 0 };
            let call = Call {
                agent: number,
                process,
                asked: now,
                request,
                not_before,
                answer: None,
                given_up: false,
            };
            self.calls.push(call);
        }
    }

    /// A request reaches the server, or its answer the agent, or neither.
    pub(super) fn call_goes_on(&mut self) {
        if self.calls.is_empty() {
            return;
        }
        let at = self.random.below(self.calls.len());
        let call = &self.calls[at];
        if call.not_before > self.now || self.agents[call.agent].cut && !call.given_up {
            return;
        }
        let waits = !call.given_up && self.agents[call.agent].process == call.process;
        if waits && !self.agents[call.agent].runs() && call.answer.is_some() {
            return;
        }
        match self.random.below(12) {
            // The agent's patience is over; the request may be carried out all the same, at any time.
            0 if waits && self.agents[call.agent].runs() => {
                let (agent, request) = (call.agent, call.request.clone());
                self.calls[at].given_up = true;
                self.nobody_knows(agent, &request);
            }
            1 if !waits => drop(self.calls.swap_remove(at)),
            _ if call.answer.is_none() => {
                if self.away {
                    return;
                }
                let id = Arc::clone(&self.agents[call.agent].id);
                let answer = self.server.carry_out(&id, &call.request);
                self.counts.add(self.server.take_counts());
                self.say(|| {
                    format!(
                        "  carried out: agent {} {}",
                        self.calls[at].agent,
                        shown(&self.calls[at].request)
                    )
                });
                self.calls[at].answer = Some((answer, self.now));
            }
            _ => {
                let call = self.calls.swap_remove(at);
                if waits {
                    self.answered(call);
                }
            }
        }
    }

    pub(super) fn nobody_knows(&mut self, agent: usize, request: &Request) {
        let now = self.agents[agent].clock(self.now);
        let Some(claims) = &mut self.agents[agent].claims else { return };
        match request {
            Request::ReadTerms => claims.terms_read(now, None),
            Request::ReadBlocks => claims.blocks_read(now, None),
            Request::WriteTerm(_) => claims.term_written(now, None),
            Request::WriteBlock(id, _) => claims.block_written(now, *id, None),
        }
    }

    pub(super) fn answered(&mut self, call: Call) {
        let agent = &mut self.agents[call.agent];
        let now = agent.clock(self.now);
        let (Some(claims), Some((answer, date))) = (&mut agent.claims, call.answer) else { return };
        if let Some(verdict) = judge(call.asked, At(date)..=At(date), now, &BOUNDS) {
            self.counts.off += u64::from(verdict == Clock::Off);
            claims.judge_clock(verdict);
        }
        match answer {
            Answer::Terms(terms) => claims.terms_read(now, Some(terms)),
            Answer::Blocks(blocks) => claims.blocks_read(now, Some(blocks)),
            Answer::Term(term) => {
                self.counts.incarnations += u64::from(term.incarnation > 1);
                claims.term_written(now, Some(term));
            }
            Answer::Block(id, block) => claims.block_written(now, id, Some(block)),
        }
    }

    /// A watch shows a version: mostly the last, or one on the way there, sometimes an old one.
    pub(super) fn watch(&mut self) {
        let number = self.random.below(self.agents.len());
        if self.away
            || self.agents[number].cut
            || !self.agents[number].runs()
            || self.server.blocks.is_empty()
        {
            return;
        }
        let at = self.random.below(self.server.blocks.len());
        let Some((id, versions)) = self.server.blocks.iter().nth(at) else { return };
        let back = self.random.below(versions.len().min(6)) * self.random.below(2);
        let block = Arc::clone(&versions[versions.len() - 1 - back]);
        let now = self.agents[number].clock(self.now);
        if let Some(claims) = &mut self.agents[number].claims {
            claims.block_seen(now, *id, block);
        }
    }
}

pub(super) fn shown(request: &Request) -> String {
    match request {
        Request::WriteBlock(_, block) => format!("{}: {:?}", block.serial, block.slots),
        other => format!("{other:?}"),
    }
}
