//! Steps of the clock: leases run in boot time, and are written in wall time.

use std::net::Ipv4Addr;

use anyhow::Result;
use xdhcpd_tests::exchange::address;

use crate::lab::{Lab, Setting};

const ONE: [u8; 6] = [2, 0, 0, 0, 1, 1];
const TWO: [u8; 6] = [2, 0, 0, 0, 1, 2];
const THREE: [u8; 6] = [2, 0, 0, 0, 1, 3];
const FIRST: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 100);
const SECOND: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 101);

/// Addresses for two, and a lease whose horizon would be over in an hour: four times the lease.
const TWO_ADDRESSES: &str = "
http: {listen: off}
networks:
  - name: rack1
    interface: eth0
    subnet: 10.9.0.0/24
    ranges: [10.9.0.100-10.9.0.101]
    leaseTime: 14m
    probe: false
";
/// What there is of that at most; and when its half is over, a client would have renewed it.
const LEASE: [i64; 2] = [7 * 60, 14 * 60];
/// The horizon of an offer: those of a lease that begins as late as it can; files have whole seconds.
const HORIZON: i64 = (4 * 14 + 1) * 60 + 2;

/// Steps the guest's clock by this many seconds.
fn step(lab: &mut Lab, seconds: i64) -> Result<()> {
    lab.run(&format!("date -s @$(($(date +%s) + {seconds}))")).map(drop)
}

/// Checks that `leases` shows an end of this address that lies so many seconds ahead.
fn ends_within(lab: &mut Lab, ip: Ipv4Addr, [least, most]: [i64; 2]) -> Result<()> {
    let lease = lab.lease(ip)?;
    assert_eq!(lease["state"], "bound", "{lease}");
    let mut at =
        |seconds: i64| lab.run(&format!("date -u -d @$(($(date +%s) + {seconds})) +%Y-%m-%dT%H:%M:%SZ"));
    // Times of one form are in the order of their letters.
    let (least, most) = (at(least)?, at(most)?);
    let shown = lease["expires"].as_str().unwrap_or_default();
    assert!(least.trim() <= shown && shown <= most.trim(), "{least} to {most}: {lease}");
    Ok(())
}

/// Checks that both clients have what they had, by the kernel's own answer, and that there is nothing
/// for a third.
fn all_is_as_it_was(lab: &mut Lab) -> Result<()> {
    for (client, ip) in [(ONE, FIRST), (TWO, SECOND)] {
        let (replies, answered) = lab.exchange(client, |frame| frame)?;
        assert!(answered.is_a_known_clients(), "{ip}: {answered:?}");
        assert_eq!(replies.map(|reply| address(&reply)), [ip, ip]);
        ends_within(lab, ip, LEASE)?;
    }
    lab.is_refused(THREE)
}

#[test]
fn a_step_of_the_clock_ends_no_lease_and_gives_none_twice() -> Result<()> {
    let setting = Setting { config: TWO_ADDRESSES, ..Setting::default() };
    let Some(mut lab) = Lab::start(&setting)? else { return Ok(()) };
    lab.exchange(ONE, |frame| frame)?;
    step(&mut lab, 3600)?;
    // The first address looks free to whoever compares with the clock.
    let (replies, _) = lab.exchange(TWO, |frame| frame)?;
    assert_eq!(replies.map(|reply| address(&reply)), [SECOND, SECOND]);
    all_is_as_it_was(&mut lab)?;
    step(&mut lab, -7200)?;
    all_is_as_it_was(&mut lab)
}

#[test]
fn an_agent_that_starts_after_a_step_of_the_clock_goes_on_where_it_was() -> Result<()> {
    let setting = Setting { config: TWO_ADDRESSES, ..Setting::default() };
    let Some(mut lab) = Lab::start(&setting)? else { return Ok(()) };
    lab.exchange(ONE, |frame| frame)?;
    lab.exchange(TWO, |frame| frame)?;
    for seconds in [3600, -7200] {
        lab.stop_agent("KILL")?;
        step(&mut lab, seconds)?;
        lab.start_agent()?;
        all_is_as_it_was(&mut lab)?;
    }
    // Without the kernel's memory the file alone tells, and that as of the same boot.
    for seconds in [7200, -7200] {
        lab.stop_agent("TERM")?;
        lab.run("xdhcpd detach")?;
        step(&mut lab, seconds)?;
        lab.start_agent()?;
        lab.is_refused(THREE)?;
        for ip in [FIRST, SECOND] {
            ends_within(&mut lab, ip, [LEASE[0], HORIZON])?;
        }
    }
    Ok(())
}

#[test]
fn after_a_reboot_with_a_wrong_clock_no_address_is_given_twice() -> Result<()> {
    const SWITCHED_ON: &str = "2026-06-01T12:00:00";
    let setting = Setting { config: TWO_ADDRESSES, clock: Some(SWITCHED_ON), ..Setting::default() };
    let Some(mut lab) = Lab::start(&setting)? else { return Ok(()) };
    for client in [ONE, TWO] {
        lab.exchange(client, |frame| frame)?;
    }
    let leases = lab.run("cat /var/lib/dhcp/default-dhcpd.leases")?;
    drop(lab);
    for clock in ["2026-06-01T13:00:00", "2026-06-01T11:00:00"] {
        let setting = Setting { leases: Some(&leases), clock: Some(clock), ..setting };
        let Some(mut lab) = Lab::start(&setting)? else { return Ok(()) };
        lab.is_refused(THREE)?;
        for (client, ip) in [(ONE, FIRST), (TWO, SECOND)] {
            ends_within(&mut lab, ip, [LEASE[0], HORIZON])?;
            let (replies, _) = lab.exchange(client, |frame| frame)?;
            assert_eq!(replies.map(|reply| address(&reply)), [ip, ip]);
        }
    }
    Ok(())
}
