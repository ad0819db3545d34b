//! What the core answers when it is asked: leases, numbers and health.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use xdhcpd_common::counters::Counters;
use xdhcpd_common::maps::LeaseState as KernelState;

use crate::clock::Now;
use crate::config::Network;
use crate::control::{Health, LeaseOf, LeasePage, LeaseQuery, PAGE, Question, Snapshot, UnknownNetwork};
use crate::lease::{Lease, NetworkId, State};
use crate::report::{
    AgentAnswers, AgentReport, InterfaceReport, KernelReport, LeaseReport, LeaseState, NetworkReport,
    StatsReport,
};

use super::core::{Core, Counts};

impl Core {
    /// Answers; an asker that is gone does not matter.
    pub(super) fn answer_question(&mut self, question: Question) {
        match question {
            Question::Leases { query, reply } => drop(reply.send(self.page(&query))),
            Question::LeasesOf { ips, reply } => drop(reply.send(self.leases_of(&ips))),
            Question::Snapshot { reply } => drop(reply.send(self.snapshot())),
            Question::Release { target, probe, reply } => self.release(target, probe, reply),
            Question::Health { reply } => drop(reply.send(self.health())),
        }
    }

    fn page(&self, query: &LeaseQuery) -> Result<LeasePage, UnknownNetwork> {
        let names = || self.config.networks.iter().map(|network| network.name.clone());
        if let Some(name) = query.network.as_ref().filter(|name| !names().any(|known| known == **name)) {
            return Err(UnknownNetwork { name: name.clone(), known: names().collect() });
        }
        let limit = query.limit.clamp(1, PAGE);
        let network = query.network.as_ref().and_then(|name| self.id_of(name));
        let mut page: Vec<&Lease> =
            self.table.leases_after(query.after, network).take(limit.saturating_add(1)).collect();
        let next = if page.len() > limit {
            page.truncate(limit);
            page.last().map(|lease| lease.ip)
        } else {
            None
        };
        let now = Now::read();
        let leases = page.into_iter().map(|lease| self.report(lease, now)).collect();
        Ok(LeasePage { leases, next })
    }

    fn leases_of(&self, ips: &[Ipv4Addr]) -> Vec<LeaseOf> {
        let now = Now::read();
        let of = |ip: &Ipv4Addr| LeaseOf {
            ip: *ip,
            lease: self.table.get(*ip).map(|lease| self.report(lease, now)),
            kept: self.table.is_kept(*ip),
        };
        ips.iter().take(PAGE).map(of).collect()
    }

    fn report(&self, lease: &Lease, now: Now) -> LeaseReport {
        let network = self.network_name(lease.ip).unwrap_or_default();
        LeaseReport::of(lease, network, self.is_in_kernel(lease), now)
    }

    fn id_of(&self, name: &str) -> Option<NetworkId> {
        let networks = (0..=u16::MAX).map(NetworkId).zip(&self.config.networks);
        networks.into_iter().find(|(_, network)| network.name == name).map(|(id, _)| id)
    }

    /// The network that an address lies in.
    pub(super) fn network_at(&self, ip: Ipv4Addr) -> Option<&Network> {
        self.config.networks.get(usize::from(self.table.network_of(ip)?.0))
    }

    pub(super) fn network_name(&self, ip: Ipv4Addr) -> Option<&str> {
        self.network_at(ip).map(|network| network.name.as_str())
    }

    /// Whether the kernel has an entry that answers for this lease.
    fn is_in_kernel(&self, lease: &Lease) -> bool {
        let Some(fast) = &self.fast else { return false };
        if !lease.state.occupies() {
            return false;
        }
        let Some(key) = self.engine.key_of(&self.table, lease.ip) else { return false };
        let generation = self.engine.server(key.wire).map(|server| server.generation);
        fast.lease(key).ok().flatten().is_some_and(|entry| {
            entry.ip == lease.ip.octets()
                && entry.state != KernelState::SUSPENDED
                && Some(entry.generation) == generation
        })
    }

    fn snapshot(&self) -> Snapshot {
        let counters = self.fast.as_ref().and_then(|fast| fast.counters().ok()).unwrap_or_default();
        let networks = || (0..=u16::MAX).map(NetworkId).zip(&self.config.networks);
        let leases = networks().map(|(id, network)| (network.name.clone(), self.by_state(id))).collect();
        let stats = StatsReport {
            kernel: self.kernel_report(&counters),
            agent: self.agent_report(),
            networks: networks().map(|(id, network)| self.network_report(id, &network.name)).collect(),
            loader: self.loader_report(),
        };
        Snapshot {
            stats,
            kernel_times: counters.answer_nanoseconds,
            kernel_times_sum: counters.answer_nanoseconds_sum,
            leases,
            rogue_servers: self.counts.other_servers.clone(),
            probes: self.counts.probes.plus(self.engine.probe_counts()),
            disk_fails: self.disk.fault.is_some(),
            leads: self.share.as_ref().map(super::claims::Share::answers),
        }
    }

    fn by_state(&self, id: NetworkId) -> BTreeMap<LeaseState, u64> {
        [State::Offered, State::Bound, State::Declined, State::Released, State::Expired]
            .into_iter()
            .map(|state| (LeaseState::from(state), self.table.in_state(id, state)))
            .collect()
    }

    fn kernel_report(&self, counters: &Counters) -> KernelReport {
        let interfaces = self
            .interfaces()
            .into_iter()
            .map(|status| InterfaceReport {
                name: status.name,
                mode: status.mode.to_owned(),
                attached: status.attached,
            })
            .collect();
        KernelReport::new(interfaces, counters)
    }

    fn agent_report(&self) -> AgentReport {
        let ignored =
            self.counts.ignored.iter().map(|(reason, count)| ((*reason).to_owned(), *count)).collect();
        let counts = &self.counts;
        let Counts { offers: offer, acks: ack, naks: nak, bootp, .. } = *counts;
        let answered = AgentAnswers { offer, ack, nak, bootp };
        AgentReport { running: true, answered, ignored }
    }

    fn network_report(&self, id: NetworkId, name: &str) -> NetworkReport {
        NetworkReport::of(name, self.table.counts(id))
    }

    fn health(&self) -> Health {
        let troubles = self.seen.troubles.iter().map(|(about, trouble)| format!("{about}: {trouble}"));
        let mut problems: Vec<String> = self.disk.fault.iter().cloned().chain(troubles).collect();
        problems.extend(
            self.share.as_ref().and_then(|share| share.problem(Now::read().moment)).map(str::to_owned),
        );
        let ready = problems.is_empty();
        let with_maps = self.interfaces().into_iter().filter(|_| self.fast.is_some());
        problems.extend(with_maps.filter_map(|status| {
            status.problem.map(|problem| format!("{}: {problem}; the agent answers alone there", status.name))
        }));
        problems.extend(self.fast_fault.iter().cloned().chain(self.loader_problem()));
        Health { live: true, ready, problems }
    }
}
