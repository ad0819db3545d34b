//! How often another program's change is put right: pure, the time goes in.

use std::time::Duration;

use crate::clock::Moment;

/// Changes that are put right at once. Who brings an interface up anew makes a few.
pub(super) const AT_ONCE: u32 = 5;

/// The wait after those, which doubles each time.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// The longest wait.
const LONGEST_WAIT: Duration = Duration::from_mins(1);

/// So long without a change is peace: the next is put right at once again.
const PEACE: Duration = Duration::from_mins(5);

/// What two programs that want an interface to be different do in turns.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Contest {
    /// Changes that were put right.
    pub times: u32,
    last: Moment,
}

impl Contest {
    /// When the next change may be put right.
    pub fn due(self) -> Moment {
        self.last.after(self.wait())
    }

    /// How long there is no other after the last.
    pub fn wait(self) -> Duration {
        let Some(doublings) = self.times.checked_sub(AT_ONCE) else { return Duration::ZERO };
        FIRST_WAIT.saturating_mul(1_u32.checked_shl(doublings).unwrap_or(u32::MAX)).min(LONGEST_WAIT)
    }

    /// One is put right.
    pub fn put_right(&mut self, now: Moment) {
        if now.since(self.last) >= PEACE {
            self.times = 0;
        }
        self.times = self.times.saturating_add(1);
        self.last = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_changes_are_put_right_at_once_and_the_others_less_and_less_often() {
        let (mut contest, mut now) = (Contest::default(), Moment(1).after(PEACE));
        let mut waits = Vec::new();
        for _ in 0..13 {
            waits.push(contest.due().since(now).as_secs());
            now = now.max(contest.due());
            contest.put_right(now);
        }
        assert_eq!(waits, [0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60]);
    }

    #[test]
    fn after_a_time_of_peace_it_begins_anew() {
        let (mut contest, mut now) = (Contest::default(), Moment(1).after(PEACE));
        for _ in 0..100 {
            contest.put_right(now);
        }
        assert_eq!(contest.wait(), LONGEST_WAIT, "however often");
        now = now.after(PEACE);
        contest.put_right(now);
        assert_eq!((contest.times, contest.due()), (1, now));
    }
}
