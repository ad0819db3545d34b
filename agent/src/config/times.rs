//! A network's lease times, and the order in which they must stand.

use super::LeaseTimes;
use super::durations::{lease_time, shown, time_within_lease};
use super::problems::Report;
use super::value::Mapping;

/// Twelve hours.
const DEFAULT_LEASE_TIME: u32 = 43_200;

/// Reads `leaseTime` and the four keys that refine it.
pub(super) fn read_times(network: &Mapping<'_>, report: &mut Report) -> LeaseTimes {
    let default = network.read("leaseTime", report, lease_time).unwrap_or(DEFAULT_LEASE_TIME);
    let times = LeaseTimes {
        default,
        min: network.read("minLeaseTime", report, lease_time).unwrap_or(default),
        max: network.read("maxLeaseTime", report, lease_time).unwrap_or(default),
        renew: network.read("renewTime", report, time_within_lease),
        rebind: network.read("rebindTime", report, time_within_lease),
    };
    for (key, complaint) in complaints(&times) {
        report.add(format!("{}.{key}", network.path), complaint);
    }
    times
}

fn complaints(times: &LeaseTimes) -> Vec<(&'static str, String)> {
    let default = text(times.default);
    let mut found = Vec::new();
    if times.min > times.default {
        found.push(("minLeaseTime", format!("{} is more than leaseTime, {default}", text(times.min))));
    }
    if times.max < times.default {
        found.push(("maxLeaseTime", format!("{} is less than leaseTime, {default}", text(times.max))));
    }
    found.extend(renewal_complaints(times));
    found
}

/// T1 comes before T2 and T2 before the end (checklist row 39), in the shortest of leases too; where one is
/// not given, it is the usual part of the lease.
fn renewal_complaints(times: &LeaseTimes) -> Vec<(&'static str, String)> {
    // Whichever way `minLeaseTime` went wrong.
    let shortest = times.min.min(times.default);
    let lease = if shortest == times.default { "leaseTime" } else { "minLeaseTime" };
    let (late, half) = (seven_eighths(shortest), longest_finite(times) / 2);
    let mut found = Vec::new();
    let mut complain = |key, time: u32, order: String| found.push((key, format!("{} {order}", text(time))));
    match (times.renew, times.rebind) {
        (Some(renew), Some(rebind)) if renew >= rebind => {
            complain("renewTime", renew, format!("is not before rebindTime, {}", text(rebind)));
        }
        (Some(renew), None) if renew >= late => {
            complain("renewTime", renew, format!("is not before seven eighths of {lease}, {}", text(late)));
        }
        (None, Some(rebind)) if rebind <= half => {
            let order = format!("is not after half of the longest lease, {}; give renewTime too", text(half));
            complain("rebindTime", rebind, order);
        }
        _ => {}
    }
    if let Some(rebind) = times.rebind.filter(|rebind| *rebind >= shortest) {
        complain("rebindTime", rebind, format!("is not before {lease}, {}", text(shortest)));
    }
    found
}

fn text(seconds: u32) -> String {
    shown(u64::from(seconds))
}

fn seven_eighths(seconds: u32) -> u32 {
    seconds.saturating_sub(seconds / 8)
}

/// Infinite leases have neither T1 nor T2.
fn longest_finite(times: &LeaseTimes) -> u32 {
    let finite =
        [times.max, times.default, times.min].into_iter().filter(|time| *time != LeaseTimes::INFINITE);
    finite.max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::config::value::Node;

    fn read(network: &Value) -> Result<LeaseTimes, String> {
        let mut report = Report::default();
        let keys = ["leaseTime", "minLeaseTime", "maxLeaseTime", "renewTime", "rebindTime"];
        let mapping = Node::root(network).mapping(&keys, &mut report).unwrap();
        let times = read_times(&mapping, &mut report);
        report.verdict(Some(times)).map_err(|problems| problems.to_string())
    }

    #[test]
    fn c23_without_limits_every_client_gets_the_lease_time() {
        let times = read(&json!({"leaseTime": "1h"})).unwrap();
        assert_eq!((times.min, times.default, times.max), (3600, 3600, 3600));
        assert_eq!((times.renew, times.rebind), (None, None));
        assert_eq!(read(&json!({})).unwrap().default, 43_200);
    }

    #[test]
    fn c39_times_that_stand_in_order_are_taken() {
        let times = read(&json!({"leaseTime": "1h", "minLeaseTime": "10m", "maxLeaseTime": "infinite",
            "renewTime": "2m", "rebindTime": "8m"}));
        assert_eq!(
            times,
            Ok(LeaseTimes { default: 3600, min: 600, max: u32::MAX, renew: Some(120), rebind: Some(480) })
        );
        assert!(read(&json!({"leaseTime": "infinite"})).is_ok());
        assert!(read(&json!({"leaseTime": "8s", "renewTime": "6s"})).is_ok());
        assert!(read(&json!({"leaseTime": "8s", "maxLeaseTime": "infinite", "rebindTime": "5s"})).is_ok());
        assert!(read(&json!({"leaseTime": "8s", "rebindTime": "5s"})).is_ok());
    }

    #[test]
    fn c39_times_out_of_order_are_refused() {
        for (network, message) in [
            (
                json!({"leaseTime": "1h", "minLeaseTime": "2h"}),
                ".minLeaseTime: 2h is more than leaseTime, 1h",
            ),
            (
                json!({"leaseTime": "1h", "maxLeaseTime": "30m"}),
                ".maxLeaseTime: 30m is less than leaseTime, 1h",
            ),
            (
                json!({"leaseTime": "infinite", "maxLeaseTime": "30m"}),
                ".maxLeaseTime: 30m is less than leaseTime, infinite",
            ),
            (
                json!({"leaseTime": "1h", "renewTime": "40m", "rebindTime": "40m"}),
                ".renewTime: 40m is not before rebindTime, 40m",
            ),
            (
                json!({"leaseTime": "8s", "renewTime": "7s"}),
                ".renewTime: 7s is not before seven eighths of leaseTime, 7s",
            ),
            (
                json!({"leaseTime": "1h", "renewTime": "1s", "rebindTime": "1h"}),
                ".rebindTime: 1h is not before leaseTime, 1h",
            ),
            (
                json!({"leaseTime": "1h", "minLeaseTime": "1m", "renewTime": "1s", "rebindTime": "1m"}),
                ".rebindTime: 1m is not before minLeaseTime, 1m",
            ),
            (
                json!({"leaseTime": "8s", "rebindTime": "4s"}),
                ".rebindTime: 4s is not after half of the longest lease, 4s; give renewTime too",
            ),
        ] {
            assert_eq!(read(&network), Err(message.to_owned()), "{network}");
        }
    }
}
