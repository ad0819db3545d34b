//! Which line an offset is on.

/// Counts lines up to offsets that only grow, so that a file full of faults is read once.
#[derive(Debug)]
pub(super) struct Lines<'a> {
    rest: &'a [u8],
    at: usize,
    line: usize,
}

impl<'a> Lines<'a> {
    /// At the first byte, on line 1.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, at: 0, line: 1 }
    }

    /// The line of an offset at or behind those asked for before.
    pub(super) fn of(&mut self, offset: usize) -> usize {
        let length = offset.saturating_sub(self.at).min(self.rest.len());
        let (between, rest) = self.rest.split_at(length);
        let ends = between.split(|byte| *byte == b'\n').count().saturating_sub(1);
        self.line = self.line.saturating_add(ends);
        self.at = self.at.saturating_add(length);
        self.rest = rest;
        self.line
    }
}
