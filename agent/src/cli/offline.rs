//! What can be said while the agent is not running: the pinned maps, read only.
//!
//! The kernel goes on answering from them, so they are newer than anything on disk. What they do
//! not hold (host names, networks' names) comes from the lease file and the configuration, where
//! these are found; nothing is locked, repaired or written.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::path::Path;

use xdhcpd_common::maps;

use super::check::DEFAULT_CONFIG;
use super::failure::{Failure, note};
use crate::clock::{Moment, Now};
use crate::config::{self, Config};
use crate::fastpath::{FastPathError, InterfaceStatus, Pinned};
use crate::lease::{self, Lease};
use crate::report::{
    AnsweredBy, InterfaceReport, KernelReport, LeaseReport, LeaseState, LeasesReport, Mac, StatsReport,
    Timestamp,
};

/// Where lease files are, unless the configuration says otherwise.
const LEASES: &str = "/var/lib/dhcp";

/// The counters that the program of the agent of this name goes on counting.
pub fn stats(name: &str) -> Result<StatsReport, Failure> {
    let pinned = open(name)?;
    let counters = pinned.counters().map_err(|error| unreadable(name, error))?;
    let interfaces = pinned.interfaces().map_err(|error| unreadable(name, error))?;
    let interfaces = interfaces.into_iter().map(InterfaceReport::from).collect();
    Ok(StatsReport { kernel: KernelReport::new(interfaces, &counters), ..StatsReport::default() })
}

/// The leases that the program of the agent of this name answers from.
pub fn leases(name: &str, network: Option<&str>, config: Option<&Path>) -> Result<LeasesReport, Failure> {
    let pinned = open(name)?;
    let config = configuration(name, config)?;
    if let Some(network) = network {
        know(network, config.as_ref())?;
    }
    let now = Now::read();
    let network_of = |ip| config.as_ref().and_then(|config| network_name(config, ip));
    let entries = pinned.leases().map_err(|error| unreadable(name, error))?;
    let remembered = remembered(name, config.as_ref(), now);
    let reports = entries.iter().map(|(key, entry)| {
        let ip = Ipv4Addr::from(entry.ip);
        report_of(key, entry, remembered.get(&ip), network_of(ip), now)
    });
    let mut leases: Vec<_> =
        reports.filter(|lease| network.is_none() || lease.network.as_deref() == network).collect();
    leases.sort_by_key(|lease| (lease.ip, lease.mac));
    Ok(LeasesReport { leases })
}

fn open(name: &str) -> Result<Pinned, Failure> {
    let pinned = Pinned::open(name).map_err(|error| unreadable(name, error))?;
    pinned.ok_or_else(|| {
        Failure::NothingThere(format!("the agent {name} is not running, and nothing of it is pinned"))
    })
}

fn unreadable(name: &str, error: FastPathError) -> Failure {
    Failure::failed(format!("the agent {name} is not running, and what it pinned cannot be read"), error)
}

/// The configuration of the agent of this name: the file that was named, or the usual one where
/// that is this agent's.
fn configuration(name: &str, named: Option<&Path>) -> Result<Option<Config>, Failure> {
    match named {
        Some(path) => config::load(path).map(Some).map_err(|error| Failure::failed("--config", error)),
        None => Ok(config::load(Path::new(DEFAULT_CONFIG)).ok().filter(|config| config.name == name)),
    }
}

/// An error unless the configuration names the network.
fn know(network: &str, config: Option<&Config>) -> Result<(), Failure> {
    let Some(config) = config else {
        return Err(Failure::Failed(anyhow::anyhow!(
            "--network: the agent is not running, and its configuration is not found; name it with --config"
        )));
    };
    let known: Vec<_> = config.networks.iter().map(|network| network.name.as_str()).collect();
    if known.contains(&network) {
        return Ok(());
    }
    let known = known.join(", ");
    Err(Failure::Failed(anyhow::anyhow!("--network: no network is called {network:?}; there is {known}")))
}

/// The leases of the lease file. A table without names is better than none.
fn remembered(name: &str, config: Option<&Config>, now: Now) -> HashMap<Ipv4Addr, Lease> {
    let folder = config.map_or(Path::new(LEASES), |config| &config.leases.dir);
    match lease::peek_journal(folder, name, now) {
        Ok(leases) => leases.into_iter().map(|lease| (lease.ip, lease)).collect(),
        Err(error) => {
            let file = folder.display();
            note(format_args!(
                "clients' names are missing: the lease file in {file} cannot be read: {error}"
            ));
            HashMap::new()
        }
    }
}

fn network_name(config: &Config, ip: Ipv4Addr) -> Option<String> {
    let network = config.networks.iter().find(|network| network.subnet.contains(&ip))?;
    Some(network.name.clone())
}

