//! Which leases a reader sees otherwise than before.
//!
//! A reader sees who has an address and in what state; not until when, so that a renewal is no
//! change. Addresses alone are kept, and the reader looks them up: however often a lease changes
//! before it does, it is one address.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use super::Lease;

/// Addresses whose leases changed since somebody looked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changes {
    /// Those of these.
    Of(BTreeSet<Ipv4Addr>),
    /// Any may have.
    All,
}

impl Changes {
    /// With more addresses than this it is all of them: reading every lease then costs no more than
    /// looking these up, and what nobody takes away stays small.
    pub const MOST: usize = 1 << 16;

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Of(ips) if ips.is_empty())
    }

    /// The lease of an address changed.
    pub(super) fn add(&mut self, ip: Ipv4Addr) {
        let Self::Of(ips) = self else { return };
        ips.insert(ip);
        if ips.len() > Self::MOST {
            *self = Self::All;
        }
    }

    /// These changed as well.
    pub fn merge(&mut self, more: Self) {
        match more {
            Self::All => *self = Self::All,
            Self::Of(ips) => ips.into_iter().for_each(|ip| self.add(ip)),
        }
    }
}

impl Default for Changes {
    fn default() -> Self {
        Self::Of(BTreeSet::new())
    }
}

/// Whether a reader sees no difference between two leases of one address.
pub(super) fn look_alike(one: &Lease, other: &Lease) -> bool {
    one.state == other.state && one.same_client(other) && one.host_name == other.host_name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_changes_than_are_worth_naming_are_all() {
        let most = u32::try_from(Changes::MOST).unwrap();
        let mut changes = Changes::default();
        (0..most).for_each(|n| changes.add(Ipv4Addr::from_bits(n)));
        assert!(matches!(&changes, Changes::Of(ips) if ips.len() == Changes::MOST));
        changes.add(Ipv4Addr::from_bits(0));
        assert_ne!(changes, Changes::All, "an address counts once");
        changes.merge(Changes::Of([Ipv4Addr::from_bits(most)].into()));
        assert_eq!(changes, Changes::All);
        changes.add(Ipv4Addr::from_bits(0));
        changes.merge(Changes::default());
        assert_eq!(changes, Changes::All);
    }
}
