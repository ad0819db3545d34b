//! Whether this agent's clock is one that others can rely on.

use std::ops::RangeInclusive;

use super::times::{At, Bounds};

/// What is known of our clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Clock {
    /// Not compared yet: what was claimed before is used on, nothing new is claimed.
    #[default]
    Unknown,
    /// Within its half of the bound.
    Within,
    /// Further off: nothing is claimed, and nothing promised.
    Off,
}

/// Compares our clock with a server's, by an answer that has its date.
///
/// The date was written at some moment between the question and the answer, and names no more than the
/// second. So the difference is an interval; none: it reaches over a limit, and tells nothing (the answer
/// took too long).
pub fn judge(asked: At, date: RangeInclusive<At>, answered: At, bounds: &Bounds) -> Option<Clock> {
    let number = |at: At| i128::from(at.0);
    let least = number(asked).saturating_sub(number(*date.end()));
    let most = number(answered).saturating_sub(number(*date.start()));
    // Two agents, each within half of the bound of the server, are within the bound of each other.
    let half = i128::from(bounds.clocks / 2);
    let limits = half.saturating_neg()..=half;
    if limits.contains(&least) && limits.contains(&most) {
        Some(Clock::Within)
    } else if most < *limits.start() || *limits.end() < least {
        Some(Clock::Off)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { clocks: 20, travel: 0, patience: 0 };

    #[test]
    fn a_clock_is_judged_by_what_the_answer_leaves_open() {
        for (asked, date, answered, verdict) in [
            (1000, 1000, 1000, Some(Clock::Within)),
            (1000, 1009, 1000, Some(Clock::Within)),
            (1000, 1010, 1000, None),
            (1000, 1011, 1000, Some(Clock::Off)),
            (1010, 1000, 1010, Some(Clock::Within)),
            (1012, 1000, 1012, Some(Clock::Off)),
            // What took too long says nothing, unless it is off by more than that.
            (1000, 1010, 1020, None),
            (1000, 990, 1020, None),
            (1000, 2000, 1500, Some(Clock::Off)),
            (0, u64::MAX, 0, Some(Clock::Off)),
            (u64::MAX, 0, u64::MAX, Some(Clock::Off)),
        ] {
            let dates = At(date)..=At(date.saturating_add(1));
            assert_eq!(judge(At(asked), dates, At(answered), &BOUNDS), verdict, "{asked} {date} {answered}");
        }
    }
}
