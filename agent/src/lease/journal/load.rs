//! From a lease file's bytes to leases.
//!
//! The last entry for an address wins. A last entry that is cut short, with or without zeros behind
//! the cut, was never promised: it is dropped. Any other damage costs the damaged entry alone, and its
//! address stays out of use for [`DAMAGE_HOLD`], because nobody knows to whom and for how long it was
//! promised.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::Ipv4Addr;
use std::ops::Range;
use std::time::Duration;

use super::format::BootId;
use super::lexer::{Fault, Lexer, What};
use super::lines::Lines;
use super::parse::{Date, Item, Statements, header, item};
use crate::clock::{Moment, Now};
use crate::lease::{AnsweredBy, Lease, State};

/// How long an address is kept out of use whose newest entry is damaged: longer than the horizon
/// of common leases (4 × 12 h). An operator who knows better releases it.
pub(super) const DAMAGE_HOLD: Duration = Duration::from_hours(7 * 24);

/// How far off the clock may be, in seconds, that a machine starts with, from the one that it wrote
/// an entry by before: more than one that shows local time for UTC is.
const CLOCK_DOUBT: i64 = 24 * 60 * 60;

/// What is known to be on disk of a file that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OnDisk {
    /// All of it: it was synced.
    All,
    /// What earlier boots wrote: it cannot have been read from anywhere else.
    EarlierBoots,
}

/// What a file says.
#[derive(Debug, Default)]
pub(super) struct Read {
    /// The leases, in no order.
    pub(super) leases: Vec<Lease>,
    /// Well-formed entries for addresses.
    pub(super) entries: usize,
    /// What is no entry for an address: another writer's declarations.
    pub(super) others: Vec<Range<usize>>,
    /// Where the damage is.
    pub(super) damage: Vec<Damage>,
    /// The last entry, if it is cut short.
    pub(super) torn: Option<Torn>,
}

/// A last entry without its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Torn {
    /// The offset of its first byte.
    pub(super) begin: usize,
    /// The line of that.
    pub(super) line: usize,
}

/// A part of a file that cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Damage {
    /// The part.
    pub(super) range: Range<usize>,
    /// The line of the fault.
    pub(super) line: usize,
    /// What is wrong there.
    pub(super) what: What,
    /// The address it is about, if that can be read.
    pub(super) ip: Option<Ipv4Addr>,
}

/// A lease, with its end in wall time where moments do not tell (before this boot).
struct Found {
    lease: Lease,
    wall_end: i64,
}

/// The last entry for each address. The index is apart from the entries, since a growing hash
/// table of entries would copy, and for a while keep twice, all of them.
#[derive(Default)]
struct LastByAddress {
    entries: Vec<Found>,
    places: HashMap<Ipv4Addr, usize>,
}

impl LastByAddress {
    /// Puts an entry in place of the address's former one.
    fn put(&mut self, found: Found) {
        match self.places.entry(found.lease.ip) {
            Entry::Vacant(vacant) => {
                vacant.insert(self.entries.len());
                self.entries.push(found);
            }
            Entry::Occupied(place) => {
                if let Some(former) = self.entries.get_mut(*place.get()) {
                    *former = found;
                }
            }
        }
    }
}

/// Reads a whole file. Never fails: what cannot be read is named in the result.
///
/// Zeros at the end are blocks that a file system had made room for when the power went.
pub(super) fn read(bytes: &[u8], now: Now, boot: Option<&BootId>, on_disk: OnDisk) -> Read {
    let mut read = Read::default();
    let whole = bytes.len();
    let written = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last.saturating_add(1));
    let bytes = bytes.get(..written).unwrap_or_default();
    let mut found = LastByAddress::default();
    let mut lexer = Lexer::new(bytes);
    let mut lines = Lines::new(bytes);
    while lexer.skip_blank() {
        let begin = lexer.at();
        let fault = match item(&mut lexer) {
            None => break,
            Some(Ok(Item::Other)) => {
                read.others.push(begin..lexer.at());
                continue;
            }
            Some(Ok(Item::Lease(ip, statements))) => match lease(ip, *statements, now, boot, on_disk) {
                Some(lease) => {
                    read.entries = read.entries.saturating_add(1);
                    found.put(lease);
                    continue;
                }
                None => Fault { at: begin, what: What::Expected("`ends` in the entry") },
            },
            Some(Err(fault)) => fault,
        };
        let end = lexer.next_entry(begin);
        if fault.what == What::End && end == bytes.len() {
            read.torn = Some(Torn { begin, line: lines.of(begin) });
            break;
        }
        lexer.go_to(begin);
        let ip = header(&mut lexer).ok().flatten();
        if let Some(ip) = ip {
            found.put(held_back(ip, now));
        }
        read.damage.push(Damage { range: begin..end, line: lines.of(fault.at), what: fault.what, ip });
        lexer.go_to(end);
    }
    if written < whole && read.torn.is_none() {
        read.torn = Some(Torn { begin: written, line: lines.of(written) });
    }
    read.leases = in_order(found.entries);
    read
}

