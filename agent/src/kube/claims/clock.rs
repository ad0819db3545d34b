//! What is known of our clock, and who is told of it: the core each time it is another, people once.

use tracing::{info, warn};

use super::calls::Verdict;
use crate::claims::Clock;
use crate::conditions::Conditions;
use crate::notices::{Notice, Notices, What};

/// What keeps an agent from being ready whose clock is off.
pub const CLOCK: &str = "clock";

/// What was found out last.
#[derive(Debug)]
pub struct Compared {
    last: Clock,
    conditions: Conditions,
    notices: Notices,
}

impl Compared {
    /// Nothing yet.
    pub fn new(conditions: Conditions, notices: Notices) -> Self {
        Self { last: Clock::Unknown, conditions, notices }
    }

    /// The clock was compared; what it is now, if it is not as it was.
    pub fn note(&mut self, Verdict { clock, ahead }: Verdict) -> Option<Clock> {
        let before = std::mem::replace(&mut self.last, clock);
        if before == clock {
            return None;
        }
        if clock == Clock::Off {
            let seconds = ahead.unsigned_abs().div_euclid(1000);
            let side = if ahead < 0 { "behind" } else { "ahead of" };
            let text = format!(
                "this machine's clock is {seconds} s {side} the API server's: other agents cannot rely on it, so \
                 that nothing is promised by it until both agree"
            );
            warn!("{text}");
            self.conditions.wait_for(CLOCK, text.clone());
            self.notices.tell(Notice { what: What::ClockOff, text });
        } else if before == Clock::Off {
            info!("this machine's clock agrees with the API server's again");
            self.conditions.met(CLOCK);
        }
        Some(clock)
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;

    #[test]
    fn a_clock_that_is_off_is_said_once_and_keeps_the_agent_from_being_ready() {
        let (sender, mut notices) = mpsc::channel(8);
        let conditions = Conditions::default();
        let mut compared = Compared::new(conditions.clone(), Notices::to(sender));
        let within = Verdict { clock: Clock::Within, ahead: 20 };
        let off = Verdict { clock: Clock::Off, ahead: -95_500 };
        let told: Vec<_> = [within, within, off, off, within].map(|verdict| compared.note(verdict)).into();
        assert_eq!(told, [Some(Clock::Within), None, Some(Clock::Off), None, Some(Clock::Within)]);
        assert_eq!(conditions.reasons(), Vec::<String>::new());
        compared.note(off);
        assert!(conditions.reasons()[0].contains("95 s behind"), "{:?}", conditions.reasons());
        let told = [notices.try_recv(), notices.try_recv()];
        assert!(told.iter().all(|notice| notice.as_ref().unwrap().what == What::ClockOff));
        assert!(notices.try_recv().is_err());
    }
}
