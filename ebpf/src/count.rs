//! Counting, and the time that answers take.

use aya_ebpf::helpers::generated::bpf_ktime_get_boot_ns;
use xdhcpd_common::counters::{Counter, Counters, TIME_BUCKETS, TIMED_ANSWERS};

use crate::maps::COUNTERS;
use crate::packet::whole;

/// This CPU's counters, while a frame is looked at.
pub(crate) struct Counting {
    counters: *mut Counters,
    started: u64,
}

/// Answers under 2^6 ns are in the first bucket.
const FIRST_BUCKET: u32 = 6;

impl Counting {
    #[inline(always)]
    pub(crate) fn here() -> Option<Self> {
        Some(Self { counters: COUNTERS.get_ptr_mut(0)?, started: 0 })
    }

    /// Notes when work on a request began.
    #[inline(always)]
    pub(crate) fn started(&mut self, now: u64) {
        self.started = now;
    }

    /// Counts one.
    #[inline(always)]
    pub(crate) fn add(&mut self, counter: Counter) {
        self.add_number(counter as u32);
    }

    /// Counts one of the counter with this number.
    #[inline(always)]
    pub(crate) fn add_number(&mut self, counter: u32) {
        let at = whole(counter as usize);
        if at < Counter::ALL.len() {
            // SAFETY: the struct starts with one u64 for each counter, in their order, and no other
            // program runs on this CPU meanwhile that counts here.
            unsafe {
                let place = self.counters.cast::<u64>().wrapping_add(at);
                *place = (*place).wrapping_add(1);
            }
        }
    }

    /// Times one answer in [`TIMED_ANSWERS`]; it is counted by now.
    #[inline(always)]
    pub(crate) fn answered(&mut self) {
        // SAFETY: as above.
        let counters = unsafe { &mut *self.counters };
        let answers = counters.answered_offer.wrapping_add(counters.answered_ack);
        if answers % TIMED_ANSWERS != 0 {
            return;
        }
        // SAFETY: a helper without arguments.
        let now = unsafe { bpf_ktime_get_boot_ns() };
        let took = now.wrapping_sub(self.started);
        counters.answer_nanoseconds_sum = counters.answer_nanoseconds_sum.wrapping_add(took);
        let mut bucket = 0;
        while bucket < TIME_BUCKETS - 1 && took >> FIRST_BUCKET >> bucket != 0 {
            bucket = bucket.wrapping_add(1);
        }
        if let Some(count) = counters.answer_nanoseconds.get_mut(bucket) {
            *count = count.wrapping_add(1);
        }
    }
}
