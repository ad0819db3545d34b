//! How leases are filed by their ends: late, and in little space.

use super::*;

const SECOND: u64 = 1 << 30;
const HOUR: u64 = 3600 * SECOND;

fn large() -> Table {
    Table::new(&config(vec![network("10.0.0.0/16", &[("10.0.0.1-10.0.255.0", None)])]))
}

fn client(n: u32) -> Lease {
    let [_, _, a, b] = n.to_be_bytes();
    let address = Ipv4Addr::from_bits(0x0a00_0000 + n);
    Lease { ip: address, mac: [2, 0, 0, 0, a, b], ..lease("10.0.0.0", 1, State::Bound, 1, HOUR) }
}

/// All that is due, asked for as often as it takes.
fn all_due(table: &mut Table, now: u64) -> Vec<Ipv4Addr> {
    let mut all = Vec::new();
    while table.next_due().is_some_and(|next| next <= Moment(now)) {
        for ip in table.due(Moment(now)) {
            assert!(table.expire(ip, Moment(now)));
            all.push(ip);
        }
    }
    all
}

#[test]
fn leases_that_were_renewed_meanwhile_are_not_due_and_those_beside_them_are() {
    let mut table = large();
    for n in 1..=10_000 {
        table.put(client(n));
    }
    for n in (1..=10_000).filter(|n| n % 100 != 0) {
        let Lease { ip, mac, .. } = client(n);
        assert!(table.renewed(ip, mac, Moment(1), Moment(2 * HOUR), AnsweredBy::Kernel));
    }
    assert!(all_due(&mut table, HOUR - 1).is_empty());
    assert_eq!(all_due(&mut table, HOUR).len(), 100);
    assert!(all_due(&mut table, 2 * HOUR - 1).is_empty());
    assert_eq!(all_due(&mut table, 2 * HOUR).len(), 9_900);
    assert_eq!(table.next_due(), None);
}

#[test]
fn what_ends_earlier_than_it_was_to_is_due_then_and_once() {
    let mut table = large();
    table.put(client(1));
    table.put(Lease { expires: Moment(10 * SECOND), ..client(1) });
    assert!(all_due(&mut table, 10 * SECOND - 1).is_empty());
    assert_eq!(all_due(&mut table, 10 * SECOND), [client(1).ip]);
    assert!(all_due(&mut table, 3 * HOUR).is_empty());
}

#[test]
fn a_client_that_gives_its_address_back_again_and_again_takes_no_more_space_than_others() {
    let mut table = large();
    for turn in 0..100_000_u64 {
        // Each time the hold of an offer ends a little later than before, and the lease an hour after.
        let offered = lease("10.0.0.1", 1, State::Offered, turn, (turn + 60) * SECOND);
        table.put(offered.clone());
        table.put(Lease { state: State::Bound, expires: Moment(turn * SECOND + HOUR), ..offered });
        table.due(Moment(turn * SECOND));
        table.release(ip("10.0.0.1"), Moment(turn * SECOND));
        assert!(table.filed_ends() < 10_000, "{}", table.filed_ends());
    }
}
