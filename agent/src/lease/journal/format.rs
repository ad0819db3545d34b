//! How a lease is written: an entry that dhcpd's own parser accepts.
//!
//! `ends` is the horizon, rounded up, so that whoever reads the file keeps the address for as long
//! as it may have been promised. What dhcpd has no word for stands in `set` statements. dhcpd repeats
//! those in its own later entries, where they are about what was before: `xdhcpd-written` has `cltt`
//! and `ends` of the entry that they belong to. A client's own text is quoted with everything but
//! plain ASCII escaped: no byte of it can end a string.

use std::fmt::{self, Display, Formatter, Write as _};
use std::time::Duration;

use crate::clock::{Moment, Now};
use crate::lease::{Lease, State};

/// The first line of a new file.
pub(super) const HEADER: &str =
    "# Leases of xdhcpd, in the format of dhcpd.leases(5): the last entry for an address wins.\n";

/// Which boot moments are of: the first 16 hex digits of the kernel's boot id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootId(String);

impl BootId {
    const DIGITS: usize = 16;

    /// The present boot; none when the kernel does not say, and then only wall time counts.
    pub fn read() -> Option<Self> {
        Self::of(&std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?)
    }

    /// The boot with this id.
    pub(super) fn of(id: &str) -> Option<Self> {
        let digits: String = id.chars().filter(char::is_ascii_hexdigit).take(Self::DIGITS).collect();
        (digits.len() == Self::DIGITS).then_some(Self(digits))
    }

    /// The moments that an entry has, if it is of this boot: start, end, horizon.
    pub(super) fn moments(&self, value: &[u8]) -> Option<[Moment; 3]> {
        let mut words = std::str::from_utf8(value).ok()?.split(' ');
        if words.next()? != self.0 {
            return None;
        }
        let mut moment = || words.next()?.parse().ok().map(Moment);
        Some([moment()?, moment()?, moment()?])
    }
}

impl State {
    /// The state as `set xdhcpd-state` has it.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Offered => "offered",
            Self::Bound => "bound",
            Self::Declined => "declined",
            Self::Released => "released",
            Self::Expired => "expired",
        }
    }

    /// Whether the client ever took an address in this state, unless the entry says otherwise.
    pub(super) const fn implies_taken(self) -> bool {
        !matches!(self, Self::Offered)
    }

    /// The state as dhcpd has it.
    pub(super) const fn binding(self) -> &'static str {
        match self {
            Self::Offered | Self::Bound => "active",
            Self::Declined => "abandoned",
            Self::Released | Self::Expired => "free",
        }
    }
}

/// Up to when the disk has to say that an address is the lease's: at least its own end, and
/// nothing beyond that for an address that is free.
pub(super) fn horizon(lease: &Lease, wanted: Moment) -> Moment {
    if lease.state.occupies() { wanted.max(lease.expires) } else { lease.expires }
}

/// Writes the entry of a lease.
pub(super) fn entry(text: &mut String, lease: &Lease, until: Moment, now: Now, boot: Option<&BootId>) {
    // Writing to a string cannot fail.
    let _ = try_entry(text, lease, until, now, boot);
}

