//! A block, and the object of it.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use super::text::{bytes_of, form_of_bytes, form_of_span, form_of_time, span_of, time_of};
use crate::claims::{AgentId, At, Binding, Block, BlockId, Mark, Slot};
use crate::config::Problem;
use crate::kube::objects::{AddressBlockSpec, Bound, Claimed, Counts, Marked};
use crate::lease::ClientKey;
use crate::report::Mac;

/// How a block is published.
pub fn form_of_block(cluster_agent: &str, block: &Block) -> AddressBlockSpec {
    let mut claims: BTreeMap<(&AgentId, u64), Vec<Ipv4Addr>> = BTreeMap::new();
    let mut bound = Vec::new();
    for (ip, slot) in &block.slots {
        match slot {
            Slot::Claimed { agent, incarnation } => {
                claims.entry((agent, *incarnation)).or_default().push(*ip);
            }
            Slot::Bound(binding) => bound.push(form_of_binding(*ip, binding)),
        }
    }
    let count = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
    AddressBlockSpec {
        cluster_agent: cluster_agent.to_owned(),
        serial: block.serial,
        counts: Counts {
            claimed: count(claims.values().map(Vec::len).sum()),
            bound: count(bound.len()),
            marked: count(bound.iter().filter(|bound| bound.mark.is_some()).count()),
        },
        claimed: claims
            .into_iter()
            .map(|((agent, incarnation), addresses)| Claimed {
                agent: agent.to_string(),
                incarnation,
                addresses: ranges(&addresses),
            })
            .collect(),
        bound,
    }
}

fn form_of_binding(ip: Ipv4Addr, binding: &Binding) -> Bound {
    let (mac, client_id) = match &binding.client {
        ClientKey::Mac(mac) => (Some(Mac(*mac).to_string()), None),
        ClientKey::Id(id) => (None, Some(form_of_bytes(id))),
    };
    let time = |at: At| (at != At::NEVER).then(|| form_of_time(at));
    let mark = binding.mark.as_ref().map(|mark| Marked {
        serial: mark.serial,
        given_up: time(mark.given_up),
        not_before: time(mark.not_before),
        confirmed: mark.confirmed.iter().map(ToString::to_string).collect(),
    });
    Bound { ip: ip.to_string(), mac, client_id, longest: form_of_span(binding.longest), mark }
}

/// Addresses in their order, those that follow each other as one.
fn ranges(addresses: &[Ipv4Addr]) -> Vec<String> {
    let runs = addresses.chunk_by(|one, next| one.to_bits().checked_add(1) == Some(next.to_bits()));
    let run = |run: &[Ipv4Addr]| match run {
        [] => None,
        [one] => Some(one.to_string()),
        [first, .., last] => Some(format!("{first}-{last}")),
    };
    runs.filter_map(run).collect()
}

/// The block that is published.
pub fn block_of(id: BlockId, spec: &AddressBlockSpec) -> Result<Block, Problem> {
    let mut block = Block { serial: spec.serial, slots: BTreeMap::new() };
    for (at, claimed) in spec.claimed.iter().enumerate() {
        let agent: AgentId = claimed.agent.as_str().into();
        for (of, range) in claimed.addresses.iter().enumerate() {
            let path = || format!("spec.claimed[{at}].addresses[{of}]");
            for ip in addresses_of(id, range).map_err(problem(path))? {
                let slot = Slot::Claimed { agent: Arc::clone(&agent), incarnation: claimed.incarnation };
                put(&mut block, ip, slot).map_err(problem(path))?;
            }
        }
    }
    for (at, bound) in spec.bound.iter().enumerate() {
        let path = |field: &'static str| move || format!("spec.bound[{at}].{field}");
        let ip = address_of(id, &bound.ip).map_err(problem(path("ip")))?;
        let binding = Binding {
            client: client_of(bound).map_err(|(field, message)| problem(path(field))(message))?,
            longest: span_of(&bound.longest).map_err(problem(path("longest")))?,
            mark: bound.mark.as_ref().map(|mark| mark_of(mark, path)).transpose()?,
        };
        put(&mut block, ip, Slot::Bound(binding)).map_err(problem(path("ip")))?;
    }
    Ok(block)
}

fn problem(path: impl Fn() -> String) -> impl Fn(String) -> Problem {
    move |message| Problem { path: path(), message }
}

fn mark_of<P: Fn() -> String>(mark: &Marked, path: impl Fn(&'static str) -> P) -> Result<Mark, Problem> {
    let time = |text: &Option<String>| text.as_ref().map_or(Ok(At::NEVER), |text| time_of(text));
    Ok(Mark {
        serial: mark.serial,
        given_up: time(&mark.given_up).map_err(problem(path("mark.givenUp")))?,
        not_before: time(&mark.not_before).map_err(problem(path("mark.notBefore")))?,
        confirmed: mark.confirmed.iter().map(|agent| agent.as_str().into()).collect(),
    })
}

fn client_of(bound: &Bound) -> Result<ClientKey, (&'static str, String)> {
    match (&bound.mac, &bound.client_id) {
        (Some(mac), None) => {
            mac.parse().map(|Mac(mac)| ClientKey::Mac(mac)).map_err(|bad| ("mac", bad.to_string()))
        }
        (None, Some(id)) => bytes_of(id).map(ClientKey::Id).map_err(|bad| ("clientId", bad)),
        _ => Err(("mac", "give either this or clientId".to_owned())),
    }
}

fn address_of(id: BlockId, text: &str) -> Result<Ipv4Addr, String> {
    let ip = text.parse().map_err(|_| format!("{text:?} is not an IPv4 address, such as {}", id.first()))?;
    if BlockId::of(ip) == id { Ok(ip) } else { Err(format!("{ip} is not of {}/24", id.first())) }
}

fn addresses_of(id: BlockId, text: &str) -> Result<impl Iterator<Item = Ipv4Addr> + use<>, String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (address_of(id, first)?, address_of(id, last)?);
    if last < first {
        return Err(format!("{text:?} ends before it begins"));
    }
    Ok((first.to_bits()..=last.to_bits()).map(Ipv4Addr::from_bits))
}

fn put(block: &mut Block, ip: Ipv4Addr, slot: Slot) -> Result<(), String> {
    match block.slots.insert(ip, slot) {
        None => Ok(()),
        Some(_) => Err(format!("{ip} is named twice")),
    }
}