/// What an entry of the map says, with what the lease file remembers of the same client.
fn report_of(
    key: &maps::LeaseKey,
    entry: &maps::Lease,
    remembered: Option<&Lease>,
    network: Option<String>,
    now: Now,
) -> LeaseReport {
    let remembered = remembered.filter(|lease| lease.mac == key.mac);
    // The file knows the client's names, and what became of a lease that the kernel suspended.
    let known = remembered.map(|lease| LeaseReport::of(lease, "", false, now));
    let at = |nanoseconds| now.wall_seconds(Moment(nanoseconds)).map(Timestamp::from_seconds);
    let suspended = entry.state == maps::LeaseState::SUSPENDED;
    let state = match entry.state {
        _ if entry.expires <= now.moment.0 => LeaseState::Expired,
        maps::LeaseState::OFFERED => LeaseState::Offered,
        maps::LeaseState::SUSPENDED => known.as_ref().map_or(LeaseState::Bound, |known| known.state),
        _ => LeaseState::Bound,
    };
    LeaseReport {
        ip: Ipv4Addr::from(entry.ip),
        mac: Mac(key.mac),
        starts: known.as_ref().and_then(|known| known.starts),
        client_id: known.as_ref().and_then(|known| known.client_id.clone()),
        host_name: known.and_then(|known| known.host_name),
        network,
        state,
        expires: at(entry.expires),
        durable_until: at(entry.horizon),
        in_kernel: !suspended,
        last_answered_by: Some(if entry.answered == 0 { AnsweredBy::Agent } else { AnsweredBy::Kernel }),
    }
}

impl From<InterfaceStatus> for InterfaceReport {
    fn from(status: InterfaceStatus) -> Self {
        Self { name: status.name, mode: status.mode.to_owned(), attached: status.attached }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const NOW: Now = Now { moment: Moment(5_000_000_000_000), wall: 1_785_585_600_000_000_000 };
    const KEY: maps::LeaseKey = maps::LeaseKey {
        wire: maps::Wire { interface: 3, vlan: [0; 2] },
        mac: [2, 0, 0, 0, 0, 1],
        zero: [0; 2],
    };

    fn entry() -> maps::Lease {
        maps::Lease {
            expires: NOW.moment.after(Duration::from_hours(12)).0,
            horizon: u64::MAX,
            ip: [10, 9, 0, 100],
            state: maps::LeaseState::BOUND,
            ..maps::Lease::default()
        }
    }

    fn remembered(state: lease::State) -> Lease {
        Lease {
            ip: Ipv4Addr::new(10, 9, 0, 100),
            mac: KEY.mac,
            client_id: Some([1].into()),
            host_name: Some("node1".into()),
            state,
            starts: NOW.moment,
            expires: Moment::NEVER,
            durable_until: Moment::NEVER,
            answered_by: lease::AnsweredBy::Agent,
            taken: true,
        }
    }

    #[test]
    fn times_are_the_maps_and_names_are_the_files() {
        let report =
            report_of(&KEY, &entry(), Some(&remembered(lease::State::Bound)), Some("rack1".into()), NOW);
        assert_eq!(report.ip, Ipv4Addr::new(10, 9, 0, 100));
        assert_eq!(report.expires.unwrap().to_string(), "2026-08-02T00:00:00Z");
        assert_eq!(report.durable_until, None);
        assert_eq!(report.host_name.as_deref(), Some("node1"));
        assert_eq!(report.client_id.as_deref(), Some("01"));
        assert!(report.in_kernel && report.state == LeaseState::Bound);
    }

    #[test]
    fn another_clients_names_are_not_this_ones() {
        let other = Lease { mac: [2, 0, 0, 0, 0, 9], ..remembered(lease::State::Bound) };
        let report = report_of(&KEY, &entry(), Some(&other), None, NOW);
        assert_eq!((report.host_name, report.client_id, report.starts), (None, None, None));
    }

    #[test]
    fn a_suspended_entry_answers_nobody_and_is_what_the_file_says() {
        let entry = maps::Lease { state: maps::LeaseState::SUSPENDED, ..entry() };
        let report = report_of(&KEY, &entry, Some(&remembered(lease::State::Released)), None, NOW);
        assert!(!report.in_kernel && report.state == LeaseState::Released);
    }

    #[test]
    fn an_entry_past_its_end_has_expired() {
        let entry = maps::Lease { expires: NOW.moment.0, ..entry() };
        assert_eq!(report_of(&KEY, &entry, None, None, NOW).state, LeaseState::Expired);
    }

    #[test]
    fn the_kernel_answered_last_once_it_answered_at_all() {
        let answered =
            |at| report_of(&KEY, &maps::Lease { answered: at, ..entry() }, None, None, NOW).last_answered_by;
        assert_eq!(answered(0), Some(AnsweredBy::Agent));
        assert_eq!(answered(7), Some(AnsweredBy::Kernel));
    }
}