fn try_entry(
    text: &mut String,
    lease: &Lease,
    until: Moment,
    now: Now,
    boot: Option<&BootId>,
) -> fmt::Result {
    writeln!(text, "lease {} {{", lease.ip)?;
    let written = wall(now, now.moment);
    // Of what it is not known when it began, that was after boot at any rate.
    writeln!(text, "  starts {};", Dated(wall(now, lease.starts.max(Moment(1)))))?;
    writeln!(text, "  ends {};", Dated(wall_up(now, until)))?;
    writeln!(text, "  cltt {};", Dated(written))?;
    writeln!(text, "  binding state {};\n  next binding state free;", lease.state.binding())?;
    if lease.mac != [0; 6] {
        let [first, rest @ ..] = lease.mac;
        write!(text, "  hardware ethernet {first:02x}")?;
        rest.iter().try_for_each(|byte| write!(text, ":{byte:02x}"))?;
        text.write_str(";\n")?;
    }
    if let Some(id) = &lease.client_id {
        writeln!(text, "  uid {};", Quoted(id))?;
    }
    writeln!(text, "  set xdhcpd-state = \"{}\";", lease.state.word())?;
    writeln!(text, "  set xdhcpd-written = \"{}, {}\";", Plain(written), Plain(wall_up(now, until)))?;
    writeln!(text, "  set xdhcpd-ends = \"{}\";", Plain(wall_up(now, lease.expires)))?;
    if lease.taken != lease.state.implies_taken() {
        writeln!(text, "  set xdhcpd-taken = \"{}\";", if lease.taken { "yes" } else { "no" })?;
    }
    if let Some(BootId(boot)) = boot {
        let [starts, expires] = [lease.starts.0, lease.expires.0];
        writeln!(text, "  set xdhcpd-boot = \"{boot} {starts} {expires} {}\";", until.0)?;
    }
    if let Some(name) = &lease.host_name {
        writeln!(text, "  client-hostname {};", Quoted(name.as_bytes()))?;
    }
    text.write_str("}\n")
}

/// The wall time of a moment in whole seconds, rounded up: an end that nothing goes past.
fn wall_up(now: Now, moment: Moment) -> Option<time::OffsetDateTime> {
    const ROUND_UP: Duration = Duration::from_nanos(999_999_999);
    if moment == Moment::FOREVER { None } else { wall(now, moment.after(ROUND_UP)) }
}

/// The wall time of a moment in whole seconds, rounded down: what has begun has begun; none: for ever.
fn wall(now: Now, moment: Moment) -> Option<time::OffsetDateTime> {
    let seconds = now.wall_seconds(moment)?;
    // What the calendar cannot say (a year past 9999) is for ever; before 1970 is 1970.
    time::OffsetDateTime::from_unix_timestamp(seconds.max(0)).ok()
}

/// A date as dhcpd has it, with the day of the week.
struct Dated(Option<time::OffsetDateTime>);

impl Display for Dated {
    fn fmt(&self, to: &mut Formatter<'_>) -> fmt::Result {
        if let Some(at) = self.0 {
            write!(to, "{} ", at.weekday().number_days_from_sunday())?;
        }
        Plain(self.0).fmt(to)
    }
}

/// A date without the day of the week.
struct Plain(Option<time::OffsetDateTime>);

impl Display for Plain {
    /// Digit by digit: with the machinery of `fmt` for each number, five dates in an entry took longer than all
    /// the rest of it.
    fn fmt(&self, to: &mut Formatter<'_>) -> fmt::Result {
        let Some(at) = self.0 else { return to.write_str("never") };
        let year = u16::try_from(at.year()).unwrap_or_default();
        let [century, year] =
            [year / 100, year % 100].map(|part| two(u8::try_from(part).unwrap_or_default()));
        let [month, day] = [two(at.month().into()), two(at.day())];
        let [hour, minute, second] = [two(at.hour()), two(at.minute()), two(at.second())];
        let date = [century[0], century[1], year[0], year[1], b'/', month[0], month[1], b'/', day[0], day[1]];
        let time = [b' ', hour[0], hour[1], b':', minute[0], minute[1], b':', second[0], second[1]];
        to.write_str(std::str::from_utf8(&date).unwrap_or_default())?;
        to.write_str(std::str::from_utf8(&time).unwrap_or_default())
    }
}

/// The two digits of a number below a hundred.
fn two(number: u8) -> [u8; 2] {
    [number / 10, number % 10].map(|digit| b'0'.saturating_add(digit))
}

/// Bytes as a string that any reader of the format reads back.
struct Quoted<'a>(&'a [u8]);

impl Display for Quoted<'_> {
    fn fmt(&self, to: &mut Formatter<'_>) -> fmt::Result {
        to.write_char('"')?;
        for &byte in self.0 {
            match byte {
                b'"' | b'\\' => write!(to, "\\{}", char::from(byte))?,
                b' '..=b'~' => to.write_char(char::from(byte))?,
                _ => write!(to, "\\{byte:03o}")?,
            }
        }
        to.write_char('"')
    }
}
