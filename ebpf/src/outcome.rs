//! What becomes of a frame.

use aya_ebpf::bindings::xdp_action::{XDP_ABORTED, XDP_DROP, XDP_PASS, XDP_TX};
use xdhcpd_common::counters::Counter;

/// What becomes of a frame, and the counter that says why.
///
/// One number, because it is what a stage returns: from the lowest byte up the action, whether a
/// budget is charged, and the counter.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Outcome(u32);

const CHARGED: u32 = 1 << 8;

impl Outcome {
    /// It is not decided yet: the next stage does that.
    pub(crate) const OPEN: Self = Self(XDP_ABORTED);

    /// It becomes a reply.
    #[inline(always)]
    pub(crate) fn answered(kind: Counter) -> Self {
        Self(XDP_TX).because(kind)
    }

    /// It goes up as it came, and costs the agent nothing.
    #[inline(always)]
    pub(crate) fn passed(reason: Counter) -> Self {
        Self(XDP_PASS).because(reason)
    }

    /// It goes up as it came, if the budgets allow that: the agent will work on it.
    #[inline(always)]
    pub(crate) fn left_to_agent(reason: Counter) -> Self {
        Self(XDP_PASS | CHARGED).because(reason)
    }

    /// Nobody sees it.
    #[inline(always)]
    pub(crate) fn dropped(reason: Counter) -> Self {
        Self(XDP_DROP).because(reason)
    }

    #[inline(always)]
    fn because(self, counter: Counter) -> Self {
        Self(self.0 | (counter as u32) << 16)
    }

    /// What a stage returned.
    #[inline(always)]
    pub(crate) fn from_number(number: u32) -> Self {
        Self(number)
    }

    /// What a stage returns.
    #[inline(always)]
    pub(crate) fn number(self) -> u32 {
        self.0
    }

    /// The XDP action.
    #[inline(always)]
    pub(crate) fn action(self) -> u32 {
        self.0 & 0xff
    }

    /// The number of the counter.
    #[inline(always)]
    pub(crate) fn counter(self) -> u32 {
        self.0 >> 16
    }

    /// Whether the next stage decides.
    #[inline(always)]
    pub(crate) fn is_open(self) -> bool {
        self == Self::OPEN
    }

    /// Whether it becomes a reply.
    #[inline(always)]
    pub(crate) fn is_answered(self) -> bool {
        self.action() == XDP_TX
    }

    /// Whether a budget is charged for it.
    #[inline(always)]
    pub(crate) fn is_charged(self) -> bool {
        self.0 & CHARGED != 0
    }
}
