//! A run loop for tests: answers from what it is given, in pages of two.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use super::{
    Handle, Health, LeaseOf, LeasePage, LeaseQuery, Probe, Question, ReleaseRefused, Released, Snapshot,
    Target, UnknownNetwork, channel,
};
use crate::engine::probes::ProbeCounts;
use crate::report::{
    AgentAnswers, AgentReport, AnsweredBy, InterfaceReport, KernelAnswers, KernelReport, LeaseReport,
    LeaseState, LoaderReport, LoaderState, Mac, NetworkReport, StatsReport, Timestamp,
};

/// The smallest page that still has two neighbours in it.
const PAGE: usize = 2;

/// What the loop answers from.
#[derive(Debug, Clone)]
pub struct Fake {
    /// Shown, by address.
    pub leases: Vec<LeaseReport>,
    /// Those whose clients answer when they are asked.
    pub answering: Vec<Ipv4Addr>,
    /// Shown as it is.
    pub snapshot: Snapshot,
    /// Shown as it is.
    pub health: Health,
}

impl Default for Fake {
    fn default() -> Self {
        Self {
            leases: (1..=5).map(lease).collect(),
            answering: Vec::new(),
            snapshot: snapshot(),
            health: Health { live: true, ready: true, problems: Vec::new() },
        }
    }
}

/// A bound lease; the third is on another network, the rest on rack1.
pub fn lease(n: u8) -> LeaseReport {
    let network = if n == 3 { "rack2" } else { "rack1" };
    LeaseReport {
        ip: Ipv4Addr::new(10, 9, 0, n),
        mac: Mac([2, 0, 0, 0, 0, n]),
        client_id: None,
        host_name: Some(format!("node{n}")),
        network: Some(network.to_owned()),
        state: LeaseState::Bound,
        starts: Some(Timestamp::from_seconds(1_785_585_600)),
        expires: Some(Timestamp::from_seconds(1_785_628_800)),
        durable_until: Some(Timestamp::from_seconds(1_785_758_400)),
        in_kernel: n % 2 == 1,
        last_answered_by: Some(AnsweredBy::Kernel),
    }
}

/// Counts of two networks, each number its own.
pub fn snapshot() -> Snapshot {
    let network = |name: &str| NetworkReport {
        name: name.into(),
        total: 101,
        used: 40,
        remaining: 58,
        declined: 1,
        kept: 2,
    };
    let counts = |names: &[(&str, u64)]| names.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect();
    let mut kernel_times = [0; 16];
    kernel_times[3] = 5;
    kernel_times[15] = 1;
    Snapshot {
        stats: StatsReport {
            kernel: KernelReport {
                attached: true,
                interfaces: vec![InterfaceReport {
                    name: "eth1".into(),
                    mode: "generic".into(),
                    attached: true,
                }],
                answered: KernelAnswers { offer: 11, ack: 12 },
                passed: counts(&[("no_lease", 13), ("not_dhcp", 14)]),
                dropped: counts(&[("client_budget", 15)]),
            },
            agent: AgentReport {
                running: true,
                answered: AgentAnswers { offer: 16, ack: 17, nak: 18, bootp: 31 },
                ignored: counts(&[("pool_empty", 19)]),
            },
            networks: vec![network("rack1"), network("rack2")],
            loader: LoaderReport { state: LoaderState::Running, restarts: 20 },
        },
        kernel_times,
        kernel_times_sum: 3_000_000,
        leases: BTreeMap::from([("rack1".to_owned(), BTreeMap::from([(LeaseState::Bound, 21)]))]),
        rogue_servers: BTreeMap::from([("rack2".to_owned(), 22)]),
        probes: ProbeCounts { free: 23, in_use: 24, left_out: 25 },
        disk_fails: false,
        leads: Some(true),
    }
}

impl Fake {
    /// Answers until every handle is gone.
    pub fn start(mut self) -> Handle {
        let (handle, mut questions) = channel();
        tokio::spawn(async move {
            while let Some(question) = questions.recv().await {
                self.answer(question);
            }
        });
        handle
    }

    // An asker that is gone already is no fault of the loop.
    fn answer(&mut self, question: Question) {
        match question {
            Question::Leases { query, reply } => drop(reply.send(self.page(&query))),
            Question::LeasesOf { ips, reply } => drop(reply.send(self.leases_of(ips))),
            Question::Snapshot { reply } => drop(reply.send(self.snapshot.clone())),
            Question::Release { target, probe, reply } => drop(reply.send(self.release(target, probe))),
            Question::Health { reply } => drop(reply.send(self.health.clone())),
        }
    }

    fn page(&self, query: &LeaseQuery) -> Result<LeasePage, UnknownNetwork> {
        if let Some(name) = query.network.as_ref().filter(|name| !name.starts_with("rack")) {
            return Err(UnknownNetwork { name: name.clone(), known: vec!["rack1".into(), "rack2".into()] });
        }
        // Pages are cut before the filter, so that one of them can be empty.
        let mut rest = self.leases.iter().filter(|lease| query.after.is_none_or(|after| lease.ip > after));
        let page: Vec<_> = rest.by_ref().take(PAGE.min(query.limit)).cloned().collect();
        let next = rest.next().and_then(|_| page.last()).map(|lease| lease.ip);
        let wanted = |lease: &LeaseReport| query.network.is_none() || lease.network == query.network;
        Ok(LeasePage { leases: page.into_iter().filter(wanted).collect(), next })
    }

    fn leases_of(&self, ips: Vec<Ipv4Addr>) -> Vec<LeaseOf> {
        let lease = |ip| self.leases.iter().find(|lease| lease.ip == ip).cloned();
        ips.into_iter().map(|ip| LeaseOf { ip, lease: lease(ip), kept: false }).collect()
    }

    fn release(&mut self, target: Target, probe: Probe) -> Result<Released, ReleaseRefused> {
        let found = self.leases.iter_mut().find(|lease| match target {
            Target::Ip(ip) => lease.ip == ip,
            Target::Mac(mac) => lease.mac == mac,
        });
        let lease = found.ok_or(ReleaseRefused::NoLease(target))?;
        if lease.state == LeaseState::Released {
            return Err(ReleaseRefused::NotInUse { ip: lease.ip, state: lease.state });
        }
        if probe == Probe::First && self.answering.contains(&lease.ip) {
            let LeaseReport { ip, state, mac: client, .. } = *lease;
            return Err(ReleaseRefused::StillAnswers { ip, state, client, by: Some(client) });
        }
        lease.state = LeaseState::Released;
        Ok(Released { ip: lease.ip, mac: lease.mac, network: lease.network.clone().unwrap_or_default() })
    }
}
