//! Who answered what, what was passed and dropped by reason, and how full the pools are.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use xdhcpd_common::counters::{Counter, Counters};

use crate::lease::Counts;

/// Everything that `xdhcpd stats` shows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatsReport {
    /// The XDP program.
    pub kernel: KernelReport,
    /// The agent.
    pub agent: AgentReport,
    /// The networks in the configuration's order; empty while the agent is not running.
    pub networks: Vec<NetworkReport>,
    /// The process that loads the program.
    pub loader: LoaderReport,
}

/// The XDP program: where it is attached, and what it did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelReport {
    /// Whether the program is attached to every interface it is meant for, and to one at least.
    pub attached: bool,
    /// The interfaces that are served.
    pub interfaces: Vec<InterfaceReport>,
    /// Answers sent, by kind.
    pub answered: KernelAnswers,
    /// Frames left to the agent or to others, by reason.
    pub passed: BTreeMap<String, u64>,
    /// Frames dropped, by reason.
    pub dropped: BTreeMap<String, u64>,
}

impl KernelReport {
    /// What the maps say of the program.
    pub fn new(interfaces: Vec<InterfaceReport>, counters: &Counters) -> Self {
        Self {
            attached: !interfaces.is_empty() && interfaces.iter().all(|interface| interface.attached),
            interfaces,
            answered: KernelAnswers { offer: counters.answered_offer, ack: counters.answered_ack },
            passed: with_prefix(counters, "passed_"),
            dropped: with_prefix(counters, "dropped_"),
        }
    }
}

/// The counters whose names begin so, under the rest of their names; all are there, also at 0.
fn with_prefix(counters: &Counters, prefix: &str) -> BTreeMap<String, u64> {
    let named = |counter: &Counter| {
        let reason = counter.name().strip_prefix(prefix)?;
        Some((reason.to_owned(), counters.get(*counter)))
    };
    Counter::ALL.iter().filter_map(named).collect()
}

/// An interface that the program is meant for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceReport {
    /// Its name.
    pub name: String,
    /// `native` or `generic`; `off` where the program is not attached.
    pub mode: String,
    /// Whether the program is attached.
    pub attached: bool,
}

/// What the kernel answers with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelAnswers {
    /// OFFERs.
    pub offer: u64,
    /// ACKs.
    pub ack: u64,
}

/// The agent: whether it runs, and what it did since it started.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentReport {
    /// Whether it runs.
    pub running: bool,
    /// Answers sent, by kind.
    pub answered: AgentAnswers,
    /// Messages that got no answer, by reason.
    pub ignored: BTreeMap<String, u64>,
}

/// What the agent answers with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentAnswers {
    /// OFFERs.
    pub offer: u64,
    /// ACKs.
    pub ack: u64,
    /// NAKs.
    pub nak: u64,
    /// Replies to BOOTP.
    #[serde(default)]
    pub bootp: u64,
}

/// How full a network is: `total` is the sum of the others.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkReport {
    /// Its name.
    pub name: String,
    /// Addresses that can be handed out: those of the ranges but the excluded ones, and reserved ones.
    pub total: u64,
    /// Of them, somebody's: offered or bound.
    pub used: u64,
    /// Of them, free.
    pub remaining: u64,
    /// Of them, out of use for a while.
    pub declined: u64,
    /// Of them, kept for clients whose lease has ended (`keepAddresses`).
    #[serde(default)]
    pub kept: u64,
}

impl NetworkReport {
    /// What the table counts of a network.
    pub fn of(name: &str, counts: Counts) -> Self {
        let Counts { total, used, declined, kept, remaining } = counts;
        Self { name: name.to_owned(), total, used, remaining, declined, kept }
    }
}

/// The process that loads the program.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoaderReport {
    /// What it is at.
    pub state: LoaderState,
    /// How often it was started again.
    pub restarts: u64,
}

/// What the loader is at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LoaderState {
    /// It runs.
    Running,
    /// It does not: the fast path is off, or the agent is not running, or it left by itself and is
    /// started again.
    #[default]
    Stopped,
    /// Given up: it cannot be had, or ended too often in a row.
    Fatal,
    /// Ended by a signal; it is started again.
    Killed,
}

impl LoaderState {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Running, Self::Stopped, Self::Fatal, Self::Killed];

    /// The name in JSON and in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Stopped => "stopped",
            Self::Fatal => "fatal",
            Self::Killed => "killed",
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn report() -> StatsReport {
        let counters =
            Counters { answered_offer: 3, answered_ack: 4, passed_no_lease: 5, ..Counters::default() };
        let eth1 = InterfaceReport { name: "eth1".into(), mode: "generic".into(), attached: true };
        StatsReport {
            kernel: KernelReport::new(vec![eth1], &counters),
            agent: AgentReport {
                running: true,
                answered: AgentAnswers { offer: 1, ack: 2, nak: 0, bootp: 3 },
                ignored: BTreeMap::from([("pool_empty".to_owned(), 6)]),
            },
            networks: vec![NetworkReport::of(
                "rack1",
                Counts { total: 101, used: 1, declined: 1, kept: 0, remaining: 99 },
            )],
            loader: LoaderReport { state: LoaderState::Running, restarts: 0 },
        }
    }

    #[test]
    fn stats_have_the_promised_keys() {
        let mut value = serde_json::to_value(report()).unwrap();
        assert_eq!(value["kernel"]["passed"]["no_lease"], 5);
        assert_eq!(value["kernel"]["passed"]["not_dhcp"], 0);
        value["kernel"]["passed"] = json!({});
        assert_eq!(
            value,
            json!({
                "kernel": {
                    "attached": true,
                    "interfaces": [{"name": "eth1", "mode": "generic", "attached": true}],
                    "answered": {"offer": 3, "ack": 4},
                    "passed": {},
                    "dropped": {"foreign_source": 0, "client_budget": 0, "wire_budget": 0},
                },
                "agent": {
                    "running": true,
                    "answered": {"offer": 1, "ack": 2, "nak": 0, "bootp": 3},
                    "ignored": {"pool_empty": 6},
                },
                "networks": [{"name": "rack1", "total": 101, "used": 1, "remaining": 99, "declined": 1, "kept": 0}],
                "loader": {"state": "running", "restarts": 0},
            })
        );
    }

    #[test]
    fn stats_are_read_back_as_written() {
        let text = serde_json::to_string(&report()).unwrap();
        assert_eq!(serde_json::from_str::<StatsReport>(&text).unwrap(), report());
    }

    #[test]
    fn every_counter_is_shown_once() {
        let report = KernelReport::new(Vec::new(), &Counters::default());
        let shown = report.passed.len() + report.dropped.len();
        // The two answers and other servers' messages have places of their own.
        assert_eq!(shown + 3, Counter::ALL.len());
    }

    #[test]
    fn a_program_that_misses_one_interface_is_not_attached() {
        let interface = |attached| InterfaceReport { attached, ..InterfaceReport::default() };
        let attached = |interfaces| KernelReport::new(interfaces, &Counters::default()).attached;
        assert!(attached(vec![interface(true)]));
        assert!(!attached(vec![interface(true), interface(false)]));
        assert!(!attached(Vec::new()));
    }

    #[test]
    fn names_of_loader_states_are_those_of_the_json() {
        for state in LoaderState::ALL {
            assert_eq!(serde_json::to_value(state).unwrap(), state.name());
        }
    }
}
