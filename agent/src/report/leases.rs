//! `{"leases": […]}`: one object for each lease.

use std::fmt;
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use super::{Mac, Timestamp};
use crate::clock::{Moment, Now};
use crate::lease;

/// All leases that were asked for, by address.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeasesReport {
    /// The leases.
    pub leases: Vec<LeaseReport>,
}

/// One lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LeaseReport {
    /// The address.
    pub ip: Ipv4Addr,
    /// The client's hardware address.
    pub mac: Mac,
    /// Option 61 in lower-case hex; null: the client sends none, or it is not known.
    pub client_id: Option<String>,
    /// Option 12; null likewise.
    pub host_name: Option<String>,
    /// The network's name; null: not known, as may be while the agent is not running.
    pub network: Option<String>,
    /// What the lease is.
    pub state: LeaseState,
    /// When this state began; null: not known.
    pub starts: Option<Timestamp>,
    /// When the state ends, or when the address became free; null: never.
    pub expires: Option<Timestamp>,
    /// Up to when the binding on disk stands; null: for ever. Of what is not on disk yet, the same
    /// as `starts`.
    pub durable_until: Option<Timestamp>,
    /// Whether the XDP program has an entry for it.
    pub in_kernel: bool,
    /// Who answered the client last; null: nobody has.
    pub last_answered_by: Option<AnsweredBy>,
}

impl LeaseReport {
    /// What is shown of a lease of the table.
    pub fn of(lease: &lease::Lease, network: &str, in_kernel: bool, now: Now) -> Self {
        let starts = at(lease.starts, now);
        let durable_until = if lease.durable_until == Moment::NEVER {
            starts.or_else(|| at(now.moment, now))
        } else {
            at(lease.durable_until, now)
        };
        Self {
            ip: lease.ip,
            mac: Mac(lease.mac),
            client_id: lease.client_id.as_deref().map(hex),
            host_name: lease.host_name.as_deref().map(str::to_owned),
            network: Some(network.to_owned()),
            state: lease.state.into(),
            starts,
            expires: at(lease.expires, now),
            durable_until,
            in_kernel,
            last_answered_by: Some(lease.answered_by.into()),
        }
    }
}

/// The wall time of a moment; none: never, or for ever.
fn at(moment: Moment, now: Now) -> Option<Timestamp> {
    now.wall_seconds(moment).map(Timestamp::from_seconds)
}

/// Bytes as lower-case hex.
fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len().saturating_mul(2)), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The state of a lease, by the names that files and dashboards use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LeaseState {
    /// Held for a client that was made an offer.
    Offered,
    /// The client's.
    Bound,
    /// Out of use: a client found somebody else using it.
    Declined,
    /// Given back.
    Released,
    /// Run out.
    Expired,
}

impl LeaseState {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Offered, Self::Bound, Self::Declined, Self::Released, Self::Expired];

    /// The name in JSON and in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Offered => "offered",
            Self::Bound => "bound",
            Self::Declined => "declined",
            Self::Released => "released",
            Self::Expired => "expired",
        }
    }
}

impl fmt::Display for LeaseState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl From<lease::State> for LeaseState {
    fn from(state: lease::State) -> Self {
        match state {
            lease::State::Offered => Self::Offered,
            lease::State::Bound => Self::Bound,
            lease::State::Declined => Self::Declined,
            lease::State::Released => Self::Released,
            lease::State::Expired => Self::Expired,
        }
    }
}

/// The side that answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AnsweredBy {
    /// The XDP program.
    Kernel,
    /// The agent.
    Agent,
    /// Another agent of the cluster.
    Peer,
}

impl AnsweredBy {
    /// The name in JSON, and the value of the label `path` in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::Agent => "agent",
            Self::Peer => "peer",
        }
    }
}

impl From<lease::AnsweredBy> for AnsweredBy {
    fn from(side: lease::AnsweredBy) -> Self {
        match side {
            lease::AnsweredBy::Kernel => Self::Kernel,
            lease::AnsweredBy::Agent => Self::Agent,
            lease::AnsweredBy::Peer => Self::Peer,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    const NOW: Now = Now { moment: Moment(1_000_000_000_000), wall: 1_785_585_600_000_000_000 };

    fn bound() -> lease::Lease {
        lease::Lease {
            ip: Ipv4Addr::new(10, 9, 0, 100),
            mac: [2, 0, 0, 0, 0, 1],
            client_id: Some([1, 2, 0xff].into()),
            host_name: Some("node1".into()),
            state: lease::State::Bound,
            starts: NOW.moment,
            expires: NOW.moment.after(Duration::from_hours(12)),
            durable_until: NOW.moment.after(Duration::from_hours(48)),
            answered_by: lease::AnsweredBy::Kernel,
            taken: true,
        }
    }

    #[test]
    fn a_lease_has_the_promised_keys() {
        let report = LeasesReport { leases: vec![LeaseReport::of(&bound(), "rack1", true, NOW)] };
        let expected = json!({"leases": [{
            "ip": "10.9.0.100", "mac": "02:00:00:00:00:01", "clientId": "0102ff", "hostName": "node1",
            "network": "rack1", "state": "bound", "starts": "2026-08-01T12:00:00Z",
            "expires": "2026-08-02T00:00:00Z", "durableUntil": "2026-08-03T12:00:00Z",
            "inKernel": true, "lastAnsweredBy": "kernel",
        }]});
        assert_eq!(serde_json::to_value(&report).unwrap(), expected);
        assert_eq!(serde_json::from_value::<LeasesReport>(expected).unwrap(), report);
    }

    #[test]
    fn a_lease_without_an_end_has_null_for_it() {
        let lease = lease::Lease { expires: Moment::FOREVER, durable_until: Moment::FOREVER, ..bound() };
        let value = serde_json::to_value(LeaseReport::of(&lease, "rack1", false, NOW)).unwrap();
        assert!(value["expires"].is_null() && value["durableUntil"].is_null());
    }

    #[test]
    fn what_is_not_on_disk_is_not_shown_as_durable_for_ever() {
        let lease = lease::Lease { durable_until: Moment::NEVER, ..bound() };
        let report = LeaseReport::of(&lease, "rack1", false, NOW);
        assert_eq!(report.durable_until, report.starts);
        assert!(report.durable_until.is_some());
    }

    #[test]
    fn names_of_states_are_those_of_the_json() {
        for state in LeaseState::ALL {
            assert_eq!(serde_json::to_value(state).unwrap(), state.name());
        }
    }
}
