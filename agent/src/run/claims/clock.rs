//! The clock of the claims: boot time with an offset that is taken once.
//!
//! So it does not step, whatever becomes of the wall clock, and a promise is over when as much time has gone by
//! as was promised. Whether it shows the time that others have is found out elsewhere.

use std::time::Duration;

use crate::claims::{At, FOREVER, Span};
use crate::clock::{Moment, Now};

/// From boot time to the time of the claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offset {
    /// Boot was at this time, in nanoseconds since 1970.
    boot: i128,
}

const NANOSECONDS: i128 = 1_000_000;

impl Offset {
    /// By both clocks as they are now.
    pub fn of(now: Now) -> Self {
        Self { boot: now.wall.saturating_sub(i128::from(now.moment.0)) }
    }

    /// How far the wall clock is from where it was when this was taken.
    pub fn drift(self, now: Now) -> Duration {
        let nanoseconds = Self::of(now).boot.abs_diff(self.boot);
        Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
    }

    /// The time of a moment; what it has beyond milliseconds is cut off.
    pub fn at(self, moment: Moment) -> At {
        match moment {
            Moment::FOREVER => At(u64::MAX),
            Moment::NEVER => At::NEVER,
            Moment(moment) => {
                let wall = self.boot.saturating_add(i128::from(moment)).div_euclid(NANOSECONDS);
                At(u64::try_from(wall.max(0)).unwrap_or(u64::MAX))
            }
        }
    }

    /// The first moment at a time: everything before it is before the time, too.
    pub fn moment(self, at: At) -> Moment {
        if at == At(u64::MAX) {
            return Moment::FOREVER;
        }
        let moment = i128::from(at.0).saturating_mul(NANOSECONDS).saturating_sub(self.boot);
        Moment(u64::try_from(moment.max(0)).unwrap_or(u64::MAX))
    }
}

/// A length of time as the claims have it, not cut short.
pub fn span(time: Duration) -> Span {
    u64::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(FOREVER)
}

/// Seconds of a lease likewise.
pub fn span_of_seconds(seconds: u32) -> Span {
    if seconds == u32::MAX { FOREVER } else { u64::from(seconds).saturating_mul(1000) }
}

/// A length of time as leases have it: whole seconds, or [`u32::MAX`] without an end.
pub fn seconds(span: Span) -> u32 {
    if span == FOREVER { u32::MAX } else { u32::try_from(span / 1000).unwrap_or(u32::MAX - 1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFFSET: Offset = Offset { boot: 1_700_000_000_000_400_000 };

    #[test]
    fn a_moment_before_an_end_is_at_a_time_before_it_and_no_other_is() {
        for end in [At(1_700_000_000_005), At(1_700_000_000_006)] {
            let moment = OFFSET.moment(end);
            assert!(OFFSET.at(Moment(moment.0 - 1)) < end);
            assert!(OFFSET.at(moment) >= end);
        }
    }

    #[test]
    fn a_wall_clock_that_was_set_is_seen() {
        let now = Now { moment: Moment(5), wall: OFFSET.boot + 5 };
        assert_eq!(OFFSET.drift(now), Duration::ZERO);
        let set = Now { wall: now.wall - 7_000_000_000, ..now };
        assert_eq!(OFFSET.drift(set), Duration::from_secs(7));
    }

    #[test]
    fn what_never_was_and_what_never_ends_stay_so() {
        assert_eq!(OFFSET.at(Moment::FOREVER), At(u64::MAX));
        assert_eq!(OFFSET.moment(At(u64::MAX)), Moment::FOREVER);
        assert_eq!(OFFSET.at(Moment::NEVER), At::NEVER);
        assert_eq!(OFFSET.moment(At(3)), Moment(0), "before boot");
    }

    #[test]
    fn lengths_are_never_cut_short_for_a_promise_nor_made_longer_for_a_lease() {
        assert_eq!(span(Duration::from_nanos(1)), 1);
        assert_eq!(span(Duration::MAX), FOREVER);
        assert_eq!(span_of_seconds(u32::MAX), FOREVER);
        assert_eq!(seconds(span_of_seconds(60) - 1), 59);
        assert_eq!((seconds(FOREVER), seconds(FOREVER - 1)), (u32::MAX, u32::MAX - 1));
    }
}
