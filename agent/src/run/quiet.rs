//! Says a thing once a minute at most, however often it happens: the counters have the rest.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// How long the same thing is not said again.
const SILENCE: Duration = Duration::from_mins(1);

/// Different things remembered; past that nothing new is said until the oldest are forgotten.
const REMEMBERED: usize = 1024;

/// When what was last said.
#[derive(Debug, Default)]
pub struct Quiet {
    said: HashMap<(&'static str, String), Instant>,
}

impl Quiet {
    /// Whether it is time to say `what` about `whom` (again).
    pub fn may_say(&mut self, what: &'static str, whom: &str) -> bool {
        self.may_say_at(what, whom, Instant::now())
    }

    fn may_say_at(&mut self, what: &'static str, whom: &str, now: Instant) -> bool {
        if self.said.len() >= REMEMBERED {
            self.said.retain(|_, at| now.duration_since(*at) < SILENCE);
        }
        if self.said.len() >= REMEMBERED {
            return false;
        }
        match self.said.get(&(what, whom.to_owned())) {
            Some(at) if now.duration_since(*at) < SILENCE => false,
            _ => {
                self.said.insert((what, whom.to_owned()), now);
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thing_is_said_again_after_a_minute_and_others_meanwhile() {
        let (mut quiet, start) = (Quiet::default(), Instant::now());
        assert!(quiet.may_say_at("disk", "", start));
        assert!(!quiet.may_say_at("disk", "", start + SILENCE / 2));
        assert!(quiet.may_say_at("disk", "a", start));
        assert!(quiet.may_say_at("other", "", start));
        assert!(quiet.may_say_at("disk", "", start + SILENCE));
        assert!(!quiet.may_say_at("disk", "", start + SILENCE));
    }

    #[test]
    fn a_flood_of_different_things_is_bounded_and_passes() {
        let (mut quiet, start) = (Quiet::default(), Instant::now());
        let said = (0..2 * REMEMBERED).filter(|n| quiet.may_say_at("relay", &n.to_string(), start)).count();
        assert_eq!(said, REMEMBERED);
        assert!(quiet.may_say_at("relay", "new", start + SILENCE));
    }
}
