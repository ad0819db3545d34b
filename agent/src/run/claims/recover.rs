//! What a start knows of what was promised: from the lease file, and from what stands in the kernel's maps.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use xdhcpd_common::maps::{self, LeaseKey};

use super::Share;
use super::clock::Offset;
use crate::claims::{Copies, Held, Slot};
use crate::clock::Moment;
use crate::config::Config;
use crate::lease::{ClientKey, Lease, State, Table};

/// What may still hold by the word of the lease file, those leases among them that no network has any more.
pub fn held(
    table: &Table,
    config: &Config,
    copies: &Copies,
    offset: Offset,
    now: Moment,
) -> BTreeMap<Ipv4Addr, Held> {
    let promised = table.all_leases().filter(|lease| matches!(lease.state, State::Offered | State::Bound));
    let held = promised.filter_map(|lease| {
        let client = client(table, copies, lease)?;
        let kept = lease.taken && keeps(table, config, lease.ip);
        let until = offset.at(lease.durable_until);
        Some((lease.ip, Held::on_disk(client, until, offset.at(now), kept)))
    });
    held.collect()
}

/// Whether an address of the table's networks stays its client's when the lease ends.
pub fn keeps(table: &Table, config: &Config, ip: Ipv4Addr) -> bool {
    let network = table.network_of(ip).and_then(|id| config.networks.get(usize::from(id.0)));
    network.is_some_and(|network| network.keep_addresses)
}

/// Who a lease's client is to the claims: by the name under which it was published, if it was, whatever the
/// configuration tells clients apart by today.
fn client(table: &Table, copies: &Copies, lease: &Lease) -> Option<ClientKey> {
    if lease.is_nobodys() {
        return None;
    }
    let block = copies.blocks.get(&crate::claims::BlockId::of(lease.ip));
    let binding = block.and_then(|known| known.copy.slots.get(&lease.ip)).and_then(Slot::binding);
    let names = |client: &ClientKey| match client {
        ClientKey::Mac(mac) => *mac == lease.mac,
        ClientKey::Id(id) => lease.client_id.as_deref() == Some(&**id),
    };
    match binding.map(|binding| &binding.client).filter(|client| names(client)) {
        Some(client) => Some(client.clone()),
        None => table.client_of(lease),
    }
}

impl Share {
    /// Leases of the time before there were claims, which are published where their address is nobody's:
    /// those that run, and those that their clients keep.
    pub(super) fn take_former(&mut self, table: &Table) {
        let is_its =
            |lease: &&Lease| matches!(lease.state, State::Offered | State::Bound) || table.is_kept(lease.ip);
        for lease in table.leases().filter(is_its) {
            if self.claims.slot(lease.ip).is_none()
                && let Some(client) = table.client_of(lease)
            {
                self.claims.promised_before(lease.ip, client);
            }
        }
        for lease in table.leases().filter(|lease| lease.state == State::Declined) {
            self.claims.set_aside(lease.ip, self.offset.at(lease.expires));
        }
    }

    /// What stands in the maps that outlived the process: of these the kernel has told all it did.
    pub(in crate::run) fn take_entries(&mut self, table: &Table, entries: &[(LeaseKey, maps::Lease)]) {
        for (key, entry) in entries {
            let ip = Ipv4Addr::from(entry.ip);
            let Some(lease) = table.get(ip).filter(|lease| lease.mac == key.mac) else { continue };
            let Some(client) = table.client_of(lease) else { continue };
            let kept = table.is_kept(ip);
            if entry.answered != 0 {
                let (at, expires) = (Moment(entry.answered), Moment(entry.expires));
                self.renewed(at, expires, ip, &client, kept);
            }
            self.claims.kernel_told_of(ip);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::claims::{Binding, Block, BlockId, Known};
    use crate::clock::Now;
    use crate::config::parse_yaml;
    use crate::lease::AnsweredBy;

    const NOW: Now = Now { moment: Moment(1_000_000_000_000), wall: 1_700_000_000_000_000_000 };

    fn config() -> Config {
        let yaml = "networks:\n- {name: a, interface: e, subnet: 10.9.0.0/24, ranges: [10.9.0.10-10.9.0.90], \
                    keepAddresses: true}";
        parse_yaml(yaml).unwrap_or_else(|problems| panic!("{problems}"))
    }

    fn lease(ip: [u8; 4], state: State) -> Lease {
        Lease {
            ip: ip.into(),
            mac: [2, 0, 0, 0, 0, ip[3]],
            client_id: Some((&[7, ip[3]][..]).into()),
            host_name: None,
            state,
            starts: NOW.moment,
            expires: Moment(2_000_000_000_000),
            durable_until: Moment::NEVER,
            answered_by: AnsweredBy::Agent,
            taken: state != State::Offered,
        }
    }

    fn table() -> Table {
        let mut table = Table::new(&config());
        for (ip, state) in [
            ([10, 9, 0, 10], State::Bound),
            ([10, 9, 0, 11], State::Offered),
            ([10, 9, 0, 12], State::Expired),
            ([10, 9, 0, 13], State::Declined),
            // Of no network any more.
            ([10, 8, 0, 14], State::Bound),
        ] {
            table.put(lease(ip, state));
        }
        table
    }

    #[test]
    fn what_was_offered_or_bound_may_hold_wherever_it_is() {
        let held = held(&table(), &config(), &Copies::default(), Offset::of(NOW), NOW.moment);
        let addresses: Vec<[u8; 4]> = held.keys().map(Ipv4Addr::octets).collect();
        assert_eq!(addresses, [[10, 8, 0, 14], [10, 9, 0, 10], [10, 9, 0, 11]]);
        assert!(held.values().all(|held| matches!(held.client, ClientKey::Mac(_))));
    }

    #[test]
    fn a_client_keeps_the_name_under_which_it_was_published() {
        let ip = Ipv4Addr::new(10, 9, 0, 10);
        let client = ClientKey::Id([7, 10][..].into());
        let binding = Binding { client: client.clone(), longest: 1, mark: None };
        let block = Block { serial: 1, slots: BTreeMap::from([(ip, Slot::Bound(binding))]) };
        let known = Known { copy: Arc::new(block), in_flight: None };
        let copies = Copies { blocks: BTreeMap::from([(BlockId::of(ip), known)]), ..Copies::default() };
        let held = held(&table(), &config(), &copies, Offset::of(NOW), NOW.moment);
        assert_eq!(held[&ip].client, client);
    }
}
