//! The metrics, by the names that dashboards and alerts use.
//!
//! Each scrape writes them from one [`Snapshot`], so that they agree with each other and with
//! `xdhcpd stats`; only the agent's own histograms are read beside it. A series whose labels are
//! known is there from the start, at 0. What nothing sets is not there at all.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::timings::{AgentMetrics, Histogram};
use crate::control::Snapshot;
use crate::report::{AnsweredBy, LeaseState, LoaderState, StatsReport};

/// The power of two, in nanoseconds, of the first bound of the kernel's histogram.
const KERNEL_FIRST: u32 = 6;

const KERNEL: &str = AnsweredBy::Kernel.name();
const AGENT: &str = AnsweredBy::Agent.name();

/// All metrics, in the OpenMetrics text format. `ready` is what `/readyz` says.
pub fn render(snapshot: Snapshot, ready: bool, agent: Arc<AgentMetrics>) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Scrape { snapshot, ready, agent }));
    let mut text = String::new();
    text::encode(&mut text, &registry)?;
    Ok(text)
}

/// What one scrape shows.
#[derive(Debug)]
struct Scrape {
    snapshot: Snapshot,
    ready: bool,
    agent: Arc<AgentMetrics>,
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let stats = &self.snapshot.stats;
        messages(&mut encoder, stats)?;
        pools(&mut encoder, stats, &self.snapshot.leases)?;
        self.timings(&mut encoder)?;
        program(&mut encoder, stats)?;
        self.rogue_servers(&mut encoder)?;
        self.probes(&mut encoder)?;
        self.writes(&mut encoder)?;
        self.health(&mut encoder)?;
        self.leader(&mut encoder)?;
        build(&mut encoder)
    }
}

impl Scrape {
    fn timings(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
        let help = "Time taken to answer, in seconds; the kernel times one answer in 64";
        let mut family =
            encoder.encode_descriptor("xdhcpd_reply_seconds", help, None, MetricType::Histogram)?;
        let kernel =
            Histogram::of_powers(KERNEL_FIRST, &self.snapshot.kernel_times, self.snapshot.kernel_times_sum);
        for (path, histogram) in [(KERNEL, kernel), (AGENT, self.agent.replies.histogram())] {
            encode(family.encode_family(&[("path", path)])?, &histogram)?;
        }
        let help = "Time taken by one fsync of the lease file, in seconds";
        let family =
            encoder.encode_descriptor("xdhcpd_journal_sync_seconds", help, None, MetricType::Histogram)?;
        encode(family, &self.agent.journal_syncs.histogram())
    }

    fn health(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
        let help = "Whether clients are served: 1 when /readyz says so, else 0";
        encoder
            .encode_descriptor("xdhcpd_ready", help, None, MetricType::Gauge)?
            .encode_gauge(&u64::from(self.ready))?;
        let help = "Whether leases can be written to disk: at 0 nothing new is promised to clients";
        encoder
            .encode_descriptor("xdhcpd_journal_writable", help, None, MetricType::Gauge)?
            .encode_gauge(&u64::from(!self.snapshot.disk_fails))
    }

    fn rogue_servers(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
        let help = "Messages of other DHCP servers seen on a network's wire";
        let mut family =
            encoder.encode_descriptor("xdhcpd_rogue_server_messages", help, None, MetricType::Counter)?;
        for network in &self.snapshot.stats.networks {
            let count = self.snapshot.rogue_servers.get(&network.name).copied().unwrap_or(0);
            counter(&mut family, &[("network", &network.name)], count)?;
        }
        Ok(())
    }

    fn writes(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
        let counts = self.agent.writes.all();
        // An agent without a cluster writes none.
        if counts.is_empty() {
            return Ok(());
        }
        let help = "Writes of HostStatus objects, by the API's verb and by what became of them";
        let mut family =
            encoder.encode_descriptor("xdhcpd_hoststatus_writes", help, None, MetricType::Counter)?;
        for ((verb, result), count) in counts {
            counter(&mut family, &[("verb", verb), ("result", result)], count)?;
        }
        Ok(())
    }

    fn leader(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
        // An agent without a cluster is nobody's leader.
        let Some(leads) = self.snapshot.leads else { return Ok(()) };
        let help = "Whether this agent is the one of its ClusterAgent that answers";
        let mut family = encoder.encode_descriptor("xdhcpd_leader", help, None, MetricType::Gauge)?;
        family.encode_gauge(&u64::from(leads))
    }

    fn probes(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
        let help = "New addresses by what their probe found, or left out where too many were under way";
        let mut family = encoder.encode_descriptor("xdhcpd_probes", help, None, MetricType::Counter)?;
        let probes = self.snapshot.probes;
        let results = [("free", probes.free), ("in_use", probes.in_use), ("left_out", probes.left_out)];
        for (result, count) in results {
            counter(&mut family, &[("result", result)], count)?;
        }
        Ok(())
    }
}

