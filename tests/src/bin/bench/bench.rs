//! How long everything is measured, and what is said meanwhile.

use std::time::Instant;

/// One run of the bench.
#[derive(Debug)]
pub struct Bench {
    /// Whether it only has to show that everything works.
    pub quick: bool,
    began: Instant,
}

impl Bench {
    /// Starts the clock.
    pub fn start(quick: bool) -> Self {
        Self { quick, began: Instant::now() }
    }

    /// How often each measurement is repeated; those that are compared take turns.
    pub fn runs(&self) -> usize {
        if self.quick { 1 } else { 3 }
    }

    /// One of two amounts: of time, of clients, of rounds.
    pub fn amount<T>(&self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }

    /// Says what is being measured.
    pub fn say(&self, what: &str) {
        println!("[{:6.1}s] bench: {what}", self.began.elapsed().as_secs_f32());
    }

    /// Whether the agent is a build that nothing can be concluded from.
    pub fn is_debug() -> bool {
        cfg!(debug_assertions)
    }
}
