//! Who addresses are with, as the core says it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use super::desired::{Hold, Holding};
use crate::control::{Handle, LeaseOf, LeaseQuery, NoAnswer, PAGE};
use crate::report::{LeaseReport, LeaseState};

/// Who all addresses are with.
pub async fn all(core: &Handle) -> Result<BTreeMap<Ipv4Addr, Holding>, NoAnswer> {
    let mut ips = BTreeSet::new();
    let mut query = LeaseQuery { network: None, after: None, limit: PAGE };
    loop {
        // A network that does not exist was not asked for.
        let Ok(page) = core.leases(query.clone()).await? else { break };
        ips.extend(page.leases.iter().map(|lease| lease.ip));
        match page.next {
            Some(after) => query.after = Some(after),
            None => break,
        }
    }
    let all = of(core, &ips).await?;
    Ok(all.into_iter().filter_map(|(ip, holding)| Some((ip, holding?))).collect())
}

/// Who some addresses are with; none: with nobody.
pub async fn of(
    core: &Handle,
    ips: &BTreeSet<Ipv4Addr>,
) -> Result<Vec<(Ipv4Addr, Option<Holding>)>, NoAnswer> {
    let ips: Vec<Ipv4Addr> = ips.iter().copied().collect();
    Ok(core.leases_of(&ips).await?.into_iter().map(|lease| (lease.ip, holding(lease))).collect())
}

fn holding(LeaseOf { lease, kept, .. }: LeaseOf) -> Option<Holding> {
    let LeaseReport { mac, state, .. } = lease?;
    let hold = match state {
        LeaseState::Bound => Hold::Leased,
        LeaseState::Offered => Hold::Offered,
        LeaseState::Released | LeaseState::Expired if kept => Hold::Kept,
        LeaseState::Declined | LeaseState::Released | LeaseState::Expired => return None,
    };
    Some(Holding { mac, hold })
}
