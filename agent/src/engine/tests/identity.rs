//! Rows 49 and 50: what makes two messages the same client's.

use super::*;
use crate::lease::State;

const BY_ID: &str = "identity: client-id";

fn with_id(builder: Builder, id: &[u8]) -> Builder {
    builder.option(61, id)
}

#[test]
fn c49_boot_rom_ipxe_and_os_have_one_address() {
    let mut lab = Lab::new(&rack(&[]));
    let first = lab.offer(with_id(discover(1), &[0, 1, 2, 3])).yiaddr;
    lab.ack(with_id(selecting(1, first), &[0, 1, 2, 3]));
    for id in [&[1, 2, 0, 0, 0, 0, 1][..], &[255, 9, 9, 9]] {
        assert_eq!(lab.offer(with_id(discover(1), id)).yiaddr, first);
        assert_eq!(lab.ack(with_id(selecting(1, first), id)).yiaddr, first);
        assert_eq!(lab.ack(with_id(init_reboot(1, first), id)).yiaddr, first);
    }
    lab.ack(renewing(1, first));
    assert_eq!(lab.table.leases().count(), 1);
}

#[test]
fn c49_a_client_that_renames_itself_is_written_once() {
    let mut lab = Lab::new(&rack(&[]));
    let address = bound(&mut lab, 1);
    let before = lab.writes.len();
    for _ in 0..3 {
        lab.ack(with_id(renewing(1, address), &[1, 2, 3]));
    }
    assert_eq!(lab.writes.len(), before + 1);
}

#[test]
fn c49_client_ids_tell_clients_apart_where_the_network_says_so() {
    let mut lab = Lab::new(&rack(&[BY_ID]));
    let first = lab.offer(with_id(discover(1), b"one")).yiaddr;
    lab.ack(with_id(selecting(1, first), b"one"));
    let second = lab.offer(with_id(discover(1), b"two")).yiaddr;
    assert_ne!(first, second);
    lab.nak(with_id(selecting(1, first), b"two"));
    assert_eq!(lab.ack(with_id(renewing(1, first), b"one")).yiaddr, first);
    assert!(lab.kernel(&with_id(renewing(1, first), b"two")).is_none());
    assert!(lab.kernel(&with_id(renewing(1, first), b"one")).is_some());
}

#[test]
fn c49_without_a_client_id_the_mac_counts() {
    let mut lab = Lab::new(&rack(&[BY_ID]));
    let bare = bound(&mut lab, 1);
    let named = lab.offer(with_id(discover(1), b"one")).yiaddr;
    assert_ne!(bare, named);
    assert_eq!(lab.ack(renewing(1, bare)).yiaddr, bare);
}

#[test]
fn c49_a_client_id_that_moves_to_another_mac_leaves_no_entry_behind() {
    let mut lab = Lab::new(&rack(&[BY_ID]));
    let address = lab.offer(with_id(discover(1), b"one")).yiaddr;
    lab.ack(with_id(selecting(1, address), b"one"));
    assert_eq!(lab.offer(with_id(discover(2), b"one")).yiaddr, address);
    assert!(lab.entry(mac(1)).is_none() && lab.entry(mac(2)).is_none());
    assert!(lab.kernel(&with_id(renewing(1, address), b"one")).is_none());
    assert_eq!(lab.ack(with_id(selecting(2, address), b"one")).yiaddr, address);
    assert!(lab.entry(mac(2)).is_some());
    assert_eq!(lab.lease(address).state, State::Bound);
    assert_eq!(lab.table.leases().count(), 1);
}

#[test]
fn c50_a_client_id_is_returned_as_it_came_and_only_then() {
    let mut lab = Lab::new(&rack(&[]));
    for id in [&[7; 2][..], &[7; 64], &[7; 65], &[7; 255]] {
        let got = lab.offer(with_id(discover(1), id));
        assert_eq!(got.option(61).as_deref(), Some(id));
        assert_eq!(lab.ack(with_id(selecting(1, got.yiaddr), id)).option(61).as_deref(), Some(id));
        assert_eq!(lab.nak(with_id(selecting(1, ip(103)), id)).option(61).as_deref(), Some(id));
    }
    assert_eq!(lab.offer(discover(1)).option(61), None);
    assert_eq!(lab.offer(with_id(discover(1), &[7])).option(61), None, "one byte is no id");
}
