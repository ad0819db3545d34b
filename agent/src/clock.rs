//! The two clocks: boot time, in which leases run, and wall time, in which files and people speak.
//!
//! A clock that steps neither expires nor extends a lease: every comparison is between
//! [`Moment`]s. Wall time is derived from a moment when something is written or shown.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

/// A point in boot time, in nanoseconds: the unit of the BPF maps (`CLOCK_BOOTTIME`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Moment(pub u64);

impl Moment {
    /// Before everything: never happened.
    pub const NEVER: Self = Self(0);
    /// After everything: a lease without an end.
    pub const FOREVER: Self = Self(u64::MAX);

    /// This much later; for ever stays for ever.
    #[must_use]
    pub fn after(self, time: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// How long after `earlier` this is; zero when it is not.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// Both clocks, read at one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Boot time.
    pub moment: Moment,
    /// Nanoseconds since 1970, UTC.
    pub wall: i128,
}

impl Now {
    /// Reads both clocks.
    pub fn read() -> Self {
        let boot = clock_gettime(ClockId::Boottime);
        let seconds = u64::try_from(boot.tv_sec).unwrap_or_default();
        let nanoseconds = u64::try_from(boot.tv_nsec).unwrap_or_default();
        let wall = match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(after) => i128::try_from(after.as_nanos()).unwrap_or(i128::MAX),
            Err(before) => {
                i128::try_from(before.duration().as_nanos()).map_or(i128::MIN, i128::saturating_neg)
            }
        };
        Self { moment: Moment(seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds)), wall }
    }

    /// The wall time of a moment, as seconds since 1970; none: never, or for ever.
    pub fn wall_seconds(self, moment: Moment) -> Option<i64> {
        if moment == Moment::NEVER || moment == Moment::FOREVER {
            return None;
        }
        let distance = i128::from(moment.0).saturating_sub(i128::from(self.moment.0));
        i64::try_from(self.wall.saturating_add(distance).div_euclid(1_000_000_000)).ok()
    }

    /// The moment of a wall time; what lies before boot becomes the first moment after it.
    pub fn moment_of(self, wall_seconds: i64) -> Moment {
        let distance = i128::from(wall_seconds).saturating_mul(1_000_000_000).saturating_sub(self.wall);
        let boot = i128::from(self.moment.0).saturating_add(distance);
        Moment(u64::try_from(boot.max(1)).unwrap_or(u64::MAX - 1))
    }
}
