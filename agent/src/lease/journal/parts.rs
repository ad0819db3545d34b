//! A lease file in parts that are read side by side.
//!
//! The word `lease` at the beginning of a line always begins an entry, whatever stands before it: so a
//! file can be cut there, and its parts say together what it says whole. Each reader still has all of
//! the bytes before it and sees where its last entry ends.

use std::ops::Range;
use std::panic::resume_unwind;
use std::thread::{Builder, available_parallelism, scope};

use super::lexer::next_entry;

/// A smaller file is read before another thread has begun.
const LEAST: usize = 1 << 20;

/// More readers than these wait for memory, not for each other.
const MOST: usize = 8;

/// How many parts a file of this length is worth.
pub(super) fn worth(length: usize) -> usize {
    let processors = available_parallelism().map_or(1, usize::from);
    processors.min(MOST).min(length.checked_div(LEAST).unwrap_or(0)).max(1)
}

/// Cuts a file into at most so many parts of about one size; all of it is in one of them.
pub(super) fn cut(bytes: &[u8], parts: usize) -> Vec<Range<usize>> {
    let size = bytes.len().checked_div(parts).unwrap_or(0).max(1);
    let mut cuts = vec![0];
    for part in 1..parts {
        let at = next_entry(bytes, size.saturating_mul(part));
        if cuts.last().is_some_and(|last| *last < at) {
            cuts.push(at);
        }
    }
    let ends = cuts.iter().skip(1).copied().chain([bytes.len()]);
    cuts.iter().copied().zip(ends).map(|(begin, end)| begin..end).collect()
}

/// What `read` makes of each part, in their order; a thread for each, as far as there are any to be had.
pub(super) fn each<T: Send>(parts: &[Range<usize>], read: impl Fn(Range<usize>) -> T + Sync) -> Vec<T> {
    let read = &read;
    let Some((first, rest)) = parts.split_first() else { return Vec::new() };
    scope(|scope| {
        let begun: Vec<_> = rest
            .iter()
            .map(|part| Builder::new().spawn_scoped(scope, || read(part.clone())).map_err(|_| part))
            .collect();
        let mut all = vec![read(first.clone())];
        all.extend(begun.into_iter().map(|reader| match reader {
            Ok(reader) => reader.join().unwrap_or_else(|fault| resume_unwind(fault)),
            Err(part) => read(part.clone()),
        }));
        all
    })
}