fn messages(encoder: &mut DescriptorEncoder, stats: &StatsReport) -> fmt::Result {
    let help = "Answers sent, by who sent them (path) and by kind";
    let mut family = encoder.encode_descriptor("xdhcpd_replies", help, None, MetricType::Counter)?;
    let (kernel, agent) = (stats.kernel.answered, stats.agent.answered);
    let answers = [
        (KERNEL, "offer", kernel.offer),
        (KERNEL, "ack", kernel.ack),
        (AGENT, "offer", agent.offer),
        (AGENT, "ack", agent.ack),
        (AGENT, "nak", agent.nak),
        (AGENT, "bootp", agent.bootp),
    ];
    for (path, kind, count) in answers {
        counter(&mut family, &[("path", path), ("type", kind)], count)?;
    }
    let by_reason = [
        ("xdhcpd_passed", "Frames that the XDP program passed up unchanged, by reason", &stats.kernel.passed),
        ("xdhcpd_dropped", "Frames that the XDP program dropped, by reason", &stats.kernel.dropped),
        ("xdhcpd_ignored", "Messages that the agent did not answer, by reason", &stats.agent.ignored),
    ];
    for (name, help, counts) in by_reason {
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (reason, count) in counts {
            counter(&mut family, &[("reason", reason)], *count)?;
        }
    }
    Ok(())
}

fn pools(
    encoder: &mut DescriptorEncoder,
    stats: &StatsReport,
    leases: &BTreeMap<String, BTreeMap<LeaseState, u64>>,
) -> fmt::Result {
    let help = "Addresses that a network can hand out: total, and what becomes of them";
    let mut family = encoder.encode_descriptor("xdhcpd_pool_addresses", help, None, MetricType::Gauge)?;
    for network in &stats.networks {
        let states = [
            ("total", network.total),
            ("used", network.used),
            ("remaining", network.remaining),
            ("declined", network.declined),
            ("kept", network.kept),
        ];
        for (state, count) in states {
            gauge(&mut family, &[("network", &network.name), ("state", state)], count)?;
        }
    }
    let help = "Leases by state, reservations' among them";
    let mut family = encoder.encode_descriptor("xdhcpd_leases", help, None, MetricType::Gauge)?;
    for network in &stats.networks {
        let counts = leases.get(&network.name);
        for state in LeaseState::ALL {
            let count = counts.and_then(|counts| counts.get(&state)).copied().unwrap_or(0);
            gauge(&mut family, &[("network", &network.name), ("state", state.name())], count)?;
        }
    }
    Ok(())
}

fn program(encoder: &mut DescriptorEncoder, stats: &StatsReport) -> fmt::Result {
    let help = "Whether the XDP program is attached to an interface, and how";
    let mut family = encoder.encode_descriptor("xdhcpd_fastpath_attached", help, None, MetricType::Gauge)?;
    for interface in &stats.kernel.interfaces {
        let labels = [("interface", interface.name.as_str()), ("mode", &interface.mode)];
        gauge(&mut family, &labels, u64::from(interface.attached))?;
    }
    let help = "What the program's loader is at: 1 for its present state";
    let mut family = encoder.encode_descriptor("xdhcpd_loader_state", help, None, MetricType::Gauge)?;
    for state in LoaderState::ALL {
        gauge(&mut family, &[("state", state.name())], u64::from(state == stats.loader.state))?;
    }
    let help = "How often the program's loader was started again";
    let mut family = encoder.encode_descriptor("xdhcpd_loader_restarts", help, None, MetricType::Counter)?;
    family.encode_counter::<NoLabelSet, u64, u64>(&stats.loader.restarts, None)
}

fn build(encoder: &mut DescriptorEncoder) -> fmt::Result {
    let help = "The agent's version; always 1";
    let mut family = encoder.encode_descriptor("xdhcpd_build_info", help, None, MetricType::Gauge)?;
    gauge(&mut family, &[("version", env!("CARGO_PKG_VERSION"))], 1)
}

fn counter<const N: usize>(
    family: &mut MetricEncoder,
    labels: &[(&str, &str); N],
    count: u64,
) -> fmt::Result {
    family.encode_family(labels)?.encode_counter::<NoLabelSet, u64, u64>(&count, None)
}

fn gauge<const N: usize>(family: &mut MetricEncoder, labels: &[(&str, &str); N], value: u64) -> fmt::Result {
    family.encode_family(labels)?.encode_gauge(&value)
}

fn encode(mut metric: MetricEncoder, histogram: &Histogram) -> fmt::Result {
    metric.encode_histogram::<NoLabelSet>(histogram.sum, histogram.count, &histogram.buckets, None)
}
