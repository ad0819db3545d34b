//! From a lease file's bytes to leases.
//!
//! The last entry for an address wins. A last entry that is cut short, with or without zeros behind
//! the cut, was never promised: it is dropped. Any other damage costs the damaged entry alone, and its
//! address stays out of use for [`DAMAGE_HOLD`], because nobody knows to whom and for how long it was
//! promised.

use std::net::Ipv4Addr;
use std::ops::Range;
use std::time::Duration;

use super::format::BootId;
use super::lexer::{Fault, Lexer, What, next_entry};
use super::lines::Lines;
use super::parse::{Date, Item, Statements, header, item};
use super::parts;
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
#[derive(Debug, PartialEq, Eq, Default)]
pub(super) struct Read {
    /// The leases, in the order of their addresses.
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

/// The last entry for each address, and some of those before it.
#[derive(Default)]
struct LastByAddress {
    entries: Vec<Found>,
    /// How many may be there before those that do not count are looked for.
    bound: usize,
}

impl LastByAddress {
    /// Fewer entries are not worth a search.
    const LEAST: usize = 4096;

    /// Puts an entry in place of the address's former one.
    fn put(&mut self, found: Found) {
        if self.entries.len() >= self.bound.max(Self::LEAST) {
            self.drop_former();
            self.bound = self.entries.len().saturating_mul(2);
        }
        self.entries.push(found);
    }

    /// Leaves the last entry for each address, in the order of addresses.
    fn drop_former(&mut self) {
        // Stable: the last one stays the last. A file that was written anew is in order already.
        self.entries.sort_by_key(|found| found.lease.ip);
        self.entries.dedup_by(|later, earlier| {
            let same = later.lease.ip == earlier.lease.ip;
            if same {
                std::mem::swap(later, earlier);
            }
            same
        });
    }
}

/// What a part of a file says.
#[derive(Default)]
struct Part {
    found: LastByAddress,
    /// The rest, without the leases.
    read: Read,
}

impl Part {
    /// Adds what the part behind this one says.
    fn add(&mut self, next: Self) {
        self.found.entries.extend(next.found.entries);
        self.read.entries = self.read.entries.saturating_add(next.read.entries);
        self.read.others.extend(next.read.others);
        self.read.damage.extend(next.read.damage);
        self.read.torn = self.read.torn.or(next.read.torn);
    }
}

/// Reads a whole file. Never fails: what cannot be read is named in the result.
///
/// Zeros at the end are blocks that a file system had made room for when the power went.
pub(super) fn read(bytes: &[u8], now: Now, boot: Option<&BootId>, on_disk: OnDisk) -> Read {
    read_in_parts(bytes, parts::worth(bytes.len()), now, boot, on_disk)
}

/// Reads a whole file in at most so many parts.
pub(super) fn read_in_parts(
    bytes: &[u8],
    parts: usize,
    now: Now,
    boot: Option<&BootId>,
    on_disk: OnDisk,
) -> Read {
    let whole = bytes.len();
    let written = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last.saturating_add(1));
    let bytes = bytes.get(..written).unwrap_or_default();
    let parts = parts::cut(bytes, parts);
    let mut all = parts::each(&parts, |part| read_part(bytes, part, now, boot, on_disk)).into_iter();
    let mut first = all.next().unwrap_or_default();
    all.for_each(|next| first.add(next));
    first.found.drop_former();
    let Part { found, mut read } = first;
    if written < whole && read.torn.is_none() {
        read.torn = Some(Torn { begin: written, line: Lines::new(bytes).of(written) });
    }
    read.leases = in_order(found.entries);
    read
}

/// Reads the entries that begin in a part of a file.
fn read_part(bytes: &[u8], part: Range<usize>, now: Now, boot: Option<&BootId>, on_disk: OnDisk) -> Part {
    let Part { mut found, mut read } = Part::default();
    let mut lexer = Lexer::new(bytes);
    lexer.go_to(part.start);
    let mut lines = Lines::new(bytes);
    while lexer.skip_blank() {
        let begin = lexer.at();
        if begin >= part.end {
            break;
        }
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
        let end = next_entry(bytes, begin);
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
    found.drop_former();
    Part { found, read }
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
        client_id: said.uid.as_deref().map(Into::into),
        host_name: said.host_name.as_deref().and_then(|name| std::str::from_utf8(name).ok()).map(Into::into),
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
    let free_before =
        |found: &&mut Found| !found.lease.state.occupies() && found.lease.expires == BEFORE_BOOT;
    let mut before: Vec<&mut Found> = found.iter_mut().filter(free_before).collect();
    before.sort_unstable_by_key(|found| (found.wall_end, found.lease.ip));
    for (found, rank) in before.into_iter().zip(1..) {
        (found.lease.expires, found.lease.durable_until) = (Moment(rank), Moment(rank));
    }
    found.into_iter().map(|found| found.lease).collect()
}

/// What wall times before boot become.
const BEFORE_BOOT: Moment = Moment(1);
