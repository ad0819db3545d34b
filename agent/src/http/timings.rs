//! How long things take in the agent, and how often: recorded by whoever does them, read at each scrape.
//!
//! Atomics, so that recording neither waits nor fails. Bounds are powers of two of a nanosecond, as
//! in the kernel's histogram, so that buckets of both sides can be added up where they meet.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::write_counts::WriteCounts;

/// The first bound is `2^FIRST` ns: 16 µs, less than a system call and a half.
const FIRST: u32 = 14;

/// So many finite bounds; the last is `2^33` ns, 8.6 s: longer than any client waits.
const BOUNDS: usize = 20;

/// What the agent measures of itself. Shared between the run loop, which records, and HTTP.
#[derive(Debug, Default)]
pub struct AgentMetrics {
    /// From a message's arrival at the socket to its answer's departure.
    pub replies: Timings,
    /// One fsync of the lease file.
    pub journal_syncs: Timings,
    /// Writes of HostStatus objects.
    pub writes: WriteCounts,
}

/// A histogram of durations.
#[derive(Debug, Default)]
pub struct Timings {
    buckets: [AtomicU64; BOUNDS],
    longer: AtomicU64,
    sum: AtomicU64,
}

impl Timings {
    /// Records one.
    pub fn record(&self, took: Duration) {
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        // How many bits the time has beyond those below the first bound is its bucket's number.
        let bits = u64::BITS.saturating_sub(nanoseconds.leading_zeros());
        let bucket = usize::try_from(bits.saturating_sub(FIRST)).ok().and_then(|n| self.buckets.get(n));
        bucket.unwrap_or(&self.longer).fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// What was recorded up to now.
    pub fn histogram(&self) -> Histogram {
        let counts = self.buckets.iter().chain([&self.longer]);
        let counts: Vec<_> = counts.map(|bucket| bucket.load(Ordering::Relaxed)).collect();
        Histogram::of_powers(FIRST, &counts, self.sum.load(Ordering::Relaxed))
    }
}

/// A histogram as metrics show it.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    /// Upper bounds in seconds, with how many fit no lower one; the last bound is infinite.
    pub buckets: Vec<(f64, u64)>,
    /// Sum in seconds.
    pub sum: f64,
    /// How many there are in all buckets.
    pub count: u64,
}

impl Histogram {
    /// From counts of which the `n`th is of times under `2^(first+n)` ns, and the last of the rest.
    pub fn of_powers(first: u32, counts: &[u64], sum_nanoseconds: u64) -> Self {
        let last = counts.len().saturating_sub(1);
        let bounds = (first..).enumerate().map(|(n, power)| {
            if n == last { f64::INFINITY } else { seconds(1_u64.checked_shl(power).unwrap_or(u64::MAX)) }
        });
        Self {
            buckets: bounds.zip(counts.iter().copied()).collect(),
            sum: seconds(sum_nanoseconds),
            count: counts.iter().fold(0, |sum, count| sum.saturating_add(*count)),
        }
    }
}

/// Nanoseconds as the seconds that metrics are in.
#[expect(
    clippy::cast_precision_loss,
    reason = "a sum of over 2^53 ns, 104 days, may lose its last nanoseconds"
)]
fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bound of the bucket that counts a time, in nanoseconds.
    fn bucket_of(took: Duration) -> f64 {
        let timings = Timings::default();
        timings.record(took);
        let found = timings.histogram().buckets.into_iter().find(|(_, count)| *count == 1);
        (found.expect("one bucket counts it").0 * 1e9).round()
    }

    #[test]
    fn a_time_is_counted_under_the_next_power_of_two() {
        for (took, expected) in [
            (Duration::ZERO, "16384"),
            (Duration::from_nanos(16_383), "16384"),
            (Duration::from_nanos(16_384), "32768"),
            (Duration::from_secs(8), "8589934592"),
            (Duration::from_secs(9), "inf"),
            (Duration::MAX, "inf"),
        ] {
            assert_eq!(bucket_of(took).to_string(), expected, "{took:?}");
        }
    }

    #[test]
    fn sum_and_count_are_of_all_times() {
        let timings = Timings::default();
        timings.record(Duration::from_millis(250));
        timings.record(Duration::from_secs(20));
        let histogram = timings.histogram();
        assert_eq!(histogram.count, 2);
        assert!((histogram.sum - 20.25).abs() < 1e-9, "{}", histogram.sum);
    }

    #[test]
    fn the_kernels_buckets_begin_at_64_ns() {
        let histogram = Histogram::of_powers(6, &[1, 2, 3], 640);
        assert_eq!(histogram.buckets, [(64e-9, 1), (128e-9, 2), (f64::INFINITY, 3)]);
        assert_eq!(histogram.count, 6);
    }
}
