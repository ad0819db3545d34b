//! The times that agents compare with each other, and the bounds that each comparison leaves room for.

/// A wall time in milliseconds since 1970, by the clock of whoever read it. What a clock has beyond these is
/// cut off, so that "before" is said only of what was before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct At(pub u64);

/// A time span in milliseconds; [`FOREVER`]: without end.
pub type Span = u64;

/// The length of a lease without end.
pub const FOREVER: Span = Span::MAX;

impl At {
    /// Before everything.
    pub const NEVER: Self = Self(0);
    /// After everything.
    pub const FOREVER: Self = Self(u64::MAX);

    /// This much later; for ever stays for ever.
    #[must_use]
    pub const fn after(self, span: Span) -> Self {
        Self(self.0.saturating_add(span))
    }

    /// How long after `earlier` this is; zero when it is not.
    pub const fn since(self, earlier: Self) -> Span {
        self.0.saturating_sub(earlier.0)
    }
}

/// What is assumed of clocks, wires and clients. The argument ([`super`]) names each where it is used.
///
/// Agents of one cluster must agree on these: a release may raise one, never lower it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The clocks of two agents that act differ by no more than this.
    pub clocks: Span,
    /// What was sent to or by a client arrives within this time, or never.
    pub travel: Span,
    /// A client without an address waits no longer than this for the answer to one question.
    pub patience: Span,
}

impl Bounds {
    /// What agents of a release work with.
    ///
    /// - `clocks`: a minute. NTP keeps machines within a tenth of a second; a minute is what one that has
    ///   lost it gathers in days, so that whoever is found further off is broken.
    /// - `travel`: ten seconds, a few of which a relay's queue may take. Nothing on a link lives longer.
    /// - `patience`: five minutes. Clients begin again, with a new transaction, after 10 seconds to two
    ///   minutes (RFC 2131 §4.1 has them wait for 64 seconds at the most between two messages).
    pub const DEFAULT: Self = Self { clocks: 60_000, travel: 10_000, patience: 300_000 };

    /// When everything is over that was decided before `until`, each lease no longer than `longest`: what the
    /// doc of [`super`] shows under "late answers".
    pub fn over(&self, until: At, longest: Span) -> At {
        until.after(self.patience).after(longest.saturating_mul(2))
    }
}