/// The lease of an entry; none: it does not say when it ends.
fn lease(
    ip: Ipv4Addr,
    said: Statements<'_>,
    now: Now,
    boot: Option<&BootId>,
    on_disk: OnDisk,
) -> Option<Found> {
    let said = said.without_leftovers();
    let binding = said.binding.unwrap_or(State::Bound);
    // Addresses of a failover pair that were never used have no times.
    let never_used = (!binding.occupies()).then_some(Date::At(0));
    let horizon = said.ends.or(never_used)?;
    let own_end = said.own_end.unwrap_or(horizon);
    // Ours is finer.
    let state = said.state.unwrap_or(binding);
    let moments = said.boot.and_then(|value| boot?.moments(value));
    let [starts, expires, durable_until] =
        moments.unwrap_or_else(|| by_wall_time(&said, own_end, horizon, state.occupies(), now));
    let is_doubtful = on_disk != OnDisk::All && (moments.is_some() || boot.is_none());
    // Kept for its client as long as it may have been promised, and not promised again.
    let (expires, durable_until) =
        if is_doubtful { (expires.max(durable_until), Moment::NEVER) } else { (expires, durable_until) };
    let lease = Lease {
        ip,
        mac: said.mac.unwrap_or_default(),
        client_id: said.uid.map(Vec::into_boxed_slice),
        host_name: said.host_name.and_then(|name| String::from_utf8(name).ok()).map(String::into_boxed_str),
        state,
        starts,
        expires,
        durable_until,
        answered_by: AnsweredBy::Agent,
        taken: said.taken.unwrap_or(state.implies_taken()),
    };
    let wall_end = match own_end {
        Date::At(seconds) => seconds,
        Date::Never => i64::MAX,
    };
    Some(Found { lease, wall_end })
}

/// Start, end and horizon of an entry that has no moments of this boot.
///
/// Wall time is all there is then, and at the start of a machine it can be wrong. A clock that is behind
/// makes nothing last longer than it had to run when it was written: that was before now, whatever the
/// clocks say. One that is ahead ends no promise of ours before its time: the address is kept for as much
/// longer as the clock is in doubt.
fn by_wall_time(
    said: &Statements<'_>,
    own_end: Date,
    horizon: Date,
    occupies: bool,
    now: Now,
) -> [Moment; 3] {
    let starts = match said.starts {
        Some(Date::At(seconds)) => now.moment_of(seconds).min(now.moment),
        _ => Moment::NEVER,
    };
    let written = said.cltt.or(said.starts);
    let until = |date: Date, doubt: i64| {
        let Date::At(seconds) = date else { return Moment::FOREVER };
        let end = now.moment_of(seconds.saturating_add(doubt));
        let Some(Date::At(written)) = written else { return end };
        // Each was rounded by less than a second.
        let rest = u64::try_from(seconds.saturating_sub(written)).unwrap_or(0).saturating_add(1);
        end.min(now.moment.after(Duration::from_secs(rest)))
    };
    if !occupies {
        let free_since = until(own_end, 0).min(now.moment);
        return [starts, free_since, free_since];
    }
    let held = if said.boot.is_some() { until(horizon, CLOCK_DOUBT) } else { Moment::NEVER };
    [starts, until(own_end, 0).max(held), until(horizon, 0)]
}

/// An address of a damaged entry: nobody's, and out of use.
fn held_back(ip: Ipv4Addr, now: Now) -> Found {
    let until = now.moment.after(DAMAGE_HOLD);
    let lease = Lease {
        ip,
        mac: [0; 6],
        client_id: None,
        host_name: None,
        state: State::Declined,
        starts: now.moment,
        expires: until,
        // True once the file is rewritten, which is before anybody sees this.
        durable_until: until,
        answered_by: AnsweredBy::Agent,
        taken: false,
    };
    Found { lease, wall_end: i64::MAX }
}

/// The leases; those that were free before this boot keep their order by the first nanoseconds
/// of it, so that the one free for longest still is.
fn in_order(mut found: Vec<Found>) -> Vec<Lease> {
    found.sort_unstable_by_key(|found| (found.lease.expires, found.wall_end, found.lease.ip));
    let rank = 1u64..;
    found
        .into_iter()
        .zip(rank)
        .map(|(found, rank)| {
            let mut lease = found.lease;
            if !lease.state.occupies() && lease.expires == BEFORE_BOOT {
                (lease.expires, lease.durable_until) = (Moment(rank), Moment(rank));
            }
            lease
        })
        .collect()
}

/// What wall times before boot become.
const BEFORE_BOOT: Moment = Moment(1);
