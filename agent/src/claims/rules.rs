//! The rules by name, so that the model can take each out in turn and see that it is needed.
//!
//! Outside of tests every rule is kept, and asking costs nothing.

use super::times::{At, Bounds, Span};

/// A rule of the argument ([`super`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    DecideBeforeTheEnd,
    LateExtensionsDoNotCount,
    ReadBeforeDeciding,
    ClaimAnew,
    KnownIncarnation,
    RoomForClocks,
    WaitForPromises,
    TwiceTheLease,
    Patience,
    NoLongerThanPublished,
    PublishTheLongest,
    MarksSilence,
    EveryoneConfirms,
    ReadAfterTheMark,
    ReadAfterTheEnd,
    ConfirmWhenOver,
    KernelConfirms,
    TakeBackFirst,
    LateAnswers,
    FormerAnswers,
    HorizonAfterACrash,
    GivenUpLater,
    BackSince,
    MarksHaveNames,
    NothingInFlight,
    NoOlderCopies,
    KernelHasTheHorizon,
    CheckedClock,
    LeasesOfItsNetwork,
    ShortBeforeItIsPublished,
}

/// Which rules are kept: all, or all but one.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rules {
    #[cfg(test)]
    pub(super) without: Option<Rule>,
}

impl Rules {
    /// Whether a rule is kept.
    #[cfg(test)]
    pub(super) fn keep(self, rule: Rule) -> bool {
        self.without != Some(rule)
    }

    /// Whether a rule is kept.
    #[cfg(not(test))]
    #[expect(clippy::unused_self, reason = "the model's rules differ")]
    pub(super) const fn keep(self, _: Rule) -> bool {
        true
    }

    /// The room for another agent's clock.
    pub(super) fn clocks(self, bounds: &Bounds) -> Span {
        if self.keep(Rule::RoomForClocks) { bounds.clocks } else { 0 }
    }

    /// The room between what was decided and what its client says later, to another agent.
    pub(super) fn given_up(self, bounds: &Bounds) -> Span {
        if self.keep(Rule::GivenUpLater) { bounds.clocks.saturating_add(bounds.travel) } else { 0 }
    }

    /// [`Bounds::over`].
    pub(super) fn over(self, bounds: &Bounds, until: At, longest: Span) -> At {
        if !self.keep(Rule::WaitForPromises) {
            until
        } else if !self.keep(Rule::TwiceTheLease) {
            until.after(bounds.patience).after(longest)
        } else if !self.keep(Rule::Patience) {
            until.after(longest.saturating_mul(2))
        } else {
            bounds.over(until, longest)
        }
    }
}
